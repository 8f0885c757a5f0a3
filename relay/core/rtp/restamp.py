"""RTP timestamps for those who are sent a stream again: one timeline, whoever publishes.

A publisher's own timestamps are kept but for an offset: receivers of sound take a packet that is not exactly where the
one before it ended for a loss. The offset moves where the publisher's timestamps jump against the stream's timeline, or
another publisher comes. How the two tracks lie to each other is told by sender reports, of the same timeline.
"""

JUMP = 0.3
"""Seconds of disagreement with the timeline from frame to frame above which the timestamps jumped: it slides less."""


class Restamp:
    """One track. `step`, in units of its clock: how far a stamp after a jump is past the latest at least."""

    __slots__ = ("_latest", "_observed", "_offset", "_rate", "_step")

    def __init__(self, clock_rate: int, step: int) -> None:
        self._rate = clock_rate
        self._step = step
        self._observed: int | None = None
        """From the last frame's own timestamp to its place on the timeline."""
        self._offset = 0
        self._latest: int | None = None

    def restart(self) -> None:
        """The next frame is of another publisher."""
        self._observed = None

    def stamp(self, rtp_time: int, time: float) -> int:
        """The timestamp of a frame, unwrapped; `time`: seconds on the stream's timeline when it is to be shown."""
        observed = round(time * self._rate) - rtp_time
        if self._observed is None or abs(observed - self._observed) > JUMP * self._rate:
            self._offset = observed
            if self._latest is not None:
                self._offset = max(observed, self._latest + self._step - rtp_time)
        self._observed = observed
        stamp = rtp_time + self._offset
        if self._latest is None or stamp > self._latest:
            self._latest = stamp
        return stamp
