"""Reception, case by case: when frames come out, what is asked for and when, and what an unruly publisher can do."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket
from relay.core.rtp.reception import Reception
from relay.core.rtp.track import MAX_WAITING, MAX_WAITING_BYTES
from tests.unit.rtp.network import AUDIO, PPS, SPS, VIDEO, audio_sender, picture, reception, video_sender

NOW = 100.0


def feed(receiver: Reception, packets: list[bytes], now: float = NOW) -> list[Frame]:
    return [frame for packet in packets for frame in receiver.receive_rtp(packet, now)]


def messages(receiver: Reception, now: float) -> list[rtcp.Message]:
    found: list[rtcp.Message] = []
    for datagram in receiver.feedback(now):
        parsed = rtcp.parse(datagram)
        assert parsed is not None
        assert isinstance(parsed[0], rtcp.ReceiverReport)
        found += parsed
    return found


def reports(receiver: Reception, now: float) -> list[rtcp.ReceiverReport]:
    return [message for message in messages(receiver, now) if isinstance(message, rtcp.ReceiverReport)]


def nacked(receiver: Reception, now: float) -> list[int]:
    return [number for message in messages(receiver, now) if isinstance(message, rtcp.Nack) for number in message.lost]


def plis(receiver: Reception, now: float) -> list[int]:
    return [message.media for message in messages(receiver, now) if isinstance(message, rtcp.Pli)]


class Publisher:
    """Pictures 0, 1, 2 … of which the first is a key picture, as packets."""

    def __init__(self, *, rtx: bool = True, first_sequence: int = 65530) -> None:
        self.sender = video_sender(rtx=rtx, first_sequence=first_sequence)
        self.index = 0

    def next(self, *, key: bool = False, size: int = 3000) -> list[bytes]:
        nals = picture(self.index, key=key or self.index == 0, size=size)
        packets = self.sender.send_access_unit(nals, self.index * 3000, NOW)
        self.index += 1
        return packets


def test_a_picture_comes_out_with_its_marker_packet() -> None:
    receiver, publisher = reception(), Publisher()
    packets = publisher.next()

    assert feed(receiver, packets[:-1]) == []
    (unit,) = feed(receiver, packets[-1:], NOW + 0.01)
    assert isinstance(unit, AccessUnit)
    assert unit.parts == picture(0, key=True)
    assert (unit.key, unit.arrival, unit.time) == (True, NOW + 0.01, NOW)


def test_sound_comes_out_packet_by_packet() -> None:
    receiver, sender = reception(), audio_sender()

    frames = feed(receiver, [sender.send_opus(bytes([index]), index * 960, NOW)[0] for index in range(100)])

    assert all(isinstance(frame, OpusPacket) for frame in frames)
    assert [frame.data[0] for frame in frames if isinstance(frame, OpusPacket)] == list(range(100))


def test_parameter_sets_of_the_sdp_go_before_each_idr_picture_until_the_stream_brings_its_own() -> None:
    given = (SPS[:-1] + b"\x81", PPS)
    receiver, publisher = reception(replace(VIDEO, parameter_sets=given)), Publisher()
    sender = publisher.sender
    pictures = [[b"\x65\x88" + bytes(9)], [b"\x41" + bytes(9)], [b"\x06\x05\x01", b"\x65\x88" + bytes(9)]]
    own = [[SPS, PPS, b"\x65\x88" + bytes(9)], [b"\x65\x88" + bytes(9)]]
    # A first packet that is a slice may be amid its picture: that picture is not taken.
    packets = [sender.send_access_unit([b"\x41" + bytes(9)], 0, NOW)]
    packets += [
        sender.send_access_unit(nals, 3000 * place, NOW) for place, nals in enumerate([*pictures, *own], start=1)
    ]
    units = [frame for some in packets for frame in feed(receiver, some) if isinstance(frame, AccessUnit)]

    assert [unit.parts for unit in units] == [
        [*given, *pictures[0]], pictures[1], [*given, *pictures[2]], own[0], [SPS, PPS, *own[1]]
    ]  # fmt: skip


def test_parameter_sets_that_the_sender_tells_once_go_before_each_idr_picture() -> None:
    """A push may begin with any of them."""
    receiver, sender, changed = reception(), video_sender(), SPS[:-1] + b"\x81"
    idr = b"\x65\x88" + bytes(9)
    sent = [[SPS, PPS, idr], [idr], [b"\x41" + bytes(9)], [changed, PPS, idr], [idr]]
    packets = [p for place, nals in enumerate(sent) for p in sender.send_access_unit(nals, 3000 * place, NOW)]
    parts = [frame.parts for frame in feed(receiver, packets) if isinstance(frame, AccessUnit)]
    assert parts == [sent[0], sent[0], sent[2], sent[3], sent[3]]

    # Another source is another encoder.
    other = video_sender(ssrc=0xABCDEF, first_sequence=7)
    packets = [p for place, nals in enumerate(sent[1:4]) for p in other.send_access_unit(nals, 3000 * place, NOW)]
    parts = [frame.parts for frame in feed(receiver, packets, NOW + 2) if isinstance(frame, AccessUnit)]
    assert parts == [sent[3]]


def test_parameter_sets_beyond_all_measure_are_told_once() -> None:
    receiver, sender, idr = reception(), video_sender(), b"\x65\x88" + bytes(9)
    sent = [[SPS + bytes(100_000), PPS, idr], [idr]]
    packets = [p for place, nals in enumerate(sent) for p in sender.send_access_unit(nals, 3000 * place, NOW)]
    assert [frame.parts for frame in feed(receiver, packets) if isinstance(frame, AccessUnit)] == sent


# Holes.


def test_reordered_packets_are_put_in_order_without_a_nack() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    packets = publisher.next()

    assert feed(receiver, packets[1:]) == []
    assert nacked(receiver, NOW) == []
    (unit,) = feed(receiver, packets[:1], NOW + 0.01)
    assert isinstance(unit, AccessUnit)
    assert unit.parts == picture(1, key=False)
    assert receiver.stats.tracks[0].recovered == 0


def test_a_hole_is_asked_for_until_its_deadline_and_then_a_key_picture_at_that_instant() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    messages(receiver, NOW)
    packets = publisher.next()
    lost = (65530 + 9 + 1) & 0xFFFF
    assert RtpPacket.parse(packets[1]).sequence == lost  # type: ignore[union-attr]  # it is a packet
    feed(receiver, packets[:1] + packets[2:])

    asked = [tick for tick in range(50) if nacked(receiver, NOW + tick / 100) == [lost]]
    assert asked[0] == 2
    assert {after - before for before, after in itertools.pairwise(asked)} <= {6, 7}
    assert asked[-1] > 40
    assert receiver.poll(NOW + 0.499) == ()
    assert not receiver.poll(NOW + 0.5)
    assert plis(receiver, NOW + 0.5) == [publisher.sender.ssrc]
    assert receiver.stats.tracks[0].lost == 1
    # What refers to the lost picture stays out, the next key picture comes.
    assert feed(receiver, publisher.next(), NOW + 0.5) == []
    assert len(feed(receiver, publisher.next(key=True), NOW + 0.6)) == 1
    assert len(feed(receiver, publisher.next(), NOW + 0.6)) == 1


def test_nacks_follow_the_round_trip_time() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    for _ in range(2):
        packets = publisher.next()
        feed(receiver, packets[1:])
        (datagram,) = receiver.feedback(NOW + 0.02)
        (again,) = publisher.sender.receive_rtcp(datagram, NOW).retransmissions
        assert len(feed(receiver, [again], NOW + 0.22)) == 1
    assert receiver.stats.tracks[0].rtt == pytest.approx(0.2)

    feed(receiver, publisher.next()[1:])
    assert len(nacked(receiver, NOW + 0.02)) == 1
    assert nacked(receiver, NOW + 0.2) == []
    assert len(nacked(receiver, NOW + 0.25)) == 1


@pytest.mark.parametrize("rtx", [True, False])
def test_a_retransmission_fills_the_hole(*, rtx: bool) -> None:
    receiver, publisher = reception(), Publisher(rtx=rtx)
    feed(receiver, publisher.next())
    feed(receiver, publisher.next()[1:])
    (datagram,) = receiver.feedback(NOW + 0.02)
    (again,) = publisher.sender.receive_rtcp(datagram, NOW).retransmissions

    (unit,) = feed(receiver, [again], NOW + 0.05)

    assert isinstance(unit, AccessUnit)
    assert unit.parts == picture(1, key=False)
    assert receiver.stats.tracks[0].recovered == 1
    assert receiver.stats.foreign == 0
    # The same again, and a probe of padding on the retransmission SSRC: nothing happens.
    assert feed(receiver, [again, RtpPacket(103, 99, 0, 0x5EEE, b"").serialise(255)], NOW + 0.06) == []
    assert receiver.stats.tracks[0].late == 1


def test_a_repaired_picture_does_not_move_the_timeline() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    packets = publisher.next()
    feed(receiver, packets[1:], NOW + 1 / 30)
    feed(receiver, publisher.next(), NOW + 2 / 30)
    sound = audio_sender()
    for index in range(20):
        feed(receiver, sound.send_opus(b"x", index * 960, NOW), NOW + index * 0.02)

    units = feed(receiver, packets[:1], NOW + 0.45)

    assert [unit.time for unit in units] == pytest.approx([NOW + 1 / 30, NOW + 2 / 30], abs=0.005)


def test_a_key_picture_behind_a_hole_is_not_kept_waiting() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    feed(receiver, publisher.next()[1:])
    receiver.poll(NOW + 0.5)
    feed(receiver, publisher.next()[1:], NOW + 0.5)

    units = feed(receiver, publisher.next(key=True), NOW + 0.6)

    assert [unit.key for unit in units if isinstance(unit, AccessUnit)] == [True]
    assert receiver.stats.tracks[0].lost == 2


@pytest.mark.parametrize("lost", [[3], [1, 3]])
def test_parameter_sets_amid_the_awaited_key_picture_do_not_make_its_holes_worthless(lost: list[int]) -> None:
    receiver, sender = reception(), video_sender()
    nals = [SPS, PPS, b"\x65\x88" + bytes(range(256)) * 12, SPS, PPS, b"\x65\x18" + bytes(range(256)) * 12]
    packets = sender.send_access_unit(nals, 0, NOW)
    assert feed(receiver, [packet for place, packet in enumerate(packets) if place not in lost]) == []
    (unit,) = feed(receiver, [packets[place] for place in lost], NOW + 0.05)
    assert isinstance(unit, AccessUnit)
    assert unit.parts == nals


def test_a_hole_in_the_awaited_key_picture_is_filled() -> None:
    receiver, publisher = reception(), Publisher()
    packets = publisher.next()
    feed(receiver, packets[:3] + packets[4:])

    assert len(feed(receiver, packets[3:4], NOW + 0.1)) == 1


def test_sound_goes_on_after_its_deadline() -> None:
    receiver, sender = reception(), audio_sender()
    packets = [sender.send_opus(bytes([index]), index * 960, NOW)[0] for index in range(10)]

    assert len(feed(receiver, packets[:3] + packets[4:])) == 3
    assert len(nacked(receiver, NOW + 0.02)) == 1
    assert receiver.poll(NOW + 0.19) == ()
    assert [frame.data for frame in receiver.poll(NOW + 0.2) if isinstance(frame, OpusPacket)] == [
        bytes([index]) for index in range(4, 10)
    ]
    assert feed(receiver, packets[3:4], NOW + 0.3) == []
    assert (receiver.stats.tracks[1].lost, receiver.stats.tracks[1].late) == (1, 1)


def test_without_nack_a_hole_is_waited_for_briefly_and_not_asked_for() -> None:
    receiver, publisher = reception(replace(VIDEO, nack=False)), Publisher()
    feed(receiver, publisher.next())
    feed(receiver, publisher.next()[1:])

    assert nacked(receiver, NOW + 0.05) == []
    receiver.poll(NOW + 0.1)
    assert receiver.stats.tracks[0].lost == 1


def test_padding_is_neither_loss_nor_media() -> None:
    receiver, publisher = reception(), Publisher(first_sequence=10)
    packets = publisher.next()
    feed(receiver, packets)
    padding = RtpPacket(102, 10 + len(packets), 0, publisher.sender.ssrc, b"").serialise(200)

    assert feed(receiver, [padding], NOW + 5) == []
    assert receiver.stats.tracks[0].last_media == NOW
    after = video_sender(first_sequence=11 + len(packets)).send_access_unit(picture(1, key=False), 3000, NOW)
    # Also where it comes out of order.
    assert len(feed(receiver, after, NOW + 5)) == 1
    last = 11 + len(packets) + len(after)
    again = video_sender(first_sequence=last + 1).send_access_unit(picture(2, key=False), 6000, NOW)
    assert feed(receiver, again, NOW + 5) == []
    padding = RtpPacket(102, last, 0, publisher.sender.ssrc, b"").serialise(1)
    assert len(feed(receiver, [padding], NOW + 5)) == 1


# Key pictures.


def test_a_stream_met_in_the_middle_is_asked_for_a_key_picture_once_a_second() -> None:
    receiver, publisher = reception(), Publisher()
    publisher.next()
    feed(receiver, publisher.next())

    asked = [tick for tick in range(0, 350, 2) if plis(receiver, NOW + tick / 100 + 1e-9)]

    assert asked == [0, 100, 200, 300]
    assert feed(receiver, publisher.next(), NOW + 3.5) == []
    assert len(feed(receiver, publisher.next(key=True), NOW + 3.6)) == 1
    assert plis(receiver, NOW + 5) == []


def test_a_stream_that_starts_with_its_key_picture_is_not_asked_at_once() -> None:
    receiver, publisher = reception(), Publisher()
    packets = publisher.next()
    feed(receiver, packets[:2])

    assert plis(receiver, NOW + 0.1) == []
    assert plis(receiver, NOW + 0.25) == [publisher.sender.ssrc]


def test_a_request_is_repeated_until_a_key_picture_came() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    receiver.request_key_frame()
    receiver.request_key_frame()

    # A still screen: nothing else arrives.
    asked = [tick for tick in range(0, 250, 2) if plis(receiver, NOW + tick / 100 + 1e-9)]
    assert asked == [0, 100, 200]
    feed(receiver, publisher.next(key=True), NOW + 2.5)
    assert plis(receiver, NOW + 4) == []


def test_a_source_named_by_the_offer_can_be_asked_before_its_first_packet() -> None:
    receiver = reception(replace(VIDEO, ssrc=77), AUDIO)
    assert receiver.feedback(NOW) == []
    receiver.request_key_frame()
    assert plis(receiver, NOW) == [77]

    unknown = reception()
    unknown.request_key_frame()
    assert unknown.feedback(NOW) == []
    assert unknown.deadline() is None


def test_key_pictures_are_asked_for_on_a_timer_only_while_somebody_watches() -> None:
    receiver, publisher = reception(), Publisher()
    asked: list[int] = []
    for tick in range(600):
        now = NOW + tick / 50
        receiver.key_frames_wanted = tick >= 250
        # The camera is off between 8 s and 10 s.
        if not 400 <= tick < 500:
            feed(receiver, publisher.next(key=bool(asked and asked[-1] == tick - 2), size=100), now)
        if plis(receiver, now):
            asked.append(tick)
    # 2 s after each key picture; none into the pause, and one at the return.
    assert asked == [250, 352, 500]


def test_no_timer_request_goes_into_an_outage() -> None:
    receiver, publisher = reception(), Publisher()
    receiver.key_frames_wanted = True
    feed(receiver, publisher.next())
    feed(receiver, publisher.next(), NOW + 1.0)
    assert plis(receiver, NOW + 2.5) == []
    feed(receiver, publisher.next(), NOW + 2.6)
    assert plis(receiver, NOW + 2.6) != []


def test_no_timer_request_where_the_publisher_sends_key_pictures_by_itself() -> None:
    receiver, publisher = reception(), Publisher()
    receiver.key_frames_wanted = True
    for tick in range(500):
        feed(receiver, publisher.next(key=tick % 75 == 0, size=100), NOW + tick / 50)
        assert plis(receiver, NOW + tick / 50) == []


# Sources.


def test_a_sender_report_that_came_after_the_tick_began_was_not_waited_for() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    receiver.receive_rtcp(publisher.sender.report(NOW, 3_900_000_000.0), NOW + 0.003)
    (report,) = reports(receiver, NOW + 0.001)
    assert [(block.last_report != 0, block.delay) for block in report.blocks] == [(True, 0)]


def test_foreign_packets_are_counted() -> None:
    receiver = reception()
    feed(receiver, [RtpPacket(99, index, 0, index, b"x").serialise() for index in range(1000)])
    assert receiver.stats.foreign == 1000
    assert receiver.feedback(NOW) == []


def test_a_source_may_change_to_another_of_its_codecs_payload_types() -> None:
    receiver, publisher = reception(replace(VIDEO, other_payload_types=(104,))), Publisher()
    assert len(feed(receiver, publisher.next())) == 1
    for payload_type in (104, 102, 104):
        packets = [packet[:1] + bytes((packet[1] & 0x80 | payload_type,)) + packet[2:] for packet in publisher.next()]
        assert len(feed(receiver, packets)) == 1
    assert receiver.stats.foreign == 0


def test_a_new_source_takes_over_only_from_a_silent_one() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    other = video_sender(ssrc=9, first_sequence=30000)

    assert feed(receiver, other.send_access_unit(picture(0, key=True), 0, NOW), NOW + 0.5) == []
    assert len(feed(receiver, publisher.next(), NOW + 0.6)) == 1
    (unit,) = feed(receiver, other.send_access_unit(picture(1, key=True), 3000, NOW), NOW + 2)
    assert unit.time == pytest.approx(NOW + 2)
    assert feed(receiver, publisher.next(), NOW + 2) == []
    assert receiver.stats.tracks[0].restarts == 1
    receiver.request_key_frame()
    assert plis(receiver, NOW + 4) == [9]


def test_a_flood_of_sources_leaves_nothing_behind() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    feed(receiver, [RtpPacket(102, index & 0xFFFF, 0, 1000 + index, b"\x41x").serialise() for index in range(5000)])

    assert receiver.stats.foreign == 5000
    assert len(feed(receiver, publisher.next())) == 1


def test_the_retransmission_source_is_no_media_source() -> None:
    receiver = reception(replace(VIDEO, rtx_ssrc=0x5EEE), AUDIO)
    feed(receiver, [RtpPacket(102, 1, 0, 0x5EEE, b"\x41x").serialise()])
    assert receiver.stats.foreign == 1


def test_bye_of_all_sources_ends_the_session() -> None:
    receiver, publisher, sound = reception(), Publisher(), audio_sender()
    assert not receiver.ended
    feed(receiver, publisher.next() + sound.send_opus(b"x", 0, NOW))
    receiver.receive_rtcp(publisher.sender.bye(), NOW)
    assert not receiver.ended
    receiver.receive_rtcp(sound.bye(), NOW)
    assert receiver.ended
    # A packet that the BYE overtook changes nothing, one that comes much later does.
    assert feed(receiver, publisher.next(), NOW + 0.1) == []
    assert receiver.ended
    assert len(feed(receiver, publisher.next(key=True), NOW + 3)) == 1
    assert not receiver.ended


def test_a_jump_of_the_numbers_is_a_restart_after_two_packets_in_a_row() -> None:
    receiver, publisher = reception(), Publisher(first_sequence=100)
    feed(receiver, publisher.next())
    stray = RtpPacket(102, 40000, 3000, publisher.sender.ssrc, b"\x41x", marker=True).serialise()
    assert feed(receiver, [stray, stray]) == []
    assert len(feed(receiver, publisher.next())) == 1

    restarted = video_sender(first_sequence=50000)
    units = feed(receiver, restarted.send_access_unit(picture(0, key=True), 9000, NOW))
    assert len(units) == 1
    assert nacked(receiver, NOW + 0.02) == []
    assert (receiver.stats.tracks[0].restarts, receiver.stats.tracks[0].lost) == (1, 0)
    (block,) = reports(receiver, NOW + 2)[0].blocks
    assert (block.lost, block.fraction_lost) == (0, 0)


def test_numbers_that_go_back_a_little_after_a_silence_are_a_restart() -> None:
    receiver, publisher = reception(), Publisher(first_sequence=5000)
    feed(receiver, publisher.next())
    restarted = video_sender(first_sequence=4000)

    assert feed(receiver, restarted.send_access_unit(picture(0, key=True), 0, NOW), NOW + 0.5) == []
    assert len(feed(receiver, restarted.send_access_unit(picture(1, key=True), 3000, NOW), NOW + 2)) == 1


def test_a_hole_too_long_to_be_repaired_is_given_up_at_once() -> None:
    receiver, publisher = reception(), Publisher(first_sequence=100)
    feed(receiver, publisher.next())
    late = video_sender(first_sequence=1000)
    late.send_access_unit(picture(1, key=False), 3000, NOW)

    feed(receiver, late.send_access_unit(picture(2, key=False), 3000, NOW))
    assert [type(message) for message in messages(receiver, NOW)][1:] == [rtcp.Pli]
    assert len(feed(receiver, late.send_access_unit(picture(3, key=True), 6000, NOW))) == 1


def test_what_an_outage_took_is_not_asked_for() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    for _ in range(30):
        publisher.next()

    feed(receiver, publisher.next(), NOW + 2)
    assert [type(message) for message in messages(receiver, NOW + 2)][1:] == [rtcp.Pli]
    # A short hole after a pause is no outage.
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    feed(receiver, publisher.next()[1:], NOW + 2)
    assert len(nacked(receiver, NOW + 2.02)) == 1


# Feedback.


def test_receiver_report_tells_loss_jitter_and_the_last_sender_report() -> None:
    receiver, sender = reception(), audio_sender(first_sequence=65500)
    packets = [sender.send_opus(b"x", index * 960, NOW)[0] for index in range(100)]
    for index, packet in enumerate(packets):
        if index % 10 != 5:
            feed(receiver, [packet], NOW + index * 0.02 + 0.004 * (index % 2))
        receiver.poll(NOW + index * 0.02)
    receiver.receive_rtcp(sender.report(NOW + 2, float(0x12345678)), NOW + 2)

    report = messages(receiver, NOW + 2.5)[0]

    assert isinstance(report, rtcp.ReceiverReport)
    (block,) = report.blocks
    assert block.ssrc == sender.ssrc
    assert block.highest == 65500 + 99
    assert block.lost == 10
    assert block.fraction_lost == 25
    assert block.last_report == 0x56780000
    assert block.delay == 32768
    assert 0.003 < block.jitter / 48000 < 0.006


def test_reports_come_each_second() -> None:
    receiver, publisher = reception(), Publisher()
    feed(receiver, publisher.next())
    assert sum(bool(messages(receiver, NOW + tick / 50)) for tick in range(250)) == 5


def test_deadline_tells_when_there_is_something_to_do() -> None:
    receiver, publisher = reception(), Publisher()
    assert receiver.deadline() is None
    feed(receiver, publisher.next())
    assert receiver.deadline() == NOW
    receiver.feedback(NOW)
    assert receiver.deadline() == NOW + 1.0
    feed(receiver, publisher.next()[1:])
    assert receiver.deadline() == pytest.approx(NOW + 0.015)
    receiver.feedback(NOW + 0.48)
    assert receiver.deadline() == pytest.approx(NOW + 0.5)
    receiver.poll(NOW + 0.5)
    assert receiver.deadline() is not None
    assert plis(receiver, receiver.deadline() or 0) == [publisher.sender.ssrc]


def test_b_pictures_are_noticed() -> None:
    receiver, sender = reception(), video_sender()
    for index, shown in enumerate([0, 3, 1, 2]):
        feed(receiver, sender.send_access_unit(picture(index, key=index == 0), shown * 3000, NOW), NOW + index / 30)
        assert receiver.stats.tracks[0].reordered == (index >= 2)


def test_timestamps_that_jump_back_are_no_b_pictures() -> None:
    receiver, sender = reception(), video_sender()
    feed(receiver, sender.send_access_unit(picture(0, key=True), 900_000, NOW))
    feed(receiver, sender.send_access_unit(picture(1, key=False), 0, NOW), NOW + 1)
    assert not receiver.stats.tracks[0].reordered


# Whatever arrives.


def test_memory_behind_a_hole_is_bounded_by_count_and_by_bytes() -> None:
    for size in (10, 60_000):
        receiver, waiting, most = reception(), 0, 0
        feed(receiver, [RtpPacket(102, 0, 0, 5, b"\x67a").serialise()])
        for index in range(2, 20_000):
            packet = RtpPacket(102, index & 0xFFFF, index, 5, b"\x41" + bytes(size)).serialise()
            receiver.receive_rtp(packet, NOW)
            buffer = receiver._tracks[0].receiver._buffer
            waiting, most = max(waiting, len(buffer.packets)), max(most, buffer.size)
            if not buffer.packets:
                break
        assert waiting <= MAX_WAITING
        assert most <= MAX_WAITING_BYTES + 65536
        assert receiver.stats.tracks[0].lost == 1


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_are_counted_and_dropped(datagrams: list[bytes]) -> None:
    receiver = reception()
    for index, data in enumerate(datagrams):
        assert not receiver.receive_rtp(data, NOW + index)
        receiver.receive_rtcp(data, NOW + index)
        receiver.poll(NOW + index)
        receiver.feedback(NOW + index)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([102, 103, 111]),
            st.integers(0, 65535),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2),
            st.binary(max_size=20),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_any_packets_of_known_types_do_no_harm(
    packets: list[tuple[int, int, int, int, bytes, bool]],
) -> None:
    receiver = reception()
    for index, fields in enumerate(packets):
        now = NOW + index * 0.05
        receiver.receive_rtp(RtpPacket(*fields).serialise(), now)
        receiver.poll(now)
        for datagram in receiver.feedback(now):
            assert len(datagram) <= 1500
            assert rtcp.parse(datagram) is not None


def test_malformed_rtcp_is_counted() -> None:
    receiver = reception()
    receiver.receive_rtcp(b"\x80\xc8\x00", NOW)
    assert receiver.stats.malformed == 1
