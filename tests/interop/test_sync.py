"""Beep and flash by real publishers, on a clean network and on one that loses 2 %, belong together at nginx-rtmp."""

import contextlib
from collections.abc import AsyncIterator
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from relay.cli import pattern
from relay.cli.measure import audio_frames, audio_holes, av_offsets, percentile, read_tags, video_frames
from relay.core import flv
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support import impairer
from tests.support.addresses import own_address
from tests.support.chromium import chromium
from tests.support.eventually import eventually
from tests.support.ffmpeg_whip import ffmpeg
from tests.support.gstreamer import gstreamer
from tests.support.impairer import Profile, impaired
from tests.support.nginx import Nginx
from tests.support.recording import assert_decodes
from tests.support.relay import Relay, running_relay
from tests.support.timestamps import is_monotonic

pytestmark = pytest.mark.alone

SECONDS = 10
"""Of sound that a test waits for; the clip is longer by what connecting takes."""
SPARSE = 14
"""Where it flashes every other second."""
LOSSY = Profile(loss=0.02, delay=0.02)

# Both are made by one clock, the sound's: the beep to the sample, the flash in the first frame drawn after it.
_PAGE = """async url => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
  const ground = canvas.getContext("2d");
  const context = new AudioContext({sampleRate: 48000});
  await context.resume();
  const sink = context.createMediaStreamDestination();
  const tone = context.createOscillator(), gate = context.createGain();
  tone.frequency.value = 1000;
  gate.gain.value = 0;
  tone.connect(gate).connect(sink);
  tone.start();
  for (let second = 1; second < 60; second++) {
    gate.gain.setValueAtTime(0.5, second);
    gate.gain.setValueAtTime(0, second + 0.1);
  }
  let frame = 0;
  setInterval(() => {
    ground.fillStyle = context.currentTime % 1 < 0.1 && context.currentTime >= 1 ? "#fff" : "#123";
    ground.fillRect(0, 0, 640, 360);
    ground.fillStyle = "#888";
    ground.fillRect(frame++ * 8 % 600, 300, 40, 40);
  }, 1000 / 30);
  const media = new MediaStream([...canvas.captureStream(30).getTracks(), ...sink.stream.getTracks()]);
  navigator.mediaDevices.getUserMedia = async () => media;
  window.published = await publish(url);
}"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pattern, coded beforehand."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    length = SECONDS + 8
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=30)
        audio = container.add_stream("libopus", rate=pattern.SAMPLE_RATE)
        size = {"width": 320, "height": 180, "fps": 30}
        pattern.configure_h264(video.codec_context, **size, bit_rate=250_000, key_interval=1.0)
        pattern.configure_opus(audio.codec_context, bit_rate=96_000)
        packets = [p for frame in islice(pattern.pictures(**size), length * 30) for p in video.encode(frame)]
        sounds = islice(pattern.sounds(), round(length / pattern.PACKET_SECONDS))
        packets += [p for frame in sounds for p in audio.encode(frame)]
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


@contextlib.asynccontextmanager
async def _chromium(url: str, clip: Path) -> AsyncIterator[None]:
    async with chromium() as browser:
        await browser.page.evaluate(_PAGE, url)
        yield


@contextlib.asynccontextmanager
async def _ffmpeg(url: str, clip: Path) -> AsyncIterator[None]:
    async with ffmpeg(url, clip):
        yield


@contextlib.asynccontextmanager
async def _gstreamer(url: str, clip: Path) -> AsyncIterator[None]:
    """A ground that turns from black to white, or back, every 50 frames; its parameter sets are in the SDP alone."""
    video = (
        "videotestsrc is-live=true pattern=ball flip=true ! "
        "video/x-raw,width=320,height=180,framerate=50/1 ! x264enc tune=zerolatency speed-preset=ultrafast "
        "key-int-max=50 bitrate=400 ! video/x-h264,profile=constrained-baseline,stream-format=avc ! "
        "rtph264pay pt=102 config-interval=0 aggregate-mode=zero-latency ! "
        "application/x-rtp,media=video,encoding-name=H264,payload=102"
    )
    ticks = "wave=ticks freq=1000 sine-periods-per-tick=100 tick-interval=1000000000"
    async with gstreamer(url, video, f"audiotestsrc is-live=true {ticks} ! audioconvert ! opusenc ! rtpopuspay pt=111"):
        yield


def caught_up(tags: list[flv.Tag]) -> float:
    """Seconds of the recording after which pictures come one by one. webrtcbin holds back what is made while it
    connects, a second or two, and then sends it in a burst, one track before the other: no place is right for that."""
    times = [tag.timestamp / 1000 for tag in video_frames(tags)]
    return next(times[i] for i in range(len(times)) if all(q - p > 0.01 for p, q in pairwise(times[i : i + 10])))


PUBLISHERS = {"chromium": _chromium, "ffmpeg": _ffmpeg, "gstreamer": _gstreamer}


@pytest.mark.parametrize("network", [Profile(), LOSSY], ids=["clean", "lossy"])
@pytest.mark.parametrize("publisher", PUBLISHERS)
async def test_beep_and_flash_come_together(
    cdn: Nginx, clip: Path, publisher: str, network: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{publisher}-{network.loss}"
    settings, seconds = None, SECONDS
    if publisher == "gstreamer":
        seconds = SPARSE
        # libnice leaves loopback addresses out: this host's other one is as near.
        address = own_address()
        settings = WorkerSettings(rtc=RtcSettings(addresses=(address,)))
        monkeypatch.setattr(impairer, "HOST", address)
    async with running_relay(settings) as relay, impaired(relay.url, up=network, down=network) as between:
        await relay.start(cdn.push_url(name))
        async with PUBLISHERS[publisher](Relay(between.url, relay.client).whip_url(), clip):

            async def sent() -> bool:
                return (await relay.task()).audio_sent > seconds * 44

            await eventually(sent, within=60, what="some seconds of sound")
            await relay.stop()
        await eventually(lambda: "publish_done" in cdn.calls(name))
        assert bool(network.loss) == bool(between.sessions[0].up.counters.lost)
    path = cdn.recording(name)
    tags = read_tags(path)
    assert is_monotonic(video_frames(tags))
    assert is_monotonic(audio_frames(tags))
    assert audio_holes(tags) == []
    assert_decodes(path)
    since = 0.0
    if publisher == "gstreamer":
        since = caught_up(tags)
        assert since < 1.0
    offsets = av_offsets(path, since=since)
    assert len(offsets) >= 5
    assert percentile((abs(offset) for offset in offsets), 95) <= 0.080, offsets
