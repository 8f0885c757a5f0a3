"""RFC 7798 beyond what FFmpeg's packets show."""

import pytest

from relay.core.h264 import split_annex_b
from relay.core.rtp.h265_payload import H265Depacketizer, carries_key, starts_picture
from relay.core.rtp.stats import TrackStats
from tests.support.coded import decode
from tests.unit.rtp.codec_cases import H265_B_FRAMES, file_of, receive

VPS, SPS, PPS = b"\x40\x01vps", b"\x42\x01sps", b"\x44\x01pps"
AUD, SEI = b"\x46\x01\x50", b"\x4e\x01sei"
IDR, LATER = b"\x26\x01\x80" + bytes(300), b"\x26\x01\x00" + bytes(300)
TRAIL = b"\x02\x01\x80" + bytes(300)
START, END = 0x80, 0x40


class Peer:
    def __init__(self) -> None:
        self.stats = TrackStats("video")
        self.depacketizer = H265Depacketizer(self.stats)

    def push(self, payload: bytes, timestamp: int, *, marker: bool = False) -> list[list[bytes]]:
        self.depacketizer.push(payload, 0, len(payload), timestamp, marker, 1.0, 1.0)
        units = [unit.parts for unit in self.depacketizer.ready]
        self.depacketizer.ready.clear()
        return units

    def send(self, payloads: list[bytes], timestamp: int) -> list[list[bytes]]:
        units = []
        for index, payload in enumerate(payloads):
            units += self.push(payload, timestamp, marker=index == len(payloads) - 1)
        return units


def aggregate(*nals: bytes) -> bytes:
    return b"\x60\x01" + b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def fragments(nal: bytes, size: int = 100) -> list[bytes]:
    kind = nal[0] >> 1 & 0x3F
    pieces = [nal[at : at + size] for at in range(2, len(nal), size)]
    flags = [START, *(0 for _ in pieces[2:]), END]
    return [b"\x62\x01" + bytes((flag | kind,)) + piece for flag, piece in zip(flags, pieces, strict=True)]


def test_single_aggregate_and_fragments() -> None:
    peer = Peer()
    assert peer.send([aggregate(VPS, SPS, PPS, SEI), *fragments(IDR)], 0) == [[VPS, SPS, PPS, SEI, IDR]]
    assert peer.send([TRAIL], 3000) == [[TRAIL]]
    assert peer.send([AUD, *fragments(TRAIL)], 6000) == [[TRAIL]]
    assert peer.stats.malformed == 0


def test_parameter_sets_with_a_timestamp_of_their_own() -> None:
    peer = Peer()
    assert peer.send([VPS], 0) == []
    assert peer.send([SPS], 1) == []
    assert peer.send([aggregate(PPS)], 2) == []
    assert peer.send([IDR], 3) == [[VPS, SPS, PPS, IDR]]


def test_a_picture_whose_first_slice_is_lost_is_none() -> None:
    peer = Peer()
    peer.depacketizer.gap()
    assert peer.send([aggregate(SPS, PPS), LATER], 0) == []
    assert peer.depacketizer.awaiting_key
    assert peer.send([aggregate(VPS, SPS, PPS), IDR, LATER], 3000) == [[VPS, SPS, PPS, IDR, LATER]]


def test_other_random_access_points_are_no_key_pictures() -> None:
    cra = b"\x2a\x01\x80" + bytes(20)
    peer = Peer()
    assert peer.send([aggregate(VPS, SPS, PPS), cra], 0) == []
    assert peer.send([IDR], 3000) == [[IDR]]
    assert peer.send([cra], 6000) == [[cra]]


@pytest.mark.parametrize(
    "payloads",
    [
        [b"\x62\x01"],
        [b"\x62\x01\x93"],
        [b"\x62\x01\x13middle without start"],
        [b"\x62\x01\x93start", b"\x62\x01\x93start again"],
        [b"\x62\x01\xd3start and end"],
        [b"\x62\x01\x93start", TRAIL],
        [b"\x62\x01\x93never ends"],
        [b"\x62\x01\xb0nested"],
        [b"\x60\x01\x00\x00"],
        [b"\x60\x01\x00"],
        [b"\x60\x01\x00\x09short"],
        [b"\x60\x01\x00\x03\x60\x01a"],
        [b"\x64\x01PACI"],
        [b"\x02"],
        [b"\x02\x01"],
    ],
)
def test_malformed_payloads_break_their_picture(payloads: list[bytes]) -> None:
    peer = Peer()
    peer.send([aggregate(VPS, SPS, PPS), IDR], 0)
    assert peer.send(payloads, 3000) == []
    assert peer.stats.malformed == 1
    assert peer.send([TRAIL], 6000) == []
    assert peer.send([VPS, IDR], 9000) == [[VPS, IDR]]


def test_looks_into_payloads() -> None:
    sets, whole, parts = aggregate(VPS, SPS), aggregate(VPS, SPS, PPS, IDR), fragments(IDR)
    assert starts_picture(sets, 0, len(sets))
    assert not starts_picture(parts[0], 0, len(parts[0]))
    assert carries_key(whole, 0, len(whole))
    assert not carries_key(sets, 0, len(sets))
    assert all(carries_key(part, 0, len(part)) for part in parts)
    assert carries_key(IDR, 0, len(IDR))
    assert not carries_key(TRAIL, 0, len(TRAIL))


def test_b_frames_get_their_decoding_times() -> None:
    units = H265_B_FRAMES.units(60)
    receiver = H265_B_FRAMES.receiver()
    received = receive(receiver, H265_B_FRAMES.packets(units))
    assert [unit.parts for unit in received] == [split_annex_b(unit.data) for unit in units]
    assert receiver.stats.tracks[0].reordered
    assert all(unit.composition >= 0 for unit in received)
    shown = decode(file_of(received))
    assert len(shown.times) == len(units)
    assert shown.times == sorted(shown.times)
