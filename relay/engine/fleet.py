"""The engine: a ledger of tasks over a worker."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from relay.core.ident import RoomKey, StreamKey, TaskKey
from relay.core.offer import Answered
from relay.core.snapshot import TaskSnapshot
from relay.core.task import UNDER_WAY, TaskSpec
from relay.engine.handle import WorkerHandle
from relay.engine.ledger import Ledger
from relay.worker.stats import WorkerStats
from relay.worker.worker import WorkerEvent

log = structlog.get_logger(__name__)

DRAIN_LOOK = 1.5
"""Seconds from one look at what still runs to the next: above `engine.child.BEAT`, at which workers tell it."""


class Fleet:
    """Implements `engine.base.Engine`. `make_worker` is given what hears of all that happens in the worker."""

    def __init__(
        self, make_worker: Callable[[Callable[[WorkerEvent], None]], WorkerHandle], wall: Callable[[], int]
    ) -> None:
        self._ledger = Ledger(wall)
        self._worker = make_worker(self._on_event)

    async def start(self) -> None:
        await self._worker.start()

    async def close(self) -> None:
        await self._worker.close()

    async def drain(self, limit: float) -> None:
        """From now on nobody new is let in; returns when no push is under way any more, or after `limit` seconds."""
        await self._worker.drain()
        log.info("draining", seconds=limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await asyncio.sleep(DRAIN_LOOK)
                while UNDER_WAY & self.stats().tasks.keys():  # noqa: ASYNC110  what workers tell comes by itself
                    await asyncio.sleep(DRAIN_LOOK)

    def _on_event(self, event: WorkerEvent) -> None:
        if isinstance(event, TaskSnapshot):
            self._ledger.save(event)

    async def start_task(self, spec: TaskSpec) -> bool:
        if self._ledger.active(spec.key):
            return False
        await self._worker.admit(spec, pending=0)
        lease = self._ledger.claim(spec)
        if lease is None:
            return False
        await self._worker.start_task(spec, lease)
        return True

    async def stop_task(self, key: TaskKey) -> bool:
        return await self._worker.stop_task(key)

    async def find_task(
        self, app_id: str, room_id: str, *, task_id: str | None = None, user_id: str | None = None
    ) -> TaskSnapshot | None:
        found = [
            snapshot
            for snapshot in self._ledger.of_room(RoomKey(app_id, room_id))
            if task_id in (None, snapshot.spec.key.task_id) and user_id in (None, snapshot.spec.stream.user_id)
        ]
        if not found:
            return None
        newest = max(found, key=lambda snapshot: (not snapshot.ended, snapshot.start_time))
        # The ledger knows each change; the worker knows the counters of this moment.
        return await self._worker.snapshot(newest.spec.key) or newest

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        return await self._worker.publish(key, offer)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self._worker.trickle(key, session_id, fragment, etag)

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        return await self._worker.unpublish(key, session_id)

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        return await self._worker.subscribe(key, offer)

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self._worker.trickle_viewer(key, session_id, fragment, etag)

    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        return await self._worker.unsubscribe(key, session_id)

    def stats(self) -> WorkerStats:
        return self._worker.stats()
