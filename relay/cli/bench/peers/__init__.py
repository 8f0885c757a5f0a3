"""Adapters of other programs to `relay bench`: WHIP in, RTMP out."""
