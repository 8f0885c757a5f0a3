"""Two relays in a row: published to the first, taken from there by WHEP, pushed by the second."""

import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from relay.cli.measure import access_units, audio_format, audio_frames, audio_holes, percentile, read_tags, video_frames
from relay.core import flv
from relay.core.whep_source import WhepSource, WhepUrls
from relay.push.sink import Sink, SinkStream
from relay.push.transcode import Transcoder
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.hostile import Behaviour, HostileServer
from tests.support.nginx import Nginx
from tests.support.publishing import User, publishing
from tests.support.relay import LOOPBACK, InlineRelay, running_relay
from tests.support.timestamps import is_monotonic

log = structlog.get_logger(__name__)

BOTH = RtcSettings(addresses=("127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Chain:
    first: InlineRelay
    """Has the room."""
    second: InlineRelay
    """Has the tasks."""


@contextlib.asynccontextmanager
async def chained(rtc: RtcSettings = LOOPBACK) -> AsyncIterator[Chain]:
    async with running_relay(WorkerSettings(rtc=BOTH)) as first:
        urls = WhepUrls.parse(f"{first.url}/whep/{{AppId}}/{{RoomId}}/{{UserId}}?StreamType={{StreamType}}")
        async with running_relay(WorkerSettings(rtc=rtc, source=WhepSource(urls))) as second:
            chain = Chain(first, second)
            await begun(chain)
            yield chain
        await eventually(lambda: first.engine.stats().viewers == 0, what="the first relay is told that it is over")


async def begun(chain: Chain) -> None:
    """Two relays that begin on one loop make each other late, as their next ticks find out; then they have room."""
    looks = 0

    def has_room() -> bool:
        nonlocal looks
        looks += 1
        return looks > 5 and not any(relay.engine.stats().load.too_much() for relay in (chain.first, chain.second))

    await eventually(has_room, within=20, what="room on both")


async def pushing(relay: InlineRelay, task: str = "task") -> bool:
    return (await relay.states(task))[:2] == (2, 5)


async def carried(relay: InlineRelay, pictures: int, task: str = "task") -> None:
    """Waits for so many more."""
    enough = (await relay.task(task)).video_sent + pictures

    async def sent() -> bool:
        return (await relay.task(task)).video_sent >= enough

    await eventually(sent, within=20, what=f"{pictures} pictures")


async def arrived(chain: Chain, user: User, task: str = "task") -> None:
    """The user has paused, and all that was sent has come through."""
    await user.pause()
    seen = -1

    async def settled() -> bool:
        nonlocal seen
        before, seen = seen, (await chain.second.task(task)).video_sent
        return before == seen

    await eventually(settled, every=0.3, what="the last pictures")


async def recorded(chain: Chain, cdn: Nginx, name: str, task: str = "task") -> list[flv.Tag]:
    """Ends the push; nginx's recording."""
    await chain.second.stop(task)
    await eventually(lambda: "publish_done" in cdn.calls(name))
    return read_tags(cdn.recording(name))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_what_was_published_is_what_is_pushed(cdn: Nginx, address: str) -> None:
    """Every VCL NAL unit, over IPv4 and over IPv6, on a port of the range."""
    name = "four" if "." in address else "six"
    rtc = RtcSettings(addresses=(address,), port_range=(47000, 47009))
    async with chained(rtc) as chain, publishing(chain.first) as user:
        await chain.second.start(cdn.push_url(name))
        await eventually(lambda: pushing(chain.second))
        await carried(chain.second, 60)
        assert chain.first.engine.stats().viewers == 1
        await arrived(chain, user)
        tags = await recorded(chain, cdn, name)
    got = access_units(tags)
    begin = user.sent.index(got[0])
    assert got == user.sent[begin:]
    assert len(got) > 60
    audio = audio_format(tags)
    assert audio is not None
    assert (audio.rate, audio.channels) == (44100, 2)
    assert audio_holes(tags) == []
    assert is_monotonic(video_frames(tags))
    assert is_monotonic(audio_frames(tags))


async def test_the_stream_comes_late_goes_and_comes_back(cdn: Nginx) -> None:
    """The first relay keeps a viewer whose publisher has left: whichever session hears the next one is right."""
    async with chained() as chain:
        await chain.second.start(cdn.push_url("late"))
        await eventually(lambda: chain.second.engine.stats().publishers == 0 and chain.second.engine.stats().tasks)
        assert await chain.second.states() == (2, 1, "")
        async with publishing(chain.first) as user:
            appeared = time.monotonic()
            await eventually(lambda: pushing(chain.second), every=0.005)
            log.info("pushing", seconds=time.monotonic() - appeared)
            await carried(chain.second, 15)
            await user.vanish()
        await eventually(lambda: idle(chain.second), within=8, what="the idle clock runs")
        assert await pushing(chain.second)
        # A newcomer is sent the last pictures, which are no media of anybody's.
        await eventually(lambda: chain.first.engine.stats().viewers == 2, what="it is asked for beside the silent one")
        await carried(chain.second, 0)
        assert await idle(chain.second)
        async with publishing(chain.first) as again:
            appeared = time.monotonic()
            await eventually(lambda: heard(chain.second), every=0.005, what="media again")
            log.info("heard again", seconds=time.monotonic() - appeared)
            await carried(chain.second, 15)
            await arrived(chain, again)
            tags = await recorded(chain, cdn, "late")
        assert cdn.calls("late") == ["publish", "publish_done"]
    got = access_units(tags)
    assert got[-15:] == again.sent[-15:]
    assert audio_holes(tags) == []


async def idle(relay: InlineRelay) -> bool:
    return (await relay.task()).idle


async def heard(relay: InlineRelay) -> bool:
    return not await idle(relay)


async def test_ten_tasks_share_one_subscription_and_one_transcode(cdn: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Transcoder] = []

    def counted(self: Transcoder, **options: Any) -> None:
        made.append(self)
        begin(self, **options)

    begin = Transcoder.__init__
    async with chained() as chain, publishing(chain.first) as user, HostileServer(Behaviour.SILENT) as dead:
        monkeypatch.setattr(Transcoder, "__init__", counted)  # a worker makes one as it starts
        names = [f"ten{number}" for number in range(9)]
        for name in names:
            await chain.second.start(cdn.push_url(name), task=name)
        await chain.second.start(dead.url("ten"), task="dead")
        for name in names:
            await eventually(lambda name=name: pushing(chain.second, name))
        await carried(chain.second, 30, names[-1])
        assert (await chain.second.states("dead"))[:2] == (2, 2)
        assert chain.first.engine.stats().viewers == 1
        assert len(made) == 1
        await chain.second.stop("dead")
        await arrived(chain, user, names[-1])
        tags = [await recorded(chain, cdn, name, name) for name in names]
    pictures = [access_units(one) for one in tags]
    for got in pictures:
        assert got == user.sent[user.sent.index(got[0]) :]
    sounds = [[tag.body for tag in audio_frames(one)] for one in tags]
    shared = set.intersection(*(set(one) for one in sounds))  # recordings begin and end one after the other
    assert len(shared) >= 20
    for one in sounds:
        places = [place for place, body in enumerate(one) if body in shared]
        assert len(places) == places[-1] - places[0] + 1  # nothing else between them


async def test_a_hop_costs_little() -> None:
    """The same picture at two sinks, pushed by the first relay and by the second; `pytest -s` shows the figures."""
    arrivals: dict[str, dict[tuple[str, ...], float]] = {"first": {}, "second": {}}

    def on_tag(stream: SinkStream, tag: flv.Tag, arrival: float) -> None:
        for digests in access_units([tag]):
            arrivals[stream.key].setdefault(digests, arrival)

    sink = Sink(on_tag=on_tag)
    port = await sink.start()
    try:
        async with chained() as chain, publishing(chain.first):
            await chain.first.start(f"rtmp://127.0.0.1:{port}/live/first")
            await chain.second.start(f"rtmp://127.0.0.1:{port}/live/second")
            await eventually(lambda: pushing(chain.second))
            await carried(chain.second, 150)
    finally:
        await sink.close()
    first, second = arrivals["first"], arrivals["second"]
    delays = sorted(1000 * (second[picture] - first[picture]) for picture in second if picture in first)
    assert len(delays) > 100
    log.info("a hop", p50=statistics.median(delays), p95=percentile(delays, 95), unit="ms")
    assert statistics.median(delays) < 250
