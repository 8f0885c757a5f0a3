"""Tags of both tracks in the order of their time, for servers that want timestamps to rise over all of a stream.

SRS does, unless its `time_jitter` is set: a tag that is more than 250 ms away from the one before it, of whichever
track, it takes for an error, and 10 ms for the step. Pictures that go out as they come are ahead of their sound by more
(`AUDIO_DELAY`): SRS's players would show them that much too early, by a clock that runs at its own pace.
"""

from collections import deque

from relay.core import flv
from relay.push.feed import AUDIO_DELAY, AUDIO_STEP, MediaTag

PATIENCE = AUDIO_DELAY + AUDIO_STEP + 0.2
"""Seconds of pictures that wait for sound: more are there only where its coder fails."""
MAX_WAITING = 500
"""Pictures: time that stands still, as a publisher may send it, bounds nothing."""


class Interleave:
    """Holds pictures back until the sound of their time has come."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[MediaTag] = deque()

    def push(self, tag: MediaTag) -> list[MediaTag]:
        """What goes out now, in order."""
        waiting, ready = self._waiting, []
        if tag.kind == flv.VIDEO:
            waiting.append(tag)
            while tag.time - waiting[0].time > PATIENCE or len(waiting) > MAX_WAITING:
                ready.append(waiting.popleft())
            return ready
        while waiting and waiting[0].time <= tag.time:
            ready.append(waiting.popleft())
        ready.append(tag)
        return ready

    def rest(self) -> list[MediaTag]:
        """At the end: what still waits."""
        rest = list(self._waiting)
        self._waiting.clear()
        return rest
