"""The same user publishes again: the CDN's connection stays, the sound never pauses, and video is back at once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from relay.cli.measure import audio_frames, audio_holes, read_tags, video_frames
from relay.cli.pattern import PatternSource
from relay.core.flv import Tag
from relay.push.sink import Sink, SinkStream
from tests.support.eventually import eventually, wait
from tests.support.nginx import Nginx
from tests.support.publishing import User, publishing
from tests.support.relay import InlineRelay, running_relay
from tests.support.timestamps import is_monotonic

SETTLE = 1.0


@dataclass(slots=True)
class Arrivals:
    """What our sink saw, by the loop's clock."""

    tags: list[tuple[float, Tag]] = field(default_factory=list)
    streams: list[SinkStream] = field(default_factory=list)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """When the loop that relay, publisher and sink share stood still for longer than a tick."""

    def on_tag(self, stream: SinkStream, tag: Tag, arrival: float) -> None:
        self.tags.append((arrival, tag))

    def sounds(self) -> list[float]:
        return [arrival for arrival, tag in self.tags if audio_frames([tag])]

    def key_after(self, moment: float) -> float | None:
        return next((arrival for arrival, tag in self.tags if tag.is_key and arrival > moment), None)


def camera() -> PatternSource:
    return PatternSource(width=320, height=180, fps=15, bit_rate=300_000)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Arrivals, int]]:
    """A sink that notes arrivals, and its port."""
    arrivals = Arrivals()
    sink = Sink(on_tag=arrivals.on_tag, on_start=arrivals.streams.append)
    watching = asyncio.create_task(watch_the_loop(arrivals.stalls))
    try:
        yield arrivals, await sink.start()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await sink.close()


async def watch_the_loop(stalls: list[tuple[float, float]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.005)
        if loop.time() - before > 0.025:
            stalls.append((before, loop.time()))


async def pushing(relay: InlineRelay, task: str) -> bool:
    return (await relay.states(task))[:2] == (2, 5)


async def both(relay: InlineRelay, cdn: Nginx, port: int, name: str, *, max_idle_time: int = 180) -> None:
    """One push to nginx-rtmp, and one to our sink, which tells when each tag came."""
    await relay.start(cdn.push_url(name), task="nginx", max_idle_time=max_idle_time)
    await relay.start(f"rtmp://127.0.0.1:{port}/live/{name}", task="sink", max_idle_time=max_idle_time)
    for task in ("nginx", "sink"):
        await eventually(lambda task=task: pushing(relay, task))


async def check(relay: InlineRelay, cdn: Nginx, name: str, arrivals: Arrivals) -> list[Tag]:
    """Ends the pushes; what both CDNs got is whole."""
    assert cdn.calls(name) == ["publish"]
    assert len(arrivals.streams) == 1
    for task in ("nginx", "sink"):
        assert (await relay.task(task)).connects == 1
        await relay.stop(task)
    await eventually(lambda: cdn.calls(name) == ["publish", "publish_done"])
    tags = read_tags(cdn.recording(name))
    for got in (tags, [tag for _, tag in arrivals.tags]):
        assert audio_holes(got) == []
        assert is_monotonic(audio_frames(got))
        assert is_monotonic(video_frames(got))
        stamps = [tag.timestamp for tag in audio_frames(got)]
        assert max(b - a for a, b in pairwise(stamps)) <= 100
    return tags


def publisher_connection(cdn: Nginx, name: str) -> tuple[str, int]:
    """nginx-rtmp's statistics: the publisher's client id, and the milliseconds it has been there."""
    for stream in cdn.stats().iterfind(".//live/stream"):
        if stream.findtext("name") == name:
            for client in stream.iterfind("client"):
                if client.find("publishing") is not None:
                    return client.findtext("id", ""), int(client.findtext("time", "0"))
    raise AssertionError(f"nobody publishes {name}")


def assert_even(arrivals: Arrivals) -> None:
    """Not only by its timestamps: sound never pauses on the wire, but where this machine did."""
    for before, after in pairwise(arrivals.sounds()):
        stalled = sum(max(0.0, min(end, after) - max(start, before)) for start, end in arrivals.stalls)
        assert after - before - stalled <= 0.100


@pytest.mark.parametrize("away", [2, 8, 30])
async def test_back_after_a_kill(cdn: Nginx, away: int) -> None:
    loop = asyncio.get_running_loop()
    name = f"kill{away}"
    async with receiving() as (arrivals, port), running_relay() as relay:
        async with publishing(relay, source=camera()) as user:
            await both(relay, cdn, port, name)
            before = publisher_connection(cdn, name)
            await wait(SETTLE)
            await user.vanish()
        await wait(away)
        assert await pushing(relay, "nginx")
        joining = loop.time()
        async with publishing(relay, source=camera()) as again:
            key = await eventually(lambda: arrivals.key_after(joining), within=5)
            assert key - joining < 1.5
            await wait(SETTLE)
            after = publisher_connection(cdn, name)
            assert after[0] == before[0]
            assert after[1] >= before[1] + (away + SETTLE) * 1000
            await again.pause()
            await wait(0.5)
            tags = await check(relay, cdn, name, arrivals)
            assert_even(arrivals)
    # Nothing but a key frame follows the pause.
    pictures = video_frames(tags)
    gap, index = max((b.timestamp - a.timestamp, i) for i, (a, b) in enumerate(pairwise(pictures)))
    assert gap >= away * 1000
    assert pictures[index + 1].is_key


async def test_the_newest_session_wins_while_the_first_is_still_seated(cdn: Nginx) -> None:
    loop = asyncio.get_running_loop()
    async with receiving() as (arrivals, port), running_relay() as relay, publishing(relay, source=camera()) as first:
        await both(relay, cdn, port, "newest")
        await wait(SETTLE)
        joining = loop.time()
        async with publishing(relay, source=camera()) as second:
            assert await eventually(lambda: arrivals.key_after(joining), within=5) - joining < 1.5
            await eventually(lambda: first.live.caster.closed_reason, what="the first is sent away")
            await ended(first)
            await wait(SETTLE)
            assert await pushing(relay, "nginx")
            await second.pause()
            await check(relay, cdn, "newest", arrivals)
            assert_even(arrivals)


async def ended(user: User) -> None:
    """Its playing found out that the session is over."""
    playing, user._playing = user._playing, None
    if playing is not None:
        await asyncio.wait([playing])
        playing.exception()


async def test_the_idle_clock_runs_only_while_nobody_publishes(cdn: Nginx) -> None:
    """Twice away for less than MaxIdleTime, together for more: the task goes on; then away for good."""
    async with receiving() as (arrivals, port), running_relay() as relay:
        await relay.start(f"rtmp://127.0.0.1:{port}/live/idle", max_idle_time=10)
        for _ in range(2):
            async with publishing(relay, source=camera()) as user:
                await eventually(lambda: pushing(relay, "task"))
                await wait(SETTLE)
                await user.vanish()
            await wait(7)
            assert await pushing(relay, "task")
        async with publishing(relay, source=camera()) as user:
            await wait(SETTLE)
            await user.vanish()
        gone = time.monotonic()

        async def over() -> bool:
            return await relay.states() == (3, 6, "IdleTimeOut")

        await eventually(over, within=15)
        assert abs(time.monotonic() - gone - 10) < 1
        assert (await relay.task()).connects == len(arrivals.streams) == 1
