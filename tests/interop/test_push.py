"""One push, end to end: WHIP in, the control API, a real nginx-rtmp as CDN."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

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
from relay.cli.pattern import PatternSource
from relay.core import flv
from relay.core.h264 import NalType, nal_type, parse_decoder_configuration, split_length_prefixed
from relay.push.sink import Sink, SinkStream
from relay.worker.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.hostile import Behaviour, HostileServer
from tests.support.nginx import Nginx
from tests.support.publishing import User, publishing
from tests.support.relay import LOOPBACK, Relay, running_relay
from tests.support.timestamps import is_monotonic

SETTLE = 0.4
"""Seconds for what is under way to reach nginx."""


async def pushing(relay: Relay, task: str = "task") -> bool:
    return (await relay.states(task))[:2] == (2, 5)


async def settle() -> None:
    """What was sent last is on its way; nothing more is to come."""
    began = time.monotonic()
    await eventually(lambda: time.monotonic() - began > SETTLE, what="time to settle")


@contextlib.asynccontextmanager
async def lasting(seconds: float) -> AsyncIterator[None]:
    """What happens inside, and then until `seconds` have passed since its beginning."""
    end = time.monotonic() + seconds
    yield
    await eventually(lambda: time.monotonic() >= end, within=seconds + 5, what="the time of the recording")


async def stop_and_record(relay: Relay, cdn: Nginx, user: User | None, name: str, task: str = "task") -> list[flv.Tag]:
    """Ends the push when all that was sent has arrived; gives nginx's recording of it."""
    if user is not None:
        await user.pause()
        await settle()
    stopped = time.monotonic()
    assert (await relay.stop(task)).json()["Result"] == "ok"
    await eventually(lambda: "publish_done" in cdn.calls(name), what="nginx saw the end")
    assert cdn.events[-1].time - stopped < 1.0
    return read_tags(cdn.recording(name))


def pattern() -> PatternSource:
    """Another picture than the clip's, cheap to make."""
    return PatternSource(width=320, height=180, fps=15, bit_rate=200_000)


def assert_carried(tags: list[flv.Tag], sent: list[tuple[str, ...]]) -> None:
    """Every picture from the first on is there, bit for bit."""
    received = access_units(tags)
    begin = sent.index(received[0])
    assert begin < 15, "the first half second"
    assert received == sent[begin:]


@contextlib.asynccontextmanager
async def hearing() -> AsyncIterator[tuple[str, list[tuple[float, float]]]]:
    """The URL of a sink of our own, and of each AAC frame there its timestamp and the loop's time, in seconds."""
    arrivals: list[tuple[float, float]] = []

    def on_tag(stream: SinkStream, tag: flv.Tag, arrival: float) -> None:
        if audio_frames([tag]):
            arrivals.append((tag.timestamp / 1000, arrival))

    sink = Sink(on_tag=on_tag)
    try:
        yield f"rtmp://127.0.0.1:{await sink.start()}/live/clock", arrivals
    finally:
        await sink.close()


async def test_twenty_seconds_arrive_bit_for_bit_and_take_twenty_seconds(cdn: Nginx) -> None:
    async with hearing() as (sink_url, heard), running_relay() as relay, publishing(relay) as user:
        await relay.start(cdn.push_url("long"))
        await eventually(lambda: pushing(relay))
        began = time.monotonic()
        async with lasting(21):
            await relay.start(sink_url, task="clock")
            await eventually(lambda: pushing(relay, "clock"))
        lasted = time.monotonic() - began
        live = list(heard)  # at Stop, what is held back goes out at once
        tags = await stop_and_record(relay, cdn, user, "long")
        assert await relay.states() == (3, 6, "StopByAPI")
        await relay.stop("clock")
        again = await relay.stop()
        assert again.json()["ResponseMetadata"]["Error"]["Code"] == "InvalidParameter.ErrorActiveTaskNotFound"

    pictures, sounds = video_frames(tags), audio_frames(tags)
    begin = user.sent.index(access_units(tags)[0])
    assert access_units(tags) == user.sent[begin:]
    assert len(pictures) > 590

    # nginx-rtmp records no metadata, and may write a sequence header that it holds already once more.
    headers = [tag for tag in tags if tag.is_header]
    assert {tag.type for tag in headers} == {flv.VIDEO, flv.AUDIO}
    assert tags[: len(headers)] == headers
    assert pictures[0].is_key
    configuration = parse_decoder_configuration(headers[0].body[5:])
    for picture in pictures:
        if picture.is_key:
            nals = split_length_prefixed(picture.body[5:])
            assert tuple(nal for nal in nals if nal_type(nal) == NalType.SPS) == configuration.sps
            assert tuple(nal for nal in nals if nal_type(nal) == NalType.PPS) == configuration.pps

    audio = audio_format(tags)
    assert audio is not None
    assert (audio.object_type, audio.rate, audio.channels) == (AAC_LC, 44100, 2)
    assert audio_holes(tags) == []
    assert is_monotonic(pictures)
    assert is_monotonic(sounds)
    # The sound goes on a little, as silence, while the user has paused before Stop.
    video_lasts = (pictures[-1].timestamp - pictures[0].timestamp) / 1000 + 1 / 30
    audio_lasts = len(sounds) * 1024 / 44100
    assert abs(video_lasts - lasted) < 0.5
    assert abs(audio_lasts - (sounds[-1].timestamp - sounds[0].timestamp) / 1000 - 1024 / 44100) < 0.002
    assert 0 <= audio_lasts - video_lasts < SETTLE + 0.05
    offsets = [abs(offset) for offset in av_offsets(cdn.recording("long"))]
    assert len(offsets) >= 18
    assert percentile(offsets, 95) <= 0.080

    # The AAC timeline against the wall clock. Tags come in batches of a tick: the earliest of some says best when they
    # were due.
    lag_first = min(arrival - stamp for stamp, arrival in live[20:80])
    lag_last = min(arrival - stamp for stamp, arrival in live[-60:])
    assert live[-1][0] - live[20][0] > 19
    assert abs(lag_last - lag_first) < 0.050


async def test_a_task_waits_for_its_publisher_without_a_connection(cdn: Nginx) -> None:
    async with running_relay() as relay:
        await relay.start(cdn.push_url("waiting"))
        assert await relay.states() == (2, 1, "")
        await settle()
        assert cdn.calls("waiting") == []
        async with publishing(relay) as user:
            await eventually(lambda: pushing(relay))
            await eventually(lambda: "waiting" in cdn.streams())
            tags = await stop_and_record(relay, cdn, user, "waiting")
            assert_carried(tags, user.sent)
        assert cdn.calls("waiting") == ["publish", "publish_done"]


async def test_idle_end_counts_from_the_last_packet(cdn: Nginx) -> None:
    async with running_relay() as relay, publishing(relay) as user:
        await relay.start(cdn.push_url("idle"), max_idle_time=10)
        await eventually(lambda: pushing(relay))
        await settle()
        await user.vanish()
        gone = time.monotonic()

        async def ended() -> bool:
            return (await relay.states())[0] == 3

        await eventually(ended, within=15)
        assert abs(time.monotonic() - gone - 10) < 1
        assert await relay.states() == (3, 6, "IdleTimeOut")
        await eventually(lambda: "publish_done" in cdn.calls("idle"))
        metrics = (await relay.client.get("/metrics")).text
        (silence,) = re.findall(r'\nrelay_made_sound_seconds_total{kind="silence"} ([\d.]+)\n', metrics)
        assert 9 < float(silence) < 12
    tags = read_tags(cdn.recording("idle"))
    # The sound went on as silence, and the connection stayed.
    assert audio_holes(tags) == []
    assert len(audio_frames(tags)) * 1024 / 44100 > 9.5


async def test_media_type_1_has_no_video(cdn: Nginx) -> None:
    async with running_relay() as relay, publishing(relay) as user:
        await relay.start(cdn.push_url("sound"), media_type=1)
        await eventually(lambda: pushing(relay))
        await settle()
        tags = await stop_and_record(relay, cdn, user, "sound")
    assert [tag for tag in tags if tag.type == flv.VIDEO] == []
    assert audio_format(tags) is not None
    assert audio_holes(tags) == []


async def test_stream_type_1_is_the_screen(cdn: Nginx, tmp_path: Path) -> None:
    async with (
        running_relay() as relay,
        publishing(relay, source=pattern()) as camera,
        publishing(relay, stream_type=1) as screen,
    ):
        await relay.start(cdn.push_url("screen"), stream_type=1)
        await eventually(lambda: pushing(relay))
        await settle()
        tags = await stop_and_record(relay, cdn, screen, "screen")
        assert_carried(tags, screen.sent)
        assert not set(access_units(tags)) & set(camera.sent)


async def test_hostile_cdns_cost_the_others_nothing(cdn: Nginx) -> None:
    hostile = {
        "silent": Behaviour.SILENT,
        "refuses": Behaviour.REFUSE_PUBLISH,
        "resets": Behaviour.RESET_AFTER_PUBLISH,
        "reads-nothing": Behaviour.READ_NOTHING,
    }
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_relay())
        user = await stack.enter_async_context(publishing(relay))
        await relay.start(cdn.push_url("neighbour"), task="good")
        await eventually(lambda: pushing(relay, "good"))
        for name, behaviour in hostile.items():
            server = await stack.enter_async_context(
                HostileServer(behaviour, code="NetStream.Publish.Denied", description="no")
            )
            await relay.start(server.url(name), task=name)
        async with lasting(6):
            pass
        silent, refuses, resets, wedge = [await relay.task(name) for name in hostile]
        tags = await stop_and_record(relay, cdn, user, "neighbour", "good")
        assert_carried(tags, user.sent)
        assert audio_holes(tags) == []
        assert silent.state.value == "connecting"
        assert (refuses.state.value, refuses.stop_reason.value) == ("failed", "StartTaskFailed")
        assert "NetStream.Publish.Denied" in refuses.last_error
        assert resets.connects >= 3
        assert "broke the connection" in resets.last_error
        assert wedge.dropped > 0
        for name in ("silent", "resets", "reads-nothing"):
            await relay.stop(name)


async def test_timestamps_pass_the_extended_edge(cdn: Nginx) -> None:
    settings = WorkerSettings(rtc=LOOPBACK, first_timestamp=0xFFFFFF - 4_000)
    async with running_relay(settings) as relay, publishing(relay) as user:
        await relay.start(cdn.push_url("edge"))
        await eventually(lambda: pushing(relay))
        async with lasting(8):
            pass
        tags = await stop_and_record(relay, cdn, user, "edge")
    assert_carried(tags, user.sent)
    assert audio_holes(tags) == []
    pictures = video_frames(tags)
    assert is_monotonic(pictures)
    assert pictures[-1].timestamp - pictures[0].timestamp > 7_000


async def test_two_users_in_one_process_do_not_mix(cdn: Nginx) -> None:
    async with running_relay() as relay, publishing(relay, "a") as a, publishing(relay, "b", source=pattern()) as b:
        await relay.start(cdn.push_url("a"), task="a", user="a")
        await relay.start(cdn.push_url("b"), task="b", user="b")
        await eventually(lambda: pushing(relay, "a"))
        await eventually(lambda: pushing(relay, "b"))
        await asyncio.gather(a.pause(), b.pause())
        tags_a = await stop_and_record(relay, cdn, a, "a", "a")
        tags_b = await stop_and_record(relay, cdn, b, "b", "b")
        assert_carried(tags_a, a.sent)
        assert_carried(tags_b, b.sent)
