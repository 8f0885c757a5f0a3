"""How a picture's packets are spaced."""

import pytest

from relay.cli.bench.publishers import SPREAD, STEP, _spaced


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 60])
def test_packets_go_evenly_and_each_once(count: int) -> None:
    groups = _spaced(count)
    assert groups[0][0] == 0
    assert [end for _, end in groups] == sorted({end for _, end in groups})
    assert groups[-1][1] == count
    begin = 0
    for step, end in groups:
        for index in range(begin, end):
            assert abs(step * STEP - index * SPREAD / 30 / count) <= STEP / 2 + 1e-9
        begin = end
