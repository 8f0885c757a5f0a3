"""Transport-wide feedback: the extension read, the reports read back by a decoder of the draft's own words."""

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtp import rtcp
from relay.core.rtp.packet import FIXED_HEADER
from relay.core.rtp.reception import ReceptionSettings
from relay.core.rtp.twcc import MAX_SPAN, TransportFeedback, sequence_number
from tests.unit.rtp.network import AUDIO, VIDEO, reception

NOW = 100.0
ID = 3


@dataclass
class Report:
    base: int
    arrivals: list[float | None]
    """For each number from the base on: seconds, modulo the reference time's 24 bits; None: not received."""
    count: int
    size: int


def decode(packet: bytes) -> Report:
    """Section 3.1 of the draft, bit by bit."""
    assert packet[:2] == b"\x8f\xcd"
    assert len(packet) == 4 * (int.from_bytes(packet[2:4], "big") + 1)
    assert struct.unpack_from("!II", packet, 4) == (1, 2)
    base, statuses = struct.unpack_from("!HH", packet, 12)
    reference = int.from_bytes(packet[16:19], "big", signed=False)
    symbols: list[int] = []
    at = 20
    while len(symbols) < statuses:
        (chunk,) = struct.unpack_from("!H", packet, at)
        at += 2
        bits = f"{chunk:016b}"
        if bits[0] == "0":
            symbols += [int(bits[1:3], 2)] * int(bits[3:], 2)
        elif bits[1] == "0":
            symbols += [int(bit) for bit in bits[2:]]
        else:
            symbols += [int(bits[place : place + 2], 2) for place in range(2, 16, 2)]
    assert not any(symbols[statuses:])
    time = reference * 64_000
    arrivals: list[float | None] = []
    for symbol in symbols[:statuses]:
        assert symbol != 3
        if symbol == 0:
            arrivals.append(None)
            continue
        size = symbol
        time += 250 * int.from_bytes(packet[at : at + size], "big", signed=size == 2)
        at += size
        arrivals.append(time / 1e6)
    assert not any(packet[at:])
    assert len(packet) - at < 4
    return Report(base, arrivals, packet[19], len(packet))


def build(feedback: TransportFeedback) -> list[Report]:
    return [decode(packet) for packet in feedback.build(1, 2)]


def note(feedback: TransportFeedback, arrivals: dict[int, float]) -> None:
    for number, arrival in arrivals.items():
        feedback.receive(extended(number), arrival)


def extended(number: int, *, extension: int = ID, payload: bytes = b"\xfc", sequence: int = 0) -> bytes:
    """An Opus packet with the one extension, as Chromium sends it."""
    element = struct.pack("!HHBHB", 0xBEDE, 1, extension << 4 | 1, number & 0xFFFF, 0)
    return FIXED_HEADER.pack(0x90, 111, sequence & 0xFFFF, 0, 0xA0D10) + element + payload


# The extension.


@pytest.mark.parametrize(
    ("header", "number"),
    [
        ("bede0001 31abcd00", 0xABCD),
        ("bede0002 113030 31abcd 0000", 0xABCD),  # a mid of two bytes before it
        ("bede0002 000000 31abcd 10 30", 0xABCD),  # padding before, a mid behind
        ("10000001 0302abcd", 0xABCD),
        ("100f0002 010130 0302abcd 00", 0xABCD),  # appbits
        ("10000002 0100 00 0302abcd 00", 0xABCD),
        ("bede0001 11abcd00", None),
        ("bede0001 30ab0000", None),  # one byte
        ("bede0001 f031abcd", None),  # RFC 8285 4.2: at 15 reading stops
        ("bede0001 0000 31ab", None),  # cut by the end of the extensions
        ("bede0001 00000031", None),
        ("10000001 00000003", None),
        ("10000001 000003ff", None),
        ("abcd0001 31abcd00", None),
        ("bede0009 31abcd00", None),
        ("bede0000", None),
        ("bede", None),
        ("", None),
    ],
)
def test_the_extension_is_found_or_not(header: str, number: int | None) -> None:
    assert sequence_number(b"\x90\x6f" + bytes(10) + bytes.fromhex(header), ID) == number


def test_contributing_sources_come_before_it() -> None:
    assert sequence_number(b"\x92\x6f" + bytes(18) + bytes.fromhex("bede000131abcd00"), ID) == 0xABCD


@given(st.binary(max_size=80), st.integers(1, 255))
def test_no_bytes_raise(data: bytes, extension: int) -> None:
    number = sequence_number(b"\x90\x6f" + bytes(10) + data, extension)
    assert number is None or 0 <= number < 65536


# Reports.


def test_one_packet_byte_by_byte() -> None:
    feedback = TransportFeedback(ID)
    # 1.0 s is unit 15 of 64 ms and 160 ticks of 250 us.
    note(feedback, {5: 1.0, 6: 1.01, 8: 1.2})
    (packet,) = feedback.build(0x01020304, 0x05060708)
    assert packet.hex(" ", 4) == "8fcd0006 01020304 05060708 00050004 00000f00 d480a028 02f80000"
    assert feedback.build(1, 2) == []


def test_the_next_report_goes_on_where_the_last_ended() -> None:
    feedback = TransportFeedback(ID)
    note(feedback, {65534: 1.0, 65535: 1.0})
    assert [r.base for r in build(feedback)] == [65534]
    note(feedback, {2: 1.1})
    (report,) = build(feedback)
    assert (report.base, report.count) == (0, 1)
    assert report.arrivals == [None, None, pytest.approx(1.1, abs=0.00026)]


def test_a_packet_that_comes_late_is_told_of_with_those_after_it() -> None:
    feedback = TransportFeedback(ID)
    note(feedback, {1: 1.0, 2: 1.01, 4: 1.02})
    assert build(feedback)[0].arrivals[2] is None
    note(feedback, {3: 1.06, 5: 1.05})
    (report,) = build(feedback)
    assert (report.base, len(report.arrivals)) == (3, 3)
    assert report.arrivals == pytest.approx([1.06, 1.02, 1.05], abs=0.00026)
    note(feedback, {3: 1.2, 5: 1.2})  # twice: not told again
    assert build(feedback) == []
    note(feedback, {6: 1.21})
    assert build(feedback)[0].base == 6


def test_a_pause_begins_another_packet() -> None:
    """A delta has 16 bits: 8.19 s."""
    feedback = TransportFeedback(ID)
    note(feedback, {1: 1.0, 2: 1.0, 3: 9.5, 4: 9.5})
    first, second = build(feedback)
    assert (first.base, len(first.arrivals), first.count) == (1, 2, 0)
    assert (second.base, len(second.arrivals), second.count) == (3, 2, 1)


def test_reference_time_and_count_wrap() -> None:
    feedback = TransportFeedback(ID)
    day = (1 << 24) * 0.064 + 0.5
    for index in range(300):
        note(feedback, {index: day + index})
        (report,) = build(feedback)
        assert report.count == index % 256
        assert report.arrivals == [pytest.approx(0.5 + index, abs=0.001)]


def test_numbering_that_begins_anew() -> None:
    feedback = TransportFeedback(ID)
    note(feedback, {20000 + n: 1.0 for n in range(10)})
    build(feedback)
    note(feedback, {7: 1.1, 8: 1.1})
    assert [(r.base, len(r.arrivals)) for r in build(feedback)] == [(7, 2)]


arrival_steps = st.lists(st.tuples(st.integers(1, 40), st.floats(-0.05, 3.0)), min_size=1, max_size=120)


@given(st.integers(0, 65535), st.lists(arrival_steps, min_size=1, max_size=4))
def test_every_arrival_is_told_once_and_right(first: int, intervals: list[list[tuple[int, float]]]) -> None:
    feedback = TransportFeedback(ID)
    number, now = first, 50.0
    for steps in intervals:
        sent: dict[int, float] = {}
        for step, pause in steps:
            number += step
            now = max(1.0, now + pause)
            sent[number] = now
        note(feedback, sent)
        told: dict[int, float] = {}
        following = None
        for report in build(feedback):
            assert following in (None, report.base)
            following = (report.base + len(report.arrivals)) & 0xFFFF
            for place, arrival in enumerate(report.arrivals):
                if arrival is not None:
                    told[(report.base + place) & 0xFFFF] = arrival
            assert report.size <= 1200
        assert told == {n & 0xFFFF: pytest.approx(arrival, abs=0.00026) for n, arrival in sent.items()}


@given(st.lists(st.lists(st.integers(0, 65535), max_size=60), max_size=12))
def test_whatever_numbers_come_reports_stay_readable_and_small(intervals: list[list[int]]) -> None:
    feedback = TransportFeedback(ID)
    now = NOW
    for numbers in intervals:
        for number in numbers:
            now += 0.001
            feedback.receive(extended(number), now)
        reports = build(feedback)
        assert sum(len(report.arrivals) for report in reports) <= MAX_SPAN
        assert len(reports) <= 1 + len(numbers) // 200
        assert len(feedback._told) <= 1000


def test_a_flood_is_bounded() -> None:
    feedback = TransportFeedback(ID)
    for number in range(140_000):
        feedback.receive(extended(number), NOW + number / 1e6)
    assert len(feedback.arrivals) == 65536
    reports = build(feedback)
    assert sum(len(report.arrivals) for report in reports) == MAX_SPAN
    assert all(report.size <= 1200 for report in reports)


# In a reception.


def transport(datagrams: list[bytes]) -> list[bytes]:
    """The transport-wide packets in compounds."""
    found = []
    for datagram in datagrams:
        assert rtcp.parse(datagram) is not None
        assert len(datagram) <= 1300
        position = 0
        while position < len(datagram):
            size = 4 * (int.from_bytes(datagram[position + 2 : position + 4], "big") + 1)
            if datagram[position : position + 2] == b"\x8f\xcd":
                found.append(datagram[position : position + size])
            position += size
    return found


def test_reception_reports_each_tenth_of_a_second() -> None:
    receiver = reception(AUDIO, transport_extension=ID)
    told: list[float] = []
    for tick in range(100):
        now = NOW + tick / 50
        assert receiver.receive_rtp(extended(tick, sequence=tick), now - 0.003)
        if transport(receiver.feedback(now)):
            told.append(now)
    assert 17 <= len(told) <= 20
    receiver.feedback(NOW + 3)
    assert receiver.deadline() == pytest.approx(NOW + 4)  # the report; the transport has nothing to tell


def test_deadline_tells_of_the_next_report() -> None:
    receiver = reception(AUDIO, transport_extension=ID)
    receiver.receive_rtp(extended(1), NOW)
    assert transport(receiver.feedback(NOW))
    receiver.receive_rtp(extended(2, sequence=1), NOW + 0.02)
    assert receiver.deadline() == pytest.approx(NOW + 0.1)
    assert transport(receiver.feedback(NOW + 0.05)) == []
    assert transport(receiver.feedback(NOW + 0.1))


def test_all_packets_of_the_transport_count() -> None:
    """Padding, retransmissions, sources not known, and forms of the header other than the usual."""
    receiver = reception(VIDEO, AUDIO, transport_extension=ID)
    packets = [
        extended(0),
        extended(1, sequence=1, payload=b""),
        FIXED_HEADER.pack(0x90, 103, 9, 0, 0x5EEE) + bytes.fromhex("bede0001 31000200"),
        FIXED_HEADER.pack(0x90, 50, 9, 0, 77) + bytes.fromhex("bede0001 31000300"),
        FIXED_HEADER.pack(0x90, 111, 2, 0, 0xA0D10) + bytes.fromhex("bede0002 113030 310004 0000 fc"),
        FIXED_HEADER.pack(0xB0, 111, 3, 0, 0xA0D10) + bytes.fromhex("bede0001 31000500 fc000002"),
    ]
    for packet in packets:
        receiver.receive_rtp(packet, NOW)
    (packet,) = transport(receiver.feedback(NOW))
    assert packet[12:16] == bytes.fromhex("00000006")
    assert receiver.stats.tracks[1].frames == 3
    assert receiver.stats.malformed == receiver.stats.tracks[1].malformed == 0


def test_cut_extensions_are_malformed_and_nothing_else() -> None:
    receiver = reception(AUDIO, transport_extension=ID)
    receiver.receive_rtp(extended(0), NOW)
    whole = extended(1, sequence=1)
    for size in range(12, 20):
        assert receiver.receive_rtp(whole[:size], NOW) == ()
    assert receiver.stats.tracks[0].malformed == 8
    assert receiver.stats.tracks[0].packets == 1


def test_many_parts_take_several_datagrams() -> None:
    receiver = reception(VIDEO, AUDIO, transport_extension=ID)
    for sequence in range(0, 800, 2):
        header = bytes.fromhex("bede0001 31") + (2 * sequence).to_bytes(2, "big") + b"\0"
        receiver.receive_rtp(FIXED_HEADER.pack(0x90, 102, sequence, 0, 5) + header + b"\x41", NOW + sequence / 1000)
        receiver.receive_rtp(
            FIXED_HEADER.pack(0x90, 111, sequence, 0, 6)
            + header[:5]
            + (2 * sequence + 1).to_bytes(2, "big")
            + b"\0\xfc",
            NOW + sequence / 1000,
        )
    datagrams = receiver.feedback(NOW + 0.9)
    assert len(transport(datagrams)) >= 2
    messages = [message for datagram in datagrams for message in rtcp.parse(datagram) or ()]
    assert sum(len(m.lost) for m in messages if isinstance(m, rtcp.Nack)) == 400
    assert sum(len(m.blocks) for m in messages if isinstance(m, rtcp.ReceiverReport)) == 2


def test_where_it_is_not_negotiated_no_report() -> None:
    receiver = reception(AUDIO)
    assert receiver.receive_rtp(extended(0), NOW)
    assert transport(receiver.feedback(NOW)) == []


@pytest.mark.parametrize(("cap", "told"), [(None, []), (1_200_000, [1_200_000])])
def test_beside_it_remb_tells_only_the_cap(cap: int | None, told: list[int]) -> None:
    receiver = reception(AUDIO, settings=ReceptionSettings(max_bitrate=cap), transport_extension=ID, remb=True)
    receiver.receive_rtp(extended(0), NOW)
    messages = [message for datagram in receiver.feedback(NOW) for message in rtcp.parse(datagram) or ()]
    assert [m.bitrate for m in messages if isinstance(m, rtcp.Remb)] == told
