"""A test's own look into the database, and its own changes."""

from typing import Any

from sqlalchemy import Connection, Executable, Row, Select

from relay.engine.database import Database


async def rows(database: Database, query: Select[Any]) -> list[Row[Any]]:
    return list(await database.read(lambda connection: connection.execute(query).all()))


async def execute(database: Database, *statements: Executable) -> None:
    """In one transaction."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    await database.write(work)
