"""What an Opus packet says of itself before anybody decodes it: its TOC byte (RFC 6716, 3.1 and 3.2)."""

from collections.abc import Sequence
from typing import NamedTuple

RATE = 48_000
"""Opus counts time in samples of 48 kHz, whatever it codes inside (RFC 7587, 4.1)."""
MAX_SAMPLES = 5_760
"""120 ms: no packet may be longer (RFC 6716, 3.2.5, R5)."""

_MOST_BYTES = 1_275
"""Of a frame (3.2.1)."""
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
    head = packets[0][:1] if packets else b""
    toc = head[0] if head else 0xFF
    whole = parse_toc(bytes((toc | 3, len(packets)))) if len(packets) < 64 else None
    if toc & 3 or whole is None:
        raise ValueError("packets that cannot be one")
    lengths, last = bytearray(), 0
    for packet in packets:
        size = len(packet) - 1
        if size > _MOST_BYTES or packet[:1] != head:
            raise ValueError("packets that cannot be one")
        last = len(lengths)
        if size < 252:
            lengths.append(size)
        else:
            lengths += bytes((252 + (size & 3), (size - 252 - (size & 3)) >> 2))
    del lengths[last:]
    return b"".join((bytes((toc | 3, 0x80 | len(packets))), lengths, *[packet[1:] for packet in packets]))


def lost_frame(data: bytes) -> bytes:
    """A packet that stands for one lost frame of the configuration of `data`: the TOC byte and a frame of no bytes.

    To a decoder such a frame is one that was not sent or did not arrive (RFC 6716, 3.2.1): libopus conceals it.
    """
    return bytes((data[0] & 0xFC,))
