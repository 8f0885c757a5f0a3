"""Sections, scale factors and lines as codes: what they are said to cost, and what is written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.aac.encoder.bits import COUNT, POSITION, align, put
from relay.core.aac.encoder.huffman import (
    ESCAPE,
    ZERO,
    band_cost,
    factor_cost,
    least_book,
    lengthen_sections,
    put_band,
    put_factors,
    put_sections,
    sections_cost,
)
from relay.core.aac.encoder.memory import FRAME, FRAME_BYTES, LONGS
from relay.core.aac.encoder.tables import FACTOR_CODES, FACTOR_LENGTHS, LARGEST, LONG_BANDS
from tests.support import mdct
from tests.support.coding import STEREO, decode
from tests.support.mdct import Array

BOOKS = range(1, ESCAPE + 1)
BANDS = len(LONG_BANDS) - 1


class Written:
    """Bits that were put."""

    def __init__(self) -> None:
        self.at = np.zeros(LONGS, np.int64)
        self.out = np.zeros(4 * FRAME_BYTES, np.uint8)

    @property
    def count(self) -> int:
        return int(8 * self.at[POSITION] + self.at[COUNT])

    def bits(self) -> str:
        count = self.count
        align(self.out, self.at)
        return "".join(f"{byte:08b}" for byte in self.out[: self.at[POSITION]])[:count]


def of_book(book: int) -> st.SearchStrategy[Array]:
    """A few codes' worth of values that the book takes."""
    most = int(LARGEST[book])
    value = st.integers(-most, most) if book < ESCAPE else st.one_of(st.integers(-20, 20), st.integers(-most, most))
    return st.lists(value, min_size=12, max_size=12).map(lambda values: np.array(values, np.int32))


@pytest.mark.parametrize("book", BOOKS)
def test_a_band_costs_what_is_written_of_it(book: int) -> None:
    @given(of_book(book))
    def run(values: Array) -> None:
        written = Written()
        put_band(written.out, written.at, values, 0, len(values), book)
        first = book if book == ESCAPE else (book - 1) // 2 * 2 + 1
        assert band_cost(values, 0, len(values), first)[0 if book == first else 1] == written.count
        if book == ESCAPE:
            assert band_cost(values, 0, len(values), book)[1] == written.count

    run()


def test_the_least_book_holds_the_peak_and_none_before_it_does() -> None:
    for peak in range(8192):
        book = least_book(peak)
        assert LARGEST[book] >= peak
        assert book == 0 or LARGEST[book - 1] < peak
    assert {least_book(peak) for peak in range(8192)} == {ZERO, 1, 3, 5, 7, 9, ESCAPE}


@given(st.lists(st.integers(100, 150), min_size=1, max_size=40), st.data())
def test_scale_factors_are_the_differences_of_bands_that_are_not_zero(factors: list[int], data: st.DataObject) -> None:
    books = data.draw(st.lists(st.sampled_from([ZERO, 1, ESCAPE]), min_size=len(factors), max_size=len(factors)))
    there = [factor for factor, book in zip(factors, books, strict=True) if book != ZERO]
    gain = there[0] if there else 0
    written = Written()
    put_factors(written.out, written.at, np.array(factors, np.int32), np.array(books, np.int32), len(factors), gain)
    costs = sum(factor_cost(factor, before) for factor, before in zip(there, [gain, *there], strict=False))
    assert written.count == costs
    steps = [factor - before + 60 for factor, before in zip(there, [gain, *there], strict=False)]
    assert written.bits() == "".join(f"{FACTOR_CODES[step]:0{FACTOR_LENGTHS[step]}b}" for step in steps)


def read_sections(bits: str, per_group: int, groups: int, width: int) -> list[int]:
    """The codebook of each band (ISO/IEC 14496-3, 4.4.2.7, section_data)."""
    books: list[int] = []
    at = 0
    for group in range(1, groups + 1):
        while len(books) < group * per_group:
            book, at = int(bits[at : at + 4], 2), at + 4
            more = True
            while more:
                length, at = int(bits[at : at + width], 2), at + width
                books += [book] * length
                more = length == (1 << width) - 1
        assert len(books) == group * per_group
    assert at == len(bits)
    return books


@given(st.sampled_from([(1, 5), (8, 3), (3, 3)]), st.data())
def test_sections_are_read_back(shape: tuple[int, int], data: st.DataObject) -> None:
    groups, width = shape
    per_group = data.draw(st.integers(0, 49 if groups == 1 else 14))
    runs = data.draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 40)), min_size=1, max_size=8))
    books = np.resize([book for book, length in runs for _ in range(length)], per_group * groups).astype(np.int32)
    written = Written()
    put_sections(written.out, written.at, books, per_group, groups, width)
    assert sections_cost(books, per_group, groups, width) == written.count
    assert read_sections(written.bits(), per_group, groups, width) == books.tolist()


@given(
    st.integers(1, 3),
    st.sampled_from([3, 5]),
    st.lists(st.sampled_from([0, 0, 1, 1, 2, 4, 7, 12, 40]), min_size=6, max_size=6),
    st.data(),
)
def test_longer_sections_are_never_dearer(groups: int, width: int, most: list[int], data: st.DataObject) -> None:
    per_group = 6
    count = groups * per_group
    bands = np.arange(0, 4 * (count + 1), 4, dtype=np.int32)
    peaks = data.draw(st.permutations(most * groups))
    values = np.array(
        [data.draw(st.integers(-peak, peak)) for peak in peaks for _ in range(4)],
        np.int32,
    )
    books, costs = np.zeros(count, np.int32), np.zeros(count, np.int32)
    for band in range(count):
        book = least_book(int(np.abs(values[4 * band : 4 * band + 4]).max()))
        if book != ZERO:
            both = band_cost(values, bands[band], bands[band + 1], book)
            books[band], costs[band] = (book, both[0]) if both[0] <= both[1] else (book + 1, both[1])

    def cost() -> int:
        return int(costs.sum()) + sections_cost(books, per_group, groups, width)

    before, cost_before = books.copy(), cost()
    factors = np.arange(count, dtype=np.int32)
    lengthen_sections(values, bands, per_group, groups, width, books, costs, factors)
    assert cost() <= cost_before
    for band in range(count):
        written = Written()
        if books[band] != ZERO:
            put_band(written.out, written.at, values, bands[band], bands[band + 1], books[band])
        assert written.count == costs[band]
        assert LARGEST[books[band]] >= np.abs(values[bands[band] : bands[band + 1]]).max()
        assert books[band] == before[band] or (band % per_group and books[band] == books[band - 1])
        # Zeros that have a codebook now have no scale factor of their own.
        assert factors[band] == (factors[band - 1] if books[band] != before[band] == ZERO else band)


def all_of(book: int) -> Array:
    """Lines in which each combination of the book's values occurs, and some that are escaped."""
    most = min(int(LARGEST[book]), 16)
    side = np.arange(-most, most + 1) if book in (1, 2, 5, 6) else np.arange(most + 1)
    size = 4 if book <= 4 else 2
    lines = np.stack(np.meshgrid(*[side] * size, indexing="ij"), -1).reshape(-1)
    rng = np.random.default_rng(book)
    if side[0] == 0:
        lines = lines * rng.choice([-1, 1], len(lines))
    if book == ESCAPE:
        lines = np.concatenate([lines, rng.integers(-8191, 8192, 100), [15, 16, 31, 32, 8191, -8191]])
    return np.concatenate([lines, np.zeros(FRAME - len(lines), int)])


@pytest.mark.parametrize("book", BOOKS)
def test_a_decoder_reads_each_code(book: int) -> None:
    values = all_of(book).astype(np.int32)
    gain = 180 if book < ESCAPE else 120
    written = Written()
    out, at = written.out, written.at
    for field, count in ((1 << 5 | 1, 8), (0, 4), (BANDS << 1, 7), (0, 2)):
        put(out, at, field, count)
    factors = np.full(BANDS, gain, np.int32)
    for books in (np.full(BANDS, book, np.int32), np.zeros(BANDS, np.int32)):
        put(out, at, gain, 8)
        put_sections(out, at, books, BANDS, 1, 5)
        put_factors(out, at, factors, books, BANDS, gain)
        put(out, at, 0, 3)
        if books.any():
            for band in range(BANDS):
                put_band(out, at, values, LONG_BANDS[band], LONG_BANDS[band + 1], book)
    put(out, at, 7, 3)
    align(out, at)
    heard = decode(STEREO, [out[: at[POSITION]].tobytes()] * 3)
    lines = np.sign(values) * np.abs(values) ** (4 / 3) * 2 ** ((gain - 100) / 4) / 32768
    expected = mdct.overlap_add([(lines, mdct.LONG)] * 3)[FRAME:]
    assert np.abs(heard[0] - expected).max() < 1e-6 * np.abs(lines).max()
    assert np.abs(heard[1]).max() == 0
