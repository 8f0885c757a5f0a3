"""Which worker gets a new room. A room lives in one process: media never crosses workers."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.load import Load


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker that could take a room."""

    number: int
    load: Load
    rooms: int
    """That it has, or that were given to it a moment ago."""


def choose(candidates: Sequence[Candidate]) -> int | None:
    """The number of the worker with most room; None where there is no worker.

    Load is an average, which rooms given a moment ago do not show in yet: between workers that are about as busy, the
    one with fewer rooms.
    """
    if not candidates:
        return None
    best = min(candidates, key=lambda c: (bool(c.load.too_much()), round(c.load.cpu_share, 1), c.rooms, c.number))
    return best.number
