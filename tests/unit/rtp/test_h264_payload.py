"""RFC 6184: single NAL units, STAP-A and FU-A, in order; and what breaks them."""

from hypothesis import given
from hypothesis import strategies as st

from relay.core.rtp.h264_payload import H264Depacketizer, carries_idr, packetize, starts_access_unit
from relay.core.rtp.payload import MAX_ACCESS_UNIT
from relay.core.rtp.stats import TrackStats

SPS, PPS, SEI, AUD = b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80", b"\x06\x05\x01\x00", b"\x09\x10"
IDR = b"\x65\x88" + bytes(range(256)) * 12
SLICE = b"\x41" + bytes(range(255, -1, -1)) * 8


class Peer:
    """A depacketizer and the packets put into it."""

    def __init__(self) -> None:
        self.stats = TrackStats("video")
        self.depacketizer = H264Depacketizer(self.stats)
        self.now = 0.0

    def push(self, payload: bytes, timestamp: int, *, marker: bool = False) -> list[list[bytes]]:
        self.now += 0.001
        data = b"header" + payload + b"padding"
        self.depacketizer.push(data, 6, 6 + len(payload), timestamp, marker, self.now, self.now)
        units = [unit.parts for unit in self.depacketizer.ready]
        self.depacketizer.ready.clear()
        return units

    def send(self, nals: list[bytes], timestamp: int, *, marker: bool = True, size: int = 1200) -> list[list[bytes]]:
        units = []
        payloads = packetize(nals, size)
        for index, payload in enumerate(payloads):
            units += self.push(payload, timestamp, marker=marker and index == len(payloads) - 1)
        return units


def test_picture_comes_out_at_its_marker() -> None:
    peer = Peer()
    assert peer.send([SPS, PPS, SEI, IDR], 0) == [[SPS, PPS, SEI, IDR]]
    assert peer.send([SLICE], 3000) == [[SLICE]]


def test_arrival_is_the_last_packets_and_anchor_the_firsts() -> None:
    peer = Peer()
    for index, payload in enumerate(packetize([SPS, PPS, IDR], 1200)):
        peer.depacketizer.push(payload, 0, len(payload), 0, index == 3, 10.0 + index, 10.0 + index)
    (unit,) = peer.depacketizer.ready
    assert (unit.anchor, unit.arrival, unit.key) == (10.0, 13.0, True)


def test_without_markers_pictures_end_at_the_next_timestamp() -> None:
    peer = Peer()
    assert peer.send([SPS, PPS, IDR], 0, marker=False) == []
    assert peer.send([SLICE], 3000, marker=False) == [[SPS, PPS, IDR]]
    # A picture in one packet with a marker behind one without: both come out.
    assert peer.push(SLICE[:100], 6000, marker=True) == [[SLICE], [SLICE[:100]]]


def test_delimiters_and_filler_are_left_out() -> None:
    peer = Peer()
    assert peer.send([AUD, SPS, PPS, IDR, b"\x0c\xff\xff\x80"], 0) == [[SPS, PPS, IDR]]
    assert peer.send([b"\x0c\xff\x80"], 0) == []
    assert peer.send([AUD, SLICE], 3000) == [[SLICE]]


def test_parameter_sets_with_a_marker_of_their_own_belong_to_the_next_picture() -> None:
    peer = Peer()
    assert peer.send([SPS, PPS], 0) == []
    assert peer.send([IDR], 0) == [[SPS, PPS, IDR]]
    assert peer.send([SPS, PPS], 2999) == []
    assert peer.send([IDR], 3000) == [[SPS, PPS, IDR]]


def test_nothing_before_the_first_key_picture() -> None:
    peer = Peer()
    assert peer.send([SLICE], 0) == []
    assert peer.send([SLICE], 3000) == []
    assert peer.depacketizer.awaiting_key
    assert peer.send([SPS, PPS, IDR], 6000) == [[SPS, PPS, IDR]]
    assert not peer.depacketizer.awaiting_key


def test_after_a_gap_the_rest_of_a_picture_and_all_that_refer_to_it_are_left_out() -> None:
    peer = Peer()
    peer.send([SPS, PPS, IDR], 0)
    payloads = packetize([SLICE], 1200)
    peer.push(payloads[0], 3000)
    peer.depacketizer.gap()
    assert peer.push(payloads[-1], 3000, marker=True) == []
    assert peer.send([SLICE], 6000) == []
    assert peer.send([SPS, PPS, IDR], 9000) == [[SPS, PPS, IDR]]
    assert peer.stats.dropped == 2


def test_a_key_picture_whose_start_is_lost_is_not_whole() -> None:
    peer = Peer()
    peer.depacketizer.gap()
    # Its SPS and first slice went: a second slice alone is no picture.
    assert peer.push(IDR[:500], 0, marker=True) == []
    assert peer.send([SLICE], 3000) == []
    assert peer.send([IDR], 6000) == [[IDR]]


def test_a_key_picture_right_behind_a_gap_is_whole_where_its_start_shows() -> None:
    for first in ([SPS, PPS, IDR], [AUD, SPS, PPS, IDR]):
        peer = Peer()
        peer.depacketizer.gap()
        assert len(peer.send(first, 0)) == 1


def test_behind_a_gap_an_sei_starts_a_key_picture_that_has_its_sps() -> None:
    peer = Peer()
    assert peer.send([SEI, SPS, PPS, IDR], 0) == [[SEI, SPS, PPS, IDR]]
    peer.depacketizer.gap()
    assert peer.send([SEI, IDR], 3000) == []
    assert peer.send([SEI, SPS, PPS, IDR], 6000) == [[SEI, SPS, PPS, IDR]]
    # Where the start is known, none is needed: it may have been sent in the SDP.
    assert peer.send([SEI, IDR], 9000) == [[SEI, IDR]]
    peer.depacketizer.gap()
    assert peer.send([AUD, SEI, IDR], 12000) == [[SEI, IDR]]
    assert peer.stats.malformed == 0


def test_parameter_sets_between_the_slices_of_a_picture_are_not_its_start() -> None:
    # GStreamer's rtph264pay repeats them before each IDR slice; the second slice's first_mb_in_slice is not 0.
    second = b"\x65\x48" + bytes(50)
    peer = Peer()
    assert peer.send([SPS, PPS, IDR, SPS, PPS, second], 0) == [[SPS, PPS, IDR, SPS, PPS, second]]
    peer.depacketizer.gap()
    assert peer.send([SPS, PPS, second], 3000) == []
    assert peer.depacketizer.awaiting_key
    assert peer.send([SPS, PPS, IDR, SPS, PPS, second], 6000) == [[SPS, PPS, IDR, SPS, PPS, second]]


def test_behind_a_gap_a_new_timestamp_starts_a_picture_also_without_marker() -> None:
    peer = Peer()
    peer.depacketizer.gap()
    assert peer.push(SLICE[:100], 0) == []
    assert peer.push(IDR[:100], 3000, marker=True) == [[IDR[:100]]]


def _broken(*payloads: bytes) -> Peer:
    peer = Peer()
    peer.send([SPS, PPS, IDR], 0)
    for index, payload in enumerate(payloads):
        assert peer.push(payload, 3000, marker=index == len(payloads) - 1) == []
    assert peer.stats.malformed == 1
    assert peer.send([SLICE], 6000) == []
    assert peer.send([SPS, PPS, IDR], 9000) == [[SPS, PPS, IDR]]
    return peer


def test_malformed_payloads_break_their_picture_and_are_counted() -> None:
    _broken(b"\x7c\x41middle without start")
    _broken(b"\x7c\x81start", b"\x41another unit")
    _broken(b"\x7c\x81start", b"\x7c\x81start again")
    _broken(b"\x7c\xc1start and end")
    _broken(b"\x7c\x9cnested")
    _broken(b"\x7c")
    _broken(b"\x7c\x81never ends")
    _broken(b"\x78\x00\x00")
    _broken(b"\x78\x00\x09short")
    _broken(b"\x78\x00")
    _broken(b"\x78\x00\x02\x78\x00")
    _broken(b"\x19interleaved")
    _broken(b"\x1f?")
    _broken(b"\x00?")


def test_endless_fragments_are_bounded() -> None:
    peer = Peer()
    peer.push(b"\x7c\x85" + bytes(1000), 0)
    start = packetize([SPS, PPS], 1200)[0]
    peer.push(start, 3000)
    peer.push(b"\x7c\x85" + bytes(1000), 3000)
    for _ in range(2 * MAX_ACCESS_UNIT // 1000):
        assert peer.push(b"\x7c\x05" + bytes(1000), 3000) == []
    assert peer.stats.malformed == 1
    for _ in range(MAX_ACCESS_UNIT // 30):
        peer.push(b"\x67", 6000, marker=True)
    assert peer.stats.malformed == 2


nals = st.builds(
    lambda kind, size, filler: bytes((0x60 | kind, 0x80)) + bytes((filler,)) * size,
    st.sampled_from([1, 5, 6, 7, 8]),
    st.integers(0, 5000),
    st.integers(0, 255),
)


@given(st.lists(nals, max_size=8), st.integers(50, 1400))
def test_any_picture_travels_byte_for_byte(unit: list[bytes], size: int) -> None:
    picture = [SPS, *unit, IDR]
    payloads = packetize(picture, size)
    assert max(map(len, payloads)) <= size
    assert Peer().send(picture, 0, size=size) == [picture]


def test_looks_into_payloads() -> None:
    stap = packetize([SPS, PPS], 1200)[0]
    whole = packetize([SPS, PPS, IDR[:20]], 1200)[0]
    fragments = packetize([IDR], 1200)
    assert starts_access_unit(stap, 0, len(stap))
    assert not starts_access_unit(fragments[0], 0, len(fragments[0]))
    assert not carries_idr(stap, 0, len(stap))
    assert carries_idr(whole, 0, len(whole))
    assert all(carries_idr(payload, 0, len(payload)) for payload in fragments)
    assert not carries_idr(packetize([SLICE], 1200)[0], 0, 1200)


@given(st.binary(min_size=1, max_size=60))
def test_looks_into_any_bytes(payload: bytes) -> None:
    starts_access_unit(payload, 0, len(payload))
    carries_idr(payload, 0, len(payload))
    carries_idr(b"\x78" + payload, 0, len(payload) + 1)
