"""Names of things: applications, rooms, users, tasks, and the rule they all keep."""

import enum
import re
from typing import NamedTuple

IDENT = re.compile(r"[a-zA-Z0-9_@\-.]{1,128}")
"""AppId, BusinessId, RoomId, TaskId, UserId."""


def is_ident(value: str) -> bool:
    return IDENT.fullmatch(value) is not None


class StreamType(enum.IntEnum):
    """Which of a user's two streams: camera and microphone, or the shared screen."""

    MAIN = 0
    SCREEN = 1


class RoomKey(NamedTuple):
    app_id: str
    room_id: str


class StreamKey(NamedTuple):
    """One published stream: the newest session that publishes under this name wins."""

    app_id: str
    room_id: str
    user_id: str
    stream_type: StreamType = StreamType.MAIN

    @property
    def room(self) -> RoomKey:
        return RoomKey(self.app_id, self.room_id)

    def names(self) -> dict[str, object]:
        """For a log line."""
        return self._asdict() | {"stream_type": int(self.stream_type)}


class TaskKey(NamedTuple):
    """A push task's name: the same TaskId may be used in another room or application."""

    app_id: str
    room_id: str
    task_id: str

    @property
    def room(self) -> RoomKey:
        return RoomKey(self.app_id, self.room_id)
