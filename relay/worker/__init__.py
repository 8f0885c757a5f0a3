"""The state of one process: its rooms, streams and push tasks, moved on by one tick."""
