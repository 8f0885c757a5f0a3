"""Callbacks: what an application's webhook receiver is told, and the signature it verifies (control-api, section 4)."""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

VERSION = "2023-11-01"


class EventType(enum.StrEnum):
    TRANSCODE_STARTED = "TranscodeStarted"
    TRANSCODE_STOPPED = "TranscodeStopped"
    TRANSCODE_STATE_CHANGED = "TranscodeStateChanged"
    ROOM_CREATE = "RoomCreate"
    ROOM_DESTROY = "RoomDestroy"
    USER_JOIN_ROOM = "UserJoinRoom"
    USER_LEAVE_ROOM = "UserLeaveRoom"
    USER_AUDIO_STREAM_START = "UserAudioStreamStart"
    USER_AUDIO_STREAM_STOP = "UserAudioStreamStop"
    USER_VIDEO_STREAM_START = "UserVideoStreamStart"
    USER_VIDEO_STREAM_STOP = "UserVideoStreamStop"
    USER_SCREEN_AUDIO_STREAM_START = "UserScreenAudioStreamStart"
    USER_SCREEN_AUDIO_STREAM_STOP = "UserScreenAudioStreamStop"
    USER_SCREEN_VIDEO_STREAM_START = "UserScreenVideoStreamStart"
    USER_SCREEN_VIDEO_STREAM_STOP = "UserScreenVideoStreamStop"


@dataclass(frozen=True, slots=True)
class CallbackEvent:
    """One thing that has happened, not yet addressed to anybody."""

    app_id: str
    sequence: str
    """Of a task or a room: events of one sequence are delivered one after the other."""
    type: EventType
    time: int
    """Milliseconds since 1970."""
    data: str
    """`EventData`: JSON."""

    @classmethod
    def of(cls, app_id: str, sequence: str, event_type: EventType, time: int, **data: object) -> "CallbackEvent":
        return cls(app_id, sequence, event_type, time, json.dumps(data, separators=(",", ":"), ensure_ascii=False))


def event_time(milliseconds: int) -> str:
    """RFC 3339, in whole seconds of UTC."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat()


def sign(fields: Mapping[str, str], secret: str) -> str:
    """`Signature` over `fields`: all of the message but the signature."""
    values = sorted(value.encode() for value in (*fields.values(), secret))
    return hashlib.sha256(b"".join(values)).hexdigest()


def message(event: CallbackEvent, *, event_id: str, nonce: str, secret: str) -> bytes:
    """The body of the POST. `nonce`: 4 random letters."""
    fields = {
        "EventType": event.type.value,
        "EventData": event.data,
        "EventTime": event_time(event.time),
        "EventId": event_id,
        "AppId": event.app_id,
        "Version": VERSION,
        "Nonce": nonce,
    }
    return json.dumps({**fields, "Signature": sign(fields, secret)}, ensure_ascii=False).encode()


# calls

TIME_LIMIT = 5.0
"""Seconds a receiver has for its answer."""
RETRY_PAUSES = (2.0, 60.0)
"""Seconds before the second and before the third call. There is no fourth, so it is the pauses that decide how long a
receiver may be away: whatever happens within a minute's outage still arrives."""


def retry_pause(calls: int) -> float | None:
    """Seconds until an event whose `calls` so far have all failed is due again; None: it is given up."""
    return RETRY_PAUSES[calls - 1] if calls <= len(RETRY_PAUSES) else None
