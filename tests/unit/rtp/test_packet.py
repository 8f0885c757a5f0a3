"""RTP headers (RFC 3550 5.1) in all their forms, and the counters that wrap."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtp.packet import RtpPacket, is_rtcp, payload_bounds
from relay.core.rtp.unwrap import Unwrapper, forward

PACKET = RtpPacket(96, 4660, 0xDEADBEEF, 0xCAFEBABE, b"payload", marker=True)


def test_serialised_bytes() -> None:
    assert PACKET.serialise() == bytes.fromhex("80e01234deadbeefcafebabe") + b"payload"


@pytest.mark.parametrize("padding", [0, 1, 4, 255])
def test_padding_is_no_payload(padding: int) -> None:
    assert RtpPacket.parse(PACKET.serialise(padding)) == PACKET


def test_padding_alone() -> None:
    parsed = RtpPacket.parse(RtpPacket(96, 1, 2, 3, b"").serialise(224))
    assert parsed is not None
    assert parsed.payload == b""


def test_contributing_sources_and_extension_are_skipped() -> None:
    plain = PACKET.serialise()
    sources = struct.pack("!II", 1, 2)
    extension = bytes.fromhex("bede0002") + b"12345678"
    data = bytes((0x80 | 0x10 | 2,)) + plain[1:12] + sources + extension + plain[12:]

    assert RtpPacket.parse(data) == PACKET


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PACKET.serialise()[:11],
        b"\x40" + PACKET.serialise()[1:],
        b"\xa0" + PACKET.serialise()[1:-1] + b"\x00",
        b"\xa0" + PACKET.serialise()[1:-1] + b"\x08",
        b"\x8f" + PACKET.serialise()[1:],
        b"\x90" + PACKET.serialise()[1:12] + b"\xbe\xde",
        b"\x90" + PACKET.serialise()[1:12] + b"\xbe\xde\x00\x09abcd",
    ],
    ids=["empty", "short", "version 1", "no padding", "padding too long", "no CSRC", "half an extension", "extension"],
)
def test_malformed(data: bytes) -> None:
    assert RtpPacket.parse(data) is None


@given(st.binary(min_size=12, max_size=100))
def test_bounds_of_any_bytes_lie_inside(data: bytes) -> None:
    bounds = payload_bounds(data)
    assert bounds is None or 12 <= bounds[0] <= bounds[1] <= len(data)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50))
def test_unwrapped_timestamps_move_as_the_sender_did(first: int, steps: list[int]) -> None:
    unwrapper = Unwrapper(32)
    value = unwrapper.unwrap(first)
    for step in steps:
        value += step
        assert unwrapper.unwrap(value & 0xFFFFFFFF) == value


def test_sequence_numbers_over_many_wraps() -> None:
    unwrapper = Unwrapper(16)
    for number in range(65000, 65000 + 200_000, 7):
        assert unwrapper.unwrap(number & 0xFFFF) == number
    assert unwrapper.peek(unwrapper.last or 0 & 0xFFFF) == unwrapper.last


def test_the_shorter_way_round() -> None:
    assert forward(2, 65534, 16) == 4
    assert forward(65534, 2, 16) == -4
    assert forward(0x8000, 0, 16) == -0x8000


def test_rtcp_beside_rtp() -> None:
    """What a port carries may be told apart while RTP keeps away from 64 to 95 (RFC 5761 4)."""
    taken = {second for second in range(256) if is_rtcp(bytes((0x80, second)))}
    assert taken == {0x80 | payload_type for payload_type in range(64, 96)}
