"""A page in Chromium publishes by WHIP; its camera and microphone reach a real nginx-rtmp."""

import subprocess
from itertools import pairwise

import pytest

from relay.cli.measure import AAC_LC, audio_format, audio_frames, audio_holes, read_tags, video_frames
from tests.support.chromium import chromium
from tests.support.debian import need
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.relay import running_relay
from tests.support.timestamps import is_monotonic

pytestmark = pytest.mark.alone


async def test_a_page_reaches_the_cdn(cdn: Nginx) -> None:
    async with running_relay() as relay, chromium() as browser:
        await relay.start(cdn.push_url("page"))
        await browser.publish(relay.whip_url())

        async def pushing() -> bool:
            return (await relay.states())[:2] == (2, 5)

        await eventually(pushing, within=20)

        async def sent() -> bool:
            task = await relay.task()
            return task.video_sent > 150 and task.audio_sent > 250

        await eventually(sent, within=40, what="some seconds of media")
        await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls("page"))
    need("ffmpeg")
    path = cdn.recording("page")
    tags = read_tags(path)
    pictures = video_frames(tags)
    assert pictures[0].is_key
    # Chromium sends one key frame by itself; CDNs need one every few seconds.
    keys = [picture.timestamp for picture in pictures if picture.is_key]
    assert max(later - earlier for earlier, later in pairwise(keys)) < 4000
    assert is_monotonic(pictures)
    assert is_monotonic(audio_frames(tags))
    assert audio_holes(tags) == []
    audio = audio_format(tags)
    assert audio is not None
    assert (audio.object_type, audio.rate, audio.channels) == (AAC_LC, 44100, 2)
    decoded = subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-err_detect",
            "explode",
            "-xerror",
            "-i",
            str(path),
            "-fps_mode",
            "vfr",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (decoded.returncode, decoded.stderr) == (0, "")
