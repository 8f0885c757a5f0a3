"""Where others are: names looked up without holding anybody up, and the egress policy kept."""
