"""Memory stays bounded under floods of packets that look valid: each bound is far below what was sent or claimed."""

import contextlib
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from relay.core import flv
from relay.core.flv import TagReader
from relay.core.h264 import parse_sps
from relay.core.head import Head
from relay.core.ident import StreamKey
from relay.core.media import AccessUnit, OpusPacket
from relay.core.push_url import PushUrl
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.publisher import ProtocolFailed, Publisher
from relay.core.rtmp.server import ServerSession
from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket
from relay.core.rtp.reception import Reception, TrackSpec
from relay.core.stream import Stream
from relay.push.feed import Feed, MediaTag
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, Transcoder
from tests.support.thorough import also, thorough

MIB = 1 << 20
VIDEO = TrackSpec("video", 102, 90000, rtx_payload_type=103)
AUDIO = TrackSpec("audio", 111, 48000)
SPS, PPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c0f1832480"), bytes.fromhex("68cb83cb20")


@contextlib.contextmanager
def at_most(size: float) -> Iterator[None]:
    """The block never holds more than `size` bytes beyond what was there before."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= size, f"{peak / MIB:.1f} MiB where {size / MIB:.1f} are the most"


def reception(**options: object) -> Reception:
    return Reception((VIDEO, AUDIO), ssrc=1, cname="relay", **options)


def chance() -> random.Random:
    return random.Random(1)  # noqa: S311 - a seeded flood


def video(sequence: int, timestamp: int, payload: bytes, *, marker: bool = False, ssrc: int = 0x5EED) -> bytes:
    return RtpPacket(102, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, payload, marker).serialise()


def begun() -> Reception:
    """A reception that has its first picture."""
    subject = reception()
    key = [video(9, 0, SPS), video(10, 0, PPS), video(11, 0, b"\x65\x88\x80", marker=True)]
    assert [len(subject.receive_rtp(data, 1.0)) for data in key] == [0, 0, 1]
    return subject


def recovers(subject: Reception, sequence: int, now: float) -> None:
    """A whole key picture on the same SSRC still comes out, after what waits was given up."""
    subject.poll(now)
    came = []
    for offset, payload in enumerate((SPS, PPS, b"\x65\x88\x80")):
        data = video(sequence + offset, 0x70000000, payload, marker=offset == 2)
        came += subject.receive_rtp(data, now)
    assert any(isinstance(frame, AccessUnit) and frame.parts[-3:] == [SPS, PPS, b"\x65\x88\x80"] for frame in came)


@pytest.mark.parametrize("step", [0.0, 0.001, 3.0])
def test_many_sources(step: float):
    subject = reception()
    now = 1.0
    with at_most(MIB / 2):
        for number in range(1500):
            now += step
            payload_type = (102, 103, 111, 96)[number & 3]
            subject.receive_rtp(RtpPacket(payload_type, number, number, number << 8, bytes(1200)).serialise(), now)
            if number % 50 == 0:
                subject.poll(now)
                subject.feedback(now)
                subject.receive_rtcp(rtcp.bye([number << 8]), now)


@thorough
def test_holes_everywhere():
    """Every second packet is missing, and nothing is given up in between: no tick comes."""
    subject = begun()
    with at_most(6 * MIB):
        for number in range(4000):
            subject.receive_rtp(video(13 + 2 * number, number, bytes(1200)), 1.0)
    recovers(subject, 20 + 8000, 60.0)


@pytest.mark.parametrize("size", [1200, *also(3)])
def test_jumps_of_the_sequence_numbers(size: int):
    subject = begun()
    source = chance()
    with at_most(6 * MIB):
        for number in range(4000):
            subject.receive_rtp(video(source.randrange(65536), number, b"\x41" + source.randbytes(size)), 1.0)
            if number % 500 == 0:
                for datagram in subject.feedback(1.0 + number / 10_000):
                    assert len(datagram) <= 1400
    for number in range(5):
        subject.receive_rtp(video(30_000 + number, 0, b"\x41\x88"), 60.0)
    recovers(subject, 30_005, 62.0)


@pytest.mark.parametrize(("payload", "count"), [(bytes(1200), 6000), *also((b"", 15_000))])
def test_fragments_without_end(payload: bytes, count: int):
    subject = begun()
    with at_most(8 * MIB):
        subject.receive_rtp(video(12, 1, b"\x7c\x81\x88" + payload), 1.0)
        for number in range(count):
            subject.receive_rtp(video(13 + number, 1, b"\x7c\x01" + payload), 1.0)
    recovers(subject, 13 + count, 1.0)


@thorough
def test_aggregates_of_tiny_units():
    """One access unit of them, without marker: counted with what each unit costs, not only with its bytes."""
    subject = begun()
    aggregate = b"\x78" + b"\0\2\x66\x66" * 320
    with at_most(3.5 * MIB):
        for number in range(330):
            subject.receive_rtp(video(12 + number, 1, aggregate), 1.0)
    recovers(subject, 12 + 330, 1.0)


def test_parameter_sets_without_a_picture():
    subject = begun()
    with at_most(8 * MIB):
        for number in range(6000):
            subject.receive_rtp(video(12 + number, number, b"\x67" + bytes(1000), marker=True), 1.0)
    recovers(subject, 12 + 6000, 1.0)


@thorough
def test_parameter_sets_with_a_tail():
    """What has been read is kept, by its bytes."""
    with at_most(MIB):
        for number in range(64):
            with contextlib.suppress(ValueError):
                parse_sps(SPS + number.to_bytes(4, "big") + bytes(MIB // 8))


def test_sound_at_random_times():
    subject = reception()
    source = chance()
    last = 0.0
    with at_most(MIB / 2):
        for number in range(6000):
            now = 1.0 + number * 0.002
            data = RtpPacket(111, number & 0xFFFF, source.randrange(2**32), 0xA0D10, b"\xfc" + bytes(80)).serialise()
            for frame in subject.receive_rtp(data, now):
                assert last <= frame.time <= now + 1.5
                last = frame.time
            if number % 20 == 0:
                subject.poll(now)
                subject.feedback(now)


def test_control_packets():
    subject = begun()
    source = chance()
    with at_most(MIB / 2):
        for number in range(400):
            ssrc = source.choice((0x5EED, source.randrange(2**32)))
            report = rtcp.SenderReport(ssrc, source.randrange(2**64), source.randrange(2**32), 1, 1)
            subject.receive_rtcp(rtcp.sender_report(report), 1.0 + number / 1000)
            subject.receive_rtcp(rtcp.nack(1, ssrc, list(range(100))), 1.0)
            subject.receive_rtcp(rtcp.bye([ssrc + 1] * 31), 1.0)
            subject.receive_rtcp(source.randbytes(100), 1.0)


@pytest.mark.parametrize("ticks", [True, *also(False)])
def test_transport_wide_numbers_at_random(ticks: bool):
    subject = reception(transport_extension=5)
    source = chance()
    with at_most(MIB if ticks else 3 * MIB):
        for number in range(2000 if ticks else 8000):
            now = 1.0 + number * 0.0005
            wide = source.randrange(65536).to_bytes(2, "big")
            head = b"\x90\x6f" + (number & 0xFFFF).to_bytes(2, "big") + bytes(4) + b"\0\0\xa0\xd1\xbe\xde\0\1\x51"
            subject.receive_rtp(head + wide + b"\0\xfc" + bytes(20), now)
            if ticks and number % 40 == 0:
                datagrams = subject.feedback(now)
                assert sum(map(len, datagrams)) <= 20_000
                assert all(len(datagram) <= 1400 for datagram in datagrams)


class Taker:
    def __init__(self) -> None:
        self.tags = 0

    def on_tag(self, tag: MediaTag) -> None:
        self.tags += tag.kind == flv.AUDIO


@thorough
def test_sound_is_made_no_faster_than_time_passes():
    stream = Stream(StreamKey("app", "room", "user"))
    feed = Feed(stream, lambda: Transcoder(coder="fast"))
    taker, source = Taker(), chance()
    feed.attach(taker, 100.0)
    with at_most(2 * MIB):
        for number in range(250):
            now = 100.0 + number * 0.012
            data = bytes((source.randrange(256),)) + source.randbytes(30)
            time = now + source.choice((0.0, 0.9, -0.5, 5.0, -60.0))
            stream.deliver(OpusPacket(data, source.randrange(-(2**40), 2**40), time, now))
            if number % 5 == 0:
                feed.encode(now)
                feed.release(now)
    assert 100 <= taker.tags <= (3.0 + 1.2) * AAC_RATE / AAC_SAMPLES
    feed.detach(taker)


def test_head_of_a_stream_whose_time_stands_still():
    head = Head()
    with at_most(10 * MIB):
        for number in range(100):
            head.push(AccessUnit([bytes(500_000)], number == 0, 0, 1.0, 1.0))


GREETING = b"\3" + bytes(2 * 1536)
URL = PushUrl.parse("rtmp://cdn.example/live/key")
SET_CHUNK_SIZE = b"\2\0\0\0\0\0\4\1\0\0\0\0"


def hear(peer: Publisher | ServerSession, data: bytes, now: float) -> list[Any]:
    return peer.receive(data, now) if isinstance(peer, Publisher) else [*peer.receive(data)]


@pytest.fixture(params=["publisher", *also("server")])
def peer(request: pytest.FixtureRequest) -> Publisher | ServerSession:
    nonce = bytes(NONCE_SIZE)
    subject = Publisher(URL, nonce=nonce) if request.param == "publisher" else ServerSession(nonce=nonce)
    hear(subject, GREETING, 0.0)
    subject.data_to_send()
    return subject


def pour(peer: Publisher | ServerSession, data: bytes, times: int, *, every: float = 10.0) -> bool:
    """Whether it was told to go. `every`: seconds from one to the next."""
    for number in range(times):
        events = hear(peer, data, number * every)
        assert sum(map(len, peer.data_to_send())) <= 20 * len(data) + 100
        if events:
            assert len(events) == 1
            return type(events[0]).__name__ == ProtocolFailed.__name__
    return False


def test_rtmp_chunks_of_one_byte(peer: Publisher | ServerSession):
    with at_most(4 * MIB):
        assert not pour(peer, SET_CHUNK_SIZE + b"\0\0\0\1" + b"\3\0\0\0\3\xff\xff\x09\1\0\0\0\0", 1)
        assert not pour(peer, b"\xc3\0" * 1000, 10)


def test_rtmp_messages_of_no_bytes(peer: Publisher | ServerSession):
    with at_most(8 * MIB):
        told = pour(peer, b"\3\0\0\0\0\0\0\x09\1\0\0\0" + b"\xc3" * 10_000, 1)
    assert told == isinstance(peer, Publisher)  # a server has to take as many as a publisher sends


def test_rtmp_chunk_streams_without_end(peer: Publisher | ServerSession):
    """Each with a large message begun."""
    with at_most(40 * MIB):
        size = (200_000).to_bytes(3, "big")
        told = False
        for number in range(64, 320):
            head = b"\0" + bytes((number - 64,)) + b"\0\0\0" + size + b"\x09\1\0\0\0"
            if told := pour(peer, SET_CHUNK_SIZE + b"\0\1\0\0" + head + bytes(65536), 1):
                break
        assert told


def test_rtmp_pings_and_bandwidths(peer: Publisher | ServerSession):
    ping = b"\2\0\0\0\0\0\6\4\0\0\0\0\0\6\1\2\3\4"
    bandwidth = b"\2\0\0\0\0\0\5\6\0\0\0\0\0\0\1%b\2"
    with at_most(2 * MIB):
        for number in range(200):
            pour(peer, ping * 20 + bandwidth.replace(b"%b", bytes((number,))), 1)


def test_rtmp_command_of_many_values(peer: Publisher | ServerSession):
    """A strict array that claims 2^32 values, and holds as many as the message has room for."""
    body = b"\2\0\1a\0" + bytes(8) + b"\x0a\xff\xff\xff\xff" + b"\5" * 200_000
    with at_most(4 * MIB):
        head = b"\3\0\0\0" + len(body).to_bytes(3, "big") + b"\x14\0\0\0\0"
        told = pour(peer, SET_CHUNK_SIZE + b"\0\x0f\0\0" + head + body, 1)
    assert told == isinstance(peer, ServerSession)  # a publisher passes over what it cannot read


EMPTY = b"\3\0\0\0\0\0\0\x09\1\0\0\0" + b"\xc3" * 99
ACKNOWLEDGEMENT = b"\2\0\0\0\0\0\4\3\0\0\0\0\0\0\0\1"
LARGE = b"\3\0\0\0\0\x80\0\x09\1\0\0\0" + bytes(32768)


def publisher_with_large_chunks() -> Publisher:
    subject = Publisher(URL, nonce=bytes(NONCE_SIZE))
    subject.receive(GREETING + SET_CHUNK_SIZE + b"\0\1\0\0", 0.0)
    subject.data_to_send()
    return subject


@pytest.mark.parametrize(
    ("data", "every", "floods"),
    [
        (EMPTY, 0.01, True),  # 10 000 messages of no bytes a second
        (EMPTY, 1.0, False),
        (ACKNOWLEDGEMENT, 0.001, True),
        (ACKNOWLEDGEMENT, 0.01, False),
        (LARGE, 0.1, True),
        (LARGE, 1.5, False),
    ],
)
def test_a_server_that_says_more_than_it_has_to(data: bytes, every: float, floods: bool):
    """What it may say in a minute costs us little; what goes beyond ends the connection with a clear reason."""
    subject = publisher_with_large_chunks()
    events = []
    for number in range(round(60 / every)):
        events += subject.receive(data, number * every)
        if events:
            break
    reason = "the peer floods: it sends more than commands and acknowledgements need"
    assert events == ([ProtocolFailed(reason)] if floods else [])


def test_a_burst_is_cut_short():
    """Of a megabyte at once no more than the allowance is read."""
    subject = publisher_with_large_chunks()
    (failed,) = subject.receive(EMPTY * 2000, 0.0)
    assert isinstance(failed, ProtocolFailed)
    assert subject._peer.chunks_left == -1


def test_flv_tag_that_never_ends():
    reader = TagReader()
    with at_most(40 * MIB):
        reader.receive(flv.file_header(audio=True, video=True) + b"\x09\xff\xff\xff" + bytes(7))
        for _ in range(255):
            assert reader.receive(bytes(65536)) == []
