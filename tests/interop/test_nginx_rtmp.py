"""Our RTMP client against nginx-rtmp, and FFmpeg's view of what it recorded."""

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core import flv
from relay.core.flv import Tag, TagReader
from relay.core.push_url import PushUrl
from relay.core.rtmp.publisher import Connected, PublishStarted, Refused
from relay.push.connection import Lost
from tests.support.clip import clip_tags
from tests.support.eventually import eventually
from tests.support.nginx import Nginx, nginx
from tests.support.pushing import Ear, end, opened, publishing, push


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


async def record(server: Nginx, name: str, tags: list[Tag], *, offset: int = 0, query: str = "") -> list[Tag]:
    """Pushes `tags` and gives what the recording holds."""

    connection, ear = await publishing(server.push_url(name + query))
    assert name in server.streams()
    await push(connection, tags, offset=offset)
    await end(connection, ear)
    assert ear.events == [Connected(), PublishStarted(), Lost("finished")]
    await eventually(lambda: server.calls(name) == ["publish", "publish_done"])
    return TagReader().receive(server.recording(name).read_bytes())


def frames(tags: list[Tag]) -> list[Tag]:
    """Without metadata, and each sequence header once: nginx-rtmp writes the AAC header that it keeps, and then the one
    that came."""
    kept: list[Tag] = []
    for tag in tags:
        if tag.type != flv.DATA and not (tag.is_header and kept and kept[-1].body == tag.body):
            kept.append(tag)
    return kept


def probe(path: Path) -> list[dict[str, object]]:
    """FFmpeg's packets, after it has decoded all without a complaint."""
    decoded = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "null", "-"], capture_output=True, check=True)
    assert decoded.stderr == b""
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_packets", "-of", "json", path], capture_output=True, check=True
    )
    packets: list[dict[str, object]] = json.loads(shown.stdout)["packets"]
    return packets


def gaps(packets: list[dict[str, object]], kind: str) -> list[int]:
    times = [int(str(packet["dts"])) for packet in packets if packet["codec_type"] == kind]
    return [after - before for before, after in itertools.pairwise(times)]


async def test_a_recording_holds_the_tags(server):
    got = await record(server, "clip", clip_tags(), query="?token=a%2Fb/c&sign=1")
    assert frames(got) == frames(clip_tags())
    publish = next(event for event in server.events if event.name == "clip")
    assert {"token": "a/b/c", "sign": "1"}.items() <= publish.arguments.items()
    packets = probe(server.recording("clip"))
    expected = [tag for tag in clip_tags() if not tag.is_header and tag.body[1] != 2]
    assert len(packets) == len(expected)


async def test_metadata_is_understood(server):
    connection, ear = await publishing(server.push_url("meta"))
    await push(connection, [Tag(flv.DATA, 0, flv.metadata_body(width=160, height=120, frame_rate=25))])
    await push(connection, clip_tags()[1:8])

    def told() -> dict[str, str]:
        streams = [each for each in server.stats().iterfind(".//live/stream") if each.findtext("name") == "meta"]
        return {
            f"{kind.tag}.{value.tag}": value.text or ""
            for stream in streams
            for kind in stream.iterfind("meta/*")
            for value in kind
        }

    await eventually(lambda: "audio.codec" in told())
    shown = told()
    assert (shown["video.width"], shown["video.height"], shown["video.frame_rate"]) == ("160", "120", "25")
    assert (shown["video.codec"], shown["audio.codec"]) == ("H264", "AAC")
    assert (shown["audio.profile"], shown["audio.sample_rate"], shown["audio.channels"]) == ("LC", "44100", "2")
    await end(connection, ear)


# 4 h 39 min 37 s, and where 32 bits lose their sign and themselves. FLV's own timestamp is signed: FFmpeg reads up to
# 2^31 only, so beyond it the tags are compared.
EDGES = {"extended": 0xFFFFFF, "sign": 2**31, "wrap": 2**32}


@pytest.mark.parametrize("edge", EDGES)
async def test_across_the_edges_of_the_timestamp(server, edge):
    """Frames large enough for several chunks, so that the extended timestamp is on type 3 chunks too."""
    offset = EDGES[edge] - 1000
    tags = clip_tags()
    large = [Tag(tag.type, tag.timestamp, _with_filler(tag.body) if tag.is_key else tag.body) for tag in tags]
    got = await record(server, edge, large, offset=offset)
    assert [(tag.type, tag.body) for tag in frames(got)] == [(tag.type, tag.body) for tag in frames(large)]
    # nginx-rtmp records from 0: the time between tags is what counts.
    start = frames(got)[0].timestamp
    assert [(tag.timestamp - start) % 2**32 for tag in frames(got)] == [tag.timestamp for tag in frames(large)]
    if edge == "extended":
        packets = probe(server.recording(edge))
        assert max(gaps(packets, "video")) <= 41
        assert max(gaps(packets, "audio")) <= 24


async def test_a_push_from_two_seconds_before_the_extended_timestamp(server):
    got = await record(server, "minus2000", clip_tags(4.0), offset=0xFFFFFF - 2000)
    assert len(frames(got)) == len(frames(clip_tags(4.0)))
    packets = probe(server.recording("minus2000"))
    assert max(gaps(packets, "video")) <= 41
    assert max(gaps(packets, "audio")) <= 24


async def test_sound_alone(server):
    sound = [Tag(flv.DATA, 0, flv.metadata_body()), *(tag for tag in clip_tags() if tag.type == flv.AUDIO)]
    assert frames(await record(server, "sound", sound)) == frames(sound)
    assert {packet["codec_type"] for packet in probe(server.recording("sound"))} == {"audio"}


async def refused(url: str) -> Ear:
    ear = Ear()
    connection = opened(PushUrl.parse(url), ear)
    await eventually(lambda: ear.lost)
    await connection.wait_closed()
    return ear


async def test_a_name_that_is_taken(server):
    connection, ear = await publishing(server.push_url("taken"))
    second = await refused(server.push_url("taken"))
    assert second.events == [
        Connected(),
        Refused("NetStream.Publish.BadName", "Already publishing", permanent=False),
        Lost("refused: NetStream.Publish.BadName"),
    ]
    await end(connection, ear)


async def test_a_callback_that_says_no(server):
    server.denied.add("denied")

    ear = await refused(server.push_url("denied"))
    assert ear.events[0] == Connected()
    assert "after publish" in (ear.lost or "")


async def test_an_application_that_is_not_there(server):
    ear = await refused(f"rtmp://127.0.0.1:{server.rtmp_port}/nowhere/key")
    assert "after connect" in (ear.lost or "") or any(isinstance(event, Refused) for event in ear.events)


def _with_filler(body: bytes) -> bytes:
    """A key frame's body with 150 kB of filler data (NAL unit type 12, H.264 7.3.2.7) before its slices."""
    filler = b"\x0c" + b"\xff" * 150_000 + b"\x80"
    return body[:5] + len(filler).to_bytes(4, "big") + filler + body[5:]
