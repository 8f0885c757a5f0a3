"""Decoding times (DTS) of pictures whose RTP timestamps, the presentation times, come in decoding order.

RTP does not carry DTS (RFC 6184 5.1), FLV needs it. Where at most `depth` pictures precede any picture in decoding
order and follow it in output order (max_num_reorder_frames, ITU-T H.264 E.2.1), the n-th DTS is the (n - depth)-th
smallest PTS: never above the picture's own PTS, as at least n + 1 - depth of the first n + 1 are not above it, and
strictly rising. It is known when the picture arrives, so nothing waits. A picture that breaks this has no DTS; but
where pictures are shown as they come (`depth` 0), one may have the timestamp of the one before it.
"""

import bisect

MAX_DEPTH = 16
"""The largest decoded picture buffer (A.3.1)."""
_STEP = 3000
"""RTP units between the DTS of the first pictures, before `depth` of them are known: 1/30 s."""
_JUMP = 180_000  # RTP units by which no B-frame goes back, and no picture advances while others wait to be shown


class DecodingTimes:
    """RTP units, 90 kHz, unwrapped."""

    __slots__ = ("_last", "_waiting", "contradicted", "depth", "reordered")

    def __init__(self) -> None:
        self.depth = 0
        self.contradicted = False
        """The depth that the stream tells is not to be believed."""
        self.reordered = False
        """A picture came that is shown before one that came earlier."""
        self._last: int | None = None
        self._waiting: list[int] = []
        """The `depth` greatest PTS so far, ascending: the next DTS."""

    def begin(self, pts: int, depth: int | None) -> int | None:
        """The DTS of an IDR picture: all before it are shown before it, all behind it later. `depth`: what its SPS
        tells, None where it does not. None: the picture before it leaves no room for that many DTS."""
        if depth is not None and not self.contradicted:
            self.depth = min(depth, MAX_DEPTH)
        step = _STEP
        if self._last is not None and self._last < pts:
            step = min(step, (pts - self._last) // (self.depth + 1))
            if self.depth and step < 90:  # FLV counts in milliseconds
                return None
        self._waiting = [pts - step * ahead for ahead in range(self.depth, 0, -1)]
        self._last = None
        return self.next(pts)

    def next(self, pts: int) -> int | None:
        """The DTS of the next picture in decoding order. None: the pictures from this one to the next IDR picture have
        none."""
        waiting, last = self._waiting, self._last
        if waiting:
            if pts - waiting[0] > _JUMP:
                # The clock jumped, or pictures are rare: old DTS would lie far behind the sound's times.
                step = min(_STEP, (pts - waiting[-1]) // (self.depth + 1))
                if step > 0:
                    waiting[:] = [pts - step * ahead for ahead in range(self.depth, 0, -1)]
            self.reordered = self.reordered or pts < waiting[-1]
            bisect.insort(waiting, pts)
            dts = waiting.pop(0)
        else:
            dts = pts
        if last is not None and (dts < last or (dts == last and self.depth)):
            self._contradict(pts, last)
            return None
        self._last = dts
        return dts

    def _contradict(self, pts: int, last: int) -> None:
        """B-frames that the SPS does not tell of, deeper ones than it tells, or timestamps that jumped back."""
        if last - pts < _JUMP:
            self.contradicted = self.reordered = True
            self.depth = 2 if self.depth < 2 else 4 if self.depth < 4 else MAX_DEPTH
