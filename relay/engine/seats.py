"""Which worker process has which room: rooms stay with a process's seat, whichever process has that."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from relay.core.ident import RoomKey
from relay.engine import placement
from relay.engine.process import ProcessHandle

FORGET = 5.0
"""Seconds after its last call at which a room that its worker does not have may be placed anew."""


@dataclass(slots=True)
class Seat:
    """One process's place."""

    handle: ProcessHandle
    up: asyncio.Event = field(default_factory=asyncio.Event)
    since: float = 0.0
    """When its process began."""
    tries: int = 0
    """To start one, in a row."""
    rooms: dict[RoomKey, float] = field(default_factory=dict)
    """With the time of each room's last call."""


class Seats:
    """All of a pool. `in_use` tells the rooms that stay where they are, whether or not their process has them yet."""

    def __init__(self, handles: Iterable[ProcessHandle], in_use: Callable[[], set[RoomKey]]) -> None:
        self._seats = [Seat(handle) for handle in handles]
        self._in_use = in_use

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats)

    def __getitem__(self, number: int) -> Seat:
        return self._seats[number]

    def of(self, room: RoomKey) -> Seat | None:
        """The seat that has this room."""
        return next((seat for seat in self._seats if room in seat.rooms), None)

    def take(self, room: RoomKey, now: float) -> Seat:
        """The seat that has this room, or has it from now on; `now`: monotonic seconds."""
        seat = self.of(room) or self._place(now)
        seat.rooms[room] = now
        return seat

    def _place(self, now: float) -> Seat:
        candidates = []
        used = self._in_use()
        for number, seat in enumerate(self._seats):
            if not seat.up.is_set():
                continue
            stats = seat.handle.stats()
            used_here = used | stats.rooms
            for room in [room for room, at in seat.rooms.items() if now - at > FORGET and room not in used_here]:
                del seat.rooms[room]
            candidates.append(placement.Candidate(number, stats.load, len(seat.rooms)))
        chosen = placement.choose(candidates)
        return self._seats[chosen or 0]
