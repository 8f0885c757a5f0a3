"""SQLite off the event loop: one thread writes, one reads, and a piece of work is one way to its thread and back."""

import asyncio
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from relay.engine.database_url import DatabaseUrl

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds that SQLite waits for another process's write."""
THREADS = 2
"""Each with a connection: the writer's and the reader's. In memory, where another connection would be another
database, one does both."""


class SQLite:
    """Implements `engine.database.Driver`. Work that has begun is finished, even if who waits for it is cancelled."""

    def __init__(self, url: DatabaseUrl) -> None:
        if url.path is not None:
            _make_private(url.path)
        self._engine = _engine(url)
        self._reading = self._engine.execution_options(relay_reads=True)
        self._writer = ThreadPoolExecutor(1, "relay-sqlite-writer")
        self._reader = self._writer if url.path is None else ThreadPoolExecutor(1, "relay-sqlite-reader")

    async def write(self, work: Callable[[Connection], T]) -> T:
        def transaction() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, transaction)

    async def read(self, work: Callable[[Connection], T]) -> T:
        def look() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._reader, look)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        for thread in (self._reader, self._writer):
            await loop.run_in_executor(thread, self._engine.dispose)  # after what it has been given
        for thread in (self._reader, self._writer):
            thread.shutdown()


def _engine(url: DatabaseUrl) -> Engine:
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": THREADS, "max_overflow": 0}
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
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("relay_reads"):
        # At once a writer: one that reads first and writes later may find that another has written between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
