"""What the ledger tells others of each change of a task, in the transaction that records it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from relay.core.snapshot import TaskSnapshot


@dataclass(frozen=True, slots=True)
class TaskChange:
    """One step of a task: its state, its last error, or whether media arrives. The two may be equal in your eyes."""

    before: TaskSnapshot | None
    """None: the task has been started."""
    after: TaskSnapshot
    """`after.id` names the task for ever, also where its name is used again; `after.end_time` not 0: it has ended. A
    task that a server takes over, from itself before a restart or from another, goes back to WAITING by a change."""
    time: int
    """Milliseconds since 1970."""


class ChangeListener(Protocol):
    """Who keeps rows of its own in step with the ledger's: an outbox, for one."""

    def record(self, connection: Connection, changes: Sequence[TaskChange]) -> Callable[[], None]:
        """Adds rows in the ledger's open transaction: they are committed with the changes, or neither is.

        What it returns is called on the server's loop once that has been committed. Changes of one task come in order,
        each once; where a transaction fails they come again with the next one, so nothing outside of the database may
        happen here, where it may be another thread. It holds up Start and Stop, or media where it is no other: some
        INSERTs, no more.
        """
