"""RTP and RTCP (RFC 3550, 4585): from datagrams in any order to whole, decodable frames, and back."""
