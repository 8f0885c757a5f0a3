"""Bytes read as a programme: choices, numbers and data for the targets that play a peer rather than parse one blob."""

from collections.abc import Sequence
from typing import TypeVar

Choice = TypeVar("Choice")


class Tape:
    """Reads on from its start; past the end everything is zero, so every blob is a valid programme."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """At most `size` bytes."""
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def choose(self, options: Sequence[Choice]) -> Choice:
        return options[self.number(1) % len(options)]

    def blob(self) -> bytes:
        """Behind its length in two bytes."""
        return self.take(self.number(2))


def blob(data: bytes) -> bytes:
    """What `Tape.blob` reads."""
    return len(data).to_bytes(2, "big") + data


def pieces(data: bytes, size: int) -> list[bytes]:
    """As a socket hands them out, `size` bytes at a time; 0: all at once."""
    return [data[at : at + (size or len(data))] for at in range(0, len(data), size or len(data) or 1)]
