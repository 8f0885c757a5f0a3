"""The ledger's statements: each takes a connection, and reads or writes tasks in the caller's transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.core.ident import RoomKey, TaskKey
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, State, StopReason, TaskSpec
from relay.engine.changes import TaskChange
from relay.engine.database import Database
from relay.engine.rows import progress_of, row_of, snapshot_of
from relay.engine.schema import servers, tasks
from relay.engine.servers import Membership

HISTORY = 72 * 3600 * 1000
"""Milliseconds an ended task is visible for, from its start."""
PRUNED_AT_ONCE = 1000
_ACTIVE = tasks.c.end_time.is_(None)


class Records:
    """Tasks in the database, as `membership`'s server reads and writes them."""

    def __init__(self, database: Database, membership: Membership, wall: Callable[[], int]) -> None:
        self._database = database
        self._membership = membership
        self._wall = wall

    async def insert(self, connection: AsyncConnection, specs: Sequence[TaskSpec]) -> list[TaskChange | None]:
        """New tasks of this server, as far as their names are free: one answer for each of `specs`."""
        changes: list[TaskChange | None] = [None] * len(specs)
        now = self._wall()
        # In the order of their names: servers that start the same ones at once do not wait for each other in a circle.
        for index, spec in sorted(enumerate(specs), key=lambda item: item[1].key):
            new = TaskSnapshot.begun(spec, Lease(0, 1, now), now)
            statement = self._database.insert(tasks).values(owner=self._membership.id, **row_of(new))
            inserted = await connection.execute(statement.on_conflict_do_nothing().returning(tasks.c.id))
            if (row := inserted.first()) is not None:
                changes[index] = TaskChange(None, replace(new, id=row.id), now)
        return changes

    async def update(
        self,
        connection: AsyncConnection,
        recorded: Mapping[int, TaskSnapshot],
        steps: Mapping[int, Sequence[TaskSnapshot]],
    ) -> tuple[list[TaskChange], list[int]]:
        """Takes each task from `recorded` through its steps; the second list is of those no longer this server's."""
        changes, lost, now = [], [], self._wall()
        for task, snapshots in sorted(steps.items()):
            before, newest = recorded[task], snapshots[-1]
            mine = and_(
                tasks.c.id == task, tasks.c.owner == self._membership.id, tasks.c.generation == newest.generation
            )
            done = await connection.execute(update(tasks).where(mine).values(progress_of(newest)))
            if done.rowcount != 1:
                lost.append(task)
                continue
            for after in snapshots:
                changes.append(TaskChange(before, after, now))
                before = after
        return changes, lost

    async def end(self, connection: AsyncConnection, key: TaskKey) -> TaskChange | None:
        """Ends the active task of that name, whichever server runs it; None: there is none.

        By the new generation its owner, who finds out at its next look, has no say in it any more.
        """
        now = self._wall()
        row = (await connection.execute(select(tasks).where(_named(key), _ACTIVE).with_for_update())).mappings().first()
        if row is None:
            return None
        before = snapshot_of(row)
        after = replace(
            before, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=now, generation=before.generation + 1
        )
        values = {"generation": after.generation, **progress_of(after)}
        await connection.execute(update(tasks).where(tasks.c.id == after.id).values(values))
        return TaskChange(before, after, now)

    async def active(self, connection: AsyncConnection, key: TaskKey) -> bool:
        return bool(await connection.scalar(select(exists().where(_named(key), _ACTIVE))))

    async def find(
        self, connection: AsyncConnection, room: RoomKey, task_id: str | None, user_id: str | None
    ) -> TaskSnapshot | None:
        """The newest task of the room that matches what is given, active ones first; ended ones for `HISTORY`."""
        statement = (
            select(tasks, servers.c.heartbeat, self._membership.silent.label("silent"))
            .outerjoin(servers, servers.c.id == tasks.c.owner)
            .where(tasks.c.app_id == room.app_id, tasks.c.room_id == room.room_id)
            .where(or_(_ACTIVE, tasks.c.start_time >= self._wall() - HISTORY))
            .order_by(_ACTIVE.desc(), tasks.c.start_time.desc(), tasks.c.id.desc())
            .limit(1)
        )
        if task_id is not None:
            statement = statement.where(tasks.c.task_id == task_id)
        if user_id is not None:
            statement = statement.where(tasks.c.user_id == user_id)
        row = (await connection.execute(statement)).mappings().first()
        if row is None:
            return None
        snapshot, heartbeat = snapshot_of(row), row["heartbeat"]
        if snapshot.active and (heartbeat is None or row["silent"]):
            # Nobody pushes what a dead server pushed.
            return snapshot.cut_off(heartbeat or snapshot.start_time)
        return snapshot

    async def prune(self, connection: AsyncConnection) -> bool:
        """Removes what is too old to be seen; True: there is more."""
        old = select(tasks.c.id).where(~_ACTIVE, tasks.c.start_time < self._wall() - HISTORY).limit(PRUNED_AT_ONCE)
        gone = await connection.execute(delete(tasks).where(tasks.c.id.in_(old)))
        return gone.rowcount == PRUNED_AT_ONCE


def _named(key: TaskKey) -> ColumnElement[bool]:
    return and_(tasks.c.app_id == key.app_id, tasks.c.room_id == key.room_id, tasks.c.task_id == key.task_id)
