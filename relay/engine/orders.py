"""What the ledger has a server do beside what it was asked by API: tasks that come to it, and that leave it."""

from dataclasses import dataclass

from relay.core.ident import TaskKey
from relay.core.task import Lease, TaskSpec


@dataclass(frozen=True, slots=True)
class Resume:
    """To be run here from now on."""

    spec: TaskSpec
    lease: Lease


@dataclass(frozen=True, slots=True)
class Abandon:
    """Not to be run here any longer: it was stopped at another server, or is run by one."""

    key: TaskKey
    task: int


Order = Resume | Abandon
