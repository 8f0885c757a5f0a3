import pytest

from relay.core.load import AVERAGED, MAX_CPU_SHARE, MAX_LAG, SETTLE, LoadMeter, tick_length

TICK = 0.02


def run(meter: LoadMeter, seconds: float, *, share: float, late: float = 0.0, begun: float = 0.0) -> float:
    """Ticks evenly from `begun` on with `share` of a core used; returns when that ends."""
    ticks = round(seconds / TICK)
    for number in range(1, ticks + 1):
        at = begun + number * TICK
        meter.tick(at, at * share, late)
    return begun + ticks * TICK


def test_an_idle_loop_has_room() -> None:
    meter = LoadMeter(0.0, 0.0)
    run(meter, 60, share=0.01)
    assert meter.load.cpu_share == pytest.approx(0.01, rel=0.01)
    assert meter.load.too_much() == ""


def test_a_lasting_load_is_seen_and_passes() -> None:
    meter = LoadMeter(0.0, 0.0)
    run(meter, 10 * AVERAGED, share=0.97)
    assert "97% of a core" in meter.load.too_much()
    for number in range(1, 3000):
        meter.tick(10 * AVERAGED + number * TICK, 10 * AVERAGED * 0.97, 0.0)
    assert meter.load.too_much() == ""


def test_a_burst_is_borne() -> None:
    meter = LoadMeter(0.0, 0.0)
    end = run(meter, 30, share=0.3)
    meter.tick(end + 0.3, end * 0.3 + 0.3, 0.28)
    assert meter.load.cpu_share < MAX_CPU_SHARE
    assert meter.load.too_much() == ""
    assert meter.load.overruns == 1


def test_a_process_that_starts_has_room() -> None:
    meter = LoadMeter(0.0, 0.0)
    for moment in (0.5, 1.0, 1.8):
        meter.tick(moment, moment, 1.0)
    assert meter.load.too_much() == ""
    meter.tick(SETTLE, 2.0, 1.0)
    assert "ms late" in meter.load.too_much()


def test_lateness_counts_where_the_machine_is_busy_with_others() -> None:
    meter = LoadMeter(0.0, 0.0)
    run(meter, 10 * AVERAGED, share=0.2, late=MAX_LAG * 1.5)
    assert "300 ms late" in meter.load.too_much()


def test_two_ticks_at_one_moment_are_one() -> None:
    meter = LoadMeter(1.0, 0.5)
    meter.tick(1.0, 0.6, 0.0)
    assert meter.load.cpu_share == 0.0


@pytest.mark.parametrize(
    ("cpu_share", "length"), [(0.0, 0.01), (0.07, 0.01), (0.295, 0.025), (0.52, 0.04), (0.95, 0.04)]
)
def test_ticks_are_short_where_there_is_little_to_do_and_bounded_under_load(cpu_share: float, length: float) -> None:
    assert tick_length(0.01, 0.04, cpu_share) == pytest.approx(length)
