"""A worker at one moment, in figures that add up over workers."""

from collections import Counter
from dataclasses import dataclass, field

from relay.core.ident import RoomKey
from relay.core.load import Load
from relay.core.task import State
from relay.worker.phases import TickTimes


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """By default those of no worker."""

    publishers: int = 0
    viewers: int = 0
    tasks: dict[State, int] = field(default_factory=dict)
    """Active tasks by state."""
    bytes_sent: int = 0
    """By all tasks since the worker began."""
    concealed: float = 0.0
    """Seconds of sound made up in place of packets that were lost."""
    silence: float = 0.0
    """Seconds of silence where publishers sent no sound."""
    tick: TickTimes = field(default_factory=TickTimes)
    load: Load = field(default_factory=Load)
    rooms: frozenset[RoomKey] = frozenset()
    """With a publisher or a task in them."""

    @property
    def counters(self) -> "WorkerStats":
        """What does not go down again when the worker ends."""
        return WorkerStats(
            bytes_sent=self.bytes_sent,
            concealed=self.concealed,
            silence=self.silence,
            tick=self.tick,
            load=Load(overruns=self.load.overruns),
        )

    def __add__(self, other: "WorkerStats") -> "WorkerStats":
        """Of both together; the load is that of the busier one."""
        return WorkerStats(
            publishers=self.publishers + other.publishers,
            viewers=self.viewers + other.viewers,
            tasks=dict(Counter(self.tasks) + Counter(other.tasks)),
            bytes_sent=self.bytes_sent + other.bytes_sent,
            concealed=self.concealed + other.concealed,
            silence=self.silence + other.silence,
            tick=self.tick + other.tick,
            load=self.load | other.load,
            rooms=self.rooms | other.rooms,
        )
