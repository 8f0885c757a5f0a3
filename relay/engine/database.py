"""The SQL database: SQLite in a file or in memory, or PostgreSQL, through SQLAlchemy's asyncio engine.

SQLite does its work in threads of aiosqlite, PostgreSQL in asyncpg's protocol, so that no look-up holds up the loop.
Migrations run when the database is opened, one process at a time. Whatever keeps rows beside the ledger's puts its
tables into `engine.schema` and a revision into `engine/migrations/versions`.
"""

import contextlib
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, cast, event, extract, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "head"
BUSY_TIMEOUT = 5.0
"""Seconds that SQLite waits for another process's write."""
CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 10.0
POOL_SIZE = 4
MIGRATION_LOCK = 0x72656C6179
"""PostgreSQL's advisory lock of those who migrate: "relay"."""
_FORMS = "sqlite:///relative.db, sqlite:////absolute.db or postgresql://user:password@host/database"


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrl:
    """Where the database is; make one with `parse`. `str` and `repr` do not show the password."""

    secret: URL = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "DatabaseUrl":
        """`ValueError` names the remedy and shows nothing of the URL."""
        try:
            url = make_url(text.strip())
        except (ArgumentError, ValueError):
            raise ValueError(f"this is no database URL: write {_FORMS}") from None
        dialect = url.drivername.partition("+")[0]
        if dialect in ("postgresql", "postgres"):
            if not url.database:
                raise ValueError("the database URL names no database: write postgresql://user:password@host/database")
            query = dict(url.query)
            if "sslmode" in query:  # libpq's word for what asyncpg calls ssl
                query["ssl"] = query.pop("sslmode")
            return cls(url.set(drivername="postgresql+asyncpg", query=query))
        if dialect == "sqlite":
            return cls(url.set(drivername="sqlite+aiosqlite"))
        raise ValueError(f"the ledger is kept in SQLite or PostgreSQL: write {_FORMS}")

    @classmethod
    def file(cls, path: Path) -> "DatabaseUrl":
        return cls(URL.create("sqlite+aiosqlite", database=str(path)))

    @classmethod
    def memory(cls) -> "DatabaseUrl":
        """SQLite that ends with the process."""
        return cls(URL.create("sqlite+aiosqlite", database=":memory:"))

    @property
    def is_sqlite(self) -> bool:
        return self.secret.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """Of SQLite's file."""
        name = self.secret.database
        if not self.is_sqlite or name in (None, "", ":memory:") or str(name).startswith("file:"):
            return None
        return Path(str(name))

    def __str__(self) -> str:
        shown = self.secret.set(query={}, drivername=self.secret.get_backend_name())
        return shown.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


class DatabaseUnavailable(Exception):
    """The database did not do what was asked; the text is for the operator and has no secret in it."""


class Database:
    """One database, from `open` to `close`. Errors are `sqlalchemy.exc.SQLAlchemyError`, `OSError`, `TimeoutError`."""

    def __init__(self, url: DatabaseUrl) -> None:
        self.url = url
        self._engine: AsyncEngine | None = None

    async def open(self, revision: str = HEAD) -> None:
        """Connects, if that is not done, and brings the schema to `revision`. Raises `DatabaseUnavailable`."""
        if self._engine is not None:
            return
        try:
            self._engine = _engine(self.url)
            async with self.begin() as connection:
                if not self.url.is_sqlite:
                    await connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                await connection.run_sync(upgrade, revision)
        except Exception as error:
            await self.close()
            raise DatabaseUnavailable(f"the database {self.url} cannot be opened: {first_line(error)}") from None

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: it is committed at the end of the block, or rolled back if that raises."""
        async with self._opened.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for SELECTs, each of which sees what is committed then; it waits for no writer."""
        async with self._opened.connect() as connection:
            if self.url.is_sqlite:
                await connection.execution_options(relay_reads=True)
            else:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    def insert(self, table: Table) -> Any:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
        return sqlite.insert(table) if self.url.is_sqlite else postgresql.insert(table)

    def now(self, wall: int) -> ColumnElement[int]:
        """Milliseconds since 1970, by one clock for all who share the database: `wall`, this host's, is SQLite's."""
        if self.url.is_sqlite:
            return literal(wall, BigInteger)
        return cast(extract("epoch", func.clock_timestamp()) * 1000, BigInteger)

    @property
    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise RuntimeError("the database is not open")
        return self._engine


def first_line(error: BaseException) -> str:
    """What a database said, without its details, in which there are rows."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]


def _engine(url: DatabaseUrl) -> AsyncEngine:
    # Parameters are push URLs, among other things: no error shows them.
    if not url.is_sqlite:
        return create_async_engine(
            url.secret,
            hide_parameters=True,
            pool_size=POOL_SIZE,
            pool_pre_ping=True,
            connect_args={"timeout": CONNECT_TIMEOUT, "command_timeout": COMMAND_TIMEOUT},
        )
    if url.path is not None:
        _make_private(url.path)
    engine = create_async_engine(
        url.secret,
        hide_parameters=True,
        # In memory each connection would have a database of its own.
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if url.path is None else POOL_SIZE,
        max_overflow=0,
        pool_reset_on_return=None,  # `begin` has ended what it began, and a read begins nothing
        connect_args={"timeout": BUSY_TIMEOUT},
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
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


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin_sqlite` does
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if not connection.get_execution_options().get("relay_reads"):
        # At once a writer: one that reads first and writes later may find that another has written between.
        # Past the driver's cursor, whose every step is a way to its thread and back.
        adapted: Any = connection.connection.dbapi_connection
        adapted.run_async(lambda driver: driver.execute("BEGIN IMMEDIATE"))


def upgrade(connection: Connection, revision: str) -> None:
    """Alembic's upgrade, inside the connection's transaction."""
    from alembic import command  # not at the top: half a second that only a server needs
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
