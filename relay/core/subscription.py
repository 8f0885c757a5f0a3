"""A subscription to a stream at an SFU: when it is asked for, and which of two sessions is kept.

One small state machine with the deadline of the next attempt. Beside it stand the sessions that have come about: the
`seated` one, whose media the stream gets, and for a while a newcomer on `trial`, asked for because that one fell silent
or has ended. A stream may come back on either: the first of them that has media stays, and until then both do. Servers
send newcomers the last pictures that they keep, also of a stream that has ended. Those are no sign of life: a newcomer
has media when more comes some time after its first.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field


class State(enum.Enum):
    ASKING = "asking"
    """An offer is out, or its transport is connecting."""
    WAITING = "waiting"
    """For the next attempt, and meanwhile for media on what is connected."""
    LIVE = "live"
    """Media arrives on the seated session."""


class Outcome(enum.Enum):
    """Why an attempt came to nothing."""

    ABSENT = "the stream is not there"
    UNREACHABLE = "the server does not answer"
    BUSY = "the server cannot now"
    DENIED = "the server will not"
    UNCONNECTED = "no connection for media"


class Effect(enum.Enum):
    ASK = "ask"
    """Begin an attempt."""
    SEAT = "seat"
    """The newcomer takes the seat, and the session that had it is closed."""
    DROP = "drop"
    """The newcomer, or the attempt that would have become it, is given up."""


_S, _E = State, Effect

SILENCE = 2.0
"""Seconds without a packet after which another subscription is tried beside the silent one: a server that has been
restarted says nothing, and is found by asking."""
SILENT_STEPS = (3.0, 5.0, 10.0)
"""Seconds that a new, silent session is listened to before the next attempt, by the number of silent ones in a row."""
SPACING = 0.8
"""Seconds from one attempt to the next at least; also the pause where nobody answered, as that spares a server nothing
and a stream has to be back soon after its server."""
ABSENT_SHARE, ABSENT_MOST = 1 / 60, 5.0
"""The pause for a stream that is not there grows with its absence: a sixtieth of it, from `SPACING` up to 5 s."""
PROOF = 0.5
"""Seconds from a newcomer's first packet to the one that shows that the stream lives."""
BUSY_STEPS = (1.0, 2.0, 4.0, 8.0, 15.0)
DENIED_STEPS = (5.0, 10.0, 20.0, 30.0)
MOST_RETRY_AFTER = 300.0
"""Seconds of a server's Retry-After that are believed."""
ASKING_LIMIT = 40.0
"""Seconds an attempt may last: behind the time-outs of its own, so that no state is without a way out."""


def outcome_of(status: int) -> Outcome:
    """What an HTTP status other than 201 says (draft-ietf-wish-whep, section 4.2; RFC 9110)."""
    if status in (404, 409, 410):
        return Outcome.ABSENT
    if status in (408, 425, 429) or status >= 500:
        return Outcome.BUSY
    return Outcome.DENIED


def _no_jitter() -> float:
    return 0.0


@dataclass(slots=True)
class Subscription:
    """One stream's. `now` is seconds on one monotonic clock; `jitter()` gives 0.0 to 1.0."""

    started: float
    jitter: Callable[[], float] = _no_jitter
    state: State = State.WAITING
    seated: bool = False
    trial: bool = False
    last_media: float | None = None
    attempts: int = 0
    last_error: str = ""
    _deadline: float = field(init=False)
    _heard_since: float | None = field(init=False, default=None)
    """When the newcomer's first packet came."""
    _asked: float | None = field(init=False, default=None)
    _absent_since: float = field(init=False)
    _failures: int = field(init=False, default=0)
    _silent: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._deadline = self._absent_since = self.started

    # what happens

    def connected(self, now: float) -> tuple[Effect, ...]:
        """The attempt has become a session."""
        if self.state is not _S.ASKING:
            return (_E.DROP,)
        step = SILENT_STEPS[min(self._silent, len(SILENT_STEPS) - 1)]
        self._silent += 1
        self._wait(now, step * (1 + self.jitter() / 2))
        if self.seated or self.last_media is not None:
            self.trial, self._heard_since = True, None
            return ()
        self.seated = True
        return (_E.SEAT,)

    def refused(self, outcome: Outcome, reason: str, now: float, *, retry_after: float | None = None) -> None:
        """The attempt came to nothing. `retry_after`: seconds that the server asks for."""
        if self.state is not _S.ASKING:
            return
        self.last_error = reason
        self._wait(now, self._pause(outcome, now, retry_after))

    def media(self, at: float, *, trial: bool = False) -> tuple[Effect, ...]:
        """A packet of the seated session, or of the newcomer, came at `at`."""
        if trial:
            if self._heard_since is None:
                self._heard_since = at
            if at - self._heard_since < PROOF:
                return ()
        if self.last_media is not None and at <= self.last_media:
            return ()
        self.last_media = at
        if self.state is _S.LIVE:
            return ()
        self._failures = self._silent = 0
        self.last_error = ""
        newcomer = self.trial or self.state is _S.ASKING
        self.state, self.trial = _S.LIVE, False
        if trial:
            self.seated = True
            return (_E.SEAT,)
        return (_E.DROP,) if newcomer else ()

    def lost(self, reason: str, now: float, *, trial: bool = False) -> None:
        """A session has ended, and not by our doing."""
        self.last_error = reason
        if trial:
            self.trial = False
            return
        self.seated = False
        if self.state is _S.LIVE:
            self._absent_since = now
            self._wait(now, 0.0)
        elif self.state is _S.WAITING:
            before = self._deadline
            self._wait(now, self._pause(Outcome.UNCONNECTED, now, None))
            self._deadline = min(before, self._deadline)

    # time

    def deadline(self) -> float:
        """When `poll` has something to do next."""
        if self.state is _S.LIVE:
            return (self.last_media or 0.0) + SILENCE
        return self._deadline

    def poll(self, now: float) -> tuple[Effect, ...]:
        if now < self.deadline():
            return ()
        if self.state is _S.ASKING:
            self.last_error = "the attempt took too long"
            self._wait(now, self._pause(Outcome.UNREACHABLE, now, None))
            return (_E.DROP,)
        if self.state is _S.LIVE:
            self._absent_since = self.last_media or now
        self.state = _S.ASKING
        self._asked = now
        self._deadline = now + ASKING_LIMIT
        self.attempts += 1
        if self.trial:
            self.trial = False
            return (_E.DROP, _E.ASK)
        return (_E.ASK,)

    def _wait(self, now: float, pause: float) -> None:
        self.state = _S.WAITING
        earliest = now if self._asked is None else self._asked + SPACING
        self._deadline = max(now + pause, earliest)

    def _pause(self, outcome: Outcome, now: float, retry_after: float | None) -> float:
        """Seconds until the next attempt."""
        steps = DENIED_STEPS if outcome is Outcome.DENIED else BUSY_STEPS
        if outcome is Outcome.ABSENT:
            pause = min(max(SPACING, (now - self._absent_since) * ABSENT_SHARE), ABSENT_MOST)
        elif outcome is Outcome.UNREACHABLE:
            pause = SPACING
        else:
            pause = steps[min(self._failures, len(steps) - 1)]
            self._failures += 1
        # A server that names a time has spread those who ask; a little apart they come all the same.
        said = min(retry_after or 0.0, MOST_RETRY_AFTER) * (1 + self.jitter() / 10)
        return max(pause * (1 + self.jitter() / 2), said)
