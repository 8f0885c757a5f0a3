"""The tasks that a server runs, as the database has them and as they are."""

from collections.abc import Mapping

from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease

MAX_LOST = 10_000
"""Tasks of which it is known that they were lost, the newest: a Stop of one may be under way."""


class Holdings:
    def __init__(self) -> None:
        self._recorded: dict[int, TaskSnapshot] = {}
        self._newest: dict[int, TaskSnapshot] = {}
        self._lost: dict[int, None] = {}
        """Tasks that were this server's and are no more, without their end having been told by it; in order."""

    @property
    def recorded(self) -> Mapping[int, TaskSnapshot]:
        """As the database has them, by `Lease.id`."""
        return self._recorded

    def newest(self, of: Lease | TaskSnapshot) -> TaskSnapshot | None:
        """As the task is, if it is this server's by that generation."""
        known = self._newest.get(of.id)
        return known if known is not None and known.generation == of.generation else None

    def is_lost(self, task: int) -> bool:
        return task in self._lost

    def save(self, snapshot: TaskSnapshot) -> None:
        """What has become of a task that `newest` knows."""
        self._newest[snapshot.id] = snapshot

    def record(self, after: TaskSnapshot) -> bool:
        """What the database has now, of a task that is this server's; True: by another generation than before."""
        self._lost.pop(after.id, None)
        self._recorded[after.id] = after
        if self.newest(after) is not None:
            return False
        self._newest[after.id] = after
        return True

    def forget(self, task: int) -> TaskSnapshot | None:
        """It has ended, or is another's."""
        self._recorded.pop(task, None)
        return self._newest.pop(task, None)

    def lose(self, task: int) -> TaskSnapshot | None:
        """It is another's, and this server did not say so; None: that was known."""
        known = self.forget(task)
        if known is not None:
            self._lost[task] = None
            if len(self._lost) > MAX_LOST:
                del self._lost[next(iter(self._lost))]
        return known

    def compare(self, generations: Mapping[int, int]) -> tuple[list[int], list[int]]:
        """With the active tasks that are this server's by their rows: those that are its no longer; those it does not
        know of."""
        gone = [
            task
            for task, snapshot in self._recorded.items()
            if snapshot.active and generations.get(task) != snapshot.generation
        ]
        return gone, [task for task in generations if task not in self._recorded or task in gone]
