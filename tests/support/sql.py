"""A test's own look into the database, and its own changes; a file with all tables."""

import asyncio
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Executable, Row, Select

from relay.engine.database import Database
from relay.engine.database_url import DatabaseUrl
from relay.engine.schema import metadata


async def rows(database: Database, query: Select[Any]) -> list[Row[Any]]:
    return list(await database.read(lambda connection: connection.execute(query).all()))


async def execute(database: Database, *statements: Executable) -> None:
    """In one transaction."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    await database.write(work)


class InMemory(Database):
    """A new one whose tables are there at once: those of the migrations, as test_database.py shows."""

    def __init__(self) -> None:
        super().__init__(DatabaseUrl.memory())

    def _upgrade(self, connection: Connection, revision: str) -> None:
        metadata.create_all(connection, checkfirst=False)


def migrated(folder: Path) -> DatabaseUrl:
    """A file in a test's folder with the tables of the newest revision, which are made once. Not on a running loop."""
    return DatabaseUrl.file(Path(shutil.copy(_template(folder.parent), folder / "relay.db")))


@lru_cache(maxsize=1)
def _template(folder: Path) -> Path:
    path = folder / "migrated.db"

    async def make() -> None:
        database = Database(DatabaseUrl.file(path))
        await database.open()
        await database.close()

    asyncio.run(make())
    return path
