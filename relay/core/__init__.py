"""Protocol code without I/O: time is an argument, the next deadline is a result."""
