"""Quantized lines as codes: what a band costs by codebook, sections of one codebook, and the writing of both.

Codebooks come in pairs that number the same combinations of values, one for calmer bands and one for wilder ones
(ISO/IEC 14496-3, tables 4.A.2 to 4.A.12, and 4.6.3.3); the last takes any value, by escapes.
"""

from relay.core.aac.encoder.bits import COUNT, PENDING, POSITION, pushed, put
from relay.core.aac.encoder.inlined import inlined
from relay.core.aac.encoder.tables import (
    CODES,
    FACTOR_CODES,
    FACTOR_LENGTHS,
    LARGEST,
    LENGTHS,
    PAIR_COSTS,
    STARTS,
    Bytes,
    Ints,
    Longs,
)

ZERO, ESCAPE = 0, 11
_LEAST_ESCAPED = 16
_BOOK_BITS = 4


def least_book(peak: int) -> int:
    """The first of the codebooks that take values up to `peak`."""
    book = 0
    while book < ESCAPE and LARGEST[book] < peak:
        book += 1
    return book


def band_cost(values: Ints, start: int, end: int, book: int) -> tuple[int, int]:
    """Bits in `book`, the first of a pair, and in the second; both the same for the last one."""
    part, costs = values[start:end], PAIR_COSTS[STARTS[book] :]
    both = 0
    for at in range(0, len(part), _size(book)):
        both += costs[_place(part, at, book)]
    cost, other_cost = both & 0xFFFF, both >> 16
    if book == ESCAPE:
        for at in range(len(part)):
            if abs(part[at]) >= _LEAST_ESCAPED:
                cost += 2 * _exponent(part[at]) - 3
        other_cost = cost
    return cost, other_cost


@inlined
def _size(book: int) -> int:
    return 4 if book <= 4 else 2


@inlined
def _place(values: Ints, at: int, book: int) -> int:
    """Which combination the values are (4.6.3.3)."""
    place: int
    if book <= 2:
        place = 40 + 27 * values[at] + 9 * values[at + 1] + 3 * values[at + 2] + values[at + 3]
    elif book <= 4:
        place = 27 * abs(values[at]) + 9 * abs(values[at + 1]) + 3 * abs(values[at + 2]) + abs(values[at + 3])
    elif book <= 6:
        place = 40 + 9 * values[at] + values[at + 1]
    else:
        side = 8 if book <= 8 else 13 if book <= 10 else 17
        place = side * min(abs(values[at]), _LEAST_ESCAPED) + min(abs(values[at + 1]), _LEAST_ESCAPED)
    return place


@inlined
def _exponent(value: int) -> int:
    """Of the highest bit of an escaped value."""
    exponent = 4
    while abs(value) >> exponent + 1:
        exponent += 1
    return exponent


def length_bits(short: bool) -> int:
    """Of a section's length (4.4.2.7)."""
    return 3 if short else 5


def lengthen_sections(
    values: Ints, bands: Ints, per_group: int, groups: int, width: int, books: Ints, costs: Ints, factors: Ints
) -> None:
    """Lets a band have the codebook of the one before it, where that costs less than a section of its own; `width`: see
    `length_bits`."""
    section = _BOOK_BITS + width
    for band in range(1, groups * per_group):
        book, before = books[band], books[band - 1]
        if band % per_group == 0 or book == before or before == ZERO or LARGEST[before] < LARGEST[book]:
            continue
        pair = (before - 1) // 2 * 2 + 1
        both = band_cost(values, bands[band], bands[band + 1], pair)
        cost = both[1] if before > pair else both[0]
        saved = section
        if (band + 1) % per_group != 0:
            # What follows may go on with its own section, or with the one that is lengthened, or have its own anyway.
            saved = 2 * section if books[band + 1] == before else 0 if books[band + 1] == book else section
        if cost <= costs[band] + saved:
            if book == ZERO:
                # Any scale factor is right for zeros, and no change the shortest to write.
                factors[band] = factors[band - 1]
            books[band] = before
            costs[band] = cost


def put_sections(out: Bytes, at: Longs, books: Ints, per_group: int, groups: int, width: int) -> None:
    """section_data (4.4.2.7); `width`: see `length_bits`."""
    escape = (1 << width) - 1
    for group in range(groups):
        band = group * per_group
        end = band + per_group
        while band < end:
            first = band
            while band < end and books[band] == books[first]:
                band += 1
            put(out, at, books[first], _BOOK_BITS)
            length = band - first
            while length >= escape:
                put(out, at, escape, width)
                length -= escape
            put(out, at, length, width)


def sections_cost(books: Ints, per_group: int, groups: int, width: int) -> int:
    """Bits of all sections."""
    escape = (1 << width) - 1
    bits = length = 0
    for band in range(groups * per_group):
        if band % per_group == 0 or books[band] != books[band - 1]:
            bits += _BOOK_BITS + width
            length = 0
        length += 1
        if length % escape == 0:
            bits += width
    return bits


def put_factors(out: Bytes, at: Longs, factors: Ints, books: Ints, count: int, gain: int) -> None:
    """scale_factor_data (4.4.2.7)."""
    for band in range(count):
        if books[band] != ZERO:
            step = factors[band] - gain + 60
            put(out, at, FACTOR_CODES[step], FACTOR_LENGTHS[step])
            gain = factors[band]


def factor_cost(factor: int, before: int) -> int:
    """Bits of one scale factor after another."""
    return int(FACTOR_LENGTHS[factor - before + 60])


def put_band(out: Bytes, at: Longs, values: Ints, start: int, end: int, book: int) -> None:
    """A band's part of spectral_data (4.4.2.7)."""
    size = _size(book)
    signed = book <= 2 or 5 <= book <= 6
    part, codes, lengths = values[start:end], CODES[STARTS[book] :], LENGTHS[STARTS[book] :]
    pending, left, position = at[PENDING], at[COUNT], at[POSITION]
    for place in range(0, len(part), size):
        index = _place(part, place, book)
        code, length = codes[index], lengths[index]
        if not signed:
            for i in range(place, place + size):
                some = int(part[i] != 0)
                code = code << some | int(part[i] < 0)
                length += some
        pending, left, position = pushed(out, pending, left, position, code, length)
        if book == ESCAPE:
            for i in range(place, place + 2):
                value = abs(part[i])
                if value >= _LEAST_ESCAPED:
                    exponent = _exponent(value)
                    escape = ((1 << exponent - 3) - 2) << exponent | value - (1 << exponent)
                    pending, left, position = pushed(out, pending, left, position, escape, 2 * exponent - 3)
    at[PENDING], at[COUNT], at[POSITION] = pending, left, position
