"""Where publishers knock: WHIP (RFC 9725)."""
