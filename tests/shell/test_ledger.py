"""The ledger on SQLite and on a real PostgreSQL: what is recorded, who runs it, what a restart finds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from relay.app.server import wall_clock
from relay.core.ident import RoomKey, StreamKey, TaskKey
from relay.core.push_url import PushUrl
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, State, StopReason, TaskSpec
from relay.engine import ledger as ledger_module
from relay.engine import servers as servers_module
from relay.engine.batch import MAX_STEPS
from relay.engine.changes import TaskChange
from relay.engine.database import Database, DatabaseUnavailable
from relay.engine.database_url import DatabaseUrl
from relay.engine.ledger import Ledger
from relay.engine.orders import Abandon, Order, Resume
from relay.engine.outbox import Outbox
from relay.engine.records import HISTORY, PRUNED_AT_ONCE
from relay.engine.schema import callbacks, metadata, servers, tasks
from tests.support.eventually import eventually
from tests.support.postgres import postgres
from tests.support.sql import InMemory, execute, migrated, rows

ROOM = RoomKey("app", "room")
BEAT, LEASE = 0.2, 1.0
"""Seconds, in place of a server's 1 and 3: interop/test_two_servers.py has one that dies in earnest."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers look, tell that they live and try again more often than they have to."""
    for name, seconds in (("LOOK", 0.1), ("BEAT", BEAT), ("PAUSES", (0.05,))):
        monkeypatch.setattr(ledger_module, name, seconds)


def spec(task: str = "task", user: str = "user", *, max_idle_time: float = 180.0) -> TaskSpec:
    return TaskSpec(
        TaskKey(*ROOM, task),
        StreamKey(*ROOM, user),
        PushUrl.parse("rtmp://cdn.example/live/the-stream-key?token=x"),
        max_idle_time=max_idle_time,
        business_id="business",
    )


class Listener:
    """Keeps what it was told, and fails when it is told to."""

    def __init__(self) -> None:
        self.committed: list[TaskChange] = []
        self.failing = False

    def record(self, connection: sa.Connection, changes: Sequence[TaskChange]) -> Callable[[], None]:
        assert connection.in_transaction()
        if self.failing:
            raise ValueError("the listener failed")
        return lambda: self.committed.extend(changes)


@dataclass(slots=True)
class Server:
    """A ledger as a server has it."""

    ledger: Ledger
    orders: list[Order] = field(default_factory=list)
    listener: Listener = field(default_factory=Listener)

    async def start(self, task: str = "task") -> TaskSnapshot:
        """A new task, as the run of it would tell of it."""
        lease = await self.ledger.claim(spec(task))
        assert lease is not None
        return running(lease, spec(task))

    async def find(self, task: str | None = "task", user: str | None = None) -> TaskSnapshot | None:
        return await self.ledger.find(ROOM, task_id=task, user_id=user)

    async def kill(self) -> None:
        """As SIGKILL: nothing more is written."""
        writing = self.ledger._writing
        assert writing is not None
        writing.cancel()
        await asyncio.wait([writing])
        await self.ledger._database.close()


class Wall:
    """Milliseconds since 1970 that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


def running(lease: Lease, of: TaskSpec) -> TaskSnapshot:
    return TaskSnapshot(
        of,
        State.WAITING,
        lease.has_pushed,
        StopReason.NONE,
        lease.start_time,
        0,
        id=lease.id,
        generation=lease.generation,
        idle_since=lease.start_time,
    )


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["file", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    if request.param == "file":
        return migrated(tmp_path)
    url = DatabaseUrl.parse(request.getfixturevalue("postgres_url"))
    asyncio.run(_empty(url))
    return url


async def _empty(url: DatabaseUrl) -> None:
    database = Database(url)
    await database.open()
    await execute(database, *(table.delete() for table in metadata.sorted_tables))
    await database.close()


async def begin(url: DatabaseUrl | None, wall: Callable[[], int], name: str | None = None) -> Server:
    """Without `url` one that has its database to itself."""
    server = Server(
        Ledger(Database(url) if url else InMemory(), wall, lambda order: server.orders.append(order), name=name)
    )
    server.ledger._listeners = [server.listener]
    await server.ledger.open()
    return server


def opened(server: Server) -> Database:
    return server.ledger._database


@contextlib.asynccontextmanager
async def serving(url: DatabaseUrl | None, wall: Callable[[], int], name: str | None = None) -> AsyncIterator[Server]:
    server = await begin(url, wall, name)
    try:
        yield server
    finally:
        await server.ledger.close()


async def test_what_is_recorded_is_found(url: DatabaseUrl, wall: Wall) -> None:
    async with serving(url, wall) as server, serving(url, wall) as other:
        task = await server.start()
        pushing = replace(
            task, state=State.PUSHING, has_pushed=True, idle_since=None, connects=1, last_error="e", bytes_sent=2**40
        )
        server.ledger.save(pushing)
        assert await server.find() == pushing
        assert await server.ledger.flush(task.id)
        for one in (server, other):
            assert await one.find() == pushing
            assert await one.find(None, "user") == pushing
            assert await one.find("task", "nobody") is None
            assert await one.find("nothing") is None
        assert server.ledger.holds(pushing)
        assert not other.ledger.holds(pushing)
        ended = replace(pushing, state=State.STOPPED, stop_reason=StopReason.IDLE, end_time=wall() + 5)
        server.ledger.save(ended)
        assert await server.ledger.flush(task.id)
        assert await other.find() == ended
        # The name is free again; the active task comes first, also where it began earlier.
        wall.now += 10
        again = await other.start()
        assert again.id != task.id
        assert (await server.find()).start_time == wall.now  # type: ignore[union-attr]
        wall.now -= 20
        await other.start("earlier")
        await other.ledger.end(again.spec.key)
        assert (await server.find(None, "user")).spec.key.task_id == "earlier"  # type: ignore[union-attr]
        assert "the-stream-key" not in repr(await server.find())


async def test_fifty_identical_starts_at_two_servers(url: DatabaseUrl, wall: Wall) -> None:
    async with serving(url, wall) as one, serving(url, wall) as two:
        names = [f"t{number}" for number in range(10)]
        # Every name fifty times, in opposite orders, so that the two would wait for each other in a circle.
        asked = [(one, name) for name in names * 25] + [(two, name) for name in reversed(names * 25)]
        leases = await asyncio.gather(*(server.ledger.claim(spec(name)) for server, name in asked))
        for name in names:
            given = [lease for lease, (_, asked_for) in zip(leases, asked, strict=True) if asked_for == name and lease]
            assert len(given) == 1
        assert len(one.listener.committed + two.listener.committed) == len(names)


async def test_changes_are_told_in_order_and_once(url: DatabaseUrl, wall: Wall) -> None:
    async with serving(url, wall) as server:
        task = await server.start()
        steps = [replace(task, connects=number) for number in range(1, 40)]
        for step in steps[:20]:
            server.ledger.save(step)
        server.listener.failing = True
        await eventually(lambda: server.ledger._failures, what="the listener has failed")
        for step in steps[20:]:
            server.ledger.save(step)
        with pytest.raises(DatabaseUnavailable, match="the listener failed"):
            await server.ledger.claim(spec("other"))
        assert await server.find("other") is None
        server.listener.failing = False
        await eventually(lambda: len(server.listener.committed) == 40)
        before = None
        for change, after in zip(server.listener.committed, [task, *steps], strict=True):
            assert (change.before, change.after) == (before, after)
            before = after


@pytest.mark.parametrize("more", [False, True])
async def test_a_commit_that_took_place_and_was_said_to_fail_is_not_told_twice(
    url: DatabaseUrl, wall: Wall, *, more: bool
) -> None:
    """Whether or not something has happened since."""
    fail = [False]

    class CommitsAndFails(Outbox):
        def record(self, connection: sa.Connection, changes: Sequence[TaskChange]) -> Callable[[], None]:
            committed = super().record(connection, changes)
            if fail[0]:
                fail[0] = False
                connection.commit()
                raise ConnectionResetError("during the commit")
            return committed

    async with serving(url, wall) as server:
        server.ledger._listeners = [CommitsAndFails(opened(server), lambda app_id, event: True, wall)]
        task = await server.start()
        pushing = replace(
            task, state=State.PUSHING, has_pushed=True, idle_since=None, connects=1, first_frame_after=0.1
        )
        newest = replace(pushing, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=wall.now)
        fail[0] = True
        server.ledger.save(replace(task, state=State.CONNECTING, connects=1))
        server.ledger.save(pushing)
        if more:
            await eventually(lambda: not fail[0], what="the commit has failed")
        server.ledger.save(newest)
        await eventually(lambda: task.id not in server.ledger._holdings.recorded)
        told = [row.event_type for row in await rows(opened(server), sa.select(callbacks).order_by(callbacks.c.id))]
        assert told == ["TranscodeStarted", "TranscodeStateChanged", "TranscodeStateChanged", "TranscodeStopped"]
        assert await server.find() == newest


async def test_what_waits_to_be_written_is_bounded(wall: Wall) -> None:
    async with serving(None, wall) as server:
        task = await server.start()
        for number in range(10_000):
            server.ledger.save(replace(task, connects=number))
        assert await server.ledger.flush(task.id)
        assert len(server.listener.committed) == 1 + MAX_STEPS
        assert server.listener.committed[-1].after.connects == 9_999


async def test_a_stop_at_another_server(url: DatabaseUrl, wall: Wall) -> None:
    async with serving(url, wall) as owner, serving(url, wall) as other:
        task = await owner.start()
        owner.ledger.save(pushing := replace(task, state=State.PUSHING, has_pushed=True, idle_since=None))
        await owner.ledger.flush(task.id)
        wall.now += 5
        assert await other.ledger.end(task.spec.key)
        assert not await other.ledger.end(task.spec.key)
        for server in (owner, other):
            found = await server.find()
            assert found is not None
            assert (found.state, found.stop_reason, found.end_time) == (State.STOPPED, StopReason.BY_API, wall.now)
        await eventually(lambda: owner.orders == [Abandon(task.spec.key, task.id)], within=3)
        # What its owner still says of it is not recorded, nor told to anybody.
        owner.ledger.save(replace(pushing, state=State.BACKOFF))
        assert not await owner.ledger.flush(task.id)
        assert (await other.find()).state is State.STOPPED  # type: ignore[union-attr]
        assert [change.after.state for change in owner.listener.committed] == [State.WAITING, State.PUSHING]
        assert [change.after.state for change in other.listener.committed] == [State.STOPPED]


async def test_an_owner_that_speaks_before_it_looks_is_not_heard(
    url: DatabaseUrl, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LOOK", 60)
    async with serving(url, wall) as owner, serving(url, wall) as other:
        task = await owner.start()
        assert await other.ledger.end(task.spec.key)
        owner.ledger.save(replace(task, state=State.STOPPED, stop_reason=StopReason.IDLE, end_time=wall.now + 9))
        assert not await owner.ledger.flush(task.id)
        assert owner.orders == [Abandon(task.spec.key, task.id)]
        assert (await other.find()).stop_reason is StopReason.BY_API  # type: ignore[union-attr]


async def test_each_flush_is_about_its_own_task(wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "LOOK", 60)
    async with serving(None, wall) as server:
        kept, lost = await server.start("kept"), await server.start("lost")
        assert await server.ledger.end(lost.spec.key)
        for task in (kept, lost):
            server.ledger.save(replace(task, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=wall.now))
        assert await asyncio.gather(server.ledger.flush(kept.id), server.ledger.flush(lost.id)) == [True, False]
        # Also where what was lost was lost in an earlier transaction.
        assert not await server.ledger.flush(lost.id)


async def test_a_server_that_starts_again_goes_on(url: DatabaseUrl, wall: Wall) -> None:
    """Killed while media arrives: from then on the idle clock runs, as it does while no server is there."""
    killed = await begin(url, wall, "place")
    pushed, idle = await killed.start("pushed"), await killed.start("idle")
    killed.ledger.save(replace(pushed, state=State.PUSHING, has_pushed=True, idle_since=None, bytes_sent=9))
    ended = await killed.start("ended")
    killed.ledger.save(replace(ended, state=State.STOPPING, stop_reason=StopReason.BY_API, end_time=wall.now))
    await killed.ledger.flush(ended.id)
    if not url.is_sqlite:  # whose clock is not ours
        await execute(opened(killed), servers.update().values(heartbeat=wall.now))
    await killed.kill()
    wall.now += 42_000
    async with serving(url, wall, "place") as server:
        leases = {order.lease.id: order.lease for order in server.orders if isinstance(order, Resume)}
        assert leases == {
            pushed.id: Lease(pushed.id, 2, pushed.start_time, has_pushed=True, idle_for=42.0),
            idle.id: Lease(idle.id, 2, idle.start_time, has_pushed=False, idle_for=42.0),
        }
        found = await server.find("pushed")
        assert found is not None
        assert (found.state, found.bytes_sent, found.idle_since) == (State.WAITING, 0, wall.now - 42_000)
        assert server.listener.committed[0].before.state is State.PUSHING  # type: ignore[union-attr]
        assert server.listener.committed[0].after == found
        assert (await server.find("ended")).stop_reason is StopReason.BY_API  # type: ignore[union-attr]
        # And again, by a polite end this time.
    wall.now += 8_000
    async with serving(url, wall, "place") as server:
        resumed = [order.lease for order in server.orders if isinstance(order, Resume)]
        assert [(lease.generation, lease.idle_for) for lease in resumed] == [(3, 50.0), (3, 50.0)]


async def test_a_survivor_takes_over(url: DatabaseUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the other has been silent for a lease; and what the dead one pushed nobody is told to be pushed."""
    for module in (ledger_module, servers_module):
        monkeypatch.setattr(module, "LEASE", LEASE)
    loop = asyncio.get_running_loop()
    async with serving(url, wall_clock) as survivor:
        dead = await begin(url, wall_clock)
        task = await dead.start()
        dead.ledger.save(replace(task, state=State.PUSHING, has_pushed=True, idle_since=None))
        await dead.ledger.flush(task.id)
        await dead.kill()
        died = loop.time()
        await eventually(lambda: survivor.orders, within=5)
        (order,) = survivor.orders
        assert isinstance(order, Resume)
        assert (order.lease.id, order.lease.generation, order.lease.has_pushed) == (task.id, 2, True)
        assert loop.time() - died >= LEASE - 2 * BEAT
        assert (await survivor.find()).state is State.WAITING  # type: ignore[union-attr]
        assert len(await rows(opened(survivor), servers.select())) == 1


async def test_a_server_that_dies_without_a_task_is_struck_off(
    url: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publishers have left only then."""
    for module in (ledger_module, servers_module):
        monkeypatch.setattr(module, "LEASE", LEASE)
    async with serving(url, wall_clock) as survivor:
        dead = await begin(url, wall_clock)
        await dead.kill()

        async def alone() -> bool:
            return await rows(opened(survivor), sa.select(servers.c.id)) == [(survivor.ledger.server,)]

        await eventually(alone, within=5)
        assert survivor.orders == []


async def test_a_server_taken_for_dead_keeps_what_nobody_has_taken(url: DatabaseUrl, wall: Wall) -> None:
    async with serving(url, wall, "place") as server:
        kept, lost = await server.start("kept"), await server.start("lost")
        await execute(
            opened(server),
            servers.delete(),
            tasks.update().where(tasks.c.id == lost.id).values(owner="another", generation=2),
            servers.insert().values(id="another", heartbeat=2**60),
        )
        await eventually(lambda: Abandon(lost.spec.key, lost.id) in server.orders, within=5)
        assert server.orders == [Abandon(lost.spec.key, lost.id)]
        server.ledger.save(replace(kept, state=State.CONNECTING))
        assert await server.ledger.flush(kept.id)


@pytest.mark.parametrize("committed", [False, True])
async def test_a_server_taken_for_dead_whose_return_fails_at_first(
    url: DatabaseUrl, wall: Wall, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """It keeps its tasks, whether the commit that was said to fail took place or did not."""
    async with serving(url, wall) as server:
        task, before = await server.start(), server.ledger.server
        rejoin = server.ledger._membership.rejoin
        attempts = []

        def fails_once(connection: sa.Connection) -> None:
            rejoin(connection)
            attempts.append(server.ledger.server)
            if len(attempts) == 1:
                if committed:
                    connection.commit()
                raise ConnectionResetError("during the commit")

        monkeypatch.setattr(server.ledger._membership, "rejoin", fails_once)
        await execute(opened(server), servers.delete())
        await eventually(lambda: server.ledger.server != before, within=5)
        assert attempts == [before, before]
        server.ledger.save(replace(task, state=State.CONNECTING))
        assert await server.ledger.flush(task.id)
        assert server.orders == []
        assert await rows(opened(server), sa.select(servers.c.id)) == [(server.ledger.server,)]


async def test_what_is_old_is_not_seen_and_then_removed(
    url: DatabaseUrl, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "PRUNE", 0.1)
    async with serving(url, wall) as server:
        long = await server.start("long")
        task = await server.start("ended")
        server.ledger.save(replace(task, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=wall.now))
        await server.ledger.flush(task.id)
        (row,) = await rows(opened(server), tasks.select().where(tasks.c.id == task.id))
        copies = [
            {**row._mapping, "id": task.id + number, "task_id": "copy"} for number in range(1, PRUNED_AT_ONCE + 5)
        ]
        await opened(server).write(lambda connection: connection.execute(tasks.insert(), copies).close())
        wall.now += HISTORY
        assert await server.find("ended") is not None
        wall.now += 1
        assert await server.find("ended") is None
        assert await server.find("long") == long, "an active one is seen as long as it is active"

        async def pruned() -> bool:
            return len(await rows(opened(server), tasks.select())) == 2

        await eventually(pruned, what="the active one is left, and the newest")


async def test_the_number_of_a_task_that_is_removed_is_no_other_ones(
    url: DatabaseUrl, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "PRUNE", 0.1)
    async with serving(url, wall) as server:
        old = [await server.start(name) for name in ("one", "two")]
        for task in old:
            server.ledger.save(replace(task, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=wall.now))
            await server.ledger.flush(task.id)
        wall.now += HISTORY + 1

        async def removed() -> bool:
            return (old[0].id,) not in await rows(opened(server), sa.select(tasks.c.id))

        await eventually(removed)
        assert await server.find("two") is None
        assert (await server.start("three")).id not in [task.id for task in old]


async def test_a_database_that_goes_and_comes(postgres_url: str, wall: Wall) -> None:
    url = DatabaseUrl.parse(postgres_url)
    await _empty(url)
    async with serving(url, wall) as server:
        task = await server.start()
        database = Database(url)
        await database.open()
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        await execute(database, sa.text(f"SELECT pg_terminate_backend(pid) {others}"))
        await database.close()
        server.ledger.save(connecting := replace(task, state=State.CONNECTING))
        await eventually(lambda: server.ledger._holdings.recorded.get(task.id) == connecting)
        assert await server.ledger.claim(spec("other")) is not None
        assert await server.find("task") == connecting
