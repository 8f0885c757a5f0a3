"""VP8 in RTP (RFC 7741): frames out of payloads."""

from relay.core.rtp.payload import PictureDepacketizer
from relay.core.rtp.stats import TrackStats

_EXTENDED = 0x80
_START = 0x10
_PARTITION = 0x07


def _descriptor_size(data: bytes, start: int, end: int) -> int:
    """Bytes of the payload descriptor (4.2); the payload's size or more where nothing of the frame follows."""
    if not data[start] & _EXTENDED:
        return 1
    if end - start < 3:
        return 3
    flags = data[start + 1]
    size = 2 + (flags & 0x40 != 0) + (flags & 0x30 != 0)  # TL0PICIDX; TID, Y and KEYIDX
    if flags & 0x80:
        size += 2 if data[start + 2] & 0x80 else 1  # PictureID
    return size


def starts_picture(data: bytes, start: int, end: int) -> bool:
    """The beginning of the first partition."""
    return data[start] & (_START | _PARTITION) == _START


def starts_key_picture(data: bytes, start: int, end: int) -> bool:
    """The first payload of a key frame: the inverse key frame flag (RFC 6386 9.1) is not set."""
    at = start + _descriptor_size(data, start, end)
    return starts_picture(data, start, end) and at < end and not data[at] & 1


class Vp8Depacketizer(PictureDepacketizer):
    """Temporal layers are passed on together, as one stream that any decoder takes."""

    def __init__(self, stats: TrackStats) -> None:
        super().__init__(stats, starts_picture)
        self._pieces: list[bytes] = []

    def _add(self, data: bytes, start: int, end: int) -> bool:
        at = start + _descriptor_size(data, start, end)
        # A frame starts once: two of them never share a timestamp.
        if at >= end or starts_picture(data, start, end) == bool(self._pieces):
            return False
        self._pieces.append(data[at:end])
        return True

    def _finish(self) -> tuple[list[bytes], bool] | None:
        frame = b"".join(self._pieces)
        return ([frame], not frame[0] & 1) if frame else None

    def _clear(self) -> None:
        self._pieces = []
