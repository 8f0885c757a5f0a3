"""A bad network between a publisher and the relay: what a real nginx-rtmp records of it.

The publisher answers NACK; the network is seeded, with 60 ms of round trip.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import av
import pytest

from relay.cli import pattern
from relay.cli.measure import (
    access_units,
    audio_frames,
    audio_holes,
    av_offsets,
    percentile,
    read_tags,
    vcl_digests,
    video_frames,
)
from relay.cli.source import ClipSource, Picture, Source
from relay.core import flv
from tests.support.chromium import chromium
from tests.support.eventually import eventually
from tests.support.impairer import Impairer, Profile, impaired
from tests.support.nginx import Nginx
from tests.support.publishing import User
from tests.support.recording import assert_decodes
from tests.support.relay import InlineRelay, Relay, running_relay
from tests.support.timestamps import gaps, is_monotonic

RTT = 0.06
CLEAN = Profile(delay=RTT / 2)


SECONDS, WIDTH, HEIGHT, FPS = 30, 640, 360, 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Longer than any run, so that no picture is sent twice; coded beforehand, so that it costs nothing meanwhile."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        audio = container.add_stream("libopus", rate=pattern.SAMPLE_RATE)
        pattern.configure_h264(
            video.codec_context, width=WIDTH, height=HEIGHT, fps=FPS, bit_rate=1_500_000, key_interval=1.0
        )
        pattern.configure_opus(audio.codec_context, bit_rate=96_000)
        pictures = islice(pattern.pictures(WIDTH, HEIGHT, FPS), SECONDS * FPS)
        packets = [packet for frame in pictures for packet in video.encode(frame)]
        sounds = islice(pattern.sounds(), round(SECONDS / pattern.PACKET_SECONDS))
        packets += [packet for frame in sounds for packet in audio.encode(frame)]
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


class TimedUser(User):
    """A user whose pictures, all unlike each other, are known by the time they were sent at."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.sent_at: dict[tuple[str, ...], float] = {}
        """On the monotonic clock, by digests."""

    def _on_picture(self, picture: Picture) -> None:
        super()._on_picture(picture)
        self.sent_at[vcl_digests(picture.nals)] = time.monotonic()


@dataclass
class Run:
    """A push over a bad network, and what is left of it."""

    relay: InlineRelay
    network: Impairer
    user: TimedUser
    cdn: Nginx
    name: str
    tags: list[flv.Tag] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.cdn.recording(self.name)

    async def last(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await eventually(lambda: time.monotonic() >= end, within=seconds + 10)

    async def finish(self) -> None:
        """Stops the push, and checks what holds on every network."""
        task = await self.relay.task()
        assert (task.state.value, task.connects) == ("pushing", 1)
        await self.relay.stop()
        await eventually(lambda: "publish_done" in self.cdn.calls(self.name))
        self.tags = read_tags(self.path)
        assert is_monotonic(video_frames(self.tags))
        assert is_monotonic(audio_frames(self.tags))
        assert audio_holes(self.tags) == []
        assert_decodes(self.path)
        # Nothing was changed on the way.
        assert set(access_units(self.tags)) <= set(self.user.sent)


async def pushing(relay: Relay) -> bool:
    return (await relay.states())[:2] == (2, 5)


@contextlib.asynccontextmanager
async def pushed(
    cdn: Nginx, clip: Path, name: str, *, up: Profile = CLEAN, down: Profile = CLEAN, seed: int = 1
) -> AsyncIterator[Run]:
    user = TimedUser(ClipSource(clip))
    async with running_relay() as relay, impaired(relay.url, up=up, down=down, seed=seed) as network:
        await relay.start(cdn.push_url(name))
        await user.join(Relay(network.url, relay.client).whip_url())
        try:
            await eventually(lambda: pushing(relay), within=20)
            yield Run(relay, network, user, cdn, name)
        finally:
            await user.leave()


async def test_at_one_per_cent_no_access_unit_is_lost(cdn: Nginx, clip: Path) -> None:
    lossy = replace(CLEAN, loss=0.01)
    async with pushed(cdn, clip, "one", up=lossy, down=lossy) as run:
        await run.last(12)
        await run.finish()
        assert run.network.sessions[0].up.counters.lost > 15
        received = access_units(run.tags)
        begin = run.user.sent.index(received[0])
        assert begin < 30, "the first second"
        assert received == run.user.sent[begin : begin + len(received)]
        assert len(received) > 11 * 30
    offsets = [abs(offset) for offset in av_offsets(run.path)]
    assert len(offsets) >= 10
    assert percentile(offsets, 95) <= 0.080


async def test_at_five_per_cent_freezes_are_short(cdn: Nginx, clip: Path) -> None:
    lossy = replace(CLEAN, loss=0.05)
    async with pushed(cdn, clip, "five", up=lossy, down=lossy, seed=2) as run:
        await run.last(14)
        await run.finish()
        assert run.network.sessions[0].up.counters.lost > 80
    freezes = [gap.duration for gap in gaps(video_frames(run.tags), 0.05)]
    assert percentile([0.0, *freezes], 99) <= RTT + 1.0
    assert len(video_frames(run.tags)) > 0.9 * 14 * 30


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (replace(CLEAN, loss=0.1), replace(CLEAN, loss=0.1)),
        (replace(CLEAN, burst=0.2, burst_period=2.0), CLEAN),
        (replace(CLEAN, loss=0.02, jitter=0.03, reorder=0.02, duplicate=0.02), replace(CLEAN, loss=0.02, jitter=0.03)),
    ],
    ids=["ten", "bursts", "all"],
)
async def test_the_stream_survives(
    cdn: Nginx, clip: Path, up: Profile, down: Profile, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    async with pushed(cdn, clip, name, up=up, down=down, seed=3) as run:
        await run.last(11)
        await run.finish()
        pictures = video_frames(run.tags)
        freezes = [gap.duration for gap in gaps(pictures, 0.05)]
        assert max(freezes, default=0.0) < 2.0 + RTT
        # It lives to the end.
        assert pictures[-1].timestamp > audio_frames(run.tags)[-1].timestamp - 1500
    offsets = [abs(offset) for offset in av_offsets(run.path)]
    assert len(offsets) >= 8
    assert percentile(offsets, 95) <= 0.080


async def test_after_a_blackout_pictures_are_back_at_once(cdn: Nginx, clip: Path) -> None:
    async with pushed(cdn, clip, "blackout") as run:
        await run.last(4)
        end = run.network.blackout(2.0)
        loop = asyncio.get_running_loop()
        await eventually(lambda: loop.time() >= end)
        sent = (await run.relay.task()).video_sent

        async def back() -> bool:
            return (await run.relay.task()).video_sent > sent

        await eventually(back, within=5)
        returned = loop.time() - end
        await run.last(3)
        await run.finish()
    assert returned <= 1.5
    # By what was sent when: from 1.5 s on, everything is there.
    late = [digests for digests, at in run.user.sent_at.items() if end + 1.5 <= at < end + 3]
    assert len(late) > 30
    assert set(late) <= set(access_units(run.tags))


async def test_a_page_on_a_bad_network(cdn: Nginx) -> None:
    """Chromium's own answers to NACK and PLI."""
    lossy = Profile(loss=0.02, delay=0.02, jitter=0.02, reorder=0.01)
    async with (
        running_relay() as relay,
        impaired(relay.url, up=lossy, down=lossy, from_start=True) as network,
        chromium() as browser,
    ):
        await relay.start(cdn.push_url("page"))
        await browser.publish(Relay(network.url, relay.client).whip_url())
        await eventually(lambda: pushing(relay), within=20)

        async def sent() -> bool:
            task = await relay.task()
            return task.video_sent > 180 and task.audio_sent > 300

        await eventually(sent, within=40, what="some seconds of media")
        await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls("page"))
        assert network.sessions[0].up.counters.lost > 10
    tags = read_tags(cdn.recording("page"))
    assert max(gap.duration for gap in gaps(video_frames(tags), 0.0)) <= 1.0 + 2 * (lossy.delay + lossy.jitter)
    assert audio_holes(tags) == []
    assert_decodes(cdn.recording("page"))
