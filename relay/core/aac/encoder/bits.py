"""Bits, from the highest down, into bytes."""

from relay.core.aac.encoder.inlined import inlined
from relay.core.aac.encoder.tables import Bytes, Longs

PENDING, COUNT, POSITION = 0, 1, 2
"""What `at` holds: bits that are not written yet (and above them some that are), their number, and where in `out` the
next byte goes."""
_AT_ONCE = 32


def put(out: Bytes, at: Longs, value: int, count: int) -> None:
    """Up to 32 bits."""
    at[PENDING], at[COUNT], at[POSITION] = pushed(out, at[PENDING], at[COUNT], at[POSITION], value, count)


@inlined
def pushed(out: Bytes, pending: int, left: int, position: int, value: int, count: int) -> tuple[int, int, int]:
    """What `at` holds after `value`."""
    pending = pending << count | value
    left += count
    if left >= _AT_ONCE:
        left -= _AT_ONCE
        word = pending >> left
        here = out[position : position + 4]
        here[0], here[1], here[2], here[3] = word >> 24 & 255, word >> 16 & 255, word >> 8 & 255, word & 255
        position += 4
        pending &= (1 << left) - 1
    return pending, left, position


def align(out: Bytes, at: Longs) -> None:
    """Writes what is left, with zeros up to the next byte."""
    left = at[COUNT]
    while left > 0:
        out[at[POSITION]] = (at[PENDING] << 8 >> left) & 255
        at[POSITION] += 1
        left -= 8
    at[COUNT] = 0
    at[PENDING] = 0
