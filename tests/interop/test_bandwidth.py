"""Chromium sends as much as it is told that the path bears: by transport-wide feedback, and by REMB without it.

The picture is a page's own: a patch of noise, at another place in each frame, over a still ground. The fake camera's
picture takes 0.4 Mbit/s whatever is allowed; noise all over would make the encoder, not the estimate, the limit.
"""

from itertools import pairwise

import pytest

from relay.cli.measure import read_tags, video_frames
from relay.core import flv
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support.chromium import chromium
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.relay import running_relay

pytestmark = pytest.mark.alone

SECONDS = 7
"""Of media that is measured."""
START = 3
"""Seconds until what the path bears is reached."""

_PAGE = """async ([url, transportWide]) => {
  const width = 1280, height = 720, patch = 120, fps = 30;
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const noise = Object.assign(document.createElement("canvas"), {width: 256, height: 256});
  const grains = noise.getContext("2d").createImageData(256, 256);
  for (let i = 0, x = 1; i < grains.data.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    grains.data[i] = i % 4 == 3 ? 255 : x >>> 24;
  }
  noise.getContext("2d").putImageData(grains, 0, 0);
  const ground = canvas.getContext("2d");
  let frame = 0;
  const draw = () => {
    frame++;
    ground.fillStyle = "#456";
    ground.fillRect(0, 0, width, height);
    ground.drawImage(noise, frame * 37 % 128, frame * 91 % 128, patch, patch,
                     frame * 3 % (width - patch), frame * 2 % (height - patch), patch, patch);
  };
  draw();
  setInterval(draw, 1000 / fps);
  const media = canvas.captureStream(fps);
  media.addTrack((await navigator.mediaDevices.getUserMedia({audio: true})).getAudioTracks()[0]);
  navigator.mediaDevices.getUserMedia = async () => media;
  if (!transportWide) {
    const send = window.fetch;
    window.fetch = (url, request) => send(url, {...request, body: request.body.replace(/a=.*transport-.*\\r\\n/g, "")});
  }
  window.published = await publish(url, undefined, "maintain-resolution");
}"""


def rates(pictures: list[flv.Tag], window: float) -> list[float]:
    """Bits per second of each window of media time from `START` on, a new one each half second."""
    first = pictures[0].timestamp
    sizes = [((picture.timestamp - first) / 1000, 8 * len(picture.body)) for picture in pictures]
    ends = [half / 2 for half in range(2 * START, 2 * SECONDS + 1)]
    return [sum(size for time, size in sizes if end - window <= time < end) / window for end in ends]


@pytest.mark.parametrize(
    ("transport_wide", "cap", "least", "most"),
    [(True, None, 2.0e6, 4.0e6), (False, None, 2.0e6, 4.0e6), (True, 1000, 0.4e6, 1.0e6), (False, 1000, 0.4e6, 1.0e6)],
)
async def test_720p_gets_what_the_path_bears(
    cdn: Nginx, transport_wide: bool, cap: int | None, least: float, most: float
) -> None:
    name = f"{'transport' if transport_wide else 'remb'}-{cap}"
    settings = WorkerSettings(rtc=RtcSettings(addresses=("127.0.0.1",), max_video_bitrate=cap))
    async with running_relay(settings) as relay, chromium() as browser:
        await relay.start(cdn.push_url(name))
        await browser.page.evaluate(_PAGE, [relay.whip_url(), transport_wide])

        async def sent() -> bool:
            return (await relay.task()).audio_sent > (SECONDS + 1) * 44

        await eventually(sent, within=60, what="some seconds of media")
        video = (await browser.stats())["video"]
        assert (video["frameWidth"], video["frameHeight"]) == (1280, 720)
        assert video["remote"]["packetsLost"] == 0
        await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls(name))
    pictures = video_frames(read_tags(cdn.recording(name)))
    assert pictures[-1].timestamp - pictures[0].timestamp >= SECONDS * 1000
    assert all(p.timestamp < q.timestamp for p, q in pairwise(pictures))
    held = rates(pictures, window=1.0)
    assert min(held) >= least, held
    assert max(rates(pictures, window=3.0)) <= most, held
