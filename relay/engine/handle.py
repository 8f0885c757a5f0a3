"""The one thing a cluster has to implement: a worker that is somewhere. Here: in this process."""

import inspect
from collections.abc import Callable
from typing import Protocol

from relay.core.ident import StreamKey, TaskKey
from relay.core.offer import Answered
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, TaskSpec
from relay.worker.settings import WorkerSettings
from relay.worker.stats import WorkerStats
from relay.worker.worker import Worker, WorkerEvent


class WorkerHandle(Protocol):
    """A worker, wherever it runs; arguments and results are frozen plain values."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def publish(self, key: StreamKey, offer: str) -> Answered: ...
    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None: ...
    async def unpublish(self, key: StreamKey, session_id: str) -> bool: ...
    async def subscribe(self, key: StreamKey, offer: str) -> Answered: ...
    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None: ...
    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool: ...
    async def admit(self, spec: TaskSpec, pending: int) -> None:
        """Raises `WorkerFull` where there is no room for one more task beside `pending` ones about to start."""

    async def start_task(self, spec: TaskSpec, lease: Lease) -> None:
        """Begins a run of a task, whatever `admit` says: the ledger has given the lease already."""

    async def stop_task(self, key: TaskKey, task: int | None = None) -> bool:
        """False: no active task of that name, or, where `task` is given, of that `Lease.id`."""

    async def snapshot(self, key: TaskKey) -> TaskSnapshot | None: ...
    async def drain(self) -> None: ...
    def stats(self) -> WorkerStats: ...


CALLS = frozenset(name for name, method in vars(WorkerHandle).items() if inspect.iscoroutinefunction(method)) - {
    "start",
    "close",
}
"""Methods of a handle that reach a worker in another process."""


class InlineHandle:
    """A worker in this process and on this loop."""

    def __init__(self, settings: WorkerSettings, on_event: Callable[[WorkerEvent], None]) -> None:
        self.worker = Worker(settings, on_event)

    async def start(self) -> None:
        await self.worker.start()

    async def close(self) -> None:
        await self.worker.close()

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        return await self.worker.publish(key, offer)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self.worker.trickle(key, session_id, fragment, etag)

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        return self.worker.unpublish(key, session_id)

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        return await self.worker.subscribe(key, offer)

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self.worker.trickle_viewer(key, session_id, fragment, etag)

    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        return self.worker.unsubscribe(key, session_id)

    async def admit(self, spec: TaskSpec, pending: int) -> None:
        self.worker.admit(spec, pending)

    async def start_task(self, spec: TaskSpec, lease: Lease) -> None:
        self.worker.start_task(spec, lease)

    async def stop_task(self, key: TaskKey, task: int | None = None) -> bool:
        return self.worker.stop_task(key, task)

    async def snapshot(self, key: TaskKey) -> TaskSnapshot | None:
        return self.worker.snapshot(key)

    async def drain(self) -> None:
        self.worker.drain()

    def stats(self) -> WorkerStats:
        return self.worker.stats()
