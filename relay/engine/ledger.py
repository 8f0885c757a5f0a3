"""The ledger: every task and its history, in SQL. What it says survives the process; what it has not said has not been.

One coroutine writes. What has piled up since its last transaction goes into the next: changes of tasks that run here,
which nobody waits for, and new tasks, which Start waits for: many Starts share a commit. That a name has one active
task is the database's own constraint, whoever shares the database.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from relay.core.ident import RoomKey, TaskKey
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, TaskSpec
from relay.engine.batch import Batch, answer
from relay.engine.changes import ChangeListener, TaskChange
from relay.engine.database import Database, DatabaseUnavailable, first_line
from relay.engine.holdings import Holdings
from relay.engine.orders import Abandon, Order, Resume
from relay.engine.records import Records
from relay.engine.servers import AT_ONCE, BEAT, LEASE, Membership

log = structlog.get_logger(__name__)

LOOK = 0.5
"""Seconds from one look at what other servers have written to the next."""
PRUNE = 60.0
"""Seconds from one removal of what is too old to be seen to the next."""
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds after so many failures of the database in a row."""
CLOSE_TIME = 3.0


@dataclass(slots=True)
class LedgerStats:
    waiting: int = 0
    """Tasks whose newest state is not recorded yet."""
    failures: int = 0
    """Of the database, since the server began."""


class Ledger:
    """This server's hand in the ledger, from `open` to `close`.

    `wall` gives milliseconds since 1970. `order` is told what is to be run, in order. `name` is of the place where this
    server runs, if no other can run there at the same time. `listeners` hear of each change in its transaction.
    """

    def __init__(
        self,
        database: Database,
        wall: Callable[[], int],
        order: Callable[[Order], None],
        *,
        name: str | None = None,
        listeners: Sequence[ChangeListener] = (),
    ) -> None:
        self._database = database
        self._wall = wall
        self._order = order
        self._listeners = listeners
        self._membership = Membership(database, wall, name)
        self._records = Records(database, self._membership, wall)
        self._holdings = Holdings()
        self._pending = Batch()
        self._work = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._declining = False
        self._frozen = False
        self._closing = False
        self._failures = 0
        """Of the database, in a row."""
        self._failed = 0
        """The same since the server began."""

    # life

    async def open(self) -> None:
        """Opens the database, and takes over what the one before this server has left."""
        await self._database.open()
        self._loop = asyncio.get_running_loop()
        await self._database.write(self._membership.join)
        self._last_beat = self._in_touch_since = self._loop.time()
        while await self._take_over() == AT_ONCE:
            pass
        self._next_look = self._loop.time()
        self._next_prune = self._loop.time() + PRUNE
        self._writing = asyncio.create_task(self._write())

    def decline(self) -> None:
        """Takes over no more tasks of servers that die."""
        self._declining = True

    def freeze(self) -> None:
        """What running tasks do from now on is not their doing: the server ends, and they go on with the next."""
        self._frozen = True

    async def close(self) -> None:
        """Writes what is to be written, and leaves this server's tasks to others, or to its next start."""
        self._closing = True
        self._work.set()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=CLOSE_TIME)
            self._writing.cancel()
            await asyncio.wait([self._writing])
            self._writing = None
            try:
                async with asyncio.timeout(CLOSE_TIME):
                    await self._database.write(self._membership.leave)
            except Exception as error:
                log.warning("the ledger was not left in order", error=first_line(error))
        await self._database.close()

    @property
    def server(self) -> str:
        """This server's id in the table `servers`; it is another where the server was taken for dead."""
        return self._membership.id

    # tasks

    async def claim(self, spec: TaskSpec) -> Lease | None:
        """A new task, recorded; None: one of that name is active. Raises `DatabaseUnavailable`."""
        claimed: asyncio.Future[Lease | None] = self._loop.create_future()
        self._pending.claims.append((spec, claimed))
        self._work.set()
        return await claimed

    def save(self, snapshot: TaskSnapshot) -> None:
        """What has become of a task of this server; it is written soon."""
        if self._frozen or self._holdings.newest(snapshot) is None:
            return
        self._holdings.save(snapshot)
        self._pending.add(snapshot)
        self._work.set()

    async def flush(self, task: int) -> bool:
        """Returns when what was saved of the task is recorded; False: it was no longer ours to say.

        Raises `DatabaseUnavailable`.
        """
        flushed: asyncio.Future[bool] = self._loop.create_future()
        self._pending.flushes.append((task, flushed))
        self._work.set()
        return await flushed

    async def end(self, key: TaskKey) -> bool:
        """Ends the active task of that name, whichever server runs it; False: there is none."""
        return bool(await self._change(lambda connection: self._records.end(connection, key), brief=True))

    @property
    def stats(self) -> LedgerStats:
        return LedgerStats(len(self._pending.steps), self._failed)

    def holds(self, run: Lease | TaskSnapshot) -> bool:
        """The task is this server's, by this lease, and has not ended."""
        known = self._holdings.newest(run)
        return known is not None and known.active

    # questions

    async def active(self, key: TaskKey) -> bool:
        return await self._database.read(lambda connection: self._records.active(connection, key))

    async def find(
        self, room: RoomKey, *, task_id: str | None = None, user_id: str | None = None
    ) -> TaskSnapshot | None:
        """The newest task of the room that matches what is given, active ones first; ended ones for 72 hours."""
        found = await self._database.read(lambda connection: self._records.find(connection, room, task_id, user_id))
        if found is None:
            return None
        return self._holdings.newest(found) or found

    # writing

    async def _write(self) -> None:
        while True:
            due = min(self._next_look, self._next_prune)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._work.wait()
            self._work.clear()
            try:
                if self._pending:
                    await self._write_batch()
                elif self._closing:
                    return
                if self._loop.time() >= self._next_look:
                    await self._look()
                    self._next_look = self._loop.time() + LOOK
                if self._loop.time() >= self._next_prune:
                    more = await self._database.write(self._records.prune)
                    self._next_prune = self._loop.time() + (0 if more else PRUNE)
                self._failures = 0
            except Exception as error:
                log.error("the database failed", error=first_line(error), failures=self._failures + 1)
                await asyncio.sleep(PAUSES[min(self._failures, len(PAUSES) - 1)])
                self._failures += 1
                self._failed += 1
            if self._pending or self._closing:
                self._work.set()

    async def _write_batch(self) -> None:
        batch, self._pending = self._pending, Batch()
        lost: list[int] = []
        started: list[TaskChange | None] = []
        unsure = self._failures > 0

        def write(connection: Connection) -> list[TaskChange]:
            changes, lost[:] = self._records.update(connection, self._holdings.recorded, batch.steps, unsure=unsure)
            started[:] = self._records.insert(connection, [spec for spec, _ in batch.claims])
            return [*changes, *filter(None, started)]

        try:
            changes = await self._change(write, brief=batch.is_brief)
        except BaseException as error:
            self._pending.follow(batch)
            batch.refuse(DatabaseUnavailable(f"the database failed: {first_line(error)}"))
            raise
        for change in changes:
            self._settle(change)
        for task in lost:
            self._lose(task)
        for task, flushed in batch.flushes:
            answer(flushed, not self._holdings.is_lost(task))
        for (spec, claimed), new in zip(batch.claims, started, strict=True):
            lease = new.after.lease(new.time) if new is not None else None
            if not answer(claimed, lease) and lease is not None:
                self._order(Resume(spec, lease))  # who asked is gone; what is recorded is

    async def _change(
        self, write: Callable[[Connection], list[TaskChange]], *, brief: bool = False
    ) -> list[TaskChange]:
        """Commits what `write` does together with what the listeners make of it."""

        def transaction(connection: Connection) -> tuple[list[TaskChange], list[Callable[[], None]]]:
            changes = write(connection)
            return changes, [listener.record(connection, changes) for listener in self._listeners] if changes else []

        changes, committed = await self._database.write(transaction, brief=brief)
        for tell in committed:
            tell()
        return changes

    def _settle(self, change: TaskChange) -> None:
        """What is recorded now, of a task of this server."""
        after = change.after
        if after.ended:
            self._holdings.forget(after.id)
            self._pending.steps.pop(after.id, None)
        elif self._holdings.record(after):
            self._pending.steps.pop(after.id, None)

    def _lose(self, task: int) -> None:
        self._pending.steps.pop(task, None)
        known = self._holdings.lose(task)
        if known is not None:
            log.info("a task is no longer run here", **known.spec.key._asdict())
            self._order(Abandon(known.spec.key, task))

    # the other servers

    async def _look(self) -> None:
        """Tells that this server lives; finds what others have done to its tasks, and what dead ones have left."""
        now = self._loop.time()
        if now - self._last_beat >= BEAT:
            if not await self._database.write(self._membership.beat):
                self._membership.rejoined()
                log.warning("this server was taken for dead: its database did not hear of it for too long")
            if now - self._last_beat > LEASE / 2:
                # Others may have had no contact either: they get the time to tell that they live.
                self._in_touch_since = now
            self._last_beat = now
        generations, dead = await self._database.read(self._membership.look)
        gone, found = self._holdings.compare(generations)
        for task in gone:
            self._lose(task)
        if (dead or found) and not self._declining:
            await self._take_over(found)

    async def _take_over(self, found: Sequence[int] = ()) -> int:
        strike_off = self._loop.time() - self._in_touch_since >= LEASE
        changes = await self._change(
            lambda connection: self._membership.take_over(connection, found, strike_off=strike_off)
        )
        for change in changes:
            self._settle(change)
            after = change.after
            log.info("a task goes on here", **after.spec.key._asdict(), push_url=str(after.spec.push_url))
            self._order(Resume(after.spec, after.lease(self._wall())))
        return len(changes)
