"""This server among those that share the database: who lives, and who runs the tasks of one that does not.

Each server tells by a heartbeat that it lives. One that has been silent for `LEASE` is struck off by whoever notices;
its tasks are then free, and are taken over with a new generation, so that nothing the old owner says counts any more.
A server that starts under the name of an earlier one (the same place, so that one is gone) strikes it off at once.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, insert, or_, select, update

from relay.engine.changes import TaskChange
from relay.engine.database import Database
from relay.engine.rows import progress_of, snapshot_of
from relay.engine.schema import servers, tasks

BEAT = 1.0
"""Seconds from one heartbeat to the next."""
LEASE = 3.0
"""Seconds of silence after which a server counts as dead."""
_ACTIVE = tasks.c.end_time.is_(None)
AT_ONCE = 100
"""Tasks taken over in one transaction: other servers get their share."""


class Membership:
    """One server's place in the table `servers`. Each method runs in a transaction of the caller's."""

    def __init__(self, database: Database, wall: Callable[[], int], name: str | None) -> None:
        self.id = secrets.token_hex(8)
        self._next_id = secrets.token_hex(8)
        """Under which this server enters again once it is struck off."""
        self._database = database
        self._wall = wall
        self._name = name

    def join(self, connection: Connection) -> None:
        """Enters this server, in the place of the one that had its name."""
        if self._name is not None:
            self._strike_off(connection, servers.c.name == self._name)
        self._enter(connection, self.id, self._name)

    def beat(self, connection: Connection) -> bool:
        """Tells that this server lives; False: it has been struck off, and enters again."""
        told = connection.execute(update(servers).where(servers.c.id == self.id).values(heartbeat=self._now))
        known = told.rowcount == 1
        if not known:
            self.rejoin(connection)
        return known

    def rejoin(self, connection: Connection) -> None:
        """Enters this server again, as another, with those of its tasks that nobody has taken over yet.

        It is the other from `rejoined` on, when that is committed. Until then it may come again: it is not always told
        where a commit fails whether it took place.
        """
        connection.execute(delete(servers).where(servers.c.id == self._next_id))
        self._enter(connection, self._next_id, None)
        mine = update(tasks).where(tasks.c.owner == self.id, _ACTIVE)
        connection.execute(mine.values(owner=self._next_id))

    def rejoined(self) -> None:
        self.id, self._next_id = self._next_id, secrets.token_hex(8)

    def leave(self, connection: Connection) -> None:
        """Strikes this server off: its tasks are free at once."""
        self._strike_off(connection, servers.c.id == self.id)

    def look(self, connection: Connection) -> tuple[dict[int, int], bool]:
        """The generations of the active tasks that are this server's by their rows; whether anybody is dead: another
        server that has been silent for too long, or the one of an active task."""
        mine = select(tasks.c.id, tasks.c.generation).where(tasks.c.owner == self.id, _ACTIVE)
        generations = {row.id: row.generation for row in connection.execute(mine)}
        dead = exists().where(self.silent, servers.c.id != self.id)
        orphans = exists().where(_ACTIVE, self._not_of(select(servers.c.id)))
        return generations, bool(connection.scalar(select(or_(dead, orphans))))

    def take_over(
        self, connection: Connection, found: Collection[int] = (), *, strike_off: bool = False
    ) -> list[TaskChange]:
        """Makes this server the owner of tasks that have none, and of those `found` to be its own by their rows.

        `strike_off`: servers that have been silent for too long are struck off before.
        """
        if strike_off:
            self._strike_off(connection, self.silent & (servers.c.id != self.id))
        now = self._wall()
        free = self._not_of(select(servers.c.id))
        statement = select(tasks).where(_ACTIVE, or_(free, tasks.c.id.in_(found)))
        statement = statement.order_by(tasks.c.id).limit(AT_ONCE).with_for_update(skip_locked=True)
        changes = []
        for row in connection.execute(statement).mappings().all():
            before = snapshot_of(row)
            after = replace(before.cut_off(now), generation=before.generation + 1)
            mine: dict[str, Any] = {"owner": self.id, "generation": after.generation, **progress_of(after)}
            connection.execute(update(tasks).where(tasks.c.id == after.id).values(mine))
            changes.append(TaskChange(before, after, now))
        return changes

    @property
    def silent(self) -> ColumnElement[bool]:
        """The server of a row has not told for too long that it lives."""
        return servers.c.heartbeat < self._now - int(LEASE * 1000)

    @property
    def _now(self) -> ColumnElement[int]:
        return self._database.now(self._wall())

    def _not_of(self, owners: Select[tuple[str]]) -> ColumnElement[bool]:
        """Tasks of none of these; nor of this server, which may have been struck off and not know it yet."""
        return and_(tasks.c.owner.not_in(owners), tasks.c.owner != self.id)

    def _enter(self, connection: Connection, server: str, name: str | None) -> None:
        connection.execute(insert(servers).values(id=server, name=name, heartbeat=self._now))

    def _strike_off(self, connection: Connection, which: ColumnElement[bool]) -> None:
        gone = connection.execute(delete(servers).where(which).returning(servers.c.id, servers.c.heartbeat))
        for owner, heartbeat in gone.all():
            # Where media arrived, the idle clock runs from when its server was last known to live.
            running = update(tasks).where(tasks.c.owner == owner, _ACTIVE)
            connection.execute(running.where(tasks.c.idle_since.is_(None)).values(idle_since=heartbeat))
