"""One timeline for the tracks of a publisher: RTP timestamps placed on the receiver's clock.

A track's place is `rtp_time / clock_rate + offset`. The offset starts at the first arrival, so nothing waits for a
sender report; then it slides, by at most `SLEW` of the time that passes, towards

- the least delay of the last seconds (arrival minus media time, a minimum, so queueing does not push it), which
  follows a publisher's clock that runs fast or slow;
- for a track that does not lead, the leading track's place, once the sender reports (RFC 3550 6.4.1) of both tell how
  their clocks relate. The sound leads, so that it is resampled as little as possible.

Timestamps that jump against the arrivals move the offset at once, and so does, soon after the first arrival, one
that is earlier than it told. The time of a track never goes back.
"""

import math
from collections import deque

SLEW = 0.005
"""The part of passing time by which an offset may slide: what resampling of sound absorbs."""
JUMP = 0.3
"""Seconds of disagreement with the arrivals above which a track is placed anew."""
_SETTLING = 2.0
"""Seconds after it was placed in which a track falls at once to a lesser delay: publishers begin with what they held
back while they connected, and what comes first is the latest of it."""
_LESSER = 0.02
"""Seconds by which a delay has to be less for that; what is nearer slides."""
_BUCKET = 1.0
_BUCKETS = 10
_SETTLE = 0.5  # after a silence of the whole session, before late media is taken for a jump of its timestamps
_MAX_ALIGNMENT = 1.0  # an alignment that moves a track further from its arrivals than this is not believed
_FRESH = 2.0
_STRIKES = 2  # reports in a row that are not believed before their alignment is forgotten


class _LeastDelay:
    """The minimum over the last `_BUCKETS` seconds."""

    __slots__ = ("_bucket", "_current", "_past", "_past_least", "start", "value")

    def __init__(self, arrival: float, delay: float) -> None:
        self.start = arrival
        self.value = delay
        self._bucket = int(arrival / _BUCKET)
        self._current = delay
        self._past: deque[tuple[int, float]] = deque(maxlen=_BUCKETS)
        self._past_least = math.inf

    def add(self, arrival: float, delay: float) -> None:
        bucket = int(arrival / _BUCKET)
        if bucket > self._bucket:
            self._past.append((self._bucket, self._current))
            while self._past and self._past[0][0] < bucket - _BUCKETS:
                self._past.popleft()
            self._past_least = min((least for _, least in self._past), default=math.inf)
            self._bucket, self._current = bucket, delay
        elif delay < self._current:
            self._current = delay
        self.value = min(self._current, self._past_least)


class Timeline:
    """The tracks of one session."""

    __slots__ = ("_last_arrival", "_lead", "_silence", "_silence_end")

    def __init__(self) -> None:
        self._lead: TrackClock | None = None
        self._last_arrival = -math.inf
        self._silence = 0.0
        self._silence_end = -math.inf

    def track(self, clock_rate: int, *, leads: bool) -> "TrackClock":
        """A clock for one more track; at most one of them leads."""
        clock = TrackClock(self, clock_rate)
        if leads:
            self._lead = clock
        return clock

    def _arrived(self, arrival: float) -> None:
        if arrival - self._last_arrival > JUMP:
            self._silence, self._silence_end = arrival - self._last_arrival, arrival
        self._last_arrival = max(arrival, self._last_arrival)

    def _silent(self, since: float) -> float:
        """The last silence of all tracks together that ended after `since`."""
        return self._silence if self._silence_end > since else 0.0

    def _led(self, follower: "TrackClock", arrival: float) -> float | None:
        """Where the reports put the follower's offset; None while they do not tell."""
        lead = self._lead
        if lead is None or lead is follower or arrival - lead.last_arrival > _FRESH:
            return None
        if lead.offset is None or lead.to_ntp is None or follower.to_ntp is None:
            return None
        return lead.offset + follower.to_ntp - lead.to_ntp


class TrackClock:
    """One track's RTP clock on the timeline."""

    __slots__ = (
        "_alignment",
        "_arrivals",
        "_delay",
        "_least",
        "_rate",
        "_report",
        "_strikes",
        "_time",
        "_timeline",
        "last_arrival",
        "offset",
        "to_ntp",
    )

    def __init__(self, timeline: Timeline, clock_rate: int) -> None:
        self._timeline = timeline
        self._rate = clock_rate
        self._time = -math.inf
        self._strikes = 0
        self._alignment = 0.0
        """How much later than by its arrivals the track is placed. It is the path's, and outlives jumps."""
        self.last_arrival = -math.inf
        self.restart()

    def restart(self) -> None:
        """The timestamps begin anew (another SSRC): the next frame is placed by its arrival."""
        self.offset: float | None = None
        self.to_ntp: float | None = None
        """Seconds from media time to the sender's NTP time, while its reports are believed."""
        self._report: tuple[float, float] | None = None
        self._arrivals = 0.0
        """The offset without the alignment: where the arrivals are expected."""
        self._delay = 0.0
        self._least: _LeastDelay | None = None

    def place(self, rtp_time: int, arrival: float | None, now: float, *, steady: bool = False) -> float:
        """The time of a frame, in seconds of the clock that `arrival` and `now` are read from; never before the last.

        `rtp_time` is unwrapped; `arrival` is None for a frame whose delay says nothing about the path.
        `steady`: the offset may only slide while frames are shown in another order than they come in.
        """
        media = rtp_time / self._rate
        offset = self.offset
        # What filled a hole says nothing of the path, but nothing arrives before its time: that is a jump.
        if arrival is not None or offset is None or media + offset > now + _MAX_ALIGNMENT + JUMP:
            offset = self._observe(media, now if arrival is None else arrival, steady)
        self._time = max(self._time, media + offset)
        return self._time

    def _observe(self, media: float, arrival: float, steady: bool) -> float:
        timeline = self._timeline
        timeline._arrived(arrival)
        delay = arrival - media
        if self.offset is None or self._least is None:
            return self._anchor(delay, arrival)
        late = delay - self._arrivals
        step = delay - self._delay
        if late < -JUMP:
            return self._anchor(delay, arrival)
        if late > JUMP and step > JUMP:
            if timeline._silent(self.last_arrival) < step - JUMP:
                return self._anchor(delay, arrival)
            # All tracks were silent: either the network held everything back and now catches up, or the publisher
            # paused. What the delay falls to within `_SETTLE` tells.
            self._least = _LeastDelay(arrival, delay)
        else:
            self._least.add(arrival, delay)
        least = self._least
        if least.value - self._arrivals > JUMP and arrival - least.start >= _SETTLE:
            return self._anchor(least.value, arrival)
        if not steady and self._arrivals - least.value > _LESSER and arrival - least.start < _SETTLING:
            self._arrivals = least.value
            self.offset = least.value + self._alignment
        slide = SLEW * max(0.0, arrival - self.last_arrival)
        self._arrivals += max(-slide, min(least.value - self._arrivals, slide))
        led = timeline._led(self, arrival)
        if led is not None:
            alignment = led - least.value
            self._alignment = alignment if abs(alignment) <= _MAX_ALIGNMENT else 0.0
        target = least.value + self._alignment
        self.offset += max(-slide, min(target - self.offset, slide))
        self._delay = delay
        self.last_arrival = max(arrival, self.last_arrival)
        return self.offset

    def _anchor(self, delay: float, arrival: float) -> float:
        """Places the track by its arrival. The reports so far told of other timestamps."""
        self._arrivals = delay
        self.offset = delay + self._alignment
        self.to_ntp = self._report = None
        self._least = _LeastDelay(arrival, delay)
        self._delay = delay
        self.last_arrival = max(arrival, self.last_arrival)
        return self.offset

    def sender_report(self, rtp_time: int, ntp: float, now: float) -> None:
        """Takes a report that arrived at `now`: `ntp`, in seconds, is 0 where the sender has no clock.

        It is believed while it agrees with the arrivals and with the report before it.
        """
        if ntp == 0 or self.offset is None:
            return
        media = rtp_time / self._rate
        previous, self._report = self._report, (media, ntp)
        believed = abs(media + self._arrivals - now) <= _MAX_ALIGNMENT
        if previous is not None:
            elapsed = ntp - previous[1]
            believed &= elapsed >= 0 and abs(media - previous[0] - elapsed) <= 0.05 + 0.01 * elapsed
        if believed:
            self._strikes = 0
            self.to_ntp = ntp - media
            return
        self.to_ntp = None
        self._strikes += 1
        if self._strikes == _STRIKES:
            self._alignment = 0.0
