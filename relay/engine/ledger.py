"""What is remembered of every task: in memory, for as long as Get may ask."""

import itertools
from collections.abc import Callable

from relay.core.ident import RoomKey, TaskKey
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, State, StopReason, TaskSpec

HISTORY = 72 * 3600 * 1000
"""Milliseconds an ended task is visible for, from its start."""
MAX_ENDED = 100_000
"""Ended tasks remembered at most; beyond it the oldest are forgotten early."""


class Ledger:
    """The newest run of each task name, by room. `wall` gives milliseconds since 1970."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._rooms: dict[RoomKey, dict[str, TaskSnapshot]] = {}
        self._ended: dict[TaskKey, int] = {}
        """Start times of ended tasks, in the order they ended."""
        self._ids = itertools.count(1)

    def active(self, key: TaskKey) -> bool:
        known = self._rooms.get(key.room, {}).get(key.task_id)
        return known is not None and known.active

    def claim(self, spec: TaskSpec) -> Lease | None:
        """A new task; None: one of that name is active."""
        if self.active(spec.key):
            return None
        now = self._wall()
        lease = Lease(next(self._ids), 1, now)
        self.save(
            TaskSnapshot(spec, State.WAITING, False, StopReason.NONE, now, 0, id=lease.id, generation=1, idle_since=now)
        )
        return lease

    def save(self, snapshot: TaskSnapshot) -> None:
        key = snapshot.spec.key
        tasks = self._rooms.setdefault(key.room, {})
        known = tasks.get(key.task_id)
        if known is not None and known.id > snapshot.id:
            return  # the last word of an earlier task of this name
        tasks[key.task_id] = snapshot
        self._ended.pop(key, None)
        if snapshot.ended:
            self._ended[key] = snapshot.start_time
            self._prune()

    def of_room(self, room: RoomKey) -> list[TaskSnapshot]:
        self._prune()
        return list(self._rooms.get(room, {}).values())

    def _prune(self) -> None:
        oldest = self._wall() - HISTORY
        gone = [key for key, started in self._ended.items() if started < oldest]
        surplus = len(self._ended) - len(gone) - MAX_ENDED
        if surplus > 0:
            gone += [key for key in self._ended if key not in set(gone)][:surplus]
        for key in gone:
            del self._ended[key]
            tasks = self._rooms[key.room]
            del tasks[key.task_id]
            if not tasks:
                del self._rooms[key.room]
