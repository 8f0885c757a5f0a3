"""A push task as others are told of it: the control API's words for its state, and its figures at one moment."""

import enum
from dataclasses import dataclass, replace

from relay.core.task import ENDED, Lease, State, StopReason, TaskSpec


class Status(enum.IntEnum):
    """`Status` of the control API."""

    UNKNOWN = 0
    NOT_STARTED = 1
    RUNNING = 2
    ENDED = 3
    FAILED = 4


class PushStreamState(enum.IntEnum):
    """`PushStreamState` of the control API."""

    UNKNOWN = 0
    NOT_PUSHING = 1
    CONNECTING = 2
    RECONNECTING = 3
    CONNECTED = 4
    PUSHING = 5
    STOPPED = 6


def wire_state(state: State, has_pushed: bool) -> tuple[Status, PushStreamState]:
    """What Get says of a task: `Status` and `PushStreamState`."""
    match state:
        case State.WAITING:
            return Status.RUNNING, PushStreamState.NOT_PUSHING
        case State.CONNECTING | State.BACKOFF:
            return Status.RUNNING, PushStreamState.RECONNECTING if has_pushed else PushStreamState.CONNECTING
        case State.PUBLISHING:
            return Status.RUNNING, PushStreamState.CONNECTED
        case State.PUSHING:
            return Status.RUNNING, PushStreamState.PUSHING
        case State.STOPPING | State.STOPPED:
            return Status.ENDED, PushStreamState.STOPPED
        case State.FAILED:
            return Status.FAILED, PushStreamState.UNKNOWN


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """A task as it is told to others: plain values only."""

    spec: TaskSpec
    state: State
    has_pushed: bool
    stop_reason: StopReason
    start_time: int
    """Milliseconds since 1970."""
    end_time: int
    """Milliseconds since 1970; 0: not ended."""
    connects: int = 0
    last_error: str = ""
    video_sent: int = 0
    """Access units handed to the CDN connection."""
    audio_sent: int = 0
    """AAC frames handed to the CDN connection."""
    dropped: int = 0
    """Tags dropped because the CDN was too slow."""
    bytes_sent: int = 0
    first_frame_after: float | None = None
    """Seconds from the later of Start and the stream's first packet to the first frame handed to the CDN connection."""
    id: int = 0
    """`Lease.id`."""
    generation: int = 0
    """`Lease.generation`."""
    idle_since: int | None = None
    """Milliseconds since 1970 when the last media came, or the task began; None: media arrives."""

    callback_error: str = ""
    """Why the newest callback of the task that was given up did not arrive; empty: none was."""

    @classmethod
    def begun(cls, spec: TaskSpec, lease: Lease, now: int) -> "TaskSnapshot":
        """A task whose run begins; `now` in milliseconds since 1970."""
        return cls(
            spec=spec,
            state=State.WAITING,
            has_pushed=lease.has_pushed,
            stop_reason=StopReason.NONE,
            start_time=lease.start_time,
            end_time=0,
            id=lease.id,
            generation=lease.generation,
            idle_since=now - round(lease.idle_for * 1000),
        )

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def idle(self) -> bool:
        """No media of the stream arrives."""
        return self.idle_since is not None

    @property
    def active(self) -> bool:
        """The task's name is taken: it neither ended nor is about to."""
        return not self.end_time

    def cut_off(self, at: int) -> "TaskSnapshot":
        """The same task when what ran it is gone, since `at` or before: it waits for its publisher, and idles."""
        return replace(
            self,
            state=State.WAITING,
            idle_since=at if self.idle_since is None else self.idle_since,
            connects=0,
            last_error="",
            video_sent=0,
            audio_sent=0,
            dropped=0,
            bytes_sent=0,
            first_frame_after=None,
        )

    def lease(self, now: int) -> Lease:
        """For the next run of the task; `now` in milliseconds since 1970."""
        idle = 0.0 if self.idle_since is None else max(0.0, (now - self.idle_since) / 1000)
        return Lease(self.id, self.generation, self.start_time, self.has_pushed, idle)
