"""Counters of a reception. They are live: read them at any time."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class TrackStats:
    """One track; times in seconds."""

    kind: Literal["video", "audio"]
    packets: int = 0
    """RTP packets of the media SSRC, padding and repeated ones included."""
    bytes: int = 0
    """Their bytes with RTP headers."""
    frames: int = 0
    """Access units or Opus packets passed on."""
    key_frames: int = 0
    dropped: int = 0
    """Access units left out because they were broken or had lost a reference."""
    lost: int = 0
    """Packets given up."""
    recovered: int = 0
    """Packets that came after a NACK."""
    late: int = 0
    """Packets that came twice, or after they were given up."""
    malformed: int = 0
    restarts: int = 0
    """Changes of SSRC, and jumps of the sequence numbers too long to be loss."""
    nacks: int = 0
    """Sequence numbers asked for, repetitions included."""
    plis: int = 0
    last_media: float | None = None
    """When the last packet with media came; padding is none."""
    rtt: float | None = None
    """From a NACK to its packet, smoothed."""
    jitter: float = 0.0
    """RFC 3550 A.8."""
    reordered: bool = False
    """RTP timestamps went back from picture to picture in decoding order: the stream has B-frames."""


@dataclass(slots=True)
class ReceptionStats:
    tracks: list[TrackStats] = field(default_factory=list)
    """In the order of the track specs."""
    foreign: int = 0
    """Packets of a payload type or an SSRC that belongs to no track."""
    malformed: int = 0
    """RTP and RTCP datagrams that were unreadable before they belonged to a track."""
