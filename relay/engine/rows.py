"""A task's snapshot as a row of the table `tasks`, and back."""

from typing import Any

from sqlalchemy import RowMapping

from relay.core.ident import StreamKey, StreamType, TaskKey
from relay.core.push_url import PushUrl
from relay.core.snapshot import TaskSnapshot
from relay.core.task import MediaType, State, StopReason, TaskSpec

PROGRESS = (
    "state",
    "has_pushed",
    "stop_reason",
    "end_time",
    "idle_since",
    "connects",
    "last_error",
    "video_sent",
    "audio_sent",
    "dropped",
    "bytes_sent",
    "first_frame_after",
)
"""The columns that change while a server runs the task."""


def row_of(snapshot: TaskSnapshot) -> dict[str, Any]:
    """All columns but the key and the owner."""
    spec = snapshot.spec
    return {
        "app_id": spec.key.app_id,
        "room_id": spec.key.room_id,
        "task_id": spec.key.task_id,
        "business_id": spec.business_id,
        "user_id": spec.stream.user_id,
        "stream_type": int(spec.stream.stream_type),
        "push_url": spec.push_url.secret,
        "media_type": int(spec.media_type),
        "max_idle_time": spec.max_idle_time,
        "start_time": snapshot.start_time,
        "generation": snapshot.generation,
        **progress_of(snapshot),
    }


def progress_of(snapshot: TaskSnapshot) -> dict[str, Any]:
    """The columns of `PROGRESS`."""
    return {
        "state": snapshot.state.value,
        "has_pushed": snapshot.has_pushed,
        "stop_reason": snapshot.stop_reason.value,
        "end_time": snapshot.end_time or None,
        "idle_since": snapshot.idle_since,
        "connects": snapshot.connects,
        "last_error": snapshot.last_error,
        "video_sent": snapshot.video_sent,
        "audio_sent": snapshot.audio_sent,
        "dropped": snapshot.dropped,
        "bytes_sent": snapshot.bytes_sent,
        "first_frame_after": snapshot.first_frame_after,
    }


def snapshot_of(row: RowMapping) -> TaskSnapshot:
    app_id, room_id = row["app_id"], row["room_id"]
    return TaskSnapshot(
        spec=TaskSpec(
            TaskKey(app_id, room_id, row["task_id"]),
            StreamKey(app_id, room_id, row["user_id"], StreamType(row["stream_type"])),
            PushUrl.parse(row["push_url"]),
            MediaType(row["media_type"]),
            row["max_idle_time"],
            row["business_id"],
        ),
        state=State(row["state"]),
        has_pushed=row["has_pushed"],
        stop_reason=StopReason(row["stop_reason"]),
        start_time=row["start_time"],
        end_time=row["end_time"] or 0,
        connects=row["connects"],
        last_error=row["last_error"],
        video_sent=row["video_sent"],
        audio_sent=row["audio_sent"],
        dropped=row["dropped"],
        bytes_sent=row["bytes_sent"],
        first_frame_after=row["first_frame_after"],
        id=row["id"],
        generation=row["generation"],
        idle_since=row["idle_since"],
    )
