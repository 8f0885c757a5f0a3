"""The reorder window: packets that wait behind a hole, and what to ask for again when (RFC 4585 6.2.1)."""

from collections.abc import Iterator
from typing import NamedTuple


class Packet(NamedTuple):
    """A received packet in the window; its payload is data[start:end], which is empty in a packet of padding."""

    data: bytes
    start: int
    end: int
    timestamp: int
    marker: int
    arrival: float
    anchor: float | None
    """Arrival, or None for a packet that filled a hole: its delay says nothing about the path."""


class Missing:
    """One sequence number that has not come."""

    __slots__ = ("asked", "nack_at", "since", "tries")

    def __init__(self, since: float, nack_at: float) -> None:
        self.since = since
        self.nack_at = nack_at
        self.tries = 0
        self.asked = 0.0
        """When it was last asked for."""


class ReorderBuffer:
    """Holds packets from the first hole on. Sequence numbers are extended ones; times are seconds.

    While nothing is missing the buffer is empty, and its owner counts `next` on by itself. A hole is waited for until
    `wait` seconds after it was seen. The owner bounds the numbers it inserts, thereby the window.
    """

    __slots__ = ("_allowance", "_highest", "_wait", "missing", "next", "packets", "size")

    def __init__(self, allowance: float, wait: float) -> None:
        self._allowance = allowance
        self._wait = wait
        self._highest = -1
        self.next = 0
        """The first sequence number not handed on yet."""
        self.packets: dict[int, Packet] = {}
        self.missing: dict[int, Missing] = {}
        """In ascending order: the first is `next` whenever packets wait."""
        self.size = 0
        """Bytes of the packets that wait."""

    @property
    def highest(self) -> int:
        return self._highest if self.packets else self.next - 1

    def restart(self, sequence: int) -> None:
        self.packets.clear()
        self.size = 0
        self.missing.clear()
        self.next = sequence

    def insert(self, sequence: int, packet: Packet, now: float) -> Missing | None:
        """Puts in a packet at or after `next` that the buffer does not hold. Returns the hole that it filled."""
        highest = self.highest
        self.size += len(packet.data)
        if sequence > highest:
            for number in range(highest + 1, sequence):
                self.missing[number] = Missing(now, now + self._allowance)
            self._highest = sequence
            self.packets[sequence] = packet
            return None
        self.packets[sequence] = packet
        return self.missing.pop(sequence)

    def ready(self) -> Iterator[Packet]:
        """Takes out the packets up to the first hole."""
        while (packet := self.packets.pop(self.next, None)) is not None:
            self.next += 1
            self.size -= len(packet.data)
            yield packet

    def skip(self) -> int:
        """Gives up the first hole. Returns how many packets that were."""
        start = self.next
        while self.missing.pop(self.next, None) is not None:
            self.next += 1
        return self.next - start

    def skip_to(self, sequence: int) -> int:
        """Gives up everything before `sequence`. Returns how many packets never came."""
        lost = 0
        for number in range(self.next, sequence):
            packet = self.packets.pop(number, None)
            if packet is not None:
                self.size -= len(packet.data)
            lost += self.missing.pop(number, None) is not None
        self.next = sequence
        return lost

    def expires(self) -> float | None:
        """When the first hole is to be given up."""
        hole = self.missing.get(self.next)
        return None if hole is None else hole.since + self._wait

    def nack_deadline(self) -> float | None:
        return min((hole.nack_at for hole in self.missing.values()), default=None)

    def nacks(self, now: float, interval: float, limit: int) -> list[int]:
        """Sequence numbers to ask for now, oldest first; each is due again after `interval`."""
        due: list[int] = []
        for sequence, hole in self.missing.items():
            if hole.nack_at <= now:
                hole.tries += 1
                hole.asked = now
                hole.nack_at = now + interval
                due.append(sequence)
                if len(due) == limit:
                    break
        return due
