"""The engine: a ledger of tasks over a worker."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from relay.core.ident import RoomKey, StreamKey, TaskKey
from relay.core.offer import Answered
from relay.core.snapshot import TaskSnapshot
from relay.core.task import UNDER_WAY, TaskSpec
from relay.engine.attendance import Attendance
from relay.engine.database import Database
from relay.engine.handle import WorkerHandle
from relay.engine.ledger import Ledger, LedgerStats
from relay.engine.orders import Order, Resume
from relay.engine.outbox import Outbox
from relay.engine.process import WorkerLost
from relay.worker.stats import WorkerStats
from relay.worker.worker import WorkerEvent, WorkerFull

log = structlog.get_logger(__name__)

RETRY = 1.0
"""Seconds until a task that a worker did not take is tried again."""
DRAIN_LOOK = 1.5
"""Seconds from one look at what still runs to the next: above `engine.child.BEAT`, at which workers tell it."""


class Fleet:
    """Implements `engine.base.Engine`. `make_worker` is given what hears of all that happens in the worker.

    `wall` gives milliseconds since 1970; `name` is the ledger's. `outbox`, in the same database, gets the callbacks of
    tasks and rooms.
    """

    def __init__(
        self,
        make_worker: Callable[[Callable[[WorkerEvent], None]], WorkerHandle],
        wall: Callable[[], int],
        *,
        database: Database,
        name: str | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        listeners = (outbox,) if outbox is not None else ()
        self._ledger = Ledger(database, wall, self._orders.put_nowait, name=name, listeners=listeners)
        self._outbox = outbox
        self._attendance = Attendance(database, outbox, wall, lambda: self._ledger.server) if outbox else None
        self._worker = make_worker(self._on_event)
        self._stopped = False
        self._claims = 0
        """Tasks between admission and their start."""
        self._obeying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the tasks of a server before this one wait for their publishers again."""
        await self._ledger.open()
        if self._attendance is not None:
            await self._attendance.start()
        await self._worker.start()
        self._obeying = asyncio.create_task(self._obey())
        await self._orders.join()

    async def stop(self) -> None:
        """Says goodbye to publishers and CDNs. The database is open until `close`."""
        self._stopped = True
        self._ledger.freeze()
        if self._obeying is not None:
            self._obeying.cancel()
            await asyncio.wait([self._obeying])
            self._obeying = None
        await self._worker.close()
        if self._attendance is not None:
            await self._attendance.close()

    async def close(self) -> None:
        """Stops, and leaves the database; tasks that have not ended stay in the ledger for the next server."""
        if not self._stopped:
            await self.stop()
        await self._ledger.close()

    async def drain(self, limit: float) -> None:
        """From now on nobody new is let in; returns when no push is under way any more, or after `limit` seconds."""
        self._ledger.decline()
        await self._worker.drain()
        if self._obeying is None:
            return  # nothing runs: it has not started
        log.info("draining", seconds=limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await asyncio.sleep(DRAIN_LOOK)
                while UNDER_WAY & self.stats().tasks.keys():  # noqa: ASYNC110  what workers tell comes by itself
                    await asyncio.sleep(DRAIN_LOOK)

    def _on_event(self, event: WorkerEvent) -> None:
        if isinstance(event, TaskSnapshot):
            self._ledger.save(event)
        elif self._attendance is not None:
            self._attendance.tell(event)

    async def start_task(self, spec: TaskSpec) -> bool:
        self._claims += 1
        try:
            try:
                await self._worker.admit(spec, self._claims - 1)
            except WorkerFull:
                if await self._ledger.active(spec.key):
                    return False
                raise
            except WorkerLost:
                pass  # it is replaced; what is recorded is begun when the next one is there
            lease = await self._ledger.claim(spec)
            if lease is None:
                return False
            await self._begin(Resume(spec, lease))
            return True
        finally:
            self._claims -= 1

    async def stop_task(self, key: TaskKey) -> bool:
        with contextlib.suppress(WorkerLost):
            run = await self._worker.snapshot(key)
            ours = run if run is not None and self._ledger.holds(run) else None
            if await self._worker.stop_task(key) and ours is not None and await self._ledger.flush(ours.id):
                return True
        # Another server's, or none; or another's by now, and what ran here had not heard of it.
        return await self._ledger.end(key)

    async def find_task(
        self, app_id: str, room_id: str, *, task_id: str | None = None, user_id: str | None = None
    ) -> TaskSnapshot | None:
        found = await self._ledger.find(RoomKey(app_id, room_id), task_id=task_id, user_id=user_id)
        if found is not None and self._ledger.holds(found):
            # The ledger knows each change; the worker knows the counters of this moment.
            with contextlib.suppress(WorkerLost):
                now = await self._worker.snapshot(found.spec.key)
                found = now if now is not None and now.id == found.id else found
        if found is not None and self._outbox is not None:
            found = replace(found, callback_error=await self._outbox.failure(found.id))
        return found

    # what the ledger orders

    async def _obey(self) -> None:
        while True:
            order = await self._orders.get()
            if isinstance(order, Resume):
                await self._begin(order)
            else:
                try:
                    await self._worker.stop_task(order.key, order.task)
                except Exception:
                    log.exception("a task could not be stopped", **order.key._asdict())
            self._orders.task_done()

    async def _begin(self, order: Resume) -> None:
        """What is in the ledger is run, if not now then soon."""
        if not self._ledger.holds(order.lease):
            return
        try:
            await self._worker.start_task(order.spec, order.lease)
        except Exception:
            log.exception("a task could not be begun; it is tried again", **order.spec.key._asdict())
            asyncio.get_running_loop().call_later(RETRY, self._orders.put_nowait, order)

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

    def ledger_stats(self) -> LedgerStats:
        return self._ledger.stats

    def stats(self) -> WorkerStats:
        return self._worker.stats()
