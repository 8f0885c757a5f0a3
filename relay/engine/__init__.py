"""Which worker does what, and what is remembered of every task."""
