"""What is to be written to the ledger in one transaction, and who waits for it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, TaskSpec

MAX_STEPS = 100
"""Changes of one task; beyond it the newest replaces the one before it."""

BRIEF = 8
"""Tasks in one transaction that is over at once."""


@dataclass(slots=True)
class Batch:
    steps: dict[int, list[TaskSnapshot]] = field(default_factory=dict)
    """What has become of each task, by `Lease.id`, in order."""
    claims: list[tuple[TaskSpec, "asyncio.Future[Lease | None]"]] = field(default_factory=list)
    flushes: list[tuple[int, "asyncio.Future[bool]"]] = field(default_factory=list)
    """With the task whose words are waited for."""

    def __bool__(self) -> bool:
        return bool(self.steps or self.claims or self.flushes)

    @property
    def is_brief(self) -> bool:
        return len(self.steps) + len(self.claims) <= BRIEF

    def add(self, snapshot: TaskSnapshot) -> None:
        steps = self.steps.setdefault(snapshot.id, [])
        if len(steps) >= MAX_STEPS:
            steps.pop()
        steps.append(snapshot)

    def refuse(self, error: Exception) -> None:
        """Tells those who wait that it could not be written."""
        for _, claimed in self.claims:
            answer(claimed, error)
        for _, flushed in self.flushes:
            answer(flushed, error)

    def follow(self, earlier: "Batch") -> None:
        """What `earlier` could not write comes before what is in this one; who waited for that has been told."""
        for task, steps in earlier.steps.items():
            together = steps + self.steps.get(task, [])
            self.steps[task] = together[: MAX_STEPS - 1] + together[MAX_STEPS - 1 :][-1:]


def answer(future: "asyncio.Future[Any]", value: Any) -> bool:
    """False: nobody waits for it any more."""
    if future.done():
        return False
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return True
