"""What a push task's change is in callbacks: `TranscodeStarted`, `TranscodeStateChanged`, `TranscodeStopped`
(control-api, section 4)."""

import enum
from typing import NamedTuple

from relay.core.callback import CallbackEvent, EventType
from relay.core.snapshot import TaskSnapshot
from relay.core.task import INTERNAL_ERROR, State, StopReason


class TaskState(enum.IntEnum):
    IDLE = 1
    """Not pushing yet, or stopped."""
    RECONNECTING = 2
    PUSHING = 3


class Code(enum.IntEnum):
    """Of `TranscodeStateChanged`. 1, wrong parameters, is never sent: Start refuses those, and there is no task."""

    FINE = 0
    NO_INPUT = 2
    """No input stream, or no media in it."""
    ERROR = 3
    """The relay's own, while it pushed; the push is tried again."""
    CDN_TROUBLE = 4
    OTHER = 9999


_NO_INPUT = "no media of the stream arrives"
_OUTCOMES = {
    StopReason.NONE: Code.OTHER,
    StopReason.BY_API: Code.FINE,
    StopReason.IDLE: Code.NO_INPUT,
    StopReason.START_FAILED: Code.CDN_TROUBLE,
    StopReason.UNKNOWN: Code.OTHER,
}


class _Told(NamedTuple):
    """What `TranscodeStateChanged` says of a task."""

    state: TaskState
    code: Code
    end_time: int


_AT_FIRST = _Told(TaskState.IDLE, Code.FINE, 0)
"""What `TranscodeStarted` leaves a receiver with."""


def push_events(before: TaskSnapshot | None, after: TaskSnapshot, now: int) -> tuple[CallbackEvent, ...]:
    """The events of one task's change, in order; `before` is None for a new task. `now`: milliseconds since 1970.

    A task counts as ended as soon as its name is free again, so no event of it follows `TranscodeStarted` of the next.
    """
    if before is not None and before.start_time != after.start_time:
        before = None
    told = _AT_FIRST if before is None else _told(before)
    tells = _told(after)
    events = []
    if before is None:
        # A Start that fails has made no task: its answer says so, and there is nobody else to tell.
        events.append(_event(EventType.TRANSCODE_STARTED, after, now, Code=0, ErrorMessage=""))
    if tells != told:
        events.append(
            _event(
                EventType.TRANSCODE_STATE_CHANGED,
                after,
                now,
                Code=int(tells.code),
                ErrorMessage=_message(after, tells.code),
                StartTime=after.start_time,
                FinishTime=tells.end_time,
                TaskState=int(tells.state),
            )
        )
    if tells.end_time and not told.end_time:
        # A stop cannot fail: a CDN that does not say goodbye in time is left without.
        events.append(_event(EventType.TRANSCODE_STOPPED, after, now, Code=0, ErrorMessage=""))
    return tuple(events)


def _told(task: TaskSnapshot) -> _Told:
    if task.end_time:
        return _Told(TaskState.IDLE, _OUTCOMES[task.stop_reason], task.end_time)
    match task.state:
        case State.PUSHING:
            return _Told(TaskState.PUSHING, Code.NO_INPUT if task.idle else Code.FINE, 0)
        case State.WAITING:
            # A publisher that has not come yet is no news; one that has gone is.
            return _Told(TaskState.IDLE, Code.NO_INPUT if task.has_pushed or task.connects else Code.FINE, 0)
        case _:
            # Without an error it is the relay that was away.
            state = TaskState.RECONNECTING if task.has_pushed else TaskState.IDLE
            return _Told(state, _trouble(task.last_error), 0)


def _trouble(error: str) -> Code:
    if not error:
        return Code.FINE
    return Code.ERROR if error == INTERNAL_ERROR else Code.CDN_TROUBLE


def _message(task: TaskSnapshot, code: Code) -> str:
    match code:
        case Code.FINE:
            return ""
        case Code.NO_INPUT:
            return _NO_INPUT
        case Code.ERROR | Code.CDN_TROUBLE:
            return task.last_error
        case Code.OTHER:
            return task.last_error or "ended by the relay"


def _event(event_type: EventType, task: TaskSnapshot, now: int, **data: object) -> CallbackEvent:
    app_id, room_id, task_id = task.spec.key
    return CallbackEvent.of(
        app_id,
        f"{app_id}/{room_id}/{task_id}",
        event_type,
        now,
        AppId=app_id,
        RoomId=room_id,
        TaskId=task_id,
        Timestamp=now,
        **data,
    )
