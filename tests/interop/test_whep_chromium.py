"""A page in Chromium plays what another one publishes, by WHEP: pictures, sound, and how long they take."""

import statistics

import pytest
import structlog

from tests.support.chromium import ChromiumPublisher, chromium
from tests.support.eventually import eventually
from tests.support.relay import running_relay

log = structlog.get_logger(__name__)

pytestmark = pytest.mark.alone

# The clock of the machine in milliseconds, 16 bits of it, as squares: a row of bits, and the same inverted below.
_CLOCK = """async url => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
  const ground = canvas.getContext("2d");
  const context = new AudioContext({sampleRate: 48000});
  await context.resume();
  const sink = context.createMediaStreamDestination();
  const tone = context.createOscillator();
  tone.connect(sink);
  tone.start();
  setInterval(() => {
    const now = Date.now() & 0xffff;
    for (let bit = 0; bit < 16; bit++) {
      const set = now >> bit & 1;
      ground.fillStyle = set ? "#fff" : "#000";
      ground.fillRect(bit * 40, 0, 40, 180);
      ground.fillStyle = set ? "#000" : "#fff";
      ground.fillRect(bit * 40, 180, 40, 180);
    }
  }, 1000 / 30);
  const media = new MediaStream([...canvas.captureStream(30).getTracks(), ...sink.stream.getTracks()]);
  navigator.mediaDevices.getUserMedia = async () => media;
  window.published = await publish(url);
}"""

# Milliseconds from the drawing of each picture to its being shown; a picture whose bits are not clear is left out.
_READ = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
  const ground = canvas.getContext("2d", {willReadFrequently: true});
  window.delays = [];
  const look = () => {
    const shown = Date.now();
    ground.drawImage(watched.video, 0, 0, 640, 360);
    let drawn = 0, clear = true;
    for (let bit = 0; bit < 16; bit++) {
      const upper = ground.getImageData(bit * 40 + 20, 90, 1, 1).data[0];
      const lower = ground.getImageData(bit * 40 + 20, 270, 1, 1).data[0];
      clear &&= Math.abs(upper - lower) > 100;
      if (upper > lower) drawn |= 1 << bit;
    }
    if (clear) delays.push((shown - drawn) & 0xffff);
    watched.video.requestVideoFrameCallback(look);
  };
  watched.video.requestVideoFrameCallback(look);
}"""

_INBOUND = """async () => [...(await watched.pc.getStats()).values()]
  .filter(s => s.type == "inbound-rtp").map(s => ({...s}))"""


async def inbound(viewer: ChromiumPublisher) -> dict[str, dict[str, float]]:
    return {report["kind"]: report for report in await viewer.run(_INBOUND)}


async def test_glass_to_glass() -> None:
    async with running_relay() as relay, chromium() as publisher:
        await publisher.page.evaluate(_CLOCK, relay.whip_url())
        viewer = await publisher.second()
        await viewer.watch(relay.whep_url())
        await viewer.run(_READ)

        async def enough() -> bool:
            return bool(await viewer.run("delays.length > 120"))

        await eventually(enough, within=30, what="pictures with a clock")
        delays = await viewer.run("delays")
        log.info("glass to glass", median=statistics.median(delays[-90:]), unit="ms")
        assert statistics.median(delays[-90:]) < 300
        got = await inbound(viewer)
        assert got["video"]["framesDecoded"] > 100
        assert got["audio"]["packetsReceived"] > 100
        assert got["audio"]["packetsLost"] == got["video"]["packetsLost"] == 0
