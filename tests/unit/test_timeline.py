"""Publishers in virtual time: clocks that run fast, jitter, pauses, jumps, and sender reports, right and wrong."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.timeline import JUMP, SLEW, Timeline, TrackClock
from tests.support.thorough import also

AUDIO, VIDEO = 48000, 90000


@dataclass
class Path:
    """How one track's frames travel: `delay` seconds at least, `jitter` more on average, never overtaking."""

    rate: int
    period: float
    delay: float = 0.03
    jitter: float = 0.005
    ppm: float = 0.0
    offset: int = 0
    first_report: float = 2.4
    report_period: float = 5.0
    late: float = field(default=0.0, init=False)
    reported: float = field(default=0.0, init=False)

    def media(self, sent: float) -> int:
        return round(sent * self.rate * (1 + self.ppm * 1e-6)) + self.offset


@dataclass(frozen=True)
class Placed:
    rate: int
    sent: float
    arrival: float
    time: float

    @property
    def latency(self) -> float:
        return self.time - self.sent


def play(paths: list[Path], seconds: float, *, ntp: float | None = 3.9e9, tick: float = 0.0) -> list[Placed]:
    """Runs publishers' frames through one timeline; `ntp` at 0 s of the sender's clock, None: no sender reports."""
    chance = random.Random(7)  # noqa: S311 - a seeded simulation
    timeline = Timeline()
    clocks = {path.rate: timeline.track(path.rate, leads=path.rate == AUDIO) for path in paths}
    frames = sorted(
        (index * path.period, number)
        for number, path in enumerate(paths)
        for index in range(int(seconds / path.period))
    )
    placed: list[Placed] = []
    for sent, number in frames:
        path = paths[number]
        clock = clocks[path.rate]
        path.late = max(path.late, sent + path.delay + chance.expovariate(1 / path.jitter))
        arrival = path.late if not tick else -(-path.late // tick) * tick
        placed.append(Placed(path.rate, sent, arrival, clock.place(path.media(sent), arrival, arrival)))
        if ntp is not None and sent >= path.first_report + path.reported:
            path.reported += path.report_period
            clock.sender_report(path.media(sent), ntp + sent, arrival)
    return placed


def latencies(placed: list[Placed], rate: int, after: float) -> list[float]:
    return [frame.latency for frame in placed if frame.rate == rate and frame.sent >= after]


def test_first_frame_is_placed_at_its_arrival_without_any_report() -> None:
    clock = Timeline().track(VIDEO, leads=False)

    assert clock.place(12345, 50.0, 50.0) == 50.0
    assert clock.place(12345 + 3000, 50.034, 50.034) == pytest.approx(50.0333, abs=1e-3)


@pytest.mark.parametrize(("reports", "ppm"), [(True, 200), *also((True, -200), (False, 200), (False, -200))])
def test_skew_of_the_publishers_clock_is_followed_for_an_hour(ppm: float, *, reports: bool) -> None:
    paths = [Path(AUDIO, 0.1, ppm=ppm, jitter=0.02), Path(VIDEO, 0.2, ppm=ppm, jitter=0.02)]

    placed = play(paths, 3600, ntp=3.9e9 if reports else None)

    for rate in (AUDIO, VIDEO):
        late = latencies(placed, rate, after=60)
        assert max(late) - min(late) <= 0.02


def test_tracks_with_unlike_delays_are_aligned_by_sender_reports() -> None:
    paths = [Path(AUDIO, 0.02, delay=0.02), Path(VIDEO, 1 / 30, delay=0.15, first_report=0.5, report_period=1.0)]

    placed = play(paths, 90)

    assert latencies(placed, VIDEO, after=60)[0] == pytest.approx(latencies(placed, AUDIO, after=60)[0], abs=0.005)
    # Without reports the difference of the delays stays.
    blind = play([Path(AUDIO, 0.02, delay=0.02), Path(VIDEO, 1 / 30, delay=0.15)], 90, ntp=None)
    assert latencies(blind, VIDEO, after=60)[0] - latencies(blind, AUDIO, after=60)[0] == pytest.approx(0.13, abs=0.005)


def test_the_place_slides_by_no_more_than_resampling_absorbs() -> None:
    placed = play([Path(AUDIO, 0.02, jitter=0.03), Path(VIDEO, 1 / 30, delay=0.3, jitter=0.03)], 30)

    for rate in (AUDIO, VIDEO):
        track = [frame for frame in placed if frame.rate == rate]
        for before, after in itertools.pairwise(track):
            passed = after.arrival - before.arrival
            assert abs(after.latency - before.latency) <= SLEW * passed + 1e-4


@pytest.mark.parametrize("held", [0.1, 0.28, 0.5, 2.3])
def test_what_a_publisher_held_back_while_it_connected_does_not_tell_the_delay(held: float) -> None:
    """It comes at once, the sound before the pictures; from then on both are where live media are."""
    timeline = Timeline()
    sound, picture = timeline.track(AUDIO, leads=True), timeline.track(VIDEO, leads=False)
    sounds = [(i / 50, sound, AUDIO, 0.0005) for i in range(200)]
    pictures = [(i / 30, picture, VIDEO, 0.003) for i in range(120)]
    frames = sorted(sounds + pictures, key=lambda frame: frame[0])
    placed: list[tuple[float, TrackClock, float]] = []
    ready: dict[int, float] = {AUDIO: held, VIDEO: held}
    for sent, clock, rate, gap in frames:
        arrival = ready[rate] = max(ready[rate] + gap, sent + 0.02)
        placed.append((sent, clock, clock.place(round(sent * rate), arrival, arrival) - sent))
    caught_up = held + 0.3
    live = [latency for sent, _, latency in placed if sent > caught_up]
    assert max(live) - min(live) <= 0.025
    assert min(live) == pytest.approx(0.02, abs=0.001)


def test_a_lesser_delay_only_slides_once_settled() -> None:
    clock = Timeline().track(AUDIO, leads=True)
    placed = [
        clock.place(960 * i, at, at) - i / 50 for i in range(400) for at in (i / 50 + (0.1 if i < 200 else 0.02),)
    ]
    assert placed[:200] == pytest.approx([0.1] * 200)
    assert placed[200] > 0.099
    assert placed[399] == pytest.approx(0.1 - 200 / 50 * SLEW, abs=1e-3)


def test_a_delay_that_grew_less_does_not_shake_b_frames() -> None:
    clock = Timeline().track(VIDEO, leads=False)
    assert clock.place(0, 10.0, 10.0, steady=True) == 10.0
    assert clock.place(9000, 10.05, 10.05, steady=True) > 10.09
    assert clock.place(12000, 10.06, 10.06) == pytest.approx(10.0997, abs=1e-3)
    assert clock.place(18000, 10.15, 10.15) == pytest.approx(10.1267, abs=1e-3)


def test_arrivals_in_ticks_do_not_shake_the_timeline() -> None:
    placed = play([Path(AUDIO, 0.02), Path(VIDEO, 1 / 29.97)], 120, tick=0.02)

    for rate in (AUDIO, VIDEO):
        late = latencies(placed, rate, after=30)
        assert max(late) - min(late) <= 0.005


def _follow(rate: int) -> Callable[[float, float], float]:
    """A track of its own: (media seconds, arrival) -> time."""
    clock = Timeline().track(rate, leads=True)
    return lambda media, arrival: clock.place(round(media * rate), arrival, arrival)


def test_discontinuous_transmission_is_a_gap_not_a_jump() -> None:
    place = _follow(AUDIO)
    for index in range(50):
        place(index * 0.02, 100 + index * 0.02)

    # 400 ms between packets, timestamps in step with the arrivals.
    assert place(1.38, 101.38) == pytest.approx(101.38)
    assert place(9.0, 109.0) == pytest.approx(109.0)


def test_timestamps_that_leap_ahead_are_placed_by_arrival_at_once() -> None:
    place = _follow(AUDIO)
    for index in range(50):
        place(index * 0.02, 100 + index * 0.02)

    assert place(3600.0, 101.0) == pytest.approx(101.0)
    assert place(3600.02, 101.02) == pytest.approx(101.02)


def test_timestamps_that_go_back_are_placed_by_arrival_and_time_goes_on() -> None:
    place = _follow(AUDIO)
    last = 0.0
    for index in range(50):
        last = place(index * 0.02, 100 + index * 0.02)

    # Same media again, four seconds early: what arrives now is placed now, since nothing was held back.
    times = [place(index * 0.02 - 4, 101 + index * 0.02) for index in range(50)]

    assert times == pytest.approx([101 + index * 0.02 for index in range(50)])
    assert times[0] > last


def test_sound_that_pauses_without_its_timestamps_while_video_goes_on() -> None:
    timeline = Timeline()
    audio, video = timeline.track(AUDIO, leads=True), timeline.track(VIDEO, leads=False)
    for index in range(100):
        audio.place(index * 960, index * 0.02, index * 0.02)
        video.place(index * 1800, index * 0.02, index * 0.02)
    for index in range(100, 300):
        video.place(index * 1800, index * 0.02, index * 0.02)

    # replaceTrack(null) for 4 s: the timestamps continue where they stopped.
    assert audio.place(100 * 960, 6.0, 6.0) == pytest.approx(6.0)


def test_a_longer_path_is_followed_also_by_sparse_packets() -> None:
    place = _follow(AUDIO)
    for index in range(20):
        place(index * 2.0, index * 2.0)

    times = [place(index * 2.0, index * 2.0 + 0.2) for index in range(20, 40)]

    assert times[-1] == pytest.approx(39 * 2.0 + 0.14, abs=0.02)


def test_a_network_stall_does_not_move_the_timeline() -> None:
    place = _follow(AUDIO)
    for index in range(100):
        place(index * 0.02, index * 0.02)

    # Two seconds in which nothing arrives, then all of it at once, then as before.
    burst = [place(index * 0.02, 4.0) for index in range(100, 200)]
    after = [place(index * 0.02, index * 0.02) for index in range(200, 400)]

    assert burst == pytest.approx([index * 0.02 for index in range(100, 200)], abs=0.02)
    assert after == pytest.approx([index * 0.02 for index in range(200, 400)], abs=0.02)


def test_a_pause_of_the_only_track_is_found_out_within_a_second() -> None:
    place = _follow(AUDIO)
    for index in range(100):
        place(index * 0.02, index * 0.02)

    times = [place(index * 0.02, index * 0.02 + 4) for index in range(100, 200)]

    assert times[-1] == pytest.approx(199 * 0.02 + 4)


def test_report_without_a_clock_is_ignored() -> None:
    timeline = Timeline()
    audio, video = timeline.track(AUDIO, leads=True), timeline.track(VIDEO, leads=False)
    audio.place(0, 0.0, 0.0)
    video.place(0, 0.1, 0.1)
    audio.sender_report(0, 0.0, 0.1)
    video.sender_report(0, 0.0, 0.1)

    assert audio.to_ntp is None
    assert video.to_ntp is None


def test_reports_before_the_first_frame_are_ignored() -> None:
    clock = Timeline().track(AUDIO, leads=True)
    clock.sender_report(0, 3.9e9, 0.0)
    assert clock.to_ntp is None


def _reported(ntp_of: Callable[[float, int], float]) -> list[Placed]:
    """Two tracks without jitter, the video's reports made by `ntp_of(sent, rtp)`."""
    timeline = Timeline()
    audio, video = timeline.track(AUDIO, leads=True), timeline.track(VIDEO, leads=False)
    placed = []
    for index in range(3000):
        sent = index * 0.02
        audio.place(round(sent * AUDIO), sent + 0.02, sent + 0.02)
        time = video.place(round(sent * VIDEO), sent + 0.05, sent + 0.05)
        placed.append(Placed(VIDEO, sent, sent + 0.05, time))
        if index % 100 == 99:
            audio.sender_report(round(sent * AUDIO), 1000 + sent, sent + 0.02)
            video.sender_report(round(sent * VIDEO), ntp_of(sent, index), sent + 0.05)
    return placed


@pytest.mark.parametrize(
    "ntp_of",
    [
        lambda sent, index: 1000 + sent / 2,
        lambda sent, index: 1000 + sent * 2,
        lambda sent, index: 1000 + sent * 0.9,
        lambda sent, index: 5000 + sent,
        lambda sent, index: 1000 + sent + 2 * (index % 200 == 99),
    ],
    ids=[
        "GStreamer 1.22: RTP time twice as fast",
        "half as fast",
        "a little faster",
        "another epoch",
        "clock that jumps to and fro",
    ],
)
def test_wrong_reports_are_not_believed(ntp_of: Callable[[float, int], float]) -> None:
    placed = _reported(ntp_of)

    assert all(abs(frame.latency - 0.05) <= 0.04 for frame in placed)
    assert placed[-1].latency == pytest.approx(0.05, abs=0.005)


def test_a_clock_set_once_is_believed_again() -> None:
    placed = _reported(lambda sent, index: 1000 + sent + 0.2 * (0.5 < sent < 3))

    assert placed[-1].latency == pytest.approx(0.02, abs=0.002)


def test_alignment_outlives_a_jump() -> None:
    timeline = Timeline()
    audio, video = timeline.track(AUDIO, leads=True), timeline.track(VIDEO, leads=False)
    for index in range(3000):
        sent = index * 0.02
        audio.place(index * 960, sent + 0.02, sent + 0.02)
        video.place(index * 1800, sent + 0.1, sent + 0.1)
        if index % 50 == 0:
            audio.sender_report(index * 960, 1000 + sent, sent + 0.02)
            video.sender_report(index * 1800, 1000 + sent, sent + 0.1)

    assert video.place(99_000_000, 60.1, 60.1) == pytest.approx(60.02, abs=0.005)


def test_another_source_begins_at_its_arrival() -> None:
    clock = Timeline().track(VIDEO, leads=False)
    clock.place(90_000, 10.0, 10.0)
    clock.restart()

    assert clock.place(5, 10.1, 10.1) == 10.1


def _walk(steps: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    media = arrival = 100.0
    for forward, passed in steps:
        media += forward
        arrival += passed
        yield media, arrival


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0, 5)), min_size=1, max_size=60))
def test_time_never_goes_back_and_never_runs_away(steps: list[tuple[float, float]]) -> None:
    place = _follow(VIDEO)
    last = 0.0
    for media, arrival in _walk(steps):
        time = place(media, arrival)
        assert time >= last
        assert time <= arrival + JUMP + 0.001
        last = time
