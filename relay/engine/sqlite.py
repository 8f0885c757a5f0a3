"""SQLite beside the event loop: one thread writes, one reads, and a piece of work is one way to its thread and back.

What is committed stands in the write-ahead log until a checkpoint carries it into the file. That waits for the disk, 20
ms and more, so a third thread does it, beside those who write.

A brief piece of work is done at once, on the loop: it takes half a millisecond, since a commit to the log does not wait
for the disk, where threads that take turns with a busy loop give each other the interpreter after 5 ms, some times for
each transaction. It goes to the thread where it would wait for another process, or where the last one was slow.
"""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from relay.engine.database_url import DatabaseUrl

log = structlog.get_logger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds that SQLite waits for another process's write."""
CONNECTIONS = 4
"""The writer's thread, the reader's and the keeper's have one each, and the loop. In memory, where another connection
would be another database, the writer's does all."""
SLOW = 0.02
"""Seconds of a brief piece of work after which media had to wait for it too long: the disk, or the machine, is busy."""
SLOW_TIME = 5.0
"""Seconds for which the thread does them all then."""
CHECKPOINT = 250
"""Transactions from one checkpoint to the next: about 4 MB of the log."""
MAX_LOG = 64 * 1024 * 1024
"""Bytes of the log beyond which writers wait for the checkpoint: where they never rest, it does not begin anew else."""


class SQLite:
    """Implements `engine.database.Driver`. Work that has begun is finished, even if who waits for it is cancelled."""

    def __init__(self, url: DatabaseUrl) -> None:
        if url.path is not None:
            _make_private(url.path)
        self._engine = _engine(url)
        self._here: Connection | None = None
        """The loop's own, with no patience; None in memory."""
        self._here_after = 0.0
        """By the loop's clock: until then nothing is done on the loop."""
        self._reading = self._engine.execution_options(relay_reads=True)
        self._writer = ThreadPoolExecutor(1, "relay-sqlite-writer")
        self._reader = self._keeper = self._writer
        if url.path is not None:
            self._reader = ThreadPoolExecutor(1, "relay-sqlite-reader")
            self._keeper = ThreadPoolExecutor(1, "relay-sqlite-keeper")
        self._log = url.path and url.path.with_name(url.path.name + "-wal")
        self._committed = 0
        """Transactions since the last checkpoint began."""

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        loop = asyncio.get_running_loop()
        if brief and self._here is not None and loop.time() >= self._here_after:
            begun = loop.time()
            try:
                return self._commit(self._here, work)
            except OperationalError as error:
                if not _is_locked(error):
                    raise
            finally:
                if loop.time() - begun > SLOW:
                    self._here_after = loop.time() + SLOW_TIME
        return await loop.run_in_executor(self._writer, self._write, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        def look() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._reader, look)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        # After what each has been given: a connection that is in use when the engine is disposed of stays open.
        for thread in (self._writer, self._reader):
            await loop.run_in_executor(thread, lambda: None)
        if self._here is not None:
            self._here.close()
        await loop.run_in_executor(self._keeper, self._engine.dispose)
        for thread in (self._writer, self._reader, self._keeper):
            thread.shutdown()

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self._here is None and self._log is not None:
            self._here = self._connect_here()
        with self._engine.connect() as connection:
            return self._commit(connection, work)

    def _commit(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        with connection.begin():
            done = work(connection)
        self._committed += 1
        if self._committed >= CHECKPOINT:
            self._committed = 0
            self._keeper.submit(self._checkpoint)
        return done

    def _connect_here(self) -> Connection:
        here = self._engine.connect()
        here.connection.cursor().execute("PRAGMA busy_timeout=0").close()
        return here

    def _checkpoint(self) -> None:
        if self._log is None:
            return
        try:
            mode = "TRUNCATE" if self._log.stat().st_size > MAX_LOG else "PASSIVE"
            with self._reading.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})").close()
        except (SQLAlchemyError, OSError) as error:
            log.warning("the database's log was not carried into its file", error=str(error).splitlines()[0])


def _engine(url: DatabaseUrl) -> Engine:
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": CONNECTIONS, "max_overflow": 0}
    engine = create_engine(
        url.secret,
        hide_parameters=True,  # push URLs, among other things: no error shows them
        **({"poolclass": StaticPool} if url.path is None else pool),
        pool_reset_on_return=None,  # `begin` has ended what it began, and a read begins nothing
        connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},  # closed by whichever is last
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _is_locked(error: OperationalError) -> bool:
    """Another connection writes: nothing has been done yet, since a transaction begins as a writer."""
    cause = error.orig
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _make_private(path: Path) -> None:
    """The file holds push URLs with their keys: nobody but its owner reads it, nor the journals made after its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _prepare(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin` does
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=0", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("relay_reads"):
        # At once a writer: one that reads first and writes later may find that another has written between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
