"""Composition: settings, logging, the HTTP server, start and stop."""
