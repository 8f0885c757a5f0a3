"""Room events of several servers on one database, on SQLite and on a real PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from relay.core.ident import StreamKey, StreamType
from relay.core.presence import LeaveReason, PublisherJoined, PublisherLeft
from relay.engine.attendance import Attendance
from relay.engine.database import Database
from relay.engine.database_url import DatabaseUrl
from relay.engine.outbox import Outbox
from relay.engine.schema import callbacks, publishers, servers
from tests.support.eventually import eventually
from tests.support.postgres import postgres
from tests.support.sql import execute, migrated, rows
from tests.support.thorough import also

NOW = 1_700_000_000_000
ALICE = StreamKey("app", "room", "alice")
SCREEN = StreamKey("app", "room", "alice", StreamType.SCREEN)
BOB = StreamKey("app", "room", "bob")
CAROL = StreamKey("app", "room", "carol")
BOTH = frozenset({"audio", "video"})


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["file", *also("postgresql")])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    if request.param == "file":
        return migrated(tmp_path)
    return DatabaseUrl.parse(request.getfixturevalue("postgres_url"))


@contextlib.asynccontextmanager
async def attending(url: DatabaseUrl, *names: str) -> AsyncIterator[tuple[Database, list[Attendance]]]:
    """Servers of these names on one database, which is empty."""
    database = Database(url)
    await database.open()
    await execute(database, *(table.delete() for table in (callbacks, publishers, servers)))
    await enter(database, *names, "after")
    outbox = Outbox(database, lambda app_id, event: True, lambda: NOW)
    several = [Attendance(database, outbox, lambda: NOW, lambda name=name: name, look=0.1) for name in names]
    for attendance in several:
        await attendance.start()
    try:
        yield database, several
    finally:
        for attendance in several:
            await attendance.close()
        await database.close()


async def enter(database: Database, *names: str) -> None:
    """Into the table of servers."""
    await execute(database, *(insert(servers).values(id=name, heartbeat=NOW) for name in names))


async def told(database: Database) -> list[str]:
    query = select(callbacks.c.event_type).order_by(callbacks.c.id)
    return [row.event_type for row in await rows(database, query)]


def joined(stream: StreamKey) -> PublisherJoined:
    return PublisherJoined(stream, BOTH, NOW)


def left(stream: StreamKey) -> PublisherLeft:
    return PublisherLeft(stream, LeaveReason.USER_LEFT, NOW)


async def test_one_room_on_two_servers_is_created_once(url: DatabaseUrl) -> None:
    async with attending(url, "one", "two") as (database, (one, two)):
        one.tell(joined(ALICE))
        two.tell(joined(BOB))
        await eventually(lambda: _count(database, 7))
        one.tell(left(ALICE))
        two.tell(left(BOB))
        await eventually(lambda: _count(database, 14))
        events = await told(database)
        assert events.count("RoomCreate") == events.count("RoomDestroy") == 1
        assert (events[0], events[-1]) == ("RoomCreate", "RoomDestroy")
        assert events.count("UserJoinRoom") == events.count("UserLeaveRoom") == 2


async def test_a_publisher_that_moves_to_another_server_does_not_leave(url: DatabaseUrl) -> None:
    async with attending(url, "one", "two") as (database, (one, two)):
        one.tell(joined(ALICE))
        await eventually(lambda: _count(database, 4))
        two.tell(joined(ALICE))
        await eventually(lambda: _at(database, "two"))
        one.tell(left(ALICE))
        await one.close()
        assert len(await told(database)) == 4
        two.tell(left(ALICE))
        await eventually(lambda: _count(database, 8))


async def test_who_was_at_a_server_that_is_gone_has_left(url: DatabaseUrl) -> None:
    async with attending(url, "gone", "also gone", "alive", "new") as (database, (gone, also, alive, _)):
        for server, stream, events in ((gone, ALICE, 4), (also, SCREEN, 6), (alive, BOB, 9)):
            server.tell(joined(stream))
            await eventually(lambda events=events: _count(database, events))
        await execute(database, servers.delete().where(servers.c.id.like("%gone")))
        before = await told(database)
        await eventually(lambda: _count(database, len(before) + 5))
        assert sorted((await told(database))[len(before) :]) == [
            "UserAudioStreamStop",
            "UserLeaveRoom",
            "UserScreenAudioStreamStop",
            "UserScreenVideoStreamStop",
            "UserVideoStreamStop",
        ]
        assert await rows(database, select(publishers.c.user_id)) == [("bob",)]


async def test_a_server_taken_for_dead_keeps_its_publishers(url: DatabaseUrl) -> None:
    async with attending(url) as (database, _):
        names = ["before"]
        outbox = Outbox(database, lambda app_id, event: True, lambda: NOW)
        server = Attendance(database, outbox, lambda: NOW, lambda: names[0], look=0.1)
        await server.start()
        server.tell(joined(ALICE))
        await eventually(lambda: _count(database, 4))
        names[:] = ["after"]
        await eventually(lambda: _at(database, "after"))
        server.tell(left(ALICE))
        await eventually(lambda: _count(database, 8))
        await server.close()


async def test_whom_others_told_to_have_left_joins_again(url: DatabaseUrl) -> None:
    """After their server was struck off and came back; not who publishes at another server by now."""
    async with attending(url, "other") as (database, (other,)):
        names = ["struck off"]
        outbox = Outbox(database, lambda app_id, event: True, lambda: NOW)
        server = Attendance(database, outbox, lambda: NOW, lambda: names[0], look=0.1)
        await server.start()
        for events, stream in ((4, ALICE), (7, BOB), (10, CAROL)):
            server.tell(joined(stream))
            # `other` may tell at any time that they have left: the server never was in the table.
            await eventually(lambda events=events: _at_least(database, events))
        server.tell(left(CAROL))
        await eventually(lambda: _present(database, set()))
        other.tell(joined(BOB))
        await eventually(lambda: _present(database, {("bob", "other")}))
        names[:] = ["after"]
        await eventually(lambda: _present(database, {("alice", "after"), ("bob", "other")}))
        assert (await told(database))[-3:] == ["UserJoinRoom", "UserAudioStreamStart", "UserVideoStreamStart"]
        server.tell(left(ALICE))
        await eventually(lambda: _present(database, {("bob", "other")}))
        assert (await told(database))[-1] == "UserLeaveRoom"
        await server.close()


async def test_many_at_once_leave_nothing_behind(url: DatabaseUrl) -> None:
    users = [StreamKey("app", "room", f"user{number}") for number in range(10)]
    async with attending(url, "one", "two") as (database, several):
        for number, user in enumerate(users):
            several[number % 2].tell(joined(user))
            several[number % 2].tell(left(user))
        await asyncio.gather(*(attendance.close() for attendance in several))
        events = await told(database)
        assert events.count("RoomCreate") == events.count("RoomDestroy") > 0
        assert events.count("UserJoinRoom") == events.count("UserLeaveRoom") == 10
        assert await rows(database, select(publishers)) == []


async def test_where_nobody_is_told_nothing_is_kept(tmp_path: Path) -> None:
    async with attending(DatabaseUrl.file(tmp_path / "relay.db")) as (database, _):
        outbox = Outbox(database, lambda app_id, event: event.value.startswith("Transcode"), lambda: NOW)
        attendance = Attendance(database, outbox, lambda: NOW, lambda: "one")
        await attendance.start()
        attendance.tell(joined(ALICE))
        await attendance.close()
        assert await rows(database, select(publishers)) == []


async def _count(database: Database, number: int) -> bool:
    return len(await told(database)) == number


async def _at(database: Database, server: str) -> bool:
    return set(await rows(database, select(publishers.c.server))) == {(server,)}


async def _at_least(database: Database, number: int) -> bool:
    return len(await told(database)) >= number


async def _present(database: Database, whom: set[tuple[str, str]]) -> bool:
    """Users, with their servers."""
    return set(await rows(database, select(publishers.c.user_id, publishers.c.server))) == whom
