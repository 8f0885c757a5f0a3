"""Where the database is: SQLite in a file or in memory, or PostgreSQL."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

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
            return cls(url.set(drivername="sqlite+pysqlite"))
        raise ValueError(f"the ledger is kept in SQLite or PostgreSQL: write {_FORMS}")

    @classmethod
    def file(cls, path: Path) -> "DatabaseUrl":
        return cls(URL.create("sqlite+pysqlite", database=str(path)))

    @classmethod
    def memory(cls) -> "DatabaseUrl":
        """SQLite that ends with the process."""
        return cls(URL.create("sqlite+pysqlite", database=":memory:"))

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
