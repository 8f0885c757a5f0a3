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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
THREADS = 3
"""Each with a connection: the writer's, the reader's, the keeper's. In memory, where another connection would be
another database, one does all."""
SLOW = 0.02
"""Seconds of a brief piece of work after which media had to wait for it too long: the disk, or the machine, is busy."""
SLOW_TIME = 10.0
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
        self._engine = _engine(url, BUSY_TIMEOUT)
        self._brief = _engine(url, 0.0) if url.path is not None else None
        self._brief_after = 0.0
        """By `time.monotonic`."""
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
        if brief and self._brief is not None and (begun := time.monotonic()) >= self._brief_after:
            try:
                return self._transaction(self._brief, work)
            except OperationalError as error:
                if not _is_locked(error):
                    raise
            finally:
                ended = time.monotonic()
                if ended - begun > SLOW:
                    self._brief_after = ended + SLOW_TIME
        transaction = partial(self._transaction, self._engine, work)
        return await asyncio.get_running_loop().run_in_executor(self._writer, transaction)

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
        await loop.run_in_executor(self._keeper, self._engine.dispose)
        if self._brief is not None:
            self._brief.dispose()
        for thread in (self._writer, self._reader, self._keeper):
            thread.shutdown()

    def _transaction(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        with engine.begin() as connection:
            done = work(connection)
        self._committed += 1
        if self._committed >= CHECKPOINT:
            self._committed = 0
            self._keeper.submit(self._checkpoint)
        return done

    def _checkpoint(self) -> None:
        if self._log is None:
            return
        try:
            mode = "TRUNCATE" if self._log.stat().st_size > MAX_LOG else "PASSIVE"
            with self._reading.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})").close()
        except (SQLAlchemyError, OSError) as error:
            log.warning("the database's log was not carried into its file", error=str(error).splitlines()[0])


def _engine(url: DatabaseUrl, busy_timeout: float) -> Engine:
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": THREADS, "max_overflow": 0}
    engine = create_engine(
        url.secret,
        hide_parameters=True,  # push URLs, among other things: no error shows them
        **({"poolclass": StaticPool} if url.path is None else pool),
        pool_reset_on_return=None,  # `begin` has ended what it began, and a read begins nothing
        connect_args={"timeout": busy_timeout, "check_same_thread": False},  # closed by whichever is last
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _is_locked(error: OperationalError) -> bool:
    """Another connection writes: nothing has been done yet, since a transaction begins as a writer."""
    return isinstance(error.orig, sqlite3.OperationalError) and error.orig.sqlite_errorcode == sqlite3.SQLITE_BUSY


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
