"""Targets of RTP and RTCP datagrams and of H.264 payloads."""

import contextlib
from collections.abc import Iterator

from relay.core.codec import VideoCodec
from relay.core.codecs import CODECS, H264
from relay.core.rtp import rtcp, twcc
from relay.core.rtp.packet import EXTENSION, RtpPacket, payload_bounds
from relay.core.rtp.payload import Assembled
from relay.core.rtp.sender import RtpSender
from relay.core.rtp.stats import TrackStats
from tests.fuzz.tape import Tape


def packet(data: bytes) -> None:
    if len(data) >= 12 and (bounds := payload_bounds(data)) is not None:
        assert 12 <= bounds[0] <= bounds[1] <= len(data)
    if len(data) >= 12 and data[0] & EXTENSION:
        number = twcc.sequence_number(data, 3)
        assert number is None or 0 <= number < 65536
    parsed = RtpPacket.parse(data)
    if parsed is not None:
        assert RtpPacket.parse(parsed.serialise()) == parsed
        assert RtpPacket.parse(parsed.serialise(255)) == parsed


def control(data: bytes) -> None:
    messages = rtcp.parse(data)
    for message in messages or ():
        built = _build(message)
        if built is not None:
            assert rtcp.parse(built) == [message], message
    sender = _sender()
    packets = sender.send_access_unit([b"\x65" + bytes(4000)], 0, 1.0)
    sender.report(1.0, 3.9e9)
    feedback = sender.receive_rtcp(data, 2.0)
    assert len(feedback.retransmissions) <= 256
    assert {len(each) - 2 for each in feedback.retransmissions} <= {len(each) for each in packets}
    assert feedback.loss is None or 0 <= feedback.loss < 1
    assert feedback.rtt is None or feedback.rtt >= 0


def _build(message: rtcp.Message) -> bytes | None:
    match message:
        case rtcp.SenderReport():
            return rtcp.sender_report(message)
        case rtcp.ReceiverReport():
            return rtcp.receiver_report(message)
        case rtcp.Bye():
            return rtcp.bye(message.ssrcs)
        case rtcp.Pli():
            return rtcp.pli(message.sender, message.media)
    return None


def _sender() -> RtpSender:
    return RtpSender(
        kind="video",
        payload_type=102,
        clock_rate=90000,
        ssrc=0x5EED,
        cname="publisher",
        first_sequence=65534,
        rtp_offset=0,
        rtx_payload_type=103,
        rtx_ssrc=0x5EEE,
    )


def h264_payload(data: bytes) -> None:
    """A programme of payloads in order: for each a byte of flags, the timestamp's step, and the payload."""
    for unit in _assembled(H264, Tape(data)):
        assert unit.key == any(nal[0] & 0x1F == 5 for nal in unit.parts)


def video_payload(data: bytes) -> None:
    """The same for the other codecs, one chosen by the first byte."""
    tape = Tape(data)
    codec = tape.choose([codec for name, codec in sorted(CODECS.items()) if codec is not H264])
    assert all(_assembled(codec, tape))


def _assembled(codec: VideoCodec, tape: Tape) -> Iterator[Assembled]:
    depacketizer = codec.depacketizer(TrackStats("video"))
    timestamp, came = 0, 0
    while tape:
        flags = tape.number(1)
        timestamp = (timestamp + tape.choose((0, 3000, 0, 1, 2**32 - 3000, 2**31))) & 0xFFFFFFFF
        payload = tape.blob()
        if flags & 8:
            depacketizer.gap()
        if not payload:
            continue
        came += len(payload)
        around = bytes(flags >> 4) + payload + bytes(flags >> 6)
        start, end = flags >> 4, (flags >> 4) + len(payload)
        for probe in (codec.starts_picture, codec.carries_key):
            assert isinstance(probe(around, start, end), bool)
        depacketizer.push(around, start, end, timestamp, flags & 1, 1.0, None if flags & 4 else 1.0)
        for unit in depacketizer.ready:
            assert unit.parts
            assert all(unit.parts)
            # Headers that stand for others are all that is made here.
            assert sum(map(len, unit.parts)) <= 2 * came
            assert codec.sample(unit.parts)
            if unit.key:
                depth = codec.reorder_depth(unit.parts)
                assert depth is None or depth >= 0
                with contextlib.suppress(ValueError):
                    description = codec.describe(unit.parts)
                    assert description is None or (description.width > 0 and description.height > 0)
            yield unit
        depacketizer.ready.clear()
