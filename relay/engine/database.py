"""The SQL database: what is to be done in it is a function of a connection, which runs beside the event loop, or on it
where it is over at once.

Migrations run when the database is opened, one process at a time. Whatever keeps rows beside the ledger's puts its
tables into `engine.schema` and a revision into `engine/migrations/versions`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, cast, column, extract, func, literal, select, table
from sqlalchemy.dialects import postgresql, sqlite

from relay.engine.database_url import DatabaseUrl
from relay.engine.postgresql import PostgreSQL
from relay.engine.schema import REVISION
from relay.engine.sqlite import SQLite

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSIONS = table("alembic_version", column("version_num"))
MIGRATION_LOCK = 0x72656C6179
"""PostgreSQL's advisory lock of those who migrate: "relay"."""


class Driver(Protocol):
    """How one kind of database is talked to."""

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T: ...
    async def read(self, work: Callable[[Connection], T]) -> T: ...
    async def close(self) -> None: ...


class DatabaseUnavailable(Exception):
    """The database did not do what was asked; the text is for the operator and has no secret in it."""


class Database:
    """One database, from `open` to `close`. Errors are `sqlalchemy.exc.SQLAlchemyError`, `OSError`, `TimeoutError`."""

    def __init__(self, url: DatabaseUrl) -> None:
        self.url = url
        self._driver: Driver | None = None

    async def open(self, revision: str = REVISION) -> None:
        """Connects, if that is not done, and brings the schema to `revision`. Raises `DatabaseUnavailable`."""
        if self._driver is not None:
            return
        try:
            self._driver = SQLite(self.url) if self.url.is_sqlite else PostgreSQL(self.url)
            await self._driver.write(lambda connection: self._upgrade(connection, revision))
        except BaseException as error:
            await self.close()
            if not isinstance(error, Exception):  # cancelled
                raise
            raise DatabaseUnavailable(f"the database {self.url} cannot be opened: {first_line(error)}") from None

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """What `work` returns, once its transaction is committed; it is rolled back if `work` raises.

        `work` may run in another thread, or in pieces between other tasks of the loop: it changes nothing they see. It
        runs again where another server's transaction was in its way. `brief`: it is a few statements of a few rows, and
        may be done at once.
        """
        return await self._opened.write(work, brief=brief)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns: SELECTs, each of which sees what is committed then. It waits for no writer."""
        return await self._opened.read(work)

    def insert(self, table: Table) -> Any:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
        return sqlite.insert(table) if self.url.is_sqlite else postgresql.insert(table)

    def now(self, wall: int) -> ColumnElement[int]:
        """Milliseconds since 1970, by one clock for all who share the database: `wall`, this host's, is SQLite's."""
        if self.url.is_sqlite:
            return literal(wall, BigInteger)
        return cast(extract("epoch", func.clock_timestamp()) * 1000, BigInteger)

    def lock(self, connection: Connection, number: int | ColumnElement[int]) -> None:
        """Nobody else who asks for `number` gets it before the transaction's end. SQLite has one writer anyway."""
        if not self.url.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(number)))

    @property
    def _opened(self) -> Driver:
        if self._driver is None:
            raise RuntimeError("the database is not open")
        return self._driver

    def _upgrade(self, connection: Connection, revision: str) -> None:
        """Alembic's upgrade, inside the connection's transaction."""
        self.lock(connection, MIGRATION_LOCK)
        made = connection.dialect.has_table(connection, _VERSIONS.name)
        if made and connection.scalar(select(_VERSIONS.c.version_num)) == revision:
            return
        from alembic import command  # not at the top: half a second that only a new database needs
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def first_line(error: BaseException) -> str:
    """What a database said, without its details, in which there are rows."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
