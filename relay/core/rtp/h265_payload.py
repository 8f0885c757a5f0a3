"""H.265 in RTP (RFC 7798, without DONL fields): access units out of payloads."""

from relay.core.h265 import IDR, NalType
from relay.core.rtp.payload import PictureDepacketizer
from relay.core.rtp.stats import TrackStats

_AGGREGATION = 48
_FRAGMENTATION = 49
_HEADER = 2
_START = 0x80
_END = 0x40
_LEFT_OUT = (NalType.AUD, NalType.FILLER, NalType.END_OF_SEQUENCE, NalType.END_OF_BITSTREAM)
_UNIT = 64  # bytes that keeping a NAL unit costs: an aggregate holds hundreds of a few bytes each


def _first_nal_type(data: bytes, start: int, end: int) -> int:
    """nal_unit_type of the payload's first NAL unit, whole or its first fragment; -1 for a later one."""
    kind = data[start] >> 1 & 0x3F
    if kind == _AGGREGATION:
        return data[start + 4] >> 1 & 0x3F if end > start + 4 else -1
    if kind == _FRAGMENTATION:
        return data[start + 2] & 0x3F if end > start + 2 and data[start + 2] & _START else -1
    return kind


def starts_picture(data: bytes, start: int, end: int) -> bool:
    """The payload's first NAL unit comes before the slices of a key picture (7.4.2.4.4): AUD or VPS, or an SPS where
    the sender has no VPS before it."""
    return _first_nal_type(data, start, end) in (NalType.AUD, NalType.VPS, NalType.SPS)


def carries_key(data: bytes, start: int, end: int) -> bool:
    """The payload holds a slice of an IDR picture or a part of one."""
    kind = data[start] >> 1 & 0x3F
    if kind == _FRAGMENTATION:
        return end > start + 2 and data[start + 2] & 0x3F in IDR
    if kind != _AGGREGATION:
        return kind in IDR
    at = start + _HEADER
    while at + 2 < end:
        if data[at + 2] >> 1 & 0x3F in IDR:
            return True
        at += 2 + (data[at] << 8 | data[at + 1])
    return False


class H265Depacketizer(PictureDepacketizer):
    """Key pictures are IDR pictures: behind another random access point there may be pictures that refer back."""

    def __init__(self, stats: TrackStats) -> None:
        super().__init__(stats, starts_picture)
        self._clear()

    def _clear(self) -> None:
        self._nals: list[bytes] = []
        self._fragments: list[bytes] = []
        self._key = False
        self._picture = False
        self._partial = False
        """Its first slice is not a picture's first."""

    def _add(self, data: bytes, start: int, end: int) -> bool:
        kind = data[start] >> 1 & 0x3F
        if kind == _FRAGMENTATION:
            return self._fragment(data, start, end)
        if self._fragments:
            return False
        if kind == _AGGREGATION:
            return self._aggregate(data, start + _HEADER, end)
        return kind < _AGGREGATION and self._take(data[start:end])

    def _take(self, nal: bytes) -> bool:
        if len(nal) <= _HEADER:
            return nal[0] >> 1 & 0x3F in _LEFT_OUT and len(nal) == _HEADER
        kind = nal[0] >> 1 & 0x3F
        if kind in _LEFT_OUT:
            return True
        if kind <= NalType.LAST_VCL:
            # first_slice_segment_in_pic_flag (7.3.6.1) is the first bit.
            if not self._picture and not nal[_HEADER] & 0x80:
                self._partial = True
            self._picture = True
            self._key = self._key or kind in IDR
        self._nals.append(nal)
        self._size += _UNIT
        return True

    def _fragment(self, data: bytes, start: int, end: int) -> bool:
        """FU, 4.4.3."""
        if end - start <= _HEADER + 1:
            return False
        header = data[start + _HEADER]
        if header & _START:
            if self._fragments or header & _END or header & 0x3F >= _AGGREGATION:
                return False
            self._fragments.append(bytes((data[start] & 0x81 | (header & 0x3F) << 1, data[start + 1])))
        elif not self._fragments:
            return False
        self._fragments.append(data[start + _HEADER + 1 : end])
        if header & _END:
            nal = b"".join(self._fragments)
            self._fragments = []
            return self._take(nal)
        return True

    def _aggregate(self, data: bytes, at: int, end: int) -> bool:
        """AP, 4.4.2."""
        while at < end:
            at += 2
            size = data[at - 2] << 8 | data[at - 1] if at < end else 0
            if size == 0 or at + size > end or data[at] >> 1 & 0x3F >= _AGGREGATION:
                return False
            if not self._take(data[at : at + size]):
                return False
            at += size
        return True

    def _finish(self) -> tuple[list[bytes], bool] | None:
        if self._fragments or self._partial:
            return None
        if not self._picture:
            # Parameter sets with a timestamp of their own belong to the picture that follows.
            return [], False
        return self._nals, self._key
