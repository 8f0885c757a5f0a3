"""What a publisher's media is once it is whole: the frames that every room below and above passes on.

`time` is the frame's place on the stream's timeline: seconds on the receiver's own monotonic clock (the `now` of every
call), so the tracks of one stream, and one user's sessions after each other, compare directly. Pictures come in
decoding order, and `time` is when each is to be decoded. `arrival` is when its last packet came, on the same clock.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class AccessUnit:
    """One coded picture."""

    parts: list[bytes]
    """What the codec's syntax makes it of, as received and in order. H.264, H.265: NAL units without start codes or
    lengths, parameter sets where the sender put them, and before a key picture that came without. AV1: OBUs, each with
    its size. VP8, VP9: the one frame."""
    key: bool
    """Decoding can begin with it: an IDR picture, a key frame."""
    rtp_time: int
    """Unwrapped RTP timestamp, 90 kHz."""
    time: float
    arrival: float
    composition: float = 0.0
    """Seconds from `time` until it is shown; 0 in a stream without B-frames."""
    codec: str = "h264"
    """A key of `relay.core.codecs.CODECS`."""


@dataclass(slots=True)
class OpusPacket:
    """One Opus packet (RFC 6716, RFC 7587)."""

    data: bytes
    rtp_time: int
    """Unwrapped RTP timestamp, 48 kHz."""
    time: float
    arrival: float


Frame = AccessUnit | OpusPacket
