"""Minutes of sound from RTP to AAC in simulated time: skewed clocks, pauses, and users who join again."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import pytest

from relay.core.ident import StreamKey, StreamType
from relay.core.rtp.reception import Reception, TrackSpec
from relay.core.rtp.sender import RtpSender
from relay.core.stream import Stream
from relay.push.feed import Feed, MediaTag
from relay.push.output import Output
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, AacFrame, Transcoder
from tests.support.sound import RATE, decode_aac, opus
from tests.support.thorough import also

TICK = 0.02
FRAME = AAC_SAMPLES / AAC_RATE
PATH = 0.03
"""Seconds from the publisher to the relay."""


@cache
def beeps() -> tuple[bytes, ...]:
    """One second, for any number of turns: a beep of 100 ms at its beginning, then faint noise."""
    turns = opus("lt(mod(t-0.0065,1),0.1)*0.4*sin(2*PI*1000*(t-0.0065))+0.002*(random(0)-0.5)", 3)
    return tuple(turns[50:100])


@dataclass
class Publisher:
    """Sends a beep at each whole second of its own clock, which is `begins` seconds of ours at zero."""

    stream: Stream
    begins: float
    ppm: float = 0.0
    rtp_offset: int = 0
    reports: bool = True
    paused: Callable[[float], bool] = lambda media: False
    shift: Callable[[float], float] = lambda media: 0.0
    _sent: int = 0

    def __post_init__(self) -> None:
        self._reception = Reception([TrackSpec("audio", 111, 48000)], ssrc=1, cname="relay")
        self._sender = RtpSender(
            kind="audio",
            payload_type=111,
            clock_rate=48000,
            ssrc=self.rtp_offset & 0xFFFF | 1,
            cname="user",
            first_sequence=self.rtp_offset & 0xFFFF,
            rtp_offset=self.rtp_offset,
        )

    def tick(self, now: float) -> None:
        while (captured := self.begins + self._sent * 0.02 * (1 - self.ppm * 1e-6)) + PATH <= now:
            media = self._sent * 0.02
            data = beeps()[self._sent % 50]
            self._sent += 1
            if self.paused(media):
                continue
            rtp_time = round((media + self.shift(media)) * 48000)
            for packet in self._sender.send_opus(data, rtp_time, captured):
                for frame in self._reception.receive_rtp(packet, captured + PATH):
                    self.stream.deliver(frame)
            if self.reports and self._sent % 250 == 120:
                self._reception.receive_rtcp(self._sender.report(captured, 3.9e9 + captured), captured + PATH)
        for frame in self._reception.poll(now):
            self.stream.deliver(frame)


@dataclass
class Push:
    """What a CDN would be sent, and when."""

    stream: Stream = field(default_factory=lambda: Stream(StreamKey("app", "room", "user", StreamType(0))))
    now: float = 1000.0
    tags: list[MediaTag] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """When each was given."""

    def __post_init__(self) -> None:
        self.transcoder = Transcoder(coder="fast")
        self.feed = Feed(self.stream, lambda: self.transcoder)
        self.feed.attach(self, self.now)

    def on_tag(self, tag: MediaTag) -> None:
        self.tags.append(tag)
        self.at.append(self.now)

    def run(self, seconds: float, *publishers: Publisher) -> None:
        end = self.now + seconds
        while self.now < end:
            for publisher in publishers:
                publisher.tick(self.now)
            self.feed.encode(self.now)
            self.feed.release(self.now)
            self.now += TICK

    def check(self) -> None:
        """No hole, nothing backwards, nothing late, whatever the publisher did."""
        for before, after in pairwise(self.tags):
            assert after.time - before.time == pytest.approx(FRAME, abs=1e-6)
        assert max(after - before for before, after in pairwise(self.at)) <= 0.1
        output = Output(video=False, audio_config=b"\xaf\0\x12\x10", audio_bit_rate=128_000, opened=0.0)
        stamps = [
            tag.timestamp
            for media in self.tags
            if output.admits(media, media.time, video_expected=False)
            for tag in output.tags(media)
        ]
        assert all(0 <= after - before <= 24 for before, after in pairwise(stamps))

    def beeps(self) -> list[float]:
        """When each beep begins, on the stream's timeline."""
        frames = [AacFrame(tag.body[2:], tag.time) for tag in self.tags]
        samples, _ = decode_aac(self.transcoder.config, frames)
        return [frames[0].time + at / RATE for at in _rises(samples)]


def _rises(samples: "array[float]") -> Sequence[int]:
    block = RATE // 1000
    loud = [max(samples[start : start + block]) > 0.1 for start in range(0, len(samples), block)]
    return [index * block for index in range(50, len(loud)) if loud[index] and not any(loud[index - 50 : index])]


def errors(push: Push, publisher: Publisher, since: float = 0.0) -> list[float]:
    """How late each beep is against its capture."""
    second = 1 - publisher.ppm * 1e-6
    late = []
    for beep in push.beeps():
        turn = round((beep - publisher.begins - PATH) / second)
        if turn >= since:
            late.append(beep - publisher.begins - turn * second)
    return late


@pytest.mark.parametrize("ppm", [1500.0, *also(-1500.0, 200.0, -200.0)])
def test_skew_is_resampled_away(ppm: float) -> None:
    """The greater skew is some 35 ms in this time, more than clocks have."""
    push = Push()
    publisher = Publisher(push.stream, begins=push.now, ppm=ppm, rtp_offset=4_000_000_000)
    push.run(24, publisher)
    push.check()
    late = errors(push, publisher)
    assert len(late) >= 22
    assert max(late) - min(late) <= 0.020
    stats = push.transcoder.stats
    assert (stats.late, stats.concealed) == (0, 0)
    assert stats.silence < 0.2  # before the first packet


def test_discontinuous_transmission() -> None:
    push = Push()
    publisher = Publisher(push.stream, begins=push.now, paused=lambda media: media % 4 > 2.2 and media % 0.4 > 0.001)
    push.run(20, publisher)
    push.check()
    late = errors(push, publisher)
    assert len(late) >= 10
    assert max(late) - min(late) <= 0.020


@pytest.mark.parametrize("reports", [True, *also(False)])
def test_timestamps_that_come_back_four_seconds_early(*, reports: bool) -> None:
    push = Push()
    publisher = Publisher(
        push.stream,
        begins=push.now,
        reports=reports,
        rtp_offset=99,
        paused=lambda media: 6 <= media < 10,
        shift=lambda media: -4.0 if media >= 10 else 0.0,
    )
    push.run(20, publisher)
    push.check()
    late = errors(push, publisher)
    assert 14 <= len(late) <= 16
    assert max(late) - min(late) <= 0.020


@pytest.mark.parametrize("away", [2.0, *also(0.0, 0.05, 8.0)])
def test_a_user_who_joins_again(away: float) -> None:
    """The new session's RTP numbers have nothing to do with the old one's, and its clock is another."""
    push = Push()
    first = Publisher(push.stream, begins=push.now, rtp_offset=3_000_000_000)
    push.run(5, first)
    push.stream.head.clear()
    push.run(away)
    second = Publisher(push.stream, begins=push.now + 0.013, rtp_offset=12_345)
    push.run(6, second)
    push.check()
    late = errors(push, second, since=1)
    assert len(late) >= 4
    assert max(late) - min(late) <= 0.010
    assert all(abs(one - PATH) <= 0.045 for one in late)
    assert push.transcoder.stats.silence == pytest.approx(away, abs=0.25)


def test_two_users_in_quick_turns() -> None:
    """A page that reloads again and again."""
    push = Push()
    for turn in range(8):
        push.run(0.7, Publisher(push.stream, begins=push.now + 0.1, rtp_offset=turn * 911_911_911))
        push.stream.head.clear()
    push.run(1.0)
    push.check()
    push.feed.detach(push)
