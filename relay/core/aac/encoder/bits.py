"""Bits, from the highest down, into bytes."""

from relay.core.aac.encoder.tables import Bytes, Longs

PENDING, COUNT, POSITION = 0, 1, 2
"""What `at` holds: bits that are not written yet (and above them some that are), their number, and where in `out` the
next byte goes."""
_AT_ONCE = 32


def put(out: Bytes, at: Longs, value: int, count: int) -> None:
    """Up to 32 bits."""
    pending = at[PENDING] << count | value
    left = at[COUNT] + count
    if left >= _AT_ONCE:
        left -= _AT_ONCE
        position = at[POSITION]
        word = pending >> left
        out[position] = word >> 24 & 255
        out[position + 1] = word >> 16 & 255
        out[position + 2] = word >> 8 & 255
        out[position + 3] = word & 255
        at[POSITION] = position + 4
        pending &= (1 << left) - 1
    at[PENDING] = pending
    at[COUNT] = left


def align(out: Bytes, at: Longs) -> None:
    """Writes what is left, with zeros up to the next byte."""
    left = at[COUNT]
    while left > 0:
        out[at[POSITION]] = (at[PENDING] << 8 >> left) & 255
        at[POSITION] += 1
        left -= 8
    at[COUNT] = 0
    at[PENDING] = 0
