"""AV1 in RTP (AOM "RTP Payload Format For AV1" 1.0): temporal units out of payloads."""

from relay.core import av1
from relay.core.av1 import ObuType
from relay.core.rtp.payload import PictureDepacketizer
from relay.core.rtp.stats import TrackStats

_CONTINUES = 0x80  # Z: the first element continues an OBU
_CONTINUED = 0x40  # Y: the last element is continued
_STARTS_SEQUENCE = 0x08  # N
_LEFT_OUT = (ObuType.TEMPORAL_DELIMITER, ObuType.TILE_LIST, ObuType.PADDING)
_OBU = 64  # bytes that keeping an OBU costs: a packet may hold hundreds of one byte
_FRAMES = (ObuType.FRAME, ObuType.FRAME_HEADER)


def starts_sequence(data: bytes, start: int, end: int) -> bool:
    """The payload is the first of a coded video sequence, which starts with a key frame (4.4)."""
    return data[start] & (_STARTS_SEQUENCE | _CONTINUES) == _STARTS_SEQUENCE


class Av1Depacketizer(PictureDepacketizer):
    """OBUs come out with their sizes, and without temporal delimiters, as MP4 and FLV have them."""

    def __init__(self, stats: TrackStats) -> None:
        super().__init__(stats, starts_sequence)
        self._clear()

    def _clear(self) -> None:
        self._obus: list[bytes] = []
        self._fragments: list[bytes] = []
        self._picture = False

    def _add(self, data: bytes, start: int, end: int) -> bool:
        header = data[start]
        if bool(header & _CONTINUES) != bool(self._fragments):
            return False
        count = header >> 4 & 3
        at, index = start + 1, 0
        while at < end:
            index += 1
            if index == count:
                size = end - at
            else:
                try:
                    size, at = av1.read_leb128(data, at, end)
                except ValueError:
                    return False
            if not size or at + size > end:
                return False
            self._fragments.append(data[at : at + size])
            at += size
            if (at < end or not header & _CONTINUED) and not self._take():
                return False
        return index > 0 and count in (0, index)

    def _take(self) -> bool:
        """One whole OBU."""
        obu = b"".join(self._fragments)
        self._fragments = []
        kind = av1.obu_type(obu)
        if kind in _LEFT_OUT:
            return True
        try:
            self._obus.append(av1.with_size(obu))
        except ValueError:
            return False
        self._picture = self._picture or kind in _FRAMES
        self._size += _OBU
        return True

    def _finish(self) -> tuple[list[bytes], bool] | None:
        if self._fragments:
            return None
        return (self._obus, av1.is_key(self._obus)) if self._picture else ([], False)
