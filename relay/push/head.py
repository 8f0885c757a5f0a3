"""The newest moments of a stream since its last key frame: where a push that begins now can start at once.

Without it a new push waits for the publisher's answer to a PLI, of which there may be one a second. It is bounded in
media time, since whatever it holds is how far behind live a player of that push begins.
"""

from relay.core.media import AccessUnit, Frame, OpusPacket

HEAD_LIMIT = 1.0
"""Seconds since the key frame; an older one is of no use."""
MAX_FRAMES = 500


class Head:
    """Frames since the last IDR, oldest first; empty where that is too long ago."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: list[Frame] = []

    def push(self, frame: Frame) -> None:
        if isinstance(frame, AccessUnit) and frame.key:
            self._frames = [frame]
        elif self._frames:
            if frame.time - self._frames[0].time > HEAD_LIMIT or len(self._frames) >= MAX_FRAMES:
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
