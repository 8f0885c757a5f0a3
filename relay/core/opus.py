"""What an Opus packet says of itself before anybody decodes it: its TOC byte (RFC 6716, 3.1 and 3.2)."""

from collections.abc import Sequence
from typing import NamedTuple

RATE = 48_000
"""Opus counts time in samples of 48 kHz, whatever it codes inside (RFC 7587, 4.1)."""
MAX_SAMPLES = 5_760
"""120 ms: no packet may be longer (RFC 6716, 3.2.5, R5)."""

_SILK = (480, 960, 1_920, 2_880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)
# By configuration number: 0-11 SILK, 12-15 hybrid, 16-31 CELT (RFC 6716, table 2).
_FRAME_SAMPLES = _SILK * 3 + _HYBRID * 2 + _CELT * 4


class Toc(NamedTuple):
    """`frames` frames of `frame_samples` (48 kHz) each, coded as `channels` channels."""

    frame_samples: int
    frames: int
    channels: int

    @property
    def samples(self) -> int:
        return self.frame_samples * self.frames


def parse_toc(data: bytes) -> Toc | None:
    """The packet's TOC, or None where the packet is malformed: empty, without frames, or above 120 ms."""
    if not data:
        return None
    toc = data[0]
    code = toc & 3
    if code == 3:
        if len(data) < 2:
            return None
        frames = data[1] & 0x3F
    else:
        frames = 1 if code == 0 else 2
    frame_samples = _FRAME_SAMPLES[toc >> 3]
    if not 0 < frames * frame_samples <= MAX_SAMPLES:
        return None
    return Toc(frame_samples, frames, 2 if toc & 4 else 1)


def joined(packets: Sequence[bytes]) -> bytes:
    """Their frames as one packet (RFC 6716, 3.2.5): to a decoder the same, at one call for all.

    ValueError where they are not packets of one frame each, of one configuration, 120 ms together at most.
    """
    toc = packets[0][0] if packets and packets[0] else 0xFF
    frames = [packet[1:] for packet in packets]
    whole = parse_toc(bytes((toc | 3, len(packets)))) if len(packets) < 64 else None
    if toc & 3 or whole is None or any(packet[:1] != packets[0][:1] or len(packet) > 1276 for packet in packets):
        raise ValueError("packets that cannot be one")
    lengths = bytearray()
    for frame in frames[:-1]:
        size = len(frame)
        lengths += bytes((size,)) if size < 252 else bytes((252 + (size & 3), (size - 252 - (size & 3)) >> 2))
    return b"".join((bytes((toc | 3, 0x80 | len(frames))), lengths, *frames))


def lost_frame(data: bytes) -> bytes:
    """A packet that stands for one lost frame of the configuration of `data`: the TOC byte and a frame of no bytes.

    To a decoder such a frame is one that was not sent or did not arrive (RFC 6716, 3.2.1): libopus conceals it.
    """
    return bytes((data[0] & 0xFC,))
