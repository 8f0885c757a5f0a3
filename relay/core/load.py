"""What a process's one loop is asked to carry, and when that is too much for one stream more.

The loop works in ticks. It is measured by the CPU share of its thread and by how late ticks begin, both as moving
averages, so that a burst passes and a load that lasts is seen before running streams suffer from it.
"""

import math
from dataclasses import dataclass

AVERAGED = 3.0
"""Seconds: time constant of the averages."""
SETTLE = 3.0
"""Seconds from the beginning in which lateness is that of a process that starts, not of its load."""
LATE = 0.02
"""Seconds of lateness from which a tick counts as overrun."""
MAX_CPU_SHARE = 0.85
"""Of one core, which is all that one loop can have; by default."""
QUIET, BUSY = 0.07, 0.52
"""CPU shares up to which ticks are as short, and from which they are as long, as they get."""
MAX_LAG = 0.2
"""Seconds of lateness, on average: two thirds of what the sound keeps in hand."""


@dataclass(frozen=True, slots=True)
class Load:
    """At one moment."""

    cpu_share: float = 0.0
    """CPU seconds a second of the thread that runs the loop; 1.0 is a whole core."""
    lag: float = 0.0
    """Seconds that ticks begin late, on average."""
    overruns: int = 0
    """Ticks that began more than `LATE` after their time, since the process began."""

    def too_much(self, max_cpu_share: float = MAX_CPU_SHARE) -> str:
        """Why no more work may come, for people; empty while there is room."""
        if self.cpu_share > max_cpu_share:
            return f"its media loop uses {self.cpu_share:.0%} of a core"
        if self.lag > MAX_LAG:
            return f"its media loop runs {self.lag * 1000:.0f} ms late"
        return ""

    def __or__(self, other: "Load") -> "Load":
        """Of two loops: the worse of each figure, and the overruns of both."""
        return Load(max(self.cpu_share, other.cpu_share), max(self.lag, other.lag), self.overruns + other.overruns)


def tick_length(shortest: float, longest: float, cpu_share: float) -> float:
    """Seconds to the next tick: a tick costs each stream about the same whatever it finds, so under load they are few,
    and with little to do pictures wait less."""
    load = (cpu_share - QUIET) / (BUSY - QUIET)
    return shortest + (longest - shortest) * max(0.0, min(load, 1.0))


class LoadMeter:
    """Told of each tick as it begins."""

    __slots__ = ("_at", "_cpu", "_lag", "_overruns", "_settled", "_share")

    def __init__(self, now: float, cpu: float) -> None:
        """`now`: monotonic seconds; `cpu`: CPU seconds of the thread so far."""
        self._at = now
        self._settled = now + SETTLE
        self._cpu = cpu
        self._share = 0.0
        self._lag = 0.0
        self._overruns = 0

    def tick(self, now: float, cpu: float, late: float) -> None:
        """A tick begins at `now`, `late` seconds after its time."""
        passed = now - self._at
        if passed <= 0:
            return
        weight = 1 - math.exp(-passed / AVERAGED)
        self._share += weight * ((cpu - self._cpu) / passed - self._share)
        if now >= self._settled:
            self._lag += weight * (max(late, 0.0) - self._lag)
        self._overruns += late > LATE
        self._at, self._cpu = now, cpu

    @property
    def cpu_share(self) -> float:
        return self._share

    @property
    def load(self) -> Load:
        return Load(self._share, self._lag, self._overruns)
