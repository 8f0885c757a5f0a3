"""Wrapping counters of RTP made endless (RFC 3550 3, A.1): 16-bit sequence numbers, 32-bit timestamps."""


def forward(value: int, reference: int, bits: int) -> int:
    """The signed distance from `reference` to `value`, the shorter way round, in [-2^(bits-1), 2^(bits-1))."""
    half = 1 << (bits - 1)
    return ((value - reference + half) & ((1 << bits) - 1)) - half


class Unwrapper:
    """Extends a wrapping counter: each value becomes the one nearest to the value before it."""

    __slots__ = ("_bits", "last")

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self.last: int | None = None
        """The last extended value; its low bits are what was on the wire."""

    def unwrap(self, value: int) -> int:
        self.last = self.peek(value)
        return self.last

    def peek(self, value: int) -> int:
        """Extends `value` without making it the reference of the next."""
        return value if self.last is None else self.last + forward(value, self.last, self._bits)
