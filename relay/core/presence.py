"""Who publishes what in a room, and what a change of that is in callbacks (control-api, section 4: room events).

A user is in the room while one of the two streams of that name has a publisher; a room exists while a user is in it.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.callback import CallbackEvent, EventType
from relay.core.ident import RoomKey, StreamKey, StreamType


class LeaveReason(enum.StrEnum):
    USER_LEFT = "userLeave"
    CONNECTION_LOST = "connectionLost"


@dataclass(frozen=True, slots=True)
class PublisherJoined:
    """A publisher's connection stands. One that takes an older one's place joins without the other leaving."""

    stream: StreamKey
    kinds: frozenset[str]
    """Of "audio" and "video"."""
    at: int
    """Milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class PublisherLeft:
    stream: StreamKey
    reason: LeaveReason
    at: int
    """Milliseconds since 1970."""


PublisherChange = PublisherJoined | PublisherLeft

Presence = Mapping[StreamKey, frozenset[str]]
"""The published streams of one room, with their kinds."""

DEVICE_TYPE = "unknown"
"""WHIP does not tell what publishes."""

_KINDS = ("audio", "video")
_STARTS = {
    (StreamType.MAIN, "audio"): EventType.USER_AUDIO_STREAM_START,
    (StreamType.MAIN, "video"): EventType.USER_VIDEO_STREAM_START,
    (StreamType.SCREEN, "audio"): EventType.USER_SCREEN_AUDIO_STREAM_START,
    (StreamType.SCREEN, "video"): EventType.USER_SCREEN_VIDEO_STREAM_START,
}
_STOPS = {
    (StreamType.MAIN, "audio"): EventType.USER_AUDIO_STREAM_STOP,
    (StreamType.MAIN, "video"): EventType.USER_VIDEO_STREAM_STOP,
    (StreamType.SCREEN, "audio"): EventType.USER_SCREEN_AUDIO_STREAM_STOP,
    (StreamType.SCREEN, "video"): EventType.USER_SCREEN_VIDEO_STREAM_STOP,
}

ROOM_EVENTS = frozenset(
    {
        EventType.ROOM_CREATE,
        EventType.ROOM_DESTROY,
        EventType.USER_JOIN_ROOM,
        EventType.USER_LEAVE_ROOM,
        *_STARTS.values(),
        *_STOPS.values(),
    }
)


def changed(presence: Presence, change: PublisherChange) -> Presence:
    """The room after `change`."""
    others = {stream: kinds for stream, kinds in presence.items() if stream != change.stream}
    return {**others, change.stream: change.kinds} if isinstance(change, PublisherJoined) else others


def room_events(before: Presence, change: PublisherChange) -> tuple[CallbackEvent, ...]:
    """The events of one change of a room, in order."""
    after = changed(before, change)
    stream, now = change.stream, change.at
    was_in = any(other.user_id == stream.user_id for other in before)
    is_in = any(other.user_id == stream.user_id for other in after)
    told, tells = before.get(stream, frozenset()), after.get(stream, frozenset())
    room = stream.room
    user = {"UserId": stream.user_id, "DeviceType": DEVICE_TYPE}
    events = []
    if after and not before:
        events.append(_event(EventType.ROOM_CREATE, room, now))
    if is_in and not was_in:
        events.append(_event(EventType.USER_JOIN_ROOM, room, now, **user, ExtraInfo=""))
    events += [
        _event(_STOPS[stream.stream_type, kind], room, now, **user, Reason="StreamStop" if is_in else "LeaveRoom")
        for kind in _KINDS
        if kind in told - tells
    ]
    events += [_event(_STARTS[stream.stream_type, kind], room, now, **user) for kind in _KINDS if kind in tells - told]
    if isinstance(change, PublisherLeft):
        if was_in and not is_in:
            events.append(_event(EventType.USER_LEAVE_ROOM, room, now, **user, Reason=change.reason.value))
        if before and not after:
            events.append(_event(EventType.ROOM_DESTROY, room, now))
    return tuple(events)


def _event(event_type: EventType, room: RoomKey, now: int, **data: str) -> CallbackEvent:
    app_id, room_id = room
    # The original's order of fields: Timestamp comes after whom it is about.
    who = {name: data.pop(name) for name in ("UserId", "DeviceType") if name in data}
    return CallbackEvent.of(
        app_id, f"{app_id}/{room_id}", event_type, now, RoomId=room_id, **who, Timestamp=now, **data
    )
