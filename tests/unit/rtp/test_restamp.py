"""RTP timestamps of a stream that is sent again: spacing kept, one timeline, never back."""

from itertools import pairwise

import pytest

from relay.core.rtp.restamp import JUMP, Restamp


def test_spacing_is_the_publishers_while_the_timeline_slides() -> None:
    """Ten hours of a publisher whose clock is 0.03 % fast: no packet of sound is off its place."""
    restamp = Restamp(48_000, 960)
    first = restamp.stamp(7, 100.0)
    assert first == 100 * 48_000
    stamps = [restamp.stamp(7 + 960 * n, 100.0 + 0.02 * n * 0.9997) for n in range(1, 10 * 3600 * 50, 50)]
    assert {b - a for a, b in pairwise(stamps)} == {960 * 50}
    assert stamps[0] - first == 960


@pytest.mark.parametrize("jump", [-3.0, 3.0, 90.0])
def test_timestamps_that_jump_against_the_timeline_do_not_jump_here(jump: float) -> None:
    restamp = Restamp(90_000, 3_000)
    before = restamp.stamp(0, 10.0)
    after = restamp.stamp(round((0.5 + jump) * 90_000), 10.5)
    assert after - before == 45_000
    assert restamp.stamp(round((0.6 + jump) * 90_000), 10.6) - after == 9_000


def test_a_pause_of_both_is_a_pause() -> None:
    """Muted with DTX, or a camera that is off: timestamps and timeline go on together."""
    restamp = Restamp(48_000, 960)
    before = restamp.stamp(0, 10.0)
    assert restamp.stamp(48_000 * 30, 40.0) - before == 48_000 * 30


@pytest.mark.parametrize("away", [0.0, 0.1, 20.0])
@pytest.mark.parametrize("own", [0, 12_345, 2**40])
def test_another_publisher_goes_on_where_the_first_ended(away: float, own: int) -> None:
    restamp = Restamp(48_000, 960)
    last = [restamp.stamp(960 * n, 10.0 + 0.02 * n) for n in range(50)][-1]
    restamp.restart()
    following = [restamp.stamp(own + 960 * n, 10.0 + 0.02 * 49 + away + 0.02 * n) for n in range(50)]
    assert following[0] - last == pytest.approx(max(960, away * 48_000), abs=1)
    assert {b - a for a, b in pairwise(following)} == {960}


def test_the_first_again_at_the_same_moment_is_still_later() -> None:
    restamp = Restamp(90_000, 3_000)
    latest = max(restamp.stamp(t, 10.0 + t / 90_000) for t in (0, 9_000, 3_000, 6_000))
    restamp.restart()
    assert restamp.stamp(0, 10.0) == latest + 3_000


def test_pictures_that_are_sent_before_those_shown_earlier_keep_their_order() -> None:
    restamp = Restamp(90_000, 3_000)
    shown = [0, 9_000, 3_000, 6_000, 18_000, 12_000, 15_000]
    stamps = [restamp.stamp(time, 5.0 + time / 90_000) for time in shown]
    assert [stamp - stamps[0] for stamp in stamps] == shown


def test_a_slide_is_no_jump() -> None:
    restamp = Restamp(90_000, 3_000)
    before = restamp.stamp(0, 1.0)
    assert restamp.stamp(3_000, 1.0 + 1 / 30 + JUMP * 0.9) - before == 3_000
