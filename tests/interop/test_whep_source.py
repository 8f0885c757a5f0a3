"""A stream of an SFU that is not ours, taken by WHEP: its push, and everything that may happen to it on the way."""

import time
from itertools import chain
from pathlib import Path

import pytest
import structlog

from relay.cli.measure import (
    AAC_LC,
    access_units,
    audio_format,
    audio_frames,
    audio_holes,
    av_offsets,
    percentile,
    read_tags,
    video_frames,
)
from relay.core.whep_source import WhepSource, WhepUrls
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support.addresses import own_address
from tests.support.debian import need
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.recording import assert_decodes
from tests.support.relay import InlineRelay, running_relay
from tests.support.timestamps import is_monotonic
from tests.support.whep_server import WhepServer, whep_server

log = structlog.get_logger(__name__)


@pytest.fixture(scope="module", autouse=True)
def gstreamer() -> None:
    need("gstreamer")


def taking_from(server: WhepServer) -> WorkerSettings:
    # libnice leaves loopback addresses out: this host's other one is as near.
    rtc = RtcSettings(addresses=(own_address(),))
    return WorkerSettings(rtc=rtc, source=WhepSource(WhepUrls.parse(server.template)))


async def pushing(relay: InlineRelay, task: str = "task") -> bool:
    return (await relay.states(task))[:2] == (2, 5)


async def idle(relay: InlineRelay) -> bool:
    return (await relay.task()).idle


async def heard(relay: InlineRelay) -> bool:
    return not await idle(relay)


async def ended(relay: InlineRelay) -> bool:
    return await relay.states() == (3, 6, "IdleTimeOut")


async def sound(relay: InlineRelay, seconds: float, task: str = "task") -> None:
    """Waits for so much more of it."""
    enough = (await relay.task(task)).audio_sent + seconds * 44

    async def sent() -> bool:
        return (await relay.task(task)).audio_sent > enough

    await eventually(sent, within=seconds + 20, what="some seconds of sound")


@pytest.mark.parametrize(("mode", "seconds"), [("answer", 13), ("offer", 3)])
async def test_a_foreign_server_is_the_source_of_a_push(cdn: Nginx, tmp_path: Path, mode: str, seconds: int) -> None:
    """`offer`: it refuses ours with 406 and makes one of its own."""
    async with whep_server(tmp_path, mode=mode) as server, running_relay(taking_from(server)) as relay:
        await relay.start(cdn.push_url(mode))
        await eventually(lambda: pushing(relay), within=20)
        await sound(relay, seconds)
        await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls(mode))
        await eventually(lambda: "DELETE /sessions/1 200" in server.requests, what="the session is ended")
        assert server.asked() == 1
        coded = server.coded(1)
    tags = read_tags(cdn.recording(mode))
    carried = list(chain.from_iterable(access_units(tags)))
    begin = coded.index(carried[0])
    assert carried == coded[begin : begin + len(carried)]
    assert len(carried) > 45 * seconds
    audio = audio_format(tags)
    assert audio is not None
    assert (audio.object_type, audio.rate, audio.channels) == (AAC_LC, 44100, 2)
    assert audio_holes(tags) == []
    assert is_monotonic(video_frames(tags))
    assert is_monotonic(audio_frames(tags))
    assert_decodes(cdn.recording(mode))
    if mode == "offer":
        return
    offsets = av_offsets(cdn.recording(mode))[1:]
    assert len(offsets) >= 4  # it flashes every other second
    assert percentile((abs(offset) for offset in offsets), 95) <= 0.080, offsets


async def test_absent_there_silent_gone_and_back(cdn: Nginx, tmp_path: Path) -> None:
    """One push through all of it, on one connection to the CDN, until nothing has come for MaxIdleTime."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with whep_server(first, state="absent") as server, running_relay(taking_from(server)) as relay:
        await relay.start(cdn.push_url("story"), max_idle_time=10)
        await eventually(lambda: server.asked(404) >= 3, what="asked for again and again")
        assert await relay.states() == (2, 1, "")
        assert cdn.calls("story") == []
        server.say("409")
        await eventually(lambda: server.asked(409), what="asked for after Retry-After")
        assert await relay.states() == (2, 1, "")

        server.say("present")
        appeared = time.monotonic()
        await eventually(lambda: pushing(relay), within=20, every=0.005)
        log.info("pushing", seconds=time.monotonic() - appeared)
        await sound(relay, 1)
        server.say("silent")
        await eventually(lambda: server.asked(201) == 2, within=8, what="another session beside the silent one")
        server.say("heard")
        await eventually(lambda: any(line.startswith("DELETE") for line in server.requests), what="one of two stays")
        await sound(relay, 1)

        await server.kill()
        await eventually(lambda: idle(relay), within=8, what="the idle clock runs")
        async with whep_server(second, port=server.port) as server:
            returned = time.monotonic()
            await eventually(lambda: heard(relay), within=20, every=0.005, what="found again")
            log.info("pushing again", seconds=time.monotonic() - returned)
            await sound(relay, 1)
            assert await pushing(relay)
            assert cdn.calls("story") == ["publish"]
            assert (await relay.task()).connects == 1

            server.say("silent")
            fell_silent = time.monotonic()
            await eventually(lambda: ended(relay), within=20, what="IdleTimeOut")
            assert abs(time.monotonic() - fell_silent - 10) < 1.5
            assert server.asked(201) >= 2
            assert cdn.calls("story") == ["publish", "publish_done"]
        assert audio_holes(read_tags(cdn.recording("story"))) == []
