"""The AAC encoder's tables: codes that a decoder can tell apart, and bands without a gap."""

from itertools import pairwise, product

import numpy as np
import pytest

from relay.core.aac.encoder.memory import FRAME, SHORT
from relay.core.aac.encoder.tables import (
    CODES,
    COSTS,
    FACTOR_CODES,
    FACTOR_LENGTHS,
    LENGTHS,
    LONG_BANDS,
    PAIR_COSTS,
    SHORT_BANDS,
    SHORT_WINDOW,
    STARTS,
    WINDOWS,
)

VALUES = {
    **dict.fromkeys((1, 2), (range(-1, 2), 4)),
    **dict.fromkeys((3, 4), (range(3), 4)),
    **dict.fromkeys((5, 6), (range(-4, 5), 2)),
    **dict.fromkeys((7, 8), (range(8), 2)),
    **dict.fromkeys((9, 10), (range(13), 2)),
    11: (range(17), 2),
}
"""By codebook: what a value may be, and how many are coded together (ISO/IEC 14496-3, table 4.151)."""
BOOKS = [slice(start, end) for start, end in pairwise([*STARTS[1:], len(CODES)])]


@pytest.mark.parametrize(
    ("codes", "lengths"),
    [*((CODES[book], LENGTHS[book]) for book in BOOKS), (FACTOR_CODES, FACTOR_LENGTHS)],
    ids=[*map(str, VALUES), "scale factors"],
)
def test_codes_are_complete_and_none_begins_another(codes, lengths) -> None:
    longest = int(lengths.max())
    spans = sorted(
        (int(code) << longest - length, 1 << longest - length) for code, length in zip(codes, lengths, strict=True)
    )
    at = 0
    for start, size in spans:
        assert start == at
        at += size
    assert at == 1 << longest


def test_a_codebook_has_a_code_for_each_combination_of_its_values() -> None:
    assert [book.stop - book.start for book in BOOKS] == [len(values) ** size for values, size in VALUES.values()]
    assert len(FACTOR_CODES) == len(range(-60, 61))


@pytest.mark.parametrize("book", VALUES)
def test_costs_are_the_codes_and_their_signs(book: int) -> None:
    values, size = VALUES[book]
    signs = [np.count_nonzero(some) if values[0] == 0 else 0 for some in product(values, repeat=size)]
    assert np.array_equal(COSTS[BOOKS[book - 1]], LENGTHS[BOOKS[book - 1]] + signs)


@pytest.mark.parametrize("book", [1, 3, 5, 7, 9])
def test_costs_of_a_pair_are_those_of_both(book: int) -> None:
    costs = PAIR_COSTS[BOOKS[book - 1]]
    assert np.array_equal(costs & 0xFFFF, COSTS[BOOKS[book - 1]])
    assert np.array_equal(costs >> 16, COSTS[BOOKS[book]])


@pytest.mark.parametrize(("bands", "count", "end"), [(LONG_BANDS, 49, FRAME), (SHORT_BANDS, 14, SHORT)])
def test_bands_follow_each_other_and_are_whole_codes(bands, count: int, end: int) -> None:
    assert (len(bands) - 1, bands[0], bands[-1]) == (count, 0, end)
    widths = np.diff(bands)
    assert (widths > 0).all()
    assert (widths % 4 == 0).all()


def test_windows_that_overlap_have_all_of_the_power() -> None:
    long, start, _, stop = WINDOWS.astype(float)
    for before, after in ((long, long), (long, start), (stop, long), (stop, start)):
        assert np.allclose(before[FRAME:] ** 2 + after[:FRAME] ** 2, 1, atol=1e-6)
    short = SHORT_WINDOW.astype(float)
    assert np.allclose(short[SHORT:] ** 2 + short[:SHORT] ** 2, 1, atol=1e-6)
