"""Answers to a WHEP player, as kinds of servers write them."""

_TRANSPORT = "a=ice-ufrag:abcd\na=ice-pwd:pppppppppppppppppppppp\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\n"
# One payload type for each kind, as SRS does.
ONE_EACH = f"""v=0
o=SRS 1 2 IN IP4 0.0.0.0
s=SRSPlaySession
t=0 0
a=ice-lite
a=group:BUNDLE 0 1
a=msid-semantic: WMS live/livestream
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
{_TRANSPORT}a=setup:passive
a=mid:0
a=sendonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1;stereo=1
a=ssrc:1000 cname:x
a=candidate:0 1 udp 2130706431 192.0.2.1 8000 typ host generation 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
{_TRANSPORT}a=setup:passive
a=mid:1
a=sendonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 H264/90000
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=ssrc:2000 cname:x
a=candidate:0 1 udp 2130706431 192.0.2.1 8000 typ host generation 0
""".replace("\n", "\r\n")
# All that was offered comes back, and what is sent is any of it, as Pion and MediaMTX do.
ALL_OF_THEM = f"""v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {":".join(["CD"] * 32)}
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=setup:active
a=mid:0
a=ice-ufrag:uuuu
a=ice-pwd:{"q" * 22}
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=candidate:1 1 udp 2130706431 192.0.2.2 8189 typ host
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 100
c=IN IP4 0.0.0.0
a=setup:active
a=mid:1
a=bundle-only
a=sendonly
a=rtcp-mux
a=extmap:2 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:98 H264/90000
a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtcp-fb:98 nack
a=rtcp-fb:98 transport-cc
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rtpmap:96 H264/90000
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:100 VP8/90000
""".replace("\n", "\r\n")
