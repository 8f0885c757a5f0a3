"""Seeded mutation of bytes: what the short run does to the corpus, and the long one where there is no atheris."""

import random
from collections.abc import Callable, Sequence

_NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Mutator:
    """Makes inputs out of `corpus`, always the same ones for the same seed."""

    def __init__(
        self, corpus: Sequence[bytes], seed: int, *, words: Sequence[bytes] = (), max_size: int = 4096
    ) -> None:
        """`words`: pieces of the target's language."""
        self._corpus = [data[:max_size] for data in corpus] or [b""]
        self._words = words
        self._max_size = max_size
        self._chance = random.Random(seed)  # noqa: S311 - reproducible is what is wanted
        self._steps: list[Callable[[bytearray], None]] = [
            self._flip,
            self._overwrite,
            self._number,
            self._insert,
            self._delete,
            self._repeat,
            self._move,
            self._splice,
            self._digits,
        ]
        if words:
            self._steps += [self._word, self._word]

    def make(self) -> bytes:
        data = bytearray(self._chance.choice(self._corpus))
        for _ in range(self._chance.choice((1, 1, 2, 3, 5, 9))):
            self._chance.choice(self._steps)(data)
        return bytes(data[: self._max_size])

    def keep(self, data: bytes) -> None:
        """From here on also made from `data`."""
        self._corpus.append(data)

    def _span(self, data: bytearray, most: int = 64) -> tuple[int, int]:
        start = self._chance.randrange(len(data) + 1)
        return start, min(len(data), start + self._chance.randint(1, most))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)

    def _overwrite(self, data: bytearray) -> None:
        start, end = self._span(data, 8)
        data[start:end] = self._chance.randbytes(end - start)

    def _number(self, data: bytearray) -> None:
        size = self._chance.choice((1, 2, 3, 4, 8))
        value = (self._chance.choice(_NUMBERS) + self._chance.choice((0, 0, 1, -1))) & ((1 << 8 * size) - 1)
        start = self._chance.randrange(len(data) + 1)
        data[start : start + size] = value.to_bytes(size, self._chance.choice(("big", "little")))

    def _insert(self, data: bytearray) -> None:
        start, _ = self._span(data)
        data[start:start] = self._chance.randbytes(self._chance.randint(1, 16))

    def _delete(self, data: bytearray) -> None:
        start, end = self._span(data)
        del data[start:end]

    def _repeat(self, data: bytearray) -> None:
        start, end = self._span(data)
        data[start:start] = data[start:end] * self._chance.choice((1, 2, 7, 40))

    def _move(self, data: bytearray) -> None:
        start, end = self._span(data)
        piece = data[start:end]
        del data[start:end]
        to = self._chance.randrange(len(data) + 1)
        data[to:to] = piece

    def _splice(self, data: bytearray) -> None:
        other = self._chance.choice(self._corpus)
        start = self._chance.randrange(len(data) + 1)
        data[start:] = other[self._chance.randrange(len(other) + 1) :]

    def _digits(self, data: bytearray) -> None:
        """Another number where there is one in figures."""
        places = [index for index, value in enumerate(data) if 48 <= value <= 57]
        if places:
            start = self._chance.choice(places)
            data[start : start + 1] = str(self._chance.choice(_NUMBERS)).encode()

    def _word(self, data: bytearray) -> None:
        start, end = self._span(data, 8)
        data[start : self._chance.choice((start, end))] = self._chance.choice(self._words)
