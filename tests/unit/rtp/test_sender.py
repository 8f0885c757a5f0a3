"""The sending half against RFC 3550, RFC 4588 and RFC 6184."""

import pytest

from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket
from tests.unit.rtp.network import audio_sender, picture, video_sender


def parsed(packets: list[bytes]) -> list[RtpPacket]:
    found = [RtpPacket.parse(packet) for packet in packets]
    return [packet for packet in found if packet is not None]


def test_a_picture_in_packets_that_fit() -> None:
    packets = parsed(video_sender().send_access_unit(picture(0, key=True), 0, 0.0))

    assert [packet.sequence for packet in packets] == [number & 0xFFFF for number in range(65500, 65500 + len(packets))]
    assert {packet.timestamp for packet in packets} == {2**32 - 90000}
    assert [packet.marker for packet in packets] == [False] * (len(packets) - 1) + [True]
    assert max(len(packet.payload) for packet in packets) <= 1200
    # SPS and PPS share the first packet, the slice is split.
    assert [packet.payload[0] & 0x1F for packet in packets] == [24] + [28] * (len(packets) - 1)
    assert video_sender().send_access_unit([], 0, 0.0) == []


def test_timestamps_wrap() -> None:
    (packet,) = parsed(audio_sender().send_opus(b"x", 48000 + 5, 0.0))
    assert packet.timestamp == 5
    assert (packet.payload_type, packet.marker, packet.payload) == (111, False, b"x")


def test_retransmission_in_a_stream_of_its_own() -> None:
    sender = video_sender()
    first, second, *_ = parsed(sender.send_access_unit(picture(0, key=True), 0, 0.0))
    nack = rtcp.nack(1, sender.ssrc, [first.sequence, second.sequence, 3])

    again = parsed(sender.receive_rtcp(nack, 0.0).retransmissions)

    assert [(packet.payload_type, packet.ssrc, packet.sequence) for packet in again] == [
        (103, 0x5EEE, 7),
        (103, 0x5EEE, 8),
    ]
    assert again[0].payload == first.sequence.to_bytes(2, "big") + first.payload
    assert again[1].timestamp == second.timestamp


def test_retransmission_without_one_is_the_packet_itself() -> None:
    sender = audio_sender()
    (packet,) = sender.send_opus(b"x", 0, 0.0)

    assert sender.receive_rtcp(rtcp.nack(1, sender.ssrc, [65500]), 0.0).retransmissions == [packet]
    assert sender.receive_rtcp(rtcp.nack(1, 999, [65500]), 0.0).retransmissions == []


def test_history_is_bounded_and_survives_the_wrap() -> None:
    sender = audio_sender(first_sequence=0, ssrc=5, history=50)
    for index in range(70_000):
        sender.send_opus(b"x", index * 960, 0.0)
    wanted = [number & 0xFFFF for number in range(70_000 - 60, 70_000)]
    assert len(sender.receive_rtcp(rtcp.nack(1, 5, wanted), 0.0).retransmissions) == 50
    # One hostile datagram gains little.
    greedy = rtcp.nack(1, 5, wanted[-50:]) * 20
    assert len(sender.receive_rtcp(greedy, 0.0).retransmissions) == 256


@pytest.mark.parametrize("counts", [(7,), (3, 7, 1, 12), (50, 1), (60, 2, 120)], ids=str)
def test_what_is_kept_is_the_last_of_whatever_sizes(counts: tuple[int, ...]) -> None:
    sender = video_sender(rtx=False, first_sequence=65_500, ssrc=5, history=50)
    sent: list[bytes] = []
    for turn in range(100):
        count = counts[turn % len(counts)]
        sent += sender.send_payloads([bytes((turn, index)) for index in range(count)], turn * 3000, 0.0)
        wanted = [packet.sequence for packet in parsed(sent[-60:])]
        assert sender.receive_rtcp(rtcp.nack(1, 5, wanted), 0.0).retransmissions == sent[-50:]
    numbers = [packet.sequence for packet in parsed(sent)]
    assert numbers == [(65_500 + index) & 0xFFFF for index in range(len(sent))]
    unsent = [(numbers[-1] + ahead) & 0xFFFF for ahead in (1, 2, 30_000)]
    assert sender.receive_rtcp(rtcp.nack(1, 5, unsent), 0.0).retransmissions == []


def test_retransmission_ends_with_the_budget() -> None:
    sender = video_sender()
    packets = sender.send_access_unit(picture(0, key=True), 0, 0.0)
    nack = rtcp.nack(1, sender.ssrc, [packet.sequence for packet in parsed(packets)])
    two = len(packets[0]) + len(packets[1]) + 4  # each with its original sequence number
    messages = rtcp.parse(nack) or ()

    assert len(sender.heed(messages, 0.0, two).retransmissions) == 2
    assert len(sender.heed(messages, 0.0, two - 1).retransmissions) == 1
    assert sender.heed(messages, 0.0, 0).retransmissions == []
    # None is made that is not sent: a gap in their numbers would be a loss.
    (again,) = parsed(sender.heed(messages, 0.0, two - 1).retransmissions)
    assert again.sequence == 7 + 3


@pytest.mark.parametrize(
    ("datagram", "wanted"),
    [
        (rtcp.pli(1, 0x5EED), True),
        (rtcp.pli(1, 4), False),
        (bytes.fromhex("84ce0004 00000001 00000000 00005eed 01000000"), True),
        (b"nonsense", False),
    ],
    ids=["PLI", "PLI of another", "FIR", "malformed"],
)
def test_key_frame_wanted(datagram: bytes, *, wanted: bool) -> None:
    assert video_sender().receive_rtcp(datagram, 0.0).key_frame_wanted == wanted


def test_bitrate_the_receiver_allows() -> None:
    assert video_sender().receive_rtcp(rtcp.remb(1, 1 << 20, [0x5EED]), 0.0).bitrate == 1 << 20
    assert video_sender().receive_rtcp(rtcp.remb(1, 1 << 20, [5]), 0.0).bitrate is None


def test_sender_report_maps_rtp_time_to_the_clock() -> None:
    sender = audio_sender()
    for index in range(3):
        sender.send_opus(b"abcd", index * 960, 10.0 + index * 0.02)

    messages = rtcp.parse(sender.report(10.1, 3.9e9 + 0.5))

    # 60 ms after the last packet, whose RTP time was 1920.
    assert messages == [
        rtcp.SenderReport(sender.ssrc, (3_900_000_000 << 32) + (1 << 31), (1920 + 2880 - 48000) % 2**32, 3, 12)
    ]


def test_no_sender_report_before_the_first_packet() -> None:
    assert rtcp.parse(audio_sender().report(10.0, 3.9e9)) == [rtcp.ReceiverReport(0xA0D10)]


def test_loss_and_round_trip_of_a_report() -> None:
    sender = audio_sender()
    sender.send_opus(b"x", 0, 10.0)
    sender.report(10.0, 3.9e9)
    last = int(3.9e9 * 65536) & 0xFFFFFFFF
    block = rtcp.ReportBlock(sender.ssrc, 64, 3, 65500, 0, last, 65536 // 2)

    feedback = sender.receive_rtcp(rtcp.receiver_report(rtcp.ReceiverReport(1, (block,))), 10.6)

    assert feedback.loss == 0.25
    assert feedback.rtt == pytest.approx(0.1, abs=1e-3)
    unanswered = block._replace(last_report=0)
    assert sender.receive_rtcp(rtcp.receiver_report(rtcp.ReceiverReport(1, (unanswered,))), 10.6).rtt is None


def test_bye() -> None:
    assert rtcp.parse(audio_sender().bye()) == [rtcp.ReceiverReport(0xA0D10), rtcp.Bye((0xA0D10,))]
