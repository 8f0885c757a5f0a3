"""The port that the HTTP faces see: tasks by name, publishers and viewers by stream. Arguments and results are plain
values."""

from typing import Protocol

from relay.core.ident import StreamKey, TaskKey
from relay.core.offer import Answered
from relay.core.snapshot import TaskSnapshot
from relay.core.task import TaskSpec
from relay.worker.worker import WorkerFull

__all__ = ["Answered", "Engine", "WorkerFull"]


class Engine(Protocol):
    async def start_task(self, spec: TaskSpec) -> bool:
        """Begins a task and returns at once, waiting neither for the publisher nor for the CDN.

        False: a task of that name is active, and is left as it is. Raises `WorkerFull`.
        """

    async def stop_task(self, key: TaskKey) -> bool:
        """Ends the active task of that name; False: there is none."""

    async def find_task(
        self, app_id: str, room_id: str, *, task_id: str | None = None, user_id: str | None = None
    ) -> TaskSnapshot | None:
        """The newest task of the room that matches what is given, active ones first; ended ones for 72 hours."""

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        """Answers a publisher's SDP offer. Raises `SessionError`."""

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment (RFC 8840). Raises `SessionError`."""

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        """Ends a publisher's session; False: there is none of that id."""

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        """Answers a viewer's SDP offer. Raises `SessionError`, `NotPublished` among it."""

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """`trickle` for a viewer's session."""

    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        """Ends a viewer's session; False: there is none of that id."""
