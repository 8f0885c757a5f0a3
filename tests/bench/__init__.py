"""Benchmarks: commands that measure and print, and assert nothing."""
