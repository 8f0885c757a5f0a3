"""Payload descriptors that FFmpeg does not write: those of browsers, with layers."""

import pytest

from relay.core.rtp.stats import TrackStats
from relay.core.rtp.vp9_payload import Vp9Depacketizer, starts_key_picture, starts_picture
from tests.unit.rtp.codec_cases import VP9
from tests.unit.test_vp9 import frames_of

KEY, INTER = (unit.data for unit in VP9.units(2))
I, P, L, F, B, E, V = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02  # noqa: E741  the letters of RFC 9628


def push(depacketizer: Vp9Depacketizer, payload: bytes, timestamp: int = 0, *, marker: bool = True) -> None:
    depacketizer.push(payload, 0, len(payload), timestamp, marker, 1.0, 1.0)


@pytest.mark.parametrize(
    "descriptor",
    [
        bytes([B | E]),
        bytes([I | B | E, 5]),
        bytes([I | B | E, 0x85, 5]),
        bytes([I | L | B | E, 0x85, 5, 0x00, 9]),
        bytes([I | L | F | B | E, 0x85, 5, 0x00]),
        bytes([I | P | F | B | E, 0x85, 5, 0x03, 0x05, 0x06]),
        # One layer, its size, a group of two pictures.
        bytes([I | L | B | E | V, 0x85, 5, 0, 9, 0x18, 0, 160, 0, 120, 2, 0x04, 1, 0x48, 1, 2]),
    ],
)
def test_descriptors(descriptor: bytes) -> None:
    depacketizer = Vp9Depacketizer(TrackStats("video"))
    payload = descriptor + KEY
    assert starts_picture(payload, 0, len(payload))
    assert starts_key_picture(payload, 0, len(payload))
    push(depacketizer, payload)
    assert [(unit.parts, unit.key) for unit in depacketizer.ready] == [([KEY], True)]


@pytest.mark.parametrize(
    "payload",
    [
        bytes([I | B]),
        bytes([I | L | B, 5]),
        bytes([P | F | B, 1, 1, 1, 1]) + KEY,
        bytes([V | B, 0x18, 0]),
        bytes([V | B, 0x08, 250]) + bytes(20),
        bytes([B]),
    ],
)
def test_what_ends_early_is_malformed(payload: bytes) -> None:
    stats = TrackStats("video")
    depacketizer = Vp9Depacketizer(stats)
    push(depacketizer, payload)
    assert stats.malformed == starts_picture(payload, 0, len(payload))
    assert depacketizer.ready == []
    assert not starts_key_picture(payload, 0, len(payload))


def test_spatial_layers_make_a_superframe() -> None:
    depacketizer = Vp9Depacketizer(TrackStats("video"))
    lower, upper = bytes([L | F | B | E, 0x00]) + KEY, bytes([L | F | B | E, 0x03]) + INTER
    assert not starts_picture(upper, 0, len(upper))
    push(depacketizer, lower, marker=False)
    push(depacketizer, upper)
    (unit,) = depacketizer.ready
    assert unit.key
    assert frames_of(unit.parts[0]) == [KEY, INTER]


def test_a_ninth_layer_is_malformed() -> None:
    stats = TrackStats("video")
    depacketizer = Vp9Depacketizer(stats)
    for _ in range(9):
        push(depacketizer, bytes([B | E]) + KEY, marker=False)
    assert stats.malformed == 1
