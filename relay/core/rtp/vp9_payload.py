"""VP9 in RTP (RFC 9628): frames, and superframes of spatial layers, out of payloads."""

from relay.core import vp9
from relay.core.rtp.payload import PictureDepacketizer
from relay.core.rtp.stats import TrackStats

_PICTURE_ID = 0x80
_INTER_PREDICTED = 0x40
_LAYERS = 0x20
_FLEXIBLE = 0x10
_BEGINS = 0x08
_ENDS = 0x04
_STRUCTURE = 0x02
_MAX_REFERENCES = 3
_MAX_LAYERS = 8


def _frame_at(data: bytes, start: int, end: int) -> int:
    """Where the frame's bytes begin, behind the payload descriptor (4.2); -1 where it is malformed or the last."""
    first = data[start]
    at = start + 1
    try:
        if first & _PICTURE_ID:
            at += 2 if data[at] & 0x80 else 1
        if first & _LAYERS:
            at += 1 if first & _FLEXIBLE else 2  # TID, U, SID, D; TL0PICIDX
        if first & _FLEXIBLE and first & _INTER_PREDICTED:
            for count in range(_MAX_REFERENCES + 1):
                if count == _MAX_REFERENCES:
                    return -1
                more = data[at] & 1
                at += 1
                if not more:
                    break
        if first & _STRUCTURE:
            structure = data[at]
            at += 1
            if structure & 0x10:
                at += 4 * ((structure >> 5) + 1)  # width and height of each layer
            if structure & 0x08:
                at += 1
                for _ in range(data[at - 1]):
                    at += 1 + (data[at] >> 2 & 3)  # the references of each picture of the group
    except IndexError:
        return -1
    return at if at < end else -1


def starts_picture(data: bytes, start: int, end: int) -> bool:
    """The beginning of a frame, and of the lowest spatial layer."""
    first = data[start]
    if not first & _BEGINS:
        return False
    if not first & _LAYERS:
        return True
    at = start + 1
    if first & _PICTURE_ID and at < end:
        at += 2 if data[at] & 0x80 else 1
    return at < end and not data[at] & 0x0E  # SID


def starts_key_picture(data: bytes, start: int, end: int) -> bool:
    """By the frame's own header: not every sender sets the descriptor's bits right."""
    at = _frame_at(data, start, end)
    return at >= 0 and starts_picture(data, start, end) and vp9.is_key(data[at : at + 2])


class Vp9Depacketizer(PictureDepacketizer):
    """All layers are passed on together, which any decoder takes: the frames of one timestamp as a superframe."""

    def __init__(self, stats: TrackStats) -> None:
        super().__init__(stats, starts_picture)
        self._frames: list[bytes] = []
        self._pieces: list[bytes] = []

    def _add(self, data: bytes, start: int, end: int) -> bool:
        at = _frame_at(data, start, end)
        begins = data[start] & _BEGINS != 0
        if at < 0 or begins == bool(self._pieces) or len(self._frames) == _MAX_LAYERS:
            return False
        self._pieces.append(data[at:end])
        if data[start] & _ENDS:
            self._frames.append(b"".join(self._pieces))
            self._pieces = []
        return True

    def _finish(self) -> tuple[list[bytes], bool] | None:
        frames = self._frames
        if self._pieces or not frames:
            return None
        return [vp9.superframe(frames)], vp9.is_key(frames[0])

    def _clear(self) -> None:
        self._frames = []
        self._pieces = []
