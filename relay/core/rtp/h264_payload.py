"""H.264 in RTP (RFC 6184, packetization modes 0 and 1): access units out of payloads, payloads out of access units."""

from collections.abc import Iterator, Sequence

from relay.core.h264 import NalType
from relay.core.rtp.payload import MAX_ACCESS_UNIT, Assembled
from relay.core.rtp.stats import TrackStats

_STAP_A = 24
_FU_A = 28
_START = 0x80
_END = 0x40
_ENDS = _START | _END
_LEFT_OUT = (NalType.AUD, NalType.FILLER)

_PART = 32
_UNIT = 64  # an aggregate holds hundreds of NAL units of a byte or two


class H264Depacketizer:
    """Assembles access units out of consecutive packets; `gap` says where they were not consecutive.

    What comes out is decodable: it starts with an IDR picture, and after a gap, a malformed packet or a part that
    never came it starts with an IDR picture again. `ready` holds the access units not fetched yet. In the counters a
    gap stands for one dropped access unit.
    """

    __slots__ = (
        "_anchor",
        "_arrival",
        "_fragments",
        "_guessed",
        "_key",
        "_nals",
        "_partial",
        "_picture",
        "_size",
        "_stats",
        "_synced",
        "awaiting_key",
        "ready",
        "timestamp",
    )

    def __init__(self, stats: TrackStats) -> None:
        self.awaiting_key = True
        self.ready: list[Assembled] = []
        self._stats = stats
        self._synced = False
        """The next packet continues an access unit whose start was seen, or starts one."""
        self._guessed = False
        """Behind a gap, the start was taken for one by an SPS, which some senders repeat before each slice of an IDR
        picture, or by an SEI, before which an SPS may have been."""
        self.timestamp = -1
        self._arrival = 0.0
        self._anchor: float | None = None
        self._nals: list[bytes] = []
        self._fragments: list[bytes] = []
        self._size = 0
        self._key = False
        self._picture = False
        self._partial = False
        """Its first slice is not a picture's first."""

    def gap(self) -> None:
        """What was sent before the next packet is lost: pictures from here on have lost a reference."""
        self._stats.dropped += 1
        self._clear()
        self._synced = False
        self.timestamp = -1
        self.awaiting_key = True

    def push(
        self, data: bytes, start: int, end: int, timestamp: int, marker: int, arrival: float, anchor: float | None
    ) -> None:
        """Takes the payload data[start:end], not empty, of the packet that follows the one before."""
        if timestamp != self.timestamp:
            self._turn(timestamp, anchor)
        if not self._synced:
            if not starts_access_unit(data, start, end):
                return
            self._synced = True
            self._guessed = first_nal_type(data, start, end) != NalType.AUD
        self._size += end - start + _PART
        self._arrival = arrival
        kind = data[start] & 0x1F
        if self._size > MAX_ACCESS_UNIT:
            whole = False
        elif kind == _FU_A:
            if self._fragments and end - start > 1 and not data[start + 1] & _ENDS:
                self._fragments.append(data[start + 2 : end])  # most packets
                whole = True
            else:
                whole = self._fragment(data, start, end)
        elif self._fragments:
            whole = False
        elif 1 <= kind <= 23:
            self._add(data[start:end])
            whole = True
        elif kind == _STAP_A:
            whole = self._aggregate(data, start + 1, end)
        else:
            whole = False
        if not whole:
            self._stats.malformed += 1
            self._break()
        elif marker:
            self._complete()

    def _turn(self, timestamp: int, anchor: float | None) -> None:
        """A timestamp other than the last packet's: an access unit without a marker ends, the next starts."""
        if self._synced and self._size:
            self._complete()
        if self.timestamp >= 0:
            self._synced = True
        self.timestamp = timestamp
        self._anchor = anchor

    def _complete(self) -> None:
        if self._fragments:
            self._stats.malformed += 1
            self._break()
        elif not self._picture:
            # Parameter sets with a marker or a timestamp of their own belong to the picture that follows.
            if not self._nals:
                self._size = 0
        elif self._guessed and (self._partial or all(nal[0] & 0x1F != NalType.SPS for nal in self._nals)):
            self._break()
        else:
            if self.awaiting_key and not self._key:
                self._stats.dropped += 1
            else:
                self.awaiting_key = False
                self.ready.append(Assembled(self._nals, self._key, self.timestamp, self._arrival, self._anchor))
            self._clear()

    def _break(self) -> None:
        """The access unit is not whole. What has another timestamp is past it."""
        timestamp = self.timestamp
        self.gap()
        self.timestamp = timestamp

    def _clear(self) -> None:
        self._nals = []
        self._fragments = []
        self._size = 0
        self._key = False
        self._picture = False
        self._guessed = False
        self._partial = False

    def _add(self, nal: bytes) -> None:
        kind = nal[0] & 0x1F
        if kind in _LEFT_OUT:
            return
        if kind <= NalType.IDR:
            # first_mb_in_slice (7.3.3), in Exp-Golomb: a set bit is 0.
            if not self._picture and not nal[1:2] >= b"\x80":
                self._partial = True
            self._picture = True
            if kind == NalType.IDR:
                self._key = True
        self._nals.append(nal)

    def _fragment(self, data: bytes, start: int, end: int) -> bool:
        """FU-A, RFC 6184 5.8."""
        if end - start < 2:
            return False
        header = data[start + 1]
        if header & _START:
            if self._fragments or header & _END or not 1 <= header & 0x1F <= 23:
                return False
            self._fragments.append(bytes((data[start] & 0xE0 | header & 0x1F,)))
        elif not self._fragments:
            return False
        self._fragments.append(data[start + 2 : end])
        if header & _END:
            nal = b"".join(self._fragments)
            self._fragments.clear()
            self._add(nal)
        return True

    def _aggregate(self, data: bytes, position: int, end: int) -> bool:
        """STAP-A, RFC 6184 5.7.1."""
        while position < end:
            position += 2
            size = data[position - 2] << 8 | data[position - 1] if position < end else 0
            if size == 0 or position + size > end or not 1 <= data[position] & 0x1F <= 23:
                return False
            self._add(data[position : position + size])
            self._size += _UNIT
            position += size
        return True


def starts_access_unit(data: bytes, start: int, end: int) -> bool:
    """The payload's first NAL unit is one that comes before the slices of a picture (ITU-T H.264 7.4.1.2.3)."""
    return first_nal_type(data, start, end) in (NalType.AUD, NalType.SPS, NalType.SEI)


def first_nal_type(data: bytes, start: int, end: int) -> int:
    """nal_unit_type of the payload's first NAL unit, whole or fragment."""
    kind = data[start] & 0x1F
    if kind == _STAP_A and end > start + 3:
        return data[start + 3] & 0x1F
    if kind == _FU_A and end > start + 1:
        return data[start + 1] & 0x1F if data[start + 1] & _START else 0
    return kind


def carries_idr(data: bytes, start: int, end: int) -> bool:
    """The payload holds an IDR slice or a part of one."""
    kind = data[start] & 0x1F
    if kind == _FU_A:
        return end > start + 1 and data[start + 1] & 0x1F == NalType.IDR
    if kind != _STAP_A:
        return kind == NalType.IDR
    position = start + 3
    while position < end:
        if data[position] & 0x1F == NalType.IDR:
            return True
        position += (data[position - 2] << 8 | data[position - 1]) + 2
    return False


def packetize(nals: Sequence[bytes], max_payload: int) -> list[bytes]:
    """One access unit's RTP payloads of at most `max_payload` bytes: neighbours that fit share a STAP-A."""
    payloads: list[bytes] = []
    batch: list[bytes] = []
    room = max_payload - 1
    for nal in nals:
        if batch and len(nal) + 2 > room:
            payloads.append(_join(batch))
            batch, room = [], max_payload - 1
        if len(nal) > max_payload:
            payloads.extend(_split(nal, max_payload))
        else:
            batch.append(nal)
            room -= len(nal) + 2
    if batch:
        payloads.append(_join(batch))
    return payloads


def _join(nals: list[bytes]) -> bytes:
    if len(nals) == 1:
        return nals[0]
    # 5.7.1: the aggregate's F and NRI are the greatest of its NAL units'.
    indicator = max(nal[0] & 0x80 for nal in nals) | max(nal[0] & 0x60 for nal in nals) | _STAP_A
    return bytes((indicator,)) + b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def _split(nal: bytes, max_payload: int) -> Iterator[bytes]:
    indicator = nal[0] & 0xE0 | _FU_A
    step = max_payload - 2
    for position in range(1, len(nal), step):
        first = _START if position == 1 else 0
        last = _END if position + step >= len(nal) else 0
        yield bytes((indicator, first | last | nal[0] & 0x1F)) + nal[position : position + step]
