"""Moody CDNs: a real nginx-rtmp that is killed, comes back, resets, falls silent, wedges, or is at the end of a slow
link; the push goes on as soon as it can, and nothing else suffers."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from relay.cli.measure import audio_frames, audio_holes, read_tags, video_frames
from relay.cli.pattern import PatternSource
from relay.core import flv
from relay.core.flv import Tag
from relay.push.sink import Sink, SinkStream
from tests.support.eventually import eventually, wait
from tests.support.nginx import Nginx, nginx
from tests.support.publishing import User, publishing
from tests.support.relay import InlineRelay, running_relay
from tests.support.tcp_proxy import TcpProxy


@contextlib.asynccontextmanager
async def on_air(url: str) -> AsyncIterator[tuple[InlineRelay, User]]:
    """A relay, a user who publishes, and a task that pushes."""
    source = PatternSource(width=320, height=180, fps=15, bit_rate=400_000)
    async with running_relay() as relay, publishing(relay, source=source) as user:
        await relay.start(url)
        await wait_for_state(relay, 5)
        yield relay, user


async def wait_for_state(relay: InlineRelay, state: int, *, within: float = 10.0) -> None:
    async def reached() -> bool:
        return (await relay.states())[:2] == (2, state)

    await eventually(reached, within=within, what=f"PushStreamState {state}")


def playable(recording: Path) -> bool:
    """What nginx has so far begins with headers of both tracks and a key frame."""
    if not recording.exists():
        return False
    with contextlib.suppress(flv.FlvError):
        tags = read_tags(recording)
        kinds = {tag.type for tag in tags if tag.is_header}
        pictures = video_frames(tags)
        return kinds >= {flv.AUDIO, flv.VIDEO} and bool(pictures) and pictures[0].is_key and bool(audio_frames(tags))
    return False


async def kill(cdn: Nginx) -> None:
    process = psutil.Process(int((cdn.folder / "nginx.pid").read_text()))
    process.send_signal(signal.SIGKILL)
    await eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


@contextlib.asynccontextmanager
async def returned(cdn: Nginx) -> AsyncIterator[float]:
    """nginx again, on the same ports, for as long as the block lasts; gives the time at which it was started."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["nginx", "-c", str(cdn.folder / "nginx.conf"), "-p", str(cdn.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    )
    try:
        yield began
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


@pytest.fixture
def own_cdn(tmp_path: Path) -> Iterator[Nginx]:
    """One that the test may kill."""
    with nginx(tmp_path) as server:
        yield server


@pytest.mark.parametrize("outage", [3, 45])
async def test_killed_and_back(own_cdn: Nginx, outage: int) -> None:
    cdn = own_cdn
    async with on_air(cdn.push_url("restart")) as (relay, _):
        await eventually(lambda: playable(cdn.recording("restart")))
        before = await relay.task()
        assert (before.connects, before.last_error) == (1, "")
        await kill(cdn)
        cdn.recording("restart").unlink()
        await wait_for_state(relay, 3, within=2)
        await wait(outage)
        assert (await relay.states())[:2] == (2, 3)
        waiting = await relay.task()
        assert waiting.last_error == "connect: connection refused"
        # No storm, and none needed.
        assert outage / 1.3 - 1 <= waiting.connects - 1 <= outage + 1.5
        async with returned(cdn) as began:
            await eventually(lambda: playable(cdn.recording("restart")), within=5, what="playable again")
            assert time.monotonic() - began < 2.0
            await wait_for_state(relay, 5)
            after = await relay.task()
            assert after.connects <= waiting.connects + 3
            await eventually(lambda: len(audio_frames(read_tags(cdn.recording("restart")))) > 40)
            await relay.stop()
            await eventually(lambda: cdn.calls("restart")[-1] == "publish_done")
        tags = read_tags(cdn.recording("restart"))
        # A stream of its own: its clock begins anew, its sound has no hole.
        assert tags[0].timestamp < 1000
        assert video_frames(tags)[0].is_key
        assert audio_holes(tags) == []


async def test_already_publishing_after_our_own_reconnect_is_tried_again(cdn: Nginx) -> None:
    """Something on the way forgets the connection: nginx-rtmp still holds the old one, and refuses the new."""
    async with TcpProxy(cdn.rtmp_port) as proxy, on_air(proxy.url("held")) as (relay, _):
        await proxy.reset(keep_server_side=True)
        await wait_for_state(relay, 3)

        async def refused() -> bool:
            return "NetStream.Publish.BadName" in (await relay.task()).last_error

        await eventually(refused)
        # More often than a permanent refusal would be heard.
        await eventually(lambda: len(proxy.accepted) >= 5, within=20)
        assert (await relay.states())[0] == 2
        await proxy.reset()
        await wait_for_state(relay, 5, within=12)
        assert "held" in cdn.streams()
        assert (await relay.task()).connects == len(proxy.accepted)
        assert min(b - a for a, b in pairwise(proxy.accepted)) > 0.95


async def test_reset_and_refused(cdn: Nginx) -> None:
    async with TcpProxy(cdn.rtmp_port) as proxy, on_air(proxy.url("reset")) as (relay, _):
        for connects in (2, 3):
            await proxy.reset()
            await wait_for_state(relay, 3, within=2)
            task = await relay.task()
            assert "the server broke the connection (connection reset) while publishing" in task.last_error
            await wait_for_state(relay, 5)
            assert (await relay.task()).connects == connects
        await proxy.kill()
        await wait_for_state(relay, 3, within=2)
        await proxy.come_back()
        await wait_for_state(relay, 5, within=5)
        assert min(b - a for a, b in pairwise(proxy.accepted)) > 0.95
        assert cdn.calls("reset").count("publish") == 4


async def test_a_host_that_vanishes_and_one_that_wedges(cdn: Nginx) -> None:
    """No FIN, no RST, nothing read any more: found within 30 s by what the peer's kernel takes."""
    async with TcpProxy(cdn.rtmp_port) as proxy, on_air(proxy.url("wedge")) as (relay, _):
        began = time.monotonic()
        await proxy.blackhole()
        await wait_for_state(relay, 3, within=35)
        assert time.monotonic() - began < 30
        assert "stalled" in (await relay.task()).last_error

        async def unanswered() -> bool:
            return (await relay.task()).last_error == "connect: no answer within 5 s"

        await eventually(unanswered, within=15)
        proxy.thaw()
        await proxy.come_back()
        await wait_for_state(relay, 5, within=10)
        assert (await relay.task()).dropped > 0


async def test_a_name_that_nobody_knows(cdn: Nginx) -> None:
    async with running_relay() as relay, publishing(relay):
        await relay.start("rtmp://nowhere.invalid/live/sekret")
        await relay.start(cdn.push_url("neighbour"), task="good")

        async def tried() -> bool:
            return (await relay.task()).connects >= 3

        await eventually(tried, within=20)
        task = await relay.task()
        assert task.last_error == "connect: the host's name cannot be resolved"
        assert (await relay.states())[:2] == (2, 2)
        assert (await relay.states("good"))[:2] == (2, 5)


SLOW = float(os.environ.get("SLOW_LINK_SECONDS", "20"))
"""Seconds at half the bandwidth."""


async def test_half_the_bandwidth() -> None:
    """The clip needs 2.1 Mbit/s."""
    loop = asyncio.get_running_loop()
    sounds: list[tuple[float, float]] = []
    pictures: list[tuple[float, float]] = []
    bits = [0]

    def on_tag(stream: SinkStream, tag: Tag, arrival: float) -> None:
        bits[0] += 8 * len(tag.body)
        for frames, seen in ((audio_frames, sounds), (video_frames, pictures)):
            if frames([tag]):
                seen.append((arrival, tag.timestamp / 1000))

    sink = Sink(on_tag=on_tag)
    try:
        async with contextlib.AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(TcpProxy(await sink.start()))
            relay = await stack.enter_async_context(running_relay())
            user = await stack.enter_async_context(publishing(relay))
            await relay.start(proxy.url("slow"))
            await wait_for_state(relay, 5)
            measured = bits[0]
            await wait(5)
            # What one timestamp is of the loop's clock, at its best.
            origin = min(arrival - stamp for arrival, stamp in pictures)
            sound_origin = min(arrival - stamp for arrival, stamp in sounds)
            proxy.limit = (bits[0] - measured) / 5 / 8 / 2
            resident = psutil.Process().memory_full_info().uss
            begun = loop.time()
            await wait(SLOW)
            slow_task = await relay.task()
            proxy.limit = None
            recovered = loop.time()
            await wait(6)
            grown = psutil.Process().memory_full_info().uss - resident
            task = await relay.task()
            await user.pause()
            await relay.stop()
            await eventually(lambda: not sink.streams)
    finally:
        await sink.close()
    assert task.connects == 1, "the connection stayed"
    assert slow_task.dropped > 10 * SLOW
    # Sound: every frame, in order.
    stamps = [stamp for _, stamp in sounds]
    assert max(b - a for a, b in pairwise(stamps)) < 0.030
    # Behind by the bound of the queue, and what the way holds; live again soon.
    late = [(arrival, arrival - stamp - origin) for arrival, stamp in pictures]
    late_sounds = [(arrival, arrival - stamp - sound_origin) for arrival, stamp in sounds]
    worst = max(lateness for _, lateness in late + late_sounds)
    assert worst < 2.5
    for series in (late, late_sounds):
        back = next(at for at, lateness in reversed(series) if lateness > 0.25)
        assert begun < back < recovered + 5
    assert grown < 16 * 1024 * 1024
    assert all(a < b for (_, a), (_, b) in pairwise(pictures))
