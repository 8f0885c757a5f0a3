"""PostgreSQL through asyncpg, whose protocol runs on the event loop."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from relay.engine.database_url import DatabaseUrl

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 10.0
POOL_SIZE = 4
ATTEMPTS = 3
_AGAIN = frozenset({"40001", "40P01"})
"""SQLSTATE of a serialization failure and of a deadlock: nothing was done, and another attempt may do it."""


class PostgreSQL:
    """Implements `engine.database.Driver`."""

    def __init__(self, url: DatabaseUrl) -> None:
        self._engine = create_async_engine(
            url.secret,
            hide_parameters=True,  # push URLs, among other things: no error shows them
            pool_size=POOL_SIZE,
            pool_pre_ping=True,
            connect_args={"timeout": CONNECT_TIMEOUT, "command_timeout": COMMAND_TIMEOUT},
        )

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._write(work)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _AGAIN:
                    raise
        return await self._write(work)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            return await connection.run_sync(work)

    async def close(self) -> None:
        await self._engine.dispose()
