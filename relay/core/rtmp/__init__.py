"""RTMP: AMF0, handshake, chunk stream, the publishing client and the server half of the same protocol."""
