"""Volcengine's official SDKs, unmodified, each driven in a process of its own."""
