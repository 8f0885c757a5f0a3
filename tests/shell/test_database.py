"""The database: its URL, its file, its migrations, on SQLite and on a real PostgreSQL."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError

from relay.engine import sqlite as sqlite_module
from relay.engine.database import MIGRATIONS, Database, DatabaseUnavailable
from relay.engine.database_url import DatabaseUrl
from relay.engine.postgresql import PostgreSQL
from relay.engine.schema import REVISION, metadata, servers, tasks
from relay.engine.sqlite import SQLite
from tests.support.eventually import eventually
from tests.support.postgres import PASSWORD, postgres
from tests.support.sql import execute, rows
from tests.support.thorough import also, thorough

FIRST = "0001"
ROW: dict[str, Any] = {
    "app_id": "app",
    "room_id": "room",
    "task_id": "task",
    "business_id": "",
    "user_id": "user",
    "stream_type": 0,
    "push_url": "rtmp://127.0.0.1/live/the-stream-key",
    "media_type": 0,
    "max_idle_time": 180.0,
    "owner": "server",
    "generation": 1,
    "state": "waiting",
    "has_pushed": False,
    "stop_reason": "",
    "start_time": 1,
    "connects": 0,
    "last_error": "",
    "video_sent": 0,
    "audio_sent": 0,
    "dropped": 0,
    "bytes_sent": 0,
}


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


def _shared(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    if request.param == "file":
        return DatabaseUrl.file(tmp_path / "state" / "relay.db")
    return DatabaseUrl.parse(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["file", *also("postgresql")])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    """Of a database that several connections, and processes, may use."""
    return _shared(request, tmp_path)


@pytest.fixture(params=["file", "memory", *also("postgresql")])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    return DatabaseUrl.memory() if request.param == "memory" else _shared(request, tmp_path)


@contextlib.asynccontextmanager
async def opened(url: DatabaseUrl, revision: str = "head") -> AsyncIterator[Database]:
    """One that is empty but for the tables."""
    database = Database(url)
    if not url.is_sqlite:
        await database.open()
        await execute(database, sa.text("DROP SCHEMA public CASCADE"), sa.text("CREATE SCHEMA public"))
        await database.close()
    await database.open(revision)
    try:
        yield database
    finally:
        await database.close()


def files_open() -> set[str]:
    """Sockets too."""
    return {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


def test_the_newest_revision_is_that_of_the_schema() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == REVISION


async def test_the_tables_are_those_of_the_migrations(url: DatabaseUrl) -> None:
    def differences(connection: sa.Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    def conditions(connection: sa.Connection) -> dict[str | None, str]:
        """Of partial indexes: Alembic compares none."""
        name = f"{connection.dialect.name}_where"
        found = sa.inspect(connection).get_indexes("tasks")
        return {index["name"]: str(index["dialect_options"].get(name, "")) for index in found}

    async with opened(url) as database:
        assert await database.read(differences) == []
        migrated = await database.read(conditions)
        await database.write(metadata.drop_all)
        await database.write(metadata.create_all)
        assert await database.read(conditions) == migrated
        assert "end_time IS NULL" in migrated["one_active_task_per_name"]


async def test_rows_of_the_first_revision_are_there_in_the_newest(shared_url: DatabaseUrl) -> None:
    async with opened(shared_url, FIRST) as database:
        first = sa.text("INSERT INTO servers (id, name, heartbeat) VALUES ('a', 'b', 3)")
        await execute(database, first, tasks.insert().values(ROW))
        await database.close()
        await database.open()
        assert await rows(database, servers.select()) == [("a", "b", 3)]
        (row,) = await rows(database, tasks.select())
        assert {name: row._mapping[name] for name in ROW} == ROW


async def test_one_active_task_per_name(url: DatabaseUrl) -> None:
    async with opened(url) as database:
        several: list[dict[str, Any]] = [{"end_time": 5}, {"end_time": 6}, {}, {"room_id": "other"}]
        await execute(database, *(tasks.insert().values({**ROW, **one}) for one in several))
        with pytest.raises(IntegrityError) as caught:
            await execute(database, tasks.insert().values({**ROW, "room_id": "third"}), tasks.insert().values(ROW))
        assert "the-stream-key" not in str(caught.value)
        statement = database.insert(tasks).values(ROW).on_conflict_do_nothing().returning(tasks.c.id)
        assert await database.write(lambda connection: connection.execute(statement).first()) is None
        assert len(await rows(database, tasks.select())) == 4, "what was before the error is rolled back with it"


async def test_processes_that_migrate_at_once_wait_for_each_other(shared_url: DatabaseUrl) -> None:
    async with opened(shared_url):
        pass
    several = [Database(shared_url) for _ in range(4)]
    await asyncio.gather(*(database.open() for database in several))
    for database in several:
        assert await rows(database, servers.select()) == []
        await database.close()


async def test_what_is_read_waits_for_no_writer(shared_url: DatabaseUrl) -> None:
    async def look() -> int:
        driver = SQLite(shared_url) if shared_url.is_sqlite else PostgreSQL(shared_url)
        try:
            return await driver.read(lambda connection: len(connection.execute(servers.select()).all()))
        finally:
            await driver.close()

    def write(connection: sa.Connection) -> int:
        connection.execute(servers.insert().values(id="a", heartbeat=1))
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(asyncio.run, look()).result(10)

    async with opened(shared_url) as database:
        assert await database.write(write) == 0
        assert await look() == 1


async def test_who_stops_waiting_leaves_a_whole_transaction(tmp_path: Path) -> None:
    async with opened(DatabaseUrl.file(tmp_path / "relay.db")) as database:
        begun, go_on = threading.Event(), threading.Event()

        def write(connection: sa.Connection) -> None:
            begun.set()
            go_on.wait(10)
            connection.execute(servers.insert().values(id="a", heartbeat=1))

        writing = asyncio.create_task(database.write(write))
        await eventually(begun.is_set)
        writing.cancel()
        await asyncio.wait([writing])
        go_on.set()
        await execute(database, servers.insert().values(id="b", heartbeat=1))
        assert len(await rows(database, servers.select())) == 2


async def test_brief_work_is_done_at_once_and_undone_where_it_fails(tmp_path: Path) -> None:
    def write(connection: sa.Connection, name: str) -> int:
        connection.execute(servers.insert().values(id=name, heartbeat=1))
        return threading.get_ident()

    async with opened(DatabaseUrl.file(tmp_path / "relay.db")) as database:
        assert await database.write(lambda connection: write(connection, "a")) != threading.get_ident()
        assert await database.write(lambda connection: write(connection, "b"), brief=True) == threading.get_ident()
        with pytest.raises(IntegrityError):
            await database.write(lambda connection: (write(connection, "c"), write(connection, "a")), brief=True)
        assert await database.write(lambda connection: write(connection, "d"), brief=True) == threading.get_ident()
        assert await rows(database, sa.select(servers.c.id)) == [("a",), ("b",), ("d",)]


async def test_brief_work_that_another_is_in_the_way_of_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    url = DatabaseUrl.file(tmp_path / "relay.db")
    begun, go_on = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        begun.set()
        go_on.wait(10)

    def write(connection: sa.Connection) -> int:
        connection.execute(servers.insert().values(id=str(go_on.is_set()), heartbeat=1))
        return threading.get_ident()

    async with opened(url) as other, opened(url) as database:
        await database.write(lambda connection: None, brief=True)
        holding = asyncio.create_task(other.write(hold))
        await eventually(begun.is_set)
        writing = asyncio.create_task(database.write(write, brief=True))
        await asyncio.wait([writing], timeout=0.05)
        assert not writing.done()
        go_on.set()
        await holding
        assert await writing != threading.get_ident()
        with pytest.raises(IntegrityError):
            await database.write(write, brief=True)
        await execute(database, servers.delete())
        assert await database.write(write, brief=True) == threading.get_ident()


async def test_brief_work_leaves_the_loop_for_a_while_after_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(DatabaseUrl.file(tmp_path / "relay.db")) as database:
        monkeypatch.setattr(sqlite_module, "SLOW", -1.0)
        monkeypatch.setattr(sqlite_module, "SLOW_TIME", 1.0)
        assert await database.write(lambda _: threading.get_ident(), brief=True) == threading.get_ident()
        assert await database.write(lambda _: threading.get_ident(), brief=True) != threading.get_ident()

        async def here_again() -> bool:
            return await database.write(lambda _: threading.get_ident(), brief=True) == threading.get_ident()

        await eventually(here_again)


async def test_the_log_is_carried_into_the_file_beside_those_who_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "CHECKPOINT", 50)
    path = tmp_path / "relay.db"
    async with opened(DatabaseUrl.file(path)) as database:
        await execute(database, *(servers.insert().values(id=f"first{n}", heartbeat=1) for n in range(2000)))
        before, size = path.stat().st_size, path.with_name("relay.db-wal").stat().st_size
        for number in range(50):
            await execute(database, servers.insert().values(id=f"second{number}", heartbeat=1))
        await eventually(lambda: path.stat().st_size > before, what="rows in the file itself")
        monkeypatch.setattr(sqlite_module, "MAX_LOG", size)
        for number in range(50):
            await execute(database, servers.insert().values(id=f"third{number}", heartbeat=1))
        await eventually(lambda: path.with_name("relay.db-wal").stat().st_size < size, what="the log begins anew")
        assert len(await rows(database, servers.select())) == 2100


@pytest.mark.parametrize("how", ["read", "write"])
async def test_close_waits_for_what_is_under_way_and_leaves_no_file_open(tmp_path: Path, how: str) -> None:
    database, path = Database(DatabaseUrl.file(tmp_path / "relay.db")), tmp_path / "relay.db"
    await database.open()
    begun, go_on = threading.Event(), threading.Event()

    def work(connection: sa.Connection) -> None:
        connection.execute(servers.select()).close()
        begun.set()
        go_on.wait(10)

    def files() -> list[Path]:
        return list(tmp_path.iterdir())

    working = asyncio.create_task(database.read(work) if how == "read" else database.write(work))
    await eventually(begun.is_set)
    closing = asyncio.create_task(database.close())
    await eventually(lambda: database._driver is None)
    go_on.set()
    await asyncio.gather(working, closing)
    assert not {name for name in files_open() if name.startswith(str(path))}
    assert files() == [path], "the last one to close has put the journal into the file"


@contextlib.contextmanager
def written_by_another(url: DatabaseUrl) -> Iterator[None]:
    """Others wait, where it is SQLite's file."""
    if url.path is None:
        yield
        return
    with contextlib.closing(sqlite3.connect(url.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("turns", [1, 10])
async def test_opening_that_is_cancelled_leaves_nothing_open_and_may_be_tried_again(
    shared_url: DatabaseUrl, turns: int
) -> None:
    """After so many turns of the loop: too few for PostgreSQL's answers."""
    async with opened(shared_url) as database:
        await database.write(metadata.drop_all)
        await execute(database, sa.text("DROP TABLE alembic_version"))
    threads, files = set(threading.enumerate()), files_open()
    with written_by_another(shared_url):
        opening = asyncio.create_task(database.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert set(threading.enumerate()) == threads
    assert files_open() == files
    await database.open()
    assert await rows(database, servers.select()) == []
    await database.close()


@thorough
async def test_transactions_that_wait_for_each_other_in_a_circle_are_both_done(postgres_url: str) -> None:
    begun: set[str] = set()

    def write(connection: sa.Connection, first: str, second: str) -> None:
        beat = servers.update().values(heartbeat=servers.c.heartbeat + 1)
        connection.execute(beat.where(servers.c.id == first))
        begun.add(first)
        while len(begun) < 2:
            connection.execute(sa.select(1))
        connection.execute(beat.where(servers.c.id == second))

    async with opened(DatabaseUrl.parse(postgres_url)) as database:
        await execute(database, *(servers.insert().values(id=name, heartbeat=0) for name in ("a", "b")))
        await asyncio.gather(
            *(
                database.write(lambda connection, one=one, other=other: write(connection, one, other))
                for one, other in ("ab", "ba")
            )
        )
        assert await rows(database, sa.select(servers.c.heartbeat)) == [(2,), (2,)]


async def test_the_clock_that_servers_share(url: DatabaseUrl) -> None:
    async with opened(url) as database:
        ((now,),) = await rows(database, sa.select(database.now(1_700_000_000_000)))
        assert now == 1_700_000_000_000 if url.is_sqlite else now > 1_700_000_000_000


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "relay.db"
    for _ in range(2):
        async with opened(DatabaseUrl.file(path)) as database:
            await execute(database, servers.delete())
            for file in path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        path.chmod(0o644)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:////var/lib/relay.db", "sqlite:////var/lib/relay.db"),
        ("sqlite:///relay.db", "sqlite:///relay.db"),
        ("sqlite://", "sqlite://"),
        ("postgres://u:hidden@db.example/relay", "postgresql://u:***@db.example/relay"),
        ("postgresql://u:hidden@db/relay?sslmode=require", "postgresql://u:***@db/relay"),
        ("postgresql+asyncpg://u@db/relay?password=hidden", "postgresql://u@db/relay"),
    ],
)
def test_a_url_is_read_and_shown_without_its_password(text: str, shown: str) -> None:
    url = DatabaseUrl.parse(text)
    assert str(url) == shown
    assert repr(url) == f"DatabaseUrl({shown!r})"
    assert url.secret.query.get("ssl") == ("require" if "sslmode" in text else None)


@pytest.mark.parametrize(
    "text", ["", "relay.db", "mysql://u:hidden@h/d", "postgresql://u:hidden@h", "postgres://:x:y/"]
)
def test_what_is_no_url_of_a_database(text: str) -> None:
    with pytest.raises(ValueError, match=r"write .*postgresql://user:password@host/database") as caught:
        DatabaseUrl.parse(text)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


@thorough
async def test_a_wrong_password_is_not_told(postgres_url: str) -> None:
    database = Database(DatabaseUrl.parse(postgres_url.replace(PASSWORD, "wrong-password")))
    with pytest.raises(DatabaseUnavailable, match="authentication failed") as caught:
        await database.open()
    assert "wrong-password" not in "".join(traceback.format_exception(caught.value))
