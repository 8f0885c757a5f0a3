"""A self-hosted relay: a user's live WebRTC stream out of a room, pushed to a CDN over RTMP."""

__version__ = "0.1.0"
