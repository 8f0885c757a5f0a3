"""WebRTC at the socket: ICE and DTLS by aiortc, RTP by `relay.core.rtp`."""
