"""Payload descriptors (RFC 7741 4.2) of every shape, and what breaks a frame."""

import pytest

from relay.core.rtp.stats import TrackStats
from relay.core.rtp.vp8_payload import Vp8Depacketizer, starts_key_picture, starts_picture
from tests.unit.rtp.codec_cases import VP8

KEY, INTER = (unit.data for unit in VP8.units(2))
X, S = 0x80, 0x10
I, L, T, K = 0x80, 0x40, 0x20, 0x10  # noqa: E741  the letters of RFC 7741


def push(depacketizer: Vp8Depacketizer, payload: bytes, timestamp: int = 0, *, marker: bool = True) -> None:
    depacketizer.push(payload, 0, len(payload), timestamp, marker, 1.0, 1.0)


@pytest.mark.parametrize(
    "descriptor",
    [
        bytes([S]),
        bytes([X | S, 0]),
        bytes([X | S, I, 5]),
        bytes([X | S, I, 0x85, 5]),
        bytes([X | S, L, 9]),
        bytes([X | S, T, 0x40]),
        bytes([X | S, K, 3]),
        bytes([X | S, T | K, 0x43]),
        bytes([X | S, I | L | T | K, 0x85, 5, 9, 0x43]),
    ],
)
def test_descriptors(descriptor: bytes) -> None:
    depacketizer = Vp8Depacketizer(TrackStats("video"))
    assert starts_key_picture(descriptor + KEY, 0, len(descriptor + KEY))
    assert not starts_key_picture(descriptor + INTER, 0, len(descriptor + INTER))
    push(depacketizer, descriptor + KEY)
    push(depacketizer, descriptor + INTER, 3000)
    assert [(unit.parts, unit.key) for unit in depacketizer.ready] == [([KEY], True), ([INTER], False)]


def test_partitions_are_joined() -> None:
    depacketizer = Vp8Depacketizer(TrackStats("video"))
    push(depacketizer, bytes([S]) + KEY[:50], marker=False)
    second = bytes([S | 1]) + KEY[50:90]
    assert not starts_picture(second, 0, len(second))
    push(depacketizer, second, marker=False)
    push(depacketizer, bytes([1]) + KEY[90:])
    assert [unit.parts for unit in depacketizer.ready] == [[KEY]]


@pytest.mark.parametrize(
    "payload",
    [bytes([S]), bytes([X | S]), bytes([X | S, I, 0x85, 5]), bytes([X | S, I | L | T, 5, 9, 0x40]), b"\0middle"],
)
def test_malformed_payloads_break_their_frame(payload: bytes) -> None:
    stats = TrackStats("video")
    depacketizer = Vp8Depacketizer(stats)
    push(depacketizer, bytes([S]) + KEY)
    push(depacketizer, payload, 3000)
    push(depacketizer, bytes([S]) + INTER, 6000)
    assert stats.malformed == 1
    assert len(depacketizer.ready) == 1
    push(depacketizer, bytes([S]) + KEY, 9000)
    assert len(depacketizer.ready) == 2


def test_a_frame_does_not_start_twice() -> None:
    stats = TrackStats("video")
    depacketizer = Vp8Depacketizer(stats)
    push(depacketizer, bytes([S]) + KEY, marker=False)
    push(depacketizer, bytes([S]) + KEY)
    assert stats.malformed == 1
    assert depacketizer.ready == []
