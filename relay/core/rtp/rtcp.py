"""RTCP packets: parsing and building.

RFC 3550 6, RFC 4585 6, RFC 5104 4.3.1, draft-alvestrand-rmcat-remb, draft-holmer-rmcat-transport-wide-cc-extensions.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
_NACK, _PLI, _FIR, _ALFB, _TRANSPORT_CC = 1, 1, 4, 15, 15
_CNAME = 1
_MAX_MESSAGES = 64  # in a datagram; it has room for hundreds of a few bytes
_MAX_LOST = 512
"""Sequence numbers of NACKs that are read of a datagram, which has room for thousands. Who misses more needs a key
frame; ours asks for 200 at once."""

_SENDER_INFO = struct.Struct("!IQIII")
_REPORT_BLOCK = struct.Struct("!IB3sIIII")
_SSRC_PAIR = struct.Struct("!II")
_NACK_ITEM = struct.Struct("!HH")


class ReportBlock(NamedTuple):
    """What a receiver says of one source (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the report before."""
    lost: int
    highest: int
    """Extended highest sequence number, 32 bits."""
    jitter: int
    """In units of the RTP clock."""
    last_report: int
    """Middle 32 bits of the NTP time of the last SR; 0: none came."""
    delay: int
    """Since that SR, in 1/65536 s."""


class SenderReport(NamedTuple):
    ssrc: int
    ntp: int
    """64 bits: seconds since 1900 in 1/2^32 s; 0 where the sender has no clock."""
    rtp_time: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


class ReceiverReport(NamedTuple):
    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


class Bye(NamedTuple):
    ssrcs: tuple[int, ...]


class Nack(NamedTuple):
    sender: int
    media: int
    lost: tuple[int, ...]


class Pli(NamedTuple):
    sender: int
    media: int


class Fir(NamedTuple):
    sender: int
    media: tuple[int, ...]


class Remb(NamedTuple):
    sender: int
    bitrate: int
    """Bits per second."""
    ssrcs: tuple[int, ...]


Message = SenderReport | ReceiverReport | Bye | Nack | Pli | Fir | Remb


def parse(data: bytes) -> list[Message] | None:
    """The messages of a compound or reduced-size (RFC 5506) datagram; unknown ones and SDES are passed over.

    None where the datagram is malformed, or holds more messages than anybody sends at once.
    """
    messages: list[Message] = []
    lost_left = _MAX_LOST
    position, size = 0, len(data)
    try:
        while position < size:
            first, kind, words = struct.unpack_from("!BBH", data, position)
            end = position + 4 + 4 * words
            if first & 0xC0 != 0x80 or end > size:
                return None
            body_end = end - data[end - 1] if first & 0x20 else end
            body = data[position + 4 : max(body_end, position + 4)]
            message = _parse_one(kind, first & 0x1F, body, lost_left)
            if message is not None:
                messages.append(message)
                if isinstance(message, Nack):
                    lost_left -= len(message.lost)
                if len(messages) > _MAX_MESSAGES:
                    return None
            position = end
    except struct.error:
        return None
    return messages if size else None


def _parse_one(kind: int, count: int, body: bytes, max_lost: int) -> Message | None:
    if kind == SR:
        ssrc, ntp, rtp_time, packets, octets = _SENDER_INFO.unpack_from(body)
        return SenderReport(ssrc, ntp, rtp_time, packets, octets, _parse_blocks(body, 24, count))
    if kind == RR:
        (ssrc,) = struct.unpack_from("!I", body)
        return ReceiverReport(ssrc, _parse_blocks(body, 4, count))
    if kind == BYE:
        return Bye(struct.unpack_from(f"!{count}I", body))
    if kind == RTPFB and count == _NACK:
        sender, media = _SSRC_PAIR.unpack_from(body)
        return Nack(sender, media, tuple(islice(_parse_lost(body), max_lost)))
    if kind == PSFB and count == _PLI:
        return Pli(*_SSRC_PAIR.unpack_from(body))
    if kind == PSFB and count == _FIR:
        sender, _ = _SSRC_PAIR.unpack_from(body)
        return Fir(sender, tuple(struct.unpack_from("!I", body, at)[0] for at in range(8, len(body), 8)))
    if kind == PSFB and count == _ALFB and body[8:12] == b"REMB":
        sender, _, _, number, high, mantissa = struct.unpack_from("!III BBH", body)
        bitrate = ((high & 3) << 16 | mantissa) << (high >> 2)
        return Remb(sender, bitrate, struct.unpack_from(f"!{number}I", body, 16))
    return None


def _parse_blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for position in range(start, start + 24 * count, 24):
        ssrc, fraction, lost, highest, jitter, last, delay = _REPORT_BLOCK.unpack_from(body, position)
        blocks.append(
            ReportBlock(ssrc, fraction, int.from_bytes(lost, "big", signed=True), highest, jitter, last, delay)
        )
    return tuple(blocks)


def _parse_lost(body: bytes) -> Iterator[int]:
    for position in range(8, len(body), 4):
        first, following = _NACK_ITEM.unpack_from(body, position)
        yield first
        for bit in range(16):
            if following >> bit & 1:
                yield (first + 1 + bit) & 0xFFFF


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _pack_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _REPORT_BLOCK.pack(
            block.ssrc,
            block.fraction_lost,
            # Cumulative loss is a signed 24-bit number that stays at its ends (RFC 3550 A.3).
            max(-0x800000, min(block.lost, 0x7FFFFF)).to_bytes(3, "big", signed=True),
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_report,
            min(block.delay, 0xFFFFFFFF),
        )
        for block in blocks
    )


def sender_report(report: SenderReport) -> bytes:
    info = _SENDER_INFO.pack(
        report.ssrc, report.ntp, report.rtp_time & 0xFFFFFFFF, report.packets & 0xFFFFFFFF, report.octets & 0xFFFFFFFF
    )
    return _packet(SR, len(report.blocks), info + _pack_blocks(report.blocks))


def receiver_report(report: ReceiverReport) -> bytes:
    return _packet(RR, len(report.blocks), report.ssrc.to_bytes(4, "big") + _pack_blocks(report.blocks))


def source_description(ssrc: int, cname: str) -> bytes:
    """SDES with the CNAME, which is cut to 255 bytes of UTF-8."""
    name = cname.encode()[:255]
    chunk = ssrc.to_bytes(4, "big") + bytes((_CNAME, len(name))) + name
    return _packet(SDES, 1, chunk + bytes(4 - len(chunk) % 4))


def bye(ssrcs: Sequence[int]) -> bytes:
    return _packet(BYE, len(ssrcs), struct.pack(f"!{len(ssrcs)}I", *ssrcs))


def nack(sender: int, media: int, lost: Sequence[int]) -> bytes:
    """Generic NACK for sequence numbers in ascending order, extended or not; 17 in a row take one item."""
    items: list[list[int]] = []
    for number in lost:
        if items and 0 < number - items[-1][0] <= 16:
            items[-1][1] |= 1 << (number - items[-1][0] - 1)
        else:
            items.append([number, 0])
    body = b"".join(_NACK_ITEM.pack(first & 0xFFFF, following) for first, following in items)
    return _packet(RTPFB, _NACK, _SSRC_PAIR.pack(sender, media) + body)


def pli(sender: int, media: int) -> bytes:
    return _packet(PSFB, _PLI, _SSRC_PAIR.pack(sender, media))


def remb(sender: int, bitrate: int, ssrcs: Sequence[int]) -> bytes:
    """The most that the sources may send together, bits per second (rounded down to 18 significant bits)."""
    exponent = max(0, bitrate.bit_length() - 18)
    mantissa = bitrate >> exponent
    head = struct.pack("!BBH", len(ssrcs), exponent << 2 | mantissa >> 16, mantissa & 0xFFFF)
    return _packet(PSFB, _ALFB, _SSRC_PAIR.pack(sender, 0) + b"REMB" + head + struct.pack(f"!{len(ssrcs)}I", *ssrcs))


def transport_feedback(sender: int, media: int, body: bytes) -> bytes:
    """Transport-wide feedback; `body` is what follows the SSRCs, in whole words (`relay.core.rtp.twcc` writes it)."""
    return _packet(RTPFB, _TRANSPORT_CC, _SSRC_PAIR.pack(sender, media) + body)
