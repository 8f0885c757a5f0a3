"""Every codec that goes by Enhanced RTMP: FFmpeg's RTP packets, through loss, into FLV that FFmpeg decodes."""

import functools
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.codecs import CODECS
from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket
from relay.core.rtp.payload import MAX_ACCESS_UNIT
from relay.core.rtp.stats import TrackStats
from tests.support.coded import HEIGHT, WIDTH, decode
from tests.support.thorough import also
from tests.unit.rtp.codec_cases import CASES, NOW, PAYLOAD_TYPE, Case, file_of, receive

each_codec = pytest.mark.parametrize("case", CASES, ids=[case.codec for case in CASES])


@each_codec
@pytest.mark.parametrize("size", [150, 1200])
def test_every_picture_arrives_and_decodes(case: Case, size: int) -> None:
    units = case.units()
    receiver = case.receiver()
    received = receive(receiver, case.packets(units, size))
    stats = receiver.stats.tracks[0]
    assert (stats.malformed, stats.dropped, stats.lost) == (0, 0, 0)
    assert [unit.key for unit in received] == [unit.key for unit in units]
    assert stats.key_frames == 2
    shown = decode(file_of(received))
    assert shown.codec == case.ffmpeg_name
    assert shown.size == (WIDTH, HEIGHT)
    assert len(shown.times) == len(units)
    assert all(abs(b - a - 1 / 30) < 0.002 for a, b in pairwise(shown.times))


@each_codec
def test_a_change_of_size_is_described(case: Case) -> None:
    small, large = case.units(10), case.units(10, width=320, height=240)
    sizes = []
    for units in (small, large):
        received = receive(case.receiver(), case.packets(units))
        described = CODECS[case.codec].describe(received[0].parts)
        assert described is not None
        sizes.append((described.width, described.height))
    assert sizes == [(WIDTH, HEIGHT), (320, 240)]


@each_codec
@pytest.mark.parametrize("seed", [0, 4, *also(1, 2, 3, 5)])
def test_after_a_loss_nothing_comes_before_a_whole_key_picture(case: Case, seed: int) -> None:
    """What comes out decodes under FFmpeg without one error, whatever packets are lost."""
    chance = random.Random(seed)  # noqa: S311  seeded
    units = case.units(90, gop=10)
    packets = case.packets(units, 300)
    rate = 0.002 * 4**seed / 8
    kept = [packet for packet in packets if chance.random() > rate]
    receiver = case.receiver()
    received = receive(receiver, kept)
    if not received:
        return
    keys = [unit.rtp_time for unit in received if unit.key]
    assert received[0].key
    shown = decode(file_of(received))
    assert len(shown.times) == len(received)
    # Between two pictures that are not consecutive there is a key picture.
    for before, after in pairwise(sorted(received, key=lambda unit: unit.rtp_time)):
        if after.rtp_time - before.rtp_time > 3000:
            assert any(before.rtp_time < key <= after.rtp_time for key in keys)


@each_codec
def test_a_loss_asks_for_a_key_picture_at_once(case: Case) -> None:
    packets = case.packets(case.units(30, gop=30), 300)
    key = next(i for i, packet in enumerate(packets) if packet.marker)
    middle = next(i for i, packet in enumerate(packets) if i > key + 1 and not packet.marker)
    receiver = case.receiver()
    receive(receiver, packets[:middle])
    assert _plis(receiver.feedback(NOW + 5)) == 0
    receive(receiver, packets[middle + 1 :])
    assert _plis(receiver.feedback(NOW + 5)) == 1
    assert receiver.stats.tracks[0].lost == 1


def _plis(datagrams: list[bytes]) -> int:
    return sum(isinstance(message, rtcp.Pli) for data in datagrams for message in rtcp.parse(data) or ())


@each_codec
def test_a_key_picture_behind_a_hole_makes_the_hole_worthless(case: Case) -> None:
    packets = case.packets(case.units(30, gop=10), 300)
    ends = [index + 1 for index, packet in enumerate(packets) if packet.marker]
    receiver = case.receiver()
    # The middle of the first key picture is lost, and the hole not given up yet when the second has come.
    received = []
    for packet in packets[:1] + packets[2 : ends[10]]:
        received += receiver.receive_rtp(packet.serialise(), NOW)
    assert [unit.key for unit in received] == [True]


@each_codec
def test_without_markers_a_picture_ends_where_the_next_begins(case: Case) -> None:
    units = case.units(20)
    packets = [
        RtpPacket(p.payload_type, p.sequence, p.timestamp, p.ssrc, p.payload, marker=False) for p in case.packets(units)
    ]
    assert len(receive(case.receiver(), packets)) == len(units) - 1


@each_codec
def test_endless_pictures_are_bounded(case: Case) -> None:
    stats = TrackStats("video")
    depacketizer = CODECS[case.codec].depacketizer(stats)
    first, *_, middle, last = case.packets(case.units(1), 300)
    assert not middle.marker
    assert last.marker
    depacketizer.push(first.payload, 0, len(first.payload), 1, 0, NOW, NOW)
    for _ in range(2 * MAX_ACCESS_UNIT // len(middle.payload)):
        depacketizer.push(middle.payload, 0, len(middle.payload), 1, 0, NOW, NOW)
    assert stats.malformed == 1
    assert depacketizer.ready == []


@functools.cache
def few_packets(case: Case) -> list[RtpPacket]:
    return case.packets(case.units(4, gop=2), 900)[:40]


@each_codec
@given(data=st.data())
def test_damaged_payloads_are_counted_and_never_raise(case: Case, data: st.DataObject) -> None:
    stats = TrackStats("video")
    codec = CODECS[case.codec]
    depacketizer = codec.depacketizer(stats)
    for packet in few_packets(case):
        payload = bytearray(packet.payload)
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, min(len(payload) - 1, 24)))
            payload[at] = data.draw(st.integers(0, 255))
        payload = payload[: data.draw(st.integers(1, len(payload)))]
        damaged = bytes(payload)
        codec.starts_picture(damaged, 0, len(damaged))
        codec.carries_key(damaged, 0, len(damaged))
        depacketizer.push(damaged, 0, len(damaged), packet.timestamp, packet.marker, NOW, NOW)
    for unit in depacketizer.ready:
        assert all(unit.parts)
        codec.sample(unit.parts)
        if unit.key:
            codec.reorder_depth(unit.parts)
            try:
                codec.describe(unit.parts)
            except ValueError:
                continue


@each_codec
@given(payloads=st.lists(st.tuples(st.binary(min_size=1, max_size=60), st.integers(0, 2), st.booleans()), max_size=30))
def test_any_payloads_never_raise(case: Case, payloads: list[tuple[bytes, int, bool]]) -> None:
    receiver = case.receiver()
    for index, (payload, timestamp, marker) in enumerate(payloads):
        packet = RtpPacket(PAYLOAD_TYPE, index, timestamp, 7, payload, marker)
        receiver.receive_rtp(packet.serialise(), NOW)
