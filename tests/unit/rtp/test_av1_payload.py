"""The aggregation header beyond what FFmpeg's packets show (AOM RTP payload format 4.3, 4.4)."""

import pytest

from relay.core.rtp.av1_payload import Av1Depacketizer, starts_sequence
from relay.core.rtp.stats import TrackStats
from tests.unit.test_av1 import AV1, obus

Z, Y, N = 0x80, 0x40, 0x08
SEQUENCE, KEY = obus(AV1.units(1)[0])
(INTER,) = obus(AV1.units(2)[1])


def bare(obu: bytes) -> bytes:
    """Without its size, as RTP has it: these have two bytes of size, or one."""
    return bytes((obu[0] & ~2,)) + obu[2 if obu[1] < 128 else 3 :]


def leb(size: int) -> bytes:
    return bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))


def element(obu: bytes) -> bytes:
    return leb(len(obu)) + obu


class Peer:
    def __init__(self) -> None:
        self.stats = TrackStats("video")
        self.depacketizer = Av1Depacketizer(self.stats)

    def push(self, payload: bytes, timestamp: int = 0, *, marker: bool = True) -> list[tuple[list[bytes], bool]]:
        self.depacketizer.push(payload, 0, len(payload), timestamp, marker, 1.0, 1.0)
        units = [(unit.parts, unit.key) for unit in self.depacketizer.ready]
        self.depacketizer.ready.clear()
        return units


WHOLE = [([SEQUENCE, KEY], True)]


def test_element_counts() -> None:
    sequence, key = bare(SEQUENCE), bare(KEY)
    assert Peer().push(bytes((N,)) + element(sequence) + element(key)) == WHOLE
    assert Peer().push(bytes((N | 2 << 4,)) + element(sequence) + key) == WHOLE
    # Temporal delimiters and padding are left out; sizes that are there stay.
    padded = bytes((N,)) + element(b"\x10") + element(SEQUENCE) + element(b"\x78pad") + element(KEY)
    assert Peer().push(padded) == WHOLE


@pytest.mark.parametrize("step", [1, 7, 100])
def test_fragments(step: int) -> None:
    peer, key = Peer(), bare(KEY)
    assert peer.push(bytes((N | Y | 2 << 4,)) + element(bare(SEQUENCE)) + key[:10], marker=False) == []
    pieces = [key[at : at + step] for at in range(10, len(key), step)]
    for piece in pieces[:-1]:
        assert peer.push(bytes((Z | Y | 1 << 4,)) + piece, marker=False) == []
    assert peer.push(bytes((Z | 1 << 4,)) + pieces[-1]) == WHOLE
    assert peer.push(bytes((1 << 4,)) + bare(INTER), 3000) == [([INTER], False)]


def test_a_sequence_header_alone_belongs_to_the_frame_that_follows() -> None:
    peer = Peer()
    assert peer.push(bytes((N | 1 << 4,)) + bare(SEQUENCE)) == []
    assert peer.push(bytes((1 << 4,)) + bare(KEY), 3000) == WHOLE


def test_behind_a_gap_a_sequence_starts_anew() -> None:
    peer = Peer()
    peer.depacketizer.gap()
    assert peer.push(bytes((1 << 4,)) + bare(KEY)) == []
    assert peer.push(bytes((1 << 4,)) + bare(INTER), 3000) == []
    assert peer.push(bytes((N | 2 << 4,)) + element(bare(SEQUENCE)) + bare(KEY), 6000) == WHOLE


@pytest.mark.parametrize(
    "payload",
    [
        bytes((N,)),
        bytes((N | 1 << 4,)),
        bytes((N, 0)),
        bytes((N, 5)) + b"abc",
        bytes((N, 0x80)),
        bytes((N | 3 << 4,)) + element(b"\x10"),
        bytes((N | 2 << 4,)) + element(b"\x10"),
        bytes((N | 1 << 4,)) + b"\x32\x09abc",
    ],
)
def test_malformed_payloads(payload: bytes) -> None:
    peer = Peer()
    assert peer.push(payload) == []
    assert peer.stats.malformed == 1


def test_a_continuation_without_its_start_is_malformed() -> None:
    peer = Peer()
    peer.push(bytes((N | 2 << 4,)) + element(bare(SEQUENCE)) + bare(KEY))
    assert not starts_sequence(bytes((Z | N,)) + b"abc", 0, 4)
    assert peer.push(bytes((Z | 1 << 4,)) + b"abc", 3000) == []
    assert peer.stats.malformed == 1
    assert peer.push(bytes((1 << 4,)) + bare(INTER), 6000) == []
    # The start of one, and then another OBU's.
    peer.push(bytes((N | Y | 1 << 4,)) + bare(SEQUENCE), 9000, marker=False)
    assert peer.push(bytes((1 << 4,)) + bare(KEY), 9000) == []
    assert peer.stats.malformed == 2
