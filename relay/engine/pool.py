"""Worker processes, one per core, as one worker: rooms are placed by load, and a process that dies is replaced.

Its rooms stay with the replacement, its tasks begin there anew and wait for their publishers; the other processes do
not notice. What the ledger orders is sent and not waited for: a process that hangs keeps only its own rooms waiting.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import structlog

from relay.core.ident import RoomKey, StreamKey, TaskKey
from relay.core.offer import Answered
from relay.core.presence import LeaveReason, PublisherJoined, PublisherLeft
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, State, StopReason, TaskSpec
from relay.engine.process import ProcessHandle, WorkerLost
from relay.engine.seats import Seat, Seats
from relay.worker.stats import WorkerStats
from relay.worker.worker import WorkerEvent

log = structlog.get_logger(__name__)

Spawn = Callable[[int, Callable[[WorkerEvent], None], Callable[[ProcessHandle], None]], ProcessHandle]
"""Makes the handle of the worker of that number; the two are as `ProcessHandle` takes them."""

RETURN_TIMEOUT = 8.0
"""Seconds that a call for a room waits for the replacement of its worker."""
RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each try to start a process, by the number of tries since one lived for `SETTLED`."""
SETTLED = 30.0
RETRY = 1.0
"""Seconds until a task that its process did not begin is tried again."""


class WorkerPool:
    """Implements `engine.handle.WorkerHandle` over `size` processes."""

    def __init__(
        self, size: int, spawn: Spawn, on_event: Callable[[WorkerEvent], None], wall: Callable[[], int]
    ) -> None:
        """`wall` gives milliseconds since 1970."""
        self._spawn = spawn
        self._on_event = on_event
        self._wall = wall
        self._seats = Seats(map(self._make, range(size)), self._in_use)
        self._tasks: dict[TaskKey, TaskSnapshot] = {}
        """Active ones, as last heard of."""
        self._ending: dict[int, TaskSnapshot] = {}
        """Those that say goodbye to their CDNs, by their id."""
        self._publishers: set[StreamKey] = set()
        """Those that have joined, and not left."""
        self._gone = WorkerStats()
        """Counters of processes that are no more."""
        self._work: set[asyncio.Task[None]] = set()
        """Processes being replaced, and orders that are not answered yet."""
        self._draining = False
        self._closing = False

    # life

    async def start(self) -> None:
        """Raises `WorkerLost` where a process cannot be started."""
        await asyncio.gather(*(self._begin(seat) for seat in self._seats))

    async def close(self) -> None:
        self._closing = True
        for task in self._work:
            task.cancel()
        if self._work:
            await asyncio.wait(self._work)
        await asyncio.gather(*(seat.handle.close() for seat in self._seats))

    async def drain(self) -> None:
        self._draining = True
        await asyncio.gather(*(self._drain(seat.handle) for seat in self._seats))

    async def _drain(self, handle: ProcessHandle) -> None:
        with contextlib.suppress(WorkerLost):
            await handle.drain()

    @property
    def handles(self) -> Sequence[ProcessHandle]:
        return [seat.handle for seat in self._seats]

    # a worker's words

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        return await (await self._of(key.room)).publish(key, offer)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await (await self._of(key.room)).trickle(key, session_id, fragment, etag)

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        return await (await self._of(key.room)).unpublish(key, session_id)

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        return await (await self._of(key.room)).subscribe(key, offer)

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await (await self._of(key.room)).trickle_viewer(key, session_id, fragment, etag)

    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        return await (await self._of(key.room)).unsubscribe(key, session_id)

    async def admit(self, spec: TaskSpec, pending: int) -> None:
        seat = self._seat_for(spec.key.room)
        if seat.up.is_set():
            await seat.handle.admit(spec, pending)
        # Else its process is just being replaced, by one that has less to do.

    async def start_task(self, spec: TaskSpec, lease: Lease) -> None:
        """Returns when it is on its way to the process."""
        seat = self._seat_for(spec.key.room)
        known = self._tasks.get(spec.key)
        if known is None or (known.id, known.generation) != (lease.id, lease.generation):
            # Its process may be lost before it tells of the task, or is being replaced and begins it when it is there.
            self._tasks[spec.key] = TaskSnapshot.begun(spec, lease, self._wall())
        if seat.up.is_set():
            await self._order(self._start_task(seat, seat.handle, spec, lease))

    async def stop_task(self, key: TaskKey, task: int | None = None) -> bool:
        """Where `task` is given, the ledger has ended it already: returns when that is on its way to the process."""
        seat = self._seats.of(key.room)
        known = self._tasks.get(key)
        if seat is not None and seat.up.is_set():
            if task is None:
                return await seat.handle.stop_task(key)
            await self._order(self._stop_task(seat.handle, key, task))
            return known is not None and known.id == task
        if known is None or task not in (None, known.id):
            return False
        # Its process is gone, and the next one need not begin it.
        self._heard(replace(known, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=self._wall()))
        return True

    async def snapshot(self, key: TaskKey) -> TaskSnapshot | None:
        seat = self._seats.of(key.room)
        return await seat.handle.snapshot(key) if seat is not None and seat.up.is_set() else self._tasks.get(key)

    def stats(self) -> WorkerStats:
        return sum((seat.handle.stats() for seat in self._seats if seat.up.is_set()), self._gone)

    # orders

    async def _order(self, order: Coroutine[Any, Any, None]) -> None:
        """Returns when it is sent: what is sent after it arrives after it."""
        self._begin_work(order)
        await asyncio.sleep(0)

    def _begin_work(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _start_task(self, seat: Seat, handle: ProcessHandle, spec: TaskSpec, lease: Lease) -> None:
        """Until the process has begun it. One that takes its place begins by itself what is to run."""
        while seat.handle is handle and (known := self._tasks.get(spec.key)) is not None and known.id == lease.id:
            try:
                await handle.start_task(spec, lease)
                return
            except WorkerLost:
                pass
            except Exception:
                log.exception("a task could not be begun; it is tried again", **spec.key._asdict())
            await asyncio.sleep(RETRY)

    async def _stop_task(self, handle: ProcessHandle, key: TaskKey, task: int) -> None:
        """Until the process has answered, or the one that takes its place."""
        try:
            await handle.stop_task(key, task)
        except WorkerLost:
            await self.stop_task(key, task)
        except Exception:
            log.exception("a task could not be stopped", **key._asdict())

    # rooms

    def _in_use(self) -> set[RoomKey]:
        return {key.room for key in self._tasks} | {stream.room for stream in self._publishers}

    def _seat_for(self, room: RoomKey) -> Seat:
        return self._seats.take(room, asyncio.get_running_loop().time())

    async def _of(self, room: RoomKey) -> ProcessHandle:
        """The process of this room. Raises `WorkerLost` where it is not up in time."""
        seat = self._seat_for(room)
        try:
            async with asyncio.timeout(RETURN_TIMEOUT):
                await seat.up.wait()
        except TimeoutError:
            raise WorkerLost("the worker of this room is starting again; try again in a moment") from None
        return seat.handle

    # processes

    def _make(self, number: int) -> ProcessHandle:
        return self._spawn(number, self._heard, self._lost)

    async def _begin(self, seat: Seat) -> None:
        await seat.handle.start()
        seat.since = asyncio.get_running_loop().time()
        seat.up.set()

    def _heard(self, event: WorkerEvent) -> None:
        match event:
            case PublisherJoined(stream):
                self._publishers.add(stream)
            case PublisherLeft(stream):
                self._publishers.discard(stream)
            case TaskSnapshot() if event.active:
                known = self._tasks.get(event.spec.key)
                # What an older task of that name said last may come when the next one is on its way already.
                if known is None or (known.id, known.generation) <= (event.id, event.generation):
                    self._tasks[event.spec.key] = event
            case TaskSnapshot():
                if event.ended:
                    self._ending.pop(event.id, None)
                else:
                    self._ending[event.id] = event
                known = self._tasks.get(event.spec.key)
                if known is not None and (known.id, known.generation) == (event.id, event.generation):
                    del self._tasks[event.spec.key]
        self._on_event(event)

    def _lost(self, handle: ProcessHandle) -> None:
        seat = self._seats[handle.number]
        seat.up.clear()
        self._gone += handle.stats().counters
        lasted = asyncio.get_running_loop().time() - seat.since
        seat.tries = 0 if lasted > SETTLED else seat.tries + 1
        # What is true from now on: the publishers are gone, and nothing is pushed until they are back.
        now = self._wall()
        for stream in [stream for stream in self._publishers if stream.room in seat.rooms]:
            self._heard(PublisherLeft(stream, LeaveReason.CONNECTION_LOST, now))
        for snapshot in self._of_seat(seat):
            self._heard(snapshot.cut_off(now))
        for snapshot in [one for one in self._ending.values() if one.spec.key.room in seat.rooms]:
            self._heard(replace(snapshot, state=State.STOPPED))
        if not self._closing:
            self._begin_work(self._replace(seat))

    def _of_seat(self, seat: Seat) -> list[TaskSnapshot]:
        return [snapshot for key, snapshot in self._tasks.items() if key.room in seat.rooms]

    async def _replace(self, seat: Seat) -> None:
        while True:
            await asyncio.sleep(RESTART_PAUSES[min(seat.tries, len(RESTART_PAUSES) - 1)])
            handle = seat.handle = self._make(seat.handle.number)
            try:
                await handle.start()
                break
            except WorkerLost as lost:
                seat.tries += 1
                log.error("a worker process could not be replaced", worker=handle.number, reason=str(lost))
        now = seat.since = asyncio.get_running_loop().time()
        seat.rooms = dict.fromkeys(seat.rooms, now)
        if self._draining:
            await self._drain(handle)
        await self._begin_tasks(seat, handle)
        if handle.pid is not None:
            seat.up.set()

    async def _begin_tasks(self, seat: Seat, handle: ProcessHandle) -> None:
        """Those of the seat, and those that come while this goes on; stopped ones not."""
        begun: dict[int, TaskKey] = {}
        while True:
            tasks = {snapshot.id: snapshot for snapshot in self._of_seat(seat)}
            if new := next((snapshot for task, snapshot in tasks.items() if task not in begun), None):
                begun[new.id] = new.spec.key
                await self._order(self._start_task(seat, handle, new.spec, new.lease(self._wall())))
            elif (stopped := next((task for task in begun if task not in tasks), None)) is not None:
                await self._order(self._stop_task(handle, begun.pop(stopped), stopped))
            else:
                return
