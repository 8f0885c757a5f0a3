"""An hour of media in simulated time: publishers' clocks that are off, reports right, absent and wrong, pauses.

The sound leads, so pictures are measured against it: what a viewer would see is the difference of two frames' times on
the stream's timeline, for media captured at one moment.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from relay.core.timeline import Timeline, TrackClock
from tests.support.thorough import also

AUDIO, VIDEO = 48000, 90000
HOUR = 3600.0
SETTLED = 60.0
"""Seconds after which offsets have found their place."""
Ntp = Callable[[float], float]


def right(sent: float) -> float:
    return 3.9e9 + sent


def twice(sent: float) -> float:
    """GStreamer 1.22: RTP time advances twice as fast as NTP time."""
    return 3.9e9 + sent / 2


REPORTS: dict[str, Ntp | None] = {"right": right, "absent": None, "wrong": twice}


@dataclass
class Track:
    """One track of a publisher, sampled each `period`; `paused(sent)`: nothing is sent then."""

    clock: TrackClock
    rate: int
    period: float
    delay: float
    ppm: float
    first: int
    report_after: float
    report_period: float
    paused: Callable[[float], bool] = lambda sent: False
    shift: Callable[[float], float] = lambda sent: 0.0
    """Seconds by which the RTP time is ahead of the capture."""
    placed: list[tuple[float, float, float]] = field(default_factory=list)
    """Capture, arrival, time."""
    _late: float = 0.0
    _reported: float = 0.0

    def rtp(self, sent: float) -> int:
        return self.first + round((sent * (1 + self.ppm * 1e-6) + self.shift(sent)) * self.rate)

    def send(self, sent: float, chance: random.Random, ntp: Ntp | None) -> None:
        if self.paused(sent):
            return
        # A queue: it jitters and keeps the order.
        self._late = max(self._late, sent + self.delay + chance.expovariate(100))
        self.placed.append((sent, self._late, self.clock.place(self.rtp(sent), self._late, self._late)))
        if ntp is not None and sent >= self.report_after + self._reported:
            self._reported = sent - self.report_after + self.report_period
            self.clock.sender_report(self.rtp(sent), ntp(sent), self._late)


def publisher(ppm: float, **audio: object) -> tuple[Track, Track]:
    """A page with 40 ms more on the way of its pictures, as encoders have; its sound's first report comes late."""
    timeline = Timeline()
    sound = Track(timeline.track(AUDIO, leads=True), AUDIO, 0.2, 0.03, ppm, 123_456, 2.4, 5.0)
    picture = Track(timeline.track(VIDEO, leads=False), VIDEO, 0.4, 0.07, ppm, 4_000_000_000, 0.5, 1.0)
    for name, value in audio.items():
        setattr(sound, name, value)
    return sound, picture


def play(tracks: tuple[Track, Track], seconds: float, ntp: Ntp | None, seed: int = 1) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seeded simulation
    sends = [(index * track.period, track) for track in tracks for index in range(int(seconds / track.period))]
    for sent, track in sorted(sends, key=lambda send: send[0]):
        track.send(sent, chance, ntp)
    for track in tracks:
        times = [time for _, _, time in track.placed]
        assert all(before <= after for before, after in itertools.pairwise(times)), "nothing goes back"


def delays(track: Track, since: float = SETTLED) -> list[float]:
    return [time - sent for sent, _, time in track.placed if sent >= since]


def apart(sound: Track, picture: Track, since: float) -> float:
    """The largest distance of sound and picture captured at one moment."""
    heard = {round(sent, 3): time for sent, _, time in sound.placed}
    seen = ((round(sent, 3), time) for sent, _, time in picture.placed if sent >= since)
    return max(abs(heard[sent] - time) for sent, time in seen if sent in heard)


@pytest.mark.parametrize("reports", REPORTS)
@pytest.mark.parametrize("ppm", [200.0, *also(-200.0)])
def test_an_hour_with_a_clock_that_is_off(ppm: float, reports: str) -> None:
    sound, picture = publisher(ppm)
    play((sound, picture), HOUR, REPORTS[reports])
    for track in (sound, picture):
        late = delays(track)
        assert max(late) - min(late) <= 0.020
    assert apart(sound, picture, since=0) <= 0.080


@pytest.mark.parametrize("ppm", [-200.0, *also(200.0)])
def test_an_hour_of_talk_with_pauses(ppm: float) -> None:
    """DTX: in a pause one packet each 400 ms, its timestamps in step with the capture."""

    def paused(sent: float) -> bool:
        return sent % 30 > 10 and round(sent * 5) % 2 != 0

    sound, picture = publisher(ppm, paused=paused)
    play((sound, picture), HOUR, right)
    assert len(sound.placed) < HOUR * 5 * 0.7
    for track in (sound, picture):
        late = delays(track)
        assert max(late) - min(late) <= 0.020
    assert apart(sound, picture, since=0) <= 0.080


@pytest.mark.parametrize("reports", ["right", *also("absent")])
def test_timestamps_that_come_back_four_seconds_early(reports: str) -> None:
    """Sound taken away for 4 s (replaceTrack(null)), each ten minutes: its timestamps go on where they stopped, so each
    time they are 4 s earlier against the capture than before. The next sender report tells of it."""

    def paused(sent: float) -> bool:
        return sent % 600 >= 596

    def shift(sent: float) -> float:
        return -4.0 * (sent // 600)

    sound, picture = publisher(200.0, paused=paused, shift=shift)
    play((sound, picture), HOUR, REPORTS[reports])
    for track in (sound, picture):
        late = delays(track)
        assert max(late) - min(late) <= 0.045
    assert apart(sound, picture, since=0) <= 0.080


def test_timestamps_that_jump_back_while_packets_flow() -> None:
    """The same, but the sender goes back by 4 s at once, with no pause that would tell."""
    sound, picture = publisher(-200.0, shift=lambda sent: -4.0 * (sent // 600))
    play((sound, picture), HOUR, right)
    assert apart(sound, picture, since=0) <= 0.080


def test_reports_that_turn_wrong_and_right_again() -> None:
    sound, picture = publisher(200.0)
    play((sound, picture), 1800, lambda sent: twice(sent) if 600 <= sent < 1200 else right(sent))
    assert apart(sound, picture, since=0) <= 0.080
