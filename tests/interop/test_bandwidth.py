"""Chromium sends as much as it is told that the path bears: by transport-wide feedback, and by REMB without it.

The picture is a page's own: a patch of noise, at another place in each frame, over a still ground. The fake camera's
picture takes 0.4 Mbit/s whatever is allowed; noise all over would make the encoder, not the estimate, the limit.
"""

import asyncio
from itertools import pairwise

import pytest

from relay.core.h264 import parse_sps
from relay.core.media import AccessUnit
from relay.rtc.settings import RtcSettings
from tests.interop.test_chromium import relay_and_browser
from tests.support.chromium import ChromiumPublisher
from tests.support.eventually import eventually
from tests.support.rtc import Received

pytestmark = pytest.mark.alone

SECONDS = 9
"""Of media that is measured."""
ATTEMPTS = 3
"""A browser that gets no processor for a second sees that as a full path, rightly: one undisturbed run counts."""

# maintain-resolution: Chromium drops the frames that come before its transport stands, and for each of them it starts a
# step smaller than 720p, whatever the estimate says.
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

  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (...what) {
    const transceiver = add.apply(this, what);
    const parameters = transceiver.sender.getParameters();
    transceiver.sender.setParameters({...parameters, degradationPreference: "maintain-resolution"});
    return transceiver;
  };
  if (!transportWide) {
    const send = window.fetch;
    window.fetch = (url, request) => send(url, {...request, body: request.body.replace(/a=.*transport-.*\\r\\n/g, "")});
  }
  window.published = await publish(url);
}"""


async def publish_noise(
    url: str, browser: ChromiumPublisher, received: list[Received], *, transport_wide: bool
) -> Received:
    """Publishes until `SECONDS` of pictures are here."""
    await browser.page.evaluate(_PAGE, [url, transport_wide])
    (one,) = received
    await eventually(lambda: one.pictures, within=20, what="a picture")
    first = one.pictures[0].time
    await eventually(lambda: one.pictures[-1].time - first > SECONDS, within=60, what="some seconds of pictures")
    return one


def rates(pictures: list[AccessUnit], window: float) -> list[float]:
    """Bits per second of each window of media time, a new one each half second."""
    first = pictures[0].time
    sizes = [(picture.time - first, 8 * sum(map(len, picture.parts))) for picture in pictures]
    starts = [half / 2 for half in range(int(2 * (SECONDS - window)) + 1)]
    return [sum(size for time, size in sizes if start <= time < start + window) / window for start in starts]


@pytest.mark.parametrize(
    ("transport_wide", "cap", "least", "most"),
    [(True, None, 2.0e6, 4.0e6), (False, None, 2.0e6, 4.0e6), (True, 1000, 0.4e6, 1.0e6), (False, 1000, 0.4e6, 1.0e6)],
)
def test_720p_gets_what_the_path_bears(transport_wide: bool, cap: int | None, least: float, most: float) -> None:
    async def run() -> tuple[list[float], list[float]]:
        settings = RtcSettings(addresses=("127.0.0.1",), max_video_bitrate=cap)
        async with relay_and_browser(settings) as (url, engine, browser):
            one = await publish_noise(url, browser, engine.received, transport_wide=transport_wide)
            key = one.pictures[0]
            assert key.key
            sps = parse_sps(key.parts[0])
            assert (sps.width, sps.height) == (1280, 720)
            sent = (await browser.stats())["video"]
            assert sent["frameHeight"] == 720
            assert sent["remote"]["packetsLost"] == 0
            (session,) = engine.sessions.values()
            audio, video = session.stats.reception.tracks
            assert video.lost == audio.lost == 0
            assert all(p.rtp_time < q.rtp_time for p, q in pairwise(one.pictures))
            # What is reached within 3 s, and what is held from the first second on.
            return rates(one.pictures, window=1.0)[:5], rates(one.pictures, window=4.0)[2:]

    runs: list[tuple[list[float], list[float]]] = []
    for _ in range(ATTEMPTS):
        reached, held = asyncio.run(run())
        assert all(rate <= most for rate in held), held
        if max(reached) >= least and min(held) >= least:
            return
        runs.append((reached, held))
    raise AssertionError(runs)
