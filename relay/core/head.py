"""The newest moments of a stream since its last key frame: where a push or a viewer that begins now can start at once.

Without it a new one waits for the publisher's answer to a PLI, of which there may be one a second. It is bounded in
media time, since whatever it holds is how far behind live a player of that push begins.
"""

from relay.core.media import AccessUnit, Frame, OpusPacket

HEAD_LIMIT = 1.0
"""Seconds since the key frame; an older one is of no use."""
MAX_FRAMES = 500
MAX_BYTES = 8 * 1024 * 1024
"""Of media: time that stands still, as a publisher may send it, bounds nothing."""


class Head:
    """Frames since the last IDR, oldest first; empty where that is too long ago."""

    __slots__ = ("_frames", "_size")

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._size = 0

    def push(self, frame: Frame) -> None:
        if isinstance(frame, AccessUnit) and frame.key:
            self._frames = [frame]
            self._size = _size(frame)
        elif self._frames:
            self._size += _size(frame)
            full = len(self._frames) >= MAX_FRAMES or self._size > MAX_BYTES
            if full or frame.time - self._frames[0].time > HEAD_LIMIT:
                self._frames = []
            else:
                self._frames.append(frame)

    def clear(self) -> None:
        self._frames = []

    @property
    def begin(self) -> float | None:
        """The key frame's time."""
        return self._frames[0].time if self._frames else None

    @property
    def pictures(self) -> list[AccessUnit]:
        return [frame for frame in self._frames if isinstance(frame, AccessUnit)]

    @property
    def sounds(self) -> list[OpusPacket]:
        return [frame for frame in self._frames if isinstance(frame, OpusPacket)]


def _size(frame: Frame) -> int:
    return sum(map(len, frame.parts)) if isinstance(frame, AccessUnit) else len(frame.data)
