"""Where a worker's time goes: what its ticks and its coding take, by phase."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TickTimes:
    """Seconds of ticks and of coding since the worker began."""

    reception: float = 0.0
    """Reading datagrams, SRTP, RTP to whole frames, RTCP."""
    sound: float = 0.0
    """Opus to AAC."""
    pushing: float = 0.0
    """FLV and RTMP, and writing them to CDNs."""
    viewing: float = 0.0
    """Packets to viewers, and what they ask for."""

    @property
    def total(self) -> float:
        return self.reception + self.sound + self.pushing + self.viewing

    def __add__(self, other: "TickTimes") -> "TickTimes":
        return TickTimes(
            self.reception + other.reception,
            self.sound + other.sound,
            self.pushing + other.pushing,
            self.viewing + other.viewing,
        )


class PhaseClock:
    """Adds up the time from each `begin` or lap to the next lap, by `clock`, to the phase that the lap names."""

    __slots__ = ("_at", "_clock", "pushing", "reception", "sound", "viewing")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = 0.0
        self.reception = self.sound = self.pushing = self.viewing = 0.0

    def begin(self) -> None:
        self._at = self._clock()

    def received(self) -> None:
        now = self._clock()
        self.reception += now - self._at
        self._at = now

    def encoded(self) -> None:
        now = self._clock()
        self.sound += now - self._at
        self._at = now

    def pushed(self) -> None:
        now = self._clock()
        self.pushing += now - self._at
        self._at = now

    def shown(self) -> None:
        now = self._clock()
        self.viewing += now - self._at
        self._at = now

    @property
    def times(self) -> TickTimes:
        return TickTimes(self.reception, self.sound, self.pushing, self.viewing)
