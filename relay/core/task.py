"""The push task: one state machine as one table, and beside it the idle clock.

Two regions. The state says where the way to the CDN stands; the idle clock runs exactly while no media of the wanted
stream arrives (control-api: "What idle means"). `PushTask` owns both, reads no clock, and does nothing itself: it is
told events and answers with effects, and says by `deadline()` when it wants to be polled next.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.core.ident import StreamKey, TaskKey
from relay.core.push_url import PushUrl


class MediaType(enum.IntEnum):
    AUDIO_AND_VIDEO = 0
    AUDIO_ONLY = 1


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What Start asked for."""

    key: TaskKey
    stream: StreamKey
    push_url: PushUrl
    media_type: MediaType = MediaType.AUDIO_AND_VIDEO
    max_idle_time: float = 180.0
    """Seconds."""
    business_id: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a task, from the ledger, and what lies behind the task where it is not the first run of it."""

    id: int
    """The task's: a later task of the same name has another."""
    generation: int
    """How often the task has been handed out: what a run of an older one says no longer counts."""
    start_time: int
    """Of the task, milliseconds since 1970."""
    has_pushed: bool = False
    idle_for: float = 0.0
    """Seconds the idle clock has run for."""


class State(enum.Enum):
    WAITING = "waiting"
    """No media yet, so no connection to the CDN."""
    CONNECTING = "connecting"
    PUBLISHING = "publishing"
    """Connected; `publish` is asked and not yet answered."""
    PUSHING = "pushing"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    """What is queued goes out, then the stream is unpublished."""
    STOPPED = "stopped"
    FAILED = "failed"


class Event(enum.Enum):
    MEDIA_READY = "media ready"
    MEDIA_READY_EARLY = "media ready, too soon for another connect"
    MEDIA_GONE = "media gone"
    CONNECTED = "connected"
    PUBLISH_STARTED = "publish started"
    LOST = "lost"
    """Refused for now, reset, closed, stalled or timed out: worth another try."""
    REJECTED = "rejected"
    """The CDN's permanent refusal, given often enough in a row."""
    RETRY_TIME = "retry time"
    TIMED_OUT = "timed out"
    STOP = "stop"
    """By the API or by the idle clock."""
    FINISHED = "finished"


class Effect(enum.Enum):
    CONNECT = "connect"
    START_MEDIA = "start media"
    STOP_MEDIA = "stop media"
    FINISH = "finish"
    """Flush, FCUnpublish, deleteStream, close."""
    ABORT = "abort"


class StopReason(enum.Enum):
    NONE = ""
    BY_API = "StopByAPI"
    IDLE = "IdleTimeOut"
    START_FAILED = "StartTaskFailed"
    UNKNOWN = "UnknownStopReason"


_S, _E, _F = State, Event, Effect

TRANSITIONS: dict[State, dict[Event, tuple[State, tuple[Effect, ...]]]] = {
    _S.WAITING: {
        _E.MEDIA_READY: (_S.CONNECTING, (_F.CONNECT,)),
        _E.MEDIA_READY_EARLY: (_S.BACKOFF, ()),
        _E.STOP: (_S.STOPPED, ()),
    },
    _S.CONNECTING: {
        _E.CONNECTED: (_S.PUBLISHING, ()),
        _E.MEDIA_GONE: (_S.WAITING, (_F.ABORT,)),
        _E.LOST: (_S.BACKOFF, ()),
        _E.REJECTED: (_S.FAILED, (_F.ABORT,)),
        _E.TIMED_OUT: (_S.BACKOFF, (_F.ABORT,)),
        _E.STOP: (_S.STOPPED, (_F.ABORT,)),
    },
    _S.PUBLISHING: {
        _E.PUBLISH_STARTED: (_S.PUSHING, (_F.START_MEDIA,)),
        _E.LOST: (_S.BACKOFF, ()),
        _E.REJECTED: (_S.FAILED, (_F.ABORT,)),
        _E.TIMED_OUT: (_S.BACKOFF, (_F.ABORT,)),
        _E.STOP: (_S.STOPPING, (_F.FINISH,)),
    },
    _S.PUSHING: {
        _E.LOST: (_S.BACKOFF, (_F.STOP_MEDIA,)),
        _E.REJECTED: (_S.FAILED, (_F.STOP_MEDIA, _F.ABORT)),
        _E.STOP: (_S.STOPPING, (_F.STOP_MEDIA, _F.FINISH)),
    },
    _S.BACKOFF: {
        _E.RETRY_TIME: (_S.CONNECTING, (_F.CONNECT,)),
        _E.MEDIA_GONE: (_S.WAITING, ()),
        _E.STOP: (_S.STOPPED, ()),
    },
    _S.STOPPING: {
        _E.FINISHED: (_S.STOPPED, ()),
        _E.LOST: (_S.STOPPED, ()),
        _E.REJECTED: (_S.STOPPED, ()),
        _E.TIMED_OUT: (_S.STOPPED, (_F.ABORT,)),
    },
    _S.STOPPED: {},
    _S.FAILED: {},
}
"""An event that a state's row does not name changes nothing there."""

ENDED = frozenset({State.STOPPED, State.FAILED})
UNDER_WAY = frozenset({State.CONNECTING, State.PUBLISHING, State.PUSHING, State.BACKOFF, State.STOPPING})
"""Ending it now would cost somebody their stream."""

TIME_LIMITS = {State.CONNECTING: 10.0, State.PUBLISHING: 10.0, State.STOPPING: 1.5}
"""Seconds a state may last: behind the connection's own, tighter deadlines, so that no state is without a way out."""
BACKOFF_STEPS = (0.5, 1.0, 2.0, 4.0, 5.0)
"""Seconds, by the number of failures in a row; the jitter lengthens each by up to a half."""
UNREACHABLE_PAUSE = 0.8
"""Seconds in place of the steps, with the same jitter, after a connect that met nobody. The steps spare a server that
says no; one that is down is spared nothing by them, and has to be playable within 2 s of its return, also when that
comes after 45 s (media contract, section 6). `CONNECT_SPACING` holds all the same."""
STEADY = BACKOFF_STEPS[-1]
"""Seconds that a push has to last for the steps to begin anew: some servers take a stream and drop it at once."""
CONNECT_SPACING = 1.0
"""Seconds from one connect to the next at least."""
REJECTIONS_TO_FAIL = 3
"""The same permanent refusal so often in a row ends the task."""
INTERNAL_ERROR = "an internal error"
"""The `last_error` of a push that was lost by the relay's own fault."""


def _no_jitter() -> float:
    return 0.0


@dataclass(slots=True)
class PushTask:
    """One task's life. `now` is seconds on one monotonic clock; `jitter()` gives 0.0 to 1.0."""

    spec: TaskSpec
    started: float
    jitter: Callable[[], float] = _no_jitter
    state: State = State.WAITING
    stop_reason: StopReason = StopReason.NONE
    idle_since: float | None = field(init=False)
    """When the last media of the stream came, or the task began; None while media arrives."""
    has_pushed: bool = False
    connects: int = 0
    failures: int = 0
    """Since a push lasted for `STEADY`; without the connects that met nobody."""
    last_error: str = ""
    _deadline: float | None = field(init=False, default=None)
    _not_before: float | None = field(init=False, default=None)
    """When the next connect may be: the publisher's coming and going does not shorten the back-off."""
    _rejection: tuple[str, int] = field(init=False, default=("", 0))
    _unreachable: bool = field(init=False, default=False)
    _pushing_since: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.idle_since = self.started

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    # what happens

    def media_ready(self, now: float) -> tuple[Effect, ...]:
        self.idle_since = None
        early = self._not_before is not None and now < self._not_before
        return self._step(Event.MEDIA_READY_EARLY if early else Event.MEDIA_READY, now)

    def media_gone(self, now: float, last_media: float) -> tuple[Effect, ...]:
        """No media since `last_media`: from there on the idle clock runs, however late this was noticed."""
        if self.idle_since is None:
            self.idle_since = last_media
        return self._step(Event.MEDIA_GONE, now)

    def connected(self, now: float) -> tuple[Effect, ...]:
        return self._step(Event.CONNECTED, now)

    def publish_started(self, now: float) -> tuple[Effect, ...]:
        return self._step(Event.PUBLISH_STARTED, now)

    def lost(self, reason: str, now: float, *, unreachable: bool = False) -> tuple[Effect, ...]:
        """`unreachable`: nobody was there who speaks RTMP."""
        self.last_error = reason
        self._unreachable = unreachable
        return self._step(Event.LOST, now)

    def rejected(self, code: str, reason: str, now: float) -> tuple[Effect, ...]:
        """The CDN refused for good; it is believed when it has said the same often enough."""
        self.last_error = reason
        count = self._rejection[1] + 1 if self._rejection[0] == code else 1
        self._rejection = (code, count)
        if count < REJECTIONS_TO_FAIL:
            return self._step(Event.LOST, now)
        return self._step(Event.REJECTED, now)

    def finished(self, now: float) -> tuple[Effect, ...]:
        return self._step(Event.FINISHED, now)

    def stop(self, now: float, reason: StopReason = StopReason.BY_API) -> tuple[Effect, ...]:
        if Event.STOP in TRANSITIONS[self.state]:
            self.stop_reason = reason
        return self._step(Event.STOP, now)

    # time

    def deadline(self) -> float | None:
        """When `poll` has something to do next; None: only an event can bring that."""
        idle = self._idle_deadline()
        if idle is None or self._deadline is None:
            return idle if self._deadline is None else self._deadline
        return min(idle, self._deadline)

    def poll(self, now: float) -> tuple[Effect, ...]:
        idle = self._idle_deadline()
        if idle is not None and now >= idle:
            return self.stop(now, StopReason.IDLE)
        if self._deadline is None or now < self._deadline:
            return ()
        if self.state is State.BACKOFF:
            return self._step(Event.RETRY_TIME, now)
        if self.state is not State.STOPPING:
            self.last_error = f"no answer from the CDN while {self.state.value}"
        return self._step(Event.TIMED_OUT, now)

    def _idle_deadline(self) -> float | None:
        if self.idle_since is None or Event.STOP not in TRANSITIONS[self.state]:
            return None
        return self.idle_since + self.spec.max_idle_time

    def _step(self, event: Event, now: float) -> tuple[Effect, ...]:
        transition = TRANSITIONS[self.state].get(event)
        if transition is None:
            return ()
        self.state, effects = transition
        limit = TIME_LIMITS.get(self.state)
        self._deadline = None if limit is None else now + limit
        if self.state is State.CONNECTING:
            self.connects += 1
            self._not_before = now + CONNECT_SPACING
            self._unreachable = False
        elif self.state is State.PUSHING:
            self.has_pushed = True
            self._pushing_since = now
            self._rejection = ("", 0)
        elif self.state is State.BACKOFF:
            if self._pushing_since is not None and now - self._pushing_since >= STEADY:
                self.failures = 0
            self._pushing_since = None
            self._deadline = self._retry_time(event, now)
            if self.idle_since is not None:
                return effects + self._step(Event.MEDIA_GONE, now)
        elif self.state is State.FAILED:
            self.stop_reason = StopReason.START_FAILED
        return effects

    def _retry_time(self, event: Event, now: float) -> float:
        spaced = now if self._not_before is None else self._not_before
        if event is not Event.MEDIA_READY_EARLY:
            if self._unreachable:
                pause = UNREACHABLE_PAUSE
            else:
                pause = BACKOFF_STEPS[min(self.failures, len(BACKOFF_STEPS) - 1)]
                self.failures += 1
            spaced = self._not_before = max(now + pause * (1 + self.jitter() / 2), spaced)
        return spaced
