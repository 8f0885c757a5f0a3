"""Bits into bytes, against one large integer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from relay.core.aac.encoder.bits import COUNT, PENDING, POSITION, align, put
from relay.core.aac.encoder.memory import LONGS

FIELDS = st.integers(0, 32).flatmap(lambda count: st.tuples(st.integers(0, (1 << count) - 1), st.just(count)))


@given(st.lists(st.lists(FIELDS, max_size=40), max_size=3))
def test_fields_follow_each_other_from_the_highest_bit_down(blocks: list[list[tuple[int, int]]]) -> None:
    at = np.zeros(LONGS, np.int64)
    out = np.full(3 * 40 * 4 + 4, 0xAA, np.uint8)
    expected = b""
    for fields in blocks:
        value = bits = 0
        for field, count in fields:
            put(out, at, field, count)
            value, bits = value << count | field, bits + count
        align(out, at)
        size = (bits + 7) // 8
        expected += (value << 8 * size - bits).to_bytes(size, "big")
        assert at[PENDING] == at[COUNT] == 0
    assert at[POSITION] == len(expected)
    assert out[: len(expected)].tobytes() == expected
    assert (out[len(expected) :] == 0xAA).all()
