"""Publishers whose H.264 has B-frames: every picture reaches nginx-rtmp, decodes, and is shown in order."""

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest

from relay.cli.measure import audio_holes, read_tags, video_frames
from relay.cli.pattern import PatternSource
from relay.cli.source import Item, Picture, Sound
from relay.core import flv, h264
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support.coded import coded
from tests.support.eventually import eventually
from tests.support.gstreamer import gstreamer
from tests.support.nginx import Nginx
from tests.support.publishing import publishing
from tests.support.relay import InlineRelay, running_relay
from tests.support.timestamps import is_monotonic

GSTREAMER = (
    "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x264enc bframes={} b-adapt=false key-int-max=60 speed-preset=veryfast bitrate=500 ! video/x-h264,profile=high ! "
    "rtph264pay pt=102 config-interval=-1 aggregate-mode=zero-latency ! "
    "application/x-rtp,media=video,encoding-name=H264,payload=102"
)


class BFrameSource:
    """High profile from x264 with B-frames, in decoding order as encoders send it, over the pattern's sound."""

    def __init__(self) -> None:
        options = {"profile": "high", "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}
        self._units = coded("libx264", 300, options)
        self._sounds = (item for item in PatternSource(width=64, height=48, fps=1) if isinstance(item, Sound))
        self._items = self._play()

    def _play(self) -> Iterator[Item]:
        turn = 0.0
        sound = next(self._sounds)
        while True:
            for index, unit in enumerate(self._units):
                due = turn + index / 30  # as it leaves the encoder
                while sound.time < due:
                    yield sound
                    sound = next(self._sounds)
                yield Picture(h264.split_annex_b(unit.data), unit.key, turn + unit.pts / 90000)
            turn += len(self._units) / 30

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def skip_to_key(self) -> None:
        """It keeps its own GOP of a second."""


async def _sent(relay: InlineRelay, pictures: int) -> None:
    async def check() -> bool:
        return (await relay.task()).video_sent >= pictures

    await eventually(check, within=40, what="pictures at the CDN")


def assert_plays(path: Path) -> list[flv.Tag]:
    """FFmpeg decodes it without an error, and shows its pictures in order, each once."""
    tags = read_tags(path)
    pictures = video_frames(tags)
    assert pictures[0].is_key
    assert all(a.timestamp < b.timestamp for a, b in pairwise(pictures))
    assert is_monotonic([tag for tag in tags if tag.type == flv.AUDIO])
    assert audio_holes(tags) == []
    compositions = [int.from_bytes(picture.body[2:5], "big") for picture in pictures]
    assert max(compositions) < 1000
    for judge in ("ffmpeg", "PyAV's FFmpeg"):
        if judge == "ffmpeg":
            command = ["ffmpeg", "-v", "error", "-err_detect", "explode", "-xerror", "-i", str(path)]
            command += ["-fps_mode", "vfr", "-f", "null", "-"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")
        else:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.codec_context.options = {"err_detect": "explode"}
                shown = [frame.pts for frame in container.decode(stream)]
            assert len(shown) == len(pictures)
            assert all(a < b for a, b in pairwise(shown))
    return tags


async def test_x264_with_a_b_pyramid(cdn: Nginx) -> None:
    async with running_relay() as relay, publishing(relay, source=BFrameSource()) as user:
        await relay.start(cdn.push_url("pyramid"))
        await _sent(relay, 200)
        await user.pause()
        await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls("pyramid"))
    tags = assert_plays(cdn.recording("pyramid"))
    pictures = video_frames(tags)
    shown = sorted(tag.timestamp + int.from_bytes(tag.body[2:5], "big") for tag in pictures)
    # Shown a thirtieth of a second apart, but for the slide of the clock and where the push began.
    assert all(abs(b - a - 33.3) < 3 for a, b in pairwise(shown[10:]))


@pytest.mark.parametrize("count", [0, 2])
async def test_gstreamer_high_profile(cdn: Nginx, count: int) -> None:
    name = f"gst{count}"
    # libnice leaves loopback addresses out; those of the other interfaces are as near.
    settings = WorkerSettings(rtc=RtcSettings())
    async with running_relay(settings) as relay, gstreamer(relay.whip_url(), GSTREAMER.format(count)):
        await relay.start(cdn.push_url(name))
        await _sent(relay, 150)
        await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls(name))
    tags = assert_plays(cdn.recording(name))
    composed = any(tag.body[2:5] != b"\0\0\0" for tag in video_frames(tags))
    assert composed == (count > 0)
