"""Publishers without H.264 in a deployment that takes their codecs: Enhanced RTMP, as FFmpeg reads it."""

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from relay.cli.measure import audio_holes, read_tags
from relay.core import av1, flv
from relay.push.sink import Sink
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support.chromium import chromium
from tests.support.coded import decode
from tests.support.debian import need
from tests.support.eventually import eventually
from tests.support.gstreamer import gstreamer
from tests.support.relay import running_relay
from tests.support.timestamps import is_monotonic

OFFERS = Path(__file__).parents[2] / "fixtures" / "sdp"
FIREFOX = (OFFERS / "firefox-vp8.offer.sdp").read_text()
CHROMIUM = (OFFERS / "cr-basic.offer.sdp").read_text()
FOURCC = {"vp8": b"vp08", "vp9": b"vp09", "av1": b"av01"}
PREFER = """name => {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (track, init) {
    const transceiver = add.call(this, track, init);
    if (track.kind == "video") {
      const codecs = RTCRtpSender.getCapabilities("video").codecs;
      transceiver.setCodecPreferences(codecs.filter(c => [`video/${name}`, "video/rtx"].includes(c.mimeType)));
    }
    return transceiver;
  };
}"""


def taking(*codecs: str) -> WorkerSettings:
    return WorkerSettings(rtc=RtcSettings(addresses=("127.0.0.1",), enhanced_codecs=codecs))


@pytest.mark.alone
@pytest.mark.parametrize("codec", FOURCC)
async def test_chromium_reaches_the_cdn(codec: str, tmp_path: Path) -> None:
    tags: list[flv.Tag] = []
    sink = Sink(directory=tmp_path, on_tag=lambda stream, tag, arrival: tags.append(tag))
    port = await sink.start()
    try:
        async with running_relay(taking(codec)) as relay, chromium() as browser:
            await relay.start(f"rtmp://127.0.0.1:{port}/live/key")
            await browser.page.evaluate(PREFER, codec.upper())
            await browser.publish(relay.whip_url(), {"audio": True, "video": {"width": 640, "height": 360}})

            async def sent() -> bool:
                task = await relay.task()
                return task.video_sent > 120 and task.audio_sent > 200

            await eventually(sent, within=60, what="some seconds of media")
            assert (await browser.stats())["video"]["codec"]["mimeType"].lower() == f"video/{codec}"
            await relay.stop()
            await eventually(lambda: not sink.streams)
    finally:
        await sink.close()
    assert_plays(tmp_path / "key.flv", FOURCC[codec])


GSTREAMER_H265 = (
    "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x265enc speed-preset=ultrafast bitrate=500 key-int-max=30 option-string=open-gop=0:bframes={} ! "
    "video/x-h265,profile=main ! rtph265pay pt=97 config-interval=-1 aggregate-mode=zero-latency ! "
    "application/x-rtp,media=video,encoding-name=H265,payload=97"
)


@pytest.mark.parametrize("b_frames", [0, 3])
async def test_h265_of_gstreamer_reaches_the_cdn(b_frames: int, tmp_path: Path) -> None:
    sink = Sink(directory=tmp_path)
    port = await sink.start()
    # libnice leaves loopback addresses out.
    settings = WorkerSettings(rtc=RtcSettings(enhanced_codecs=("h265",)))
    try:
        async with running_relay(settings) as relay, gstreamer(relay.whip_url(), GSTREAMER_H265.format(b_frames)):
            await relay.start(f"rtmp://127.0.0.1:{port}/live/key")

            async def sent() -> bool:
                return (await relay.task()).video_sent > 120

            await eventually(sent, within=60, what="some seconds of media")
            await relay.stop()
            await eventually(lambda: not sink.streams)
    finally:
        await sink.close()
    assert_plays(tmp_path / "key.flv", b"hvc1")


def assert_plays(path: Path, fourcc: bytes) -> None:
    tags = read_tags(path)
    assert audio_holes(tags) == []
    video = [tag for tag in tags if tag.type == flv.VIDEO]
    assert {tag.body[1:5] for tag in video} == {fourcc}
    pictures = [tag for tag in video if not tag.is_header]
    assert video[0].is_header
    assert pictures[0].is_key
    assert is_monotonic(pictures)
    keys = [picture.timestamp for picture in pictures if picture.is_key]
    assert len(keys) >= 2, "key frames come on request"
    assert all(later - earlier < 4000 for earlier, later in pairwise(keys))
    shown = decode(path.read_bytes())
    assert len(shown.times) == len(pictures)
    assert all(a < b for a, b in pairwise(shown.times))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p", "yuv420p12le", "yuv422p12le", "gray", "gbrp"])
def test_av1_of_every_profile_is_described_as_ffmpeg_does(pix_fmt: str, tmp_path: Path) -> None:
    """libaom's sequence header, against the av1C that FFmpeg's MP4 muxer makes of it."""
    path = tmp_path / "av1.mp4"
    need("ffmpeg")
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x80:rate=30", "-frames:v", "1"]
    command += ["-pix_fmt", pix_fmt, "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", str(path)]
    subprocess.run(command, check=True, timeout=60)
    with av.open(str(path)) as container:
        record = container.streams.video[0].codec_context.extradata
    assert record is not None
    described = av1.describe([record[4:]])
    assert described is not None
    assert (described.width, described.height) == (96, 80)
    assert described.record == record


async def post(url: str, offer: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.post(url, content=offer, headers={"Content-Type": "application/sdp"})


def answered(response: httpx.Response) -> dict[str, Any]:
    video = response.text.split("m=video ")[1]
    return {"port": int(video.split()[0]), "video": video}


async def test_firefox_without_h264_is_taken_with_the_setting_alone() -> None:
    async with running_relay(taking()) as relay:
        refused = await post(relay.whip_url(), FIREFOX)
        assert refused.status_code == 406
        assert "VP8" in refused.json()["detail"]
    async with running_relay(taking("vp8")) as relay:
        taken = await post(relay.whip_url(), FIREFOX)
        assert taken.status_code == 201
        assert "VP8/90000" in answered(taken)["video"]
        assert answered(taken)["port"] > 0


async def test_h264_is_preferred_where_it_is_offered() -> None:
    async with running_relay(taking("vp8")) as relay:
        taken = await post(relay.whip_url(), CHROMIUM)
        assert "H264/90000" in answered(taken)["video"]
