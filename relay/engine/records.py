"""The ledger's statements: each takes a connection, and reads or writes tasks in the caller's transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, func, or_, select, update

from relay.core.ident import RoomKey, TaskKey
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, State, StopReason, TaskSpec
from relay.engine.changes import TaskChange
from relay.engine.database import Database
from relay.engine.rows import PROGRESS, progress_of, row_of, snapshot_of
from relay.engine.schema import servers, tasks
from relay.engine.servers import Membership

HISTORY = 72 * 3600 * 1000
"""Milliseconds an ended task is visible for, from its start."""
PRUNED_AT_ONCE = 1000
_ACTIVE = tasks.c.end_time.is_(None)
_UPDATE = (
    update(tasks)
    .where(
        tasks.c.id == bindparam("of_task"),
        tasks.c.owner == bindparam("of_owner"),
        tasks.c.generation == bindparam("of_generation"),
    )
    .values({name: bindparam(name) for name in PROGRESS})
)
"""Made once: to make one costs as much as to execute it."""


class Records:
    """Tasks in the database, as `membership`'s server reads and writes them."""

    def __init__(self, database: Database, membership: Membership, wall: Callable[[], int]) -> None:
        self._membership = membership
        names = (tasks.c.id, tasks.c.app_id, tasks.c.room_id, tasks.c.task_id)
        self._insert = database.insert(tasks).on_conflict_do_nothing().returning(*names)
        self._wall = wall

    def insert(self, connection: Connection, specs: Sequence[TaskSpec]) -> list[TaskChange | None]:
        """New tasks of this server, as far as their names are free: one answer for each of `specs`."""
        changes: list[TaskChange | None] = [None] * len(specs)
        if not specs:
            return changes
        now = self._wall()
        wanted = {spec.key: index for index, spec in reversed(tuple(enumerate(specs)))}
        # In the order of their names: servers that start the same ones at once do not wait for each other in a circle.
        rows = [
            {"owner": self._membership.id, **row_of(TaskSnapshot.begun(specs[index], Lease(0, 1, now), now))}
            for _, index in sorted(wanted.items())
        ]
        for row in connection.execute(self._insert, rows).all():
            index = wanted[TaskKey(row.app_id, row.room_id, row.task_id)]
            changes[index] = TaskChange(None, TaskSnapshot.begun(specs[index], Lease(row.id, 1, now), now), now)
        return changes

    def update(
        self,
        connection: Connection,
        recorded: Mapping[int, TaskSnapshot],
        steps: Mapping[int, Sequence[TaskSnapshot]],
        *,
        unsure: bool,
    ) -> tuple[list[TaskChange], list[int]]:
        """Takes each task from `recorded` through its steps; the second list is of those no longer this server's.

        `unsure`: an attempt at some of the steps has failed. It is not always told where a commit fails whether it took
        place: what the rows show already is not done again.
        """
        changes, lost, now = [], [], self._wall()
        for task, snapshots in sorted(steps.items()):
            before, left, newest = recorded[task], snapshots, snapshots[-1]
            if unsure:
                before, left = self._left(connection, before, snapshots)
            mine = {"of_task": task, "of_owner": self._membership.id, "of_generation": newest.generation}
            done = connection.execute(_UPDATE, mine | progress_of(newest))
            if done.rowcount != 1:
                lost.append(task)
                continue
            for after in left:
                changes.append(TaskChange(before, after, now))
                before = after
        return changes, lost

    def _left(
        self, connection: Connection, recorded: TaskSnapshot, steps: Sequence[TaskSnapshot]
    ) -> tuple[TaskSnapshot, Sequence[TaskSnapshot]]:
        """A task as its row has it, and the steps from there; where none is left, one that changes nothing."""
        row = connection.execute(select(tasks).where(tasks.c.id == recorded.id)).mappings().first()
        written = recorded if row is None else snapshot_of(row)
        if written == recorded or written not in steps:
            return recorded, steps
        return written, steps[steps.index(written) + 1 :] or [written]

    def end(self, connection: Connection, key: TaskKey) -> list[TaskChange]:
        """Ends the active task of that name, whichever server runs it; empty: there is none.

        By the new generation its owner, who finds out at its next look, has no say in it any more.
        """
        now = self._wall()
        row = connection.execute(select(tasks).where(_named(key), _ACTIVE).with_for_update()).mappings().first()
        if row is None:
            return []
        before = snapshot_of(row)
        after = replace(
            before, state=State.STOPPED, stop_reason=StopReason.BY_API, end_time=now, generation=before.generation + 1
        )
        values = {"generation": after.generation, **progress_of(after)}
        connection.execute(update(tasks).where(tasks.c.id == after.id).values(values))
        return [TaskChange(before, after, now)]

    def active(self, connection: Connection, key: TaskKey) -> bool:
        return bool(connection.scalar(select(exists().where(_named(key), _ACTIVE))))

    def find(
        self, connection: Connection, room: RoomKey, task_id: str | None, user_id: str | None
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
        row = connection.execute(statement).mappings().first()
        if row is None:
            return None
        snapshot, heartbeat = snapshot_of(row), row["heartbeat"]
        if snapshot.active and (heartbeat is None or row["silent"]):
            # Nobody pushes what a dead server pushed.
            return snapshot.cut_off(heartbeat or snapshot.start_time)
        return snapshot

    def prune(self, connection: Connection) -> bool:
        """Removes what is too old to be seen; True: there is more.

        The newest row stays: SQLite would give its number away again, while callbacks given up still point there.
        """
        newest = select(func.max(tasks.c.id)).scalar_subquery()
        old = select(tasks.c.id).where(~_ACTIVE, tasks.c.start_time < self._wall() - HISTORY, tasks.c.id < newest)
        gone = connection.execute(delete(tasks).where(tasks.c.id.in_(old.limit(PRUNED_AT_ONCE))))
        return gone.rowcount == PRUNED_AT_ONCE


def _named(key: TaskKey) -> ColumnElement[bool]:
    return and_(tasks.c.app_id == key.app_id, tasks.c.room_id == key.room_id, tasks.c.task_id == key.task_id)
