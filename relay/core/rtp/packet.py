"""RTP packets (RFC 3550 5.1, 5.3.1), and how RTCP is told from them."""

import struct
from dataclasses import dataclass

FIXED_HEADER = struct.Struct("!BBHII")
"""First byte (version, padding, extension, CSRC count), marker and payload type, sequence, timestamp, SSRC."""

VERSION_2 = 0x80
MARKER = 0x80
_PADDING = 0x20
EXTENSION = 0x10
"""A header extension follows."""


def is_rtcp(packet: bytes) -> bool:
    """Of the two that share a port, this one is RTCP (RFC 5761 4): its packet types, 192 to 223, would be RTP's payload
    types 64 to 95 with the marker set. `packet` has at least two bytes."""
    return 191 < packet[1] < 224


def payload_bounds(data: bytes) -> tuple[int, int] | None:
    """Start and end of the payload of a packet of at least 12 bytes, equal for padding alone. None: malformed."""
    first = data[0]
    size = len(data)
    start = 12 + 4 * (first & 0x0F)
    end = size
    if first & EXTENSION:
        if start + 4 > size:
            return None
        start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
    if first & _PADDING:
        padding = data[-1]
        if padding == 0:
            return None
        end -= padding
    if start > end:
        return None
    return start, end


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """A packet taken apart; the header extension is skipped. Receivers on the hot path read the header in place."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket | None":
        """None for what is no RTP packet of version 2."""
        if len(data) < FIXED_HEADER.size or data[0] & 0xC0 != VERSION_2:
            return None
        bounds = payload_bounds(data)
        if bounds is None:
            return None
        _, second, sequence, timestamp, ssrc = FIXED_HEADER.unpack_from(data)
        return cls(second & 0x7F, sequence, timestamp, ssrc, data[bounds[0] : bounds[1]], bool(second & MARKER))

    def serialise(self, padding: int = 0) -> bytes:
        """The packet's bytes, with `padding` (0 to 255) octets of padding after the payload."""
        header = FIXED_HEADER.pack(
            VERSION_2 | (_PADDING if padding else 0),
            self.payload_type | (MARKER if self.marker else 0),
            self.sequence,
            self.timestamp,
            self.ssrc,
        )
        tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
        return header + self.payload + tail
