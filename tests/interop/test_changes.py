"""What publishers change while they are live reaches the CDN as players can follow it."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from relay.cli.measure import audio_frames, audio_holes, read_tags, video_frames
from relay.core import flv
from relay.core.flv import Tag
from relay.core.h264 import NalType, nal_type, parse_decoder_configuration, parse_sps, split_length_prefixed
from relay.push.sink import Sink, SinkStream
from tests.support.changing import GatedSource, Shape, ShapedSource
from tests.support.chromium import chromium
from tests.support.debian import need
from tests.support.eventually import eventually, wait
from tests.support.nginx import Nginx
from tests.support.player import play
from tests.support.publishing import publishing
from tests.support.relay import InlineRelay, running_relay
from tests.support.timestamps import gaps, is_monotonic

pytestmark = pytest.mark.alone


@contextlib.asynccontextmanager
async def recording(folder: Path) -> AsyncIterator[tuple[InlineRelay, list[SinkStream]]]:
    """A relay with a task that pushes to our sink, which keeps metadata too."""
    streams: list[SinkStream] = []
    sink = Sink(directory=folder, on_start=streams.append)
    port = await sink.start()
    try:
        async with running_relay() as relay:
            await relay.start(f"rtmp://127.0.0.1:{port}/live/changes")
            yield relay, streams
            task = await relay.task()
            assert task.connects == len(streams) == 1
            assert task.last_error == ""
            await relay.stop()
            await eventually(lambda: not sink.streams)
    finally:
        await sink.close()


def decode(path: Path) -> None:
    """FFmpeg finds no error in it."""
    need("ffmpeg")
    strict = ["ffmpeg", "-v", "error", "-err_detect", "explode", "-xerror"]
    done = subprocess.run(
        [*strict, "-i", str(path), "-fps_mode", "vfr", "-f", "null", "-"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def shapes_of(tags: list[Tag]) -> list[tuple[int, int]]:
    """The sizes in order, while it is checked that each IDR stands behind the headers that are its own."""
    sizes: list[tuple[int, int]] = []
    record = None
    announced = False
    for tag in tags:
        if tag.type == flv.DATA:
            announced = True
        elif tag.type == flv.VIDEO and tag.is_header:
            assert announced, "onMetaData goes before the sequence header"
            announced = False
            record = parse_decoder_configuration(tag.body[5:])
            size = parse_sps(record.sps[0])
            sizes.append((size.width, size.height))
        elif tag.is_key:
            assert record is not None
            nals = split_length_prefixed(tag.body[5:])
            assert tuple(nal for nal in nals if nal_type(nal) == NalType.SPS) == record.sps
            assert tuple(nal for nal in nals if nal_type(nal) == NalType.PPS) == record.pps
    return sizes


def check_sound(tags: list[Tag]) -> None:
    assert audio_holes(tags) == []
    assert is_monotonic(audio_frames(tags))
    assert is_monotonic(video_frames(tags))


async def test_fifty_changes_of_size_orientation_and_profile(cdn: Nginx, tmp_path: Path) -> None:
    sizes = [(320, 180), (180, 320), (640, 360), (240, 240), (360, 640)]
    profiles = ["baseline", "main", "high"]
    shapes = [Shape(*sizes[number % 5], profiles[number % 3]) for number in range(51)]
    pages = tmp_path / "pages"
    pages.mkdir()
    async with recording(tmp_path) as (relay, streams):
        await relay.start(cdn.push_url("fifty"), task="nginx")
        async with publishing(relay, source=ShapedSource(shapes, frames=5)) as user:
            await eventually(lambda: user._playing is not None and user._playing.done(), within=60)
            await wait(1)
        await relay.stop("nginx")
        await eventually(lambda: "publish_done" in cdn.calls("fifty"))
    path = streams[0].path
    assert path is not None
    tags = read_tags(path)
    seen = shapes_of(tags)
    assert seen == [(shape.width, shape.height) for shape in shapes[-len(seen) :]]
    assert len(seen) >= 50
    check_sound(tags)
    decode(path)
    decode(cdn.recording("fifty"))
    played = await play(path, pages)
    assert played["errors"] == []
    assert played["time"] > 15
    assert {tuple(size) for size in played["sizes"]} >= set(sizes)


Spans = tuple[tuple[float, float], ...]
ALWAYS = ((0.0, 99.0),)
TRACKS: dict[str, tuple[Spans, Spans]] = {
    "camera off and on": (((0, 2), (4.5, 99)), ALWAYS),
    "microphone off and on": (ALWAYS, ((0, 2), (4.5, 99))),
    "audio joins late": (ALWAYS, ((3, 99),)),
    "video joins late, later than sound waits for it": (((5, 99),), ALWAYS),
    "both off for a while": (((0, 2), (5, 99)), ((0, 3), (4, 99))),
}
"""Of each, when it sends video and when audio; recorded all at once."""


async def _record(folder: Path, video: Spans, audio: Spans) -> Path:
    source = GatedSource(video=video, audio=audio, seconds=7)
    async with recording(folder) as (relay, streams), publishing(relay, source=source) as user:
        await eventually(lambda: user._playing is not None and user._playing.done(), within=30)
        await wait(1)
    path = streams[0].path
    assert path is not None
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = [tmp_path_factory.mktemp("tracks") for _ in TRACKS]

    async def record() -> list[Path]:
        tracks = zip(folders, TRACKS.values(), strict=True)
        return await asyncio.gather(*(_record(folder, *spans) for folder, spans in tracks))

    return dict(zip(TRACKS, asyncio.run(record()), strict=True))


@pytest.mark.parametrize("name", TRACKS)
def test_tracks_that_come_and_go(recorded: dict[str, Path], name: str) -> None:
    path, (video, _) = recorded[name], TRACKS[name]
    tags = read_tags(path)
    check_sound(tags)
    sounds, pictures = audio_frames(tags), video_frames(tags)
    assert pictures[0].is_key
    lasts = (sounds[-1].timestamp - sounds[0].timestamp) / 1000
    assert lasts > 4.5, "after 3 s without pictures, sound goes alone"
    # Nothing but a key frame follows a pause of the camera.
    paused = gaps(pictures, 0.5)
    assert len(paused) == len(video) - 1
    for pause in paused:
        after = next(tag for tag in pictures if tag.timestamp / 1000 > pause.time + 0.01)
        assert after.is_key
    decode(path)


async def test_audio_only_publisher_then_video(tmp_path: Path) -> None:
    """One that offers no video is pushed at once; the user's next session, which does, takes its place."""
    async with recording(tmp_path) as (relay, streams), chromium() as browser:
        await browser.publish(relay.whip_url(), {"audio": True, "video": False})
        await eventually(lambda: sent(relay, sounds=150), within=30)
        assert (await relay.task()).video_sent == 0
        await browser.publish(relay.whip_url(), {"audio": True, "video": {"width": 640, "height": 480}})
        await eventually(lambda: sent(relay, pictures=30), within=20)
    path = streams[0].path
    assert path is not None
    tags = read_tags(path)
    check_sound(tags)
    first = video_frames(tags)[0]
    assert first.is_key
    assert first.timestamp > 3000
    assert shapes_of(tags)
    decode(path)


async def sent(relay: InlineRelay, *, pictures: int = 0, sounds: int = 0) -> bool:
    task = await relay.task()
    return task.video_sent >= pictures and task.audio_sent >= sounds


_HELPERS = """() => {
  const sender = kind => published.pc.getSenders().find(s => s.track ? s.track.kind === kind : s.was === kind);
  window.canvas = (width, height) => {
    const canvas = Object.assign(document.createElement("canvas"), {width, height});
    const context = canvas.getContext("2d");
    let count = 0;
    setInterval(() => {
      context.fillStyle = `hsl(${count++ * 7 % 360} 80% 50%)`;
      context.fillRect(0, 0, width, height);
    }, 50);
    return canvas.captureStream(20).getVideoTracks()[0];
  };
  window.replace = async (kind, track) => { const s = sender(kind); s.was = kind; await s.replaceTrack(track); };
  window.tracks = {video: published.media.getVideoTracks()[0], audio: published.media.getAudioTracks()[0]};
}"""


EACH = 1.5
"""Seconds that a page stays as it is."""


async def test_a_page_that_changes_everything(tmp_path: Path) -> None:
    steps = [
        "replace('video', canvas(360, 640))",
        "replace('video', null)",
        "replace('video', canvas(640, 360))",
        "replace('audio', null)",
        "replace('audio', tracks.audio)",
        "replace('video', tracks.video)",
        "tracks.video.applyConstraints({width: 320, height: 240})",
        "void (tracks.video.enabled = false)",
        "void (tracks.video.enabled = true, tracks.audio.enabled = false)",
        "void (tracks.audio.enabled = true)",
    ]
    async with recording(tmp_path) as (relay, streams), chromium() as browser:
        await browser.publish(relay.whip_url(), {"audio": True, "video": {"width": 640, "height": 480}})
        await eventually(lambda: sent(relay, pictures=20), within=30)
        await browser.run(_HELPERS)
        for step in steps:
            await browser.run(f"async () => {{ await {step} }}")
            await wait(EACH)
    path = streams[0].path
    assert path is not None
    tags = read_tags(path)
    check_sound(tags)
    seen = shapes_of(tags)
    # Chromium may send less than it has, and grow.
    portrait = [width < height for width, height in seen]
    assert portrait[0] is False
    assert sum(a != b for a, b in pairwise(portrait)) == 2, seen
    assert max(pause.duration for pause in gaps(video_frames(tags), 0.5)) > EACH - 0.5
    assert (audio_frames(tags)[-1].timestamp - audio_frames(tags)[0].timestamp) / 1000 > EACH * len(steps)
    decode(path)
