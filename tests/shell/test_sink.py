import asyncio
import subprocess

import pytest

from relay.core import flv
from relay.core.flv import Tag, TagReader
from relay.core.push_url import PushUrl
from relay.core.rtmp.publisher import Refused
from relay.push.sink import Sink, SinkStream
from tests.support.clip import clip_tags, flv_clip
from tests.support.eventually import eventually
from tests.support.pushing import Ear, end, opened, publishing, push


async def test_recordings_hold_what_was_pushed(tmp_path):
    ended: list[SinkStream] = []

    sink = Sink(directory=tmp_path, on_end=ended.append)
    port = await sink.start()
    sound = [tag for tag in clip_tags() if tag.type == flv.AUDIO]
    for tags in (clip_tags(), sound):
        connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/key?token=sekret")
        await push(connection, tags)
        await end(connection, ear)
    await eventually(lambda: len(ended) == 2)
    await sink.close()
    assert TagReader().receive((tmp_path / "key-2.flv").read_bytes()) == sound
    first, second = (tmp_path / "key.flv").read_bytes(), (tmp_path / "key-2.flv").read_bytes()
    assert first == flv_clip()
    assert (first[4], second[4]) == (5, 4)
    assert [stream.path.name for stream in ended] == ["key.flv", "key-2.flv"]
    assert ended[0].tags == len(clip_tags())
    assert ended[0].last == clip_tags()[-1].timestamp
    assert ended[0].ended >= ended[0].started
    assert "sekret" not in repr(ended)


async def test_a_name_cannot_leave_the_directory(tmp_path):
    sink = Sink(directory=tmp_path)
    port = await sink.start()
    connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/..%2f..")
    (stream,) = sink.streams.values()
    assert stream.path.parent == tmp_path
    await end(connection, ear)
    await sink.close()


async def test_closing_cuts_its_publishers(tmp_path):
    ended: list[SinkStream] = []

    sink = Sink(directory=tmp_path, on_end=ended.append)
    port = await sink.start()
    connection, ear = await publishing(f"rtmp://127.0.0.1:{port}/live/key")
    await push(connection, clip_tags()[:3])
    await eventually(lambda: sink.streams["live", "key"].tags == 3)
    await sink.close()
    assert (await eventually(lambda: ear.lost)).endswith("while publishing")
    await connection.wait_closed()
    assert TagReader().receive((tmp_path / "key.flv").read_bytes()) == clip_tags()[:3]
    assert len(ended) == 1


async def test_applications_keep_their_names_apart():
    sink = Sink()
    port = await sink.start()
    one, one_ear = await publishing(f"rtmp://127.0.0.1:{port}/one/key")
    two, two_ear = await publishing(f"rtmp://127.0.0.1:{port}/two/key")
    refused = Ear()
    three = opened(PushUrl.parse(f"rtmp://127.0.0.1:{port}/two/key?other"), refused)
    await eventually(lambda: refused.lost)
    assert any(isinstance(event, Refused) for event in refused.events)
    for connection, ear in ((one, one_ear), (two, two_ear)):
        await end(connection, ear)
    await three.wait_closed()
    await sink.close()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\3" + bytes(3072) + b"\xff" * 40])
async def test_other_protocols_and_garbage_are_cut(data):
    sink = Sink()
    port = await sink.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        while await reader.read(65536):
            pass
    except ConnectionResetError:
        pass
    writer.close()
    await sink.close()


async def test_ffmpeg_pushes_into_it(tmp_path):
    """Another client than ours: FFmpeg's own RTMP."""
    source = tmp_path / "source.flv"
    source.write_bytes(flv_clip())
    got: list[Tag] = []

    sink = Sink(on_tag=lambda stream, tag, arrival: got.append(tag))
    port = await sink.start()
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", "-f", "flv"]
    command.append(f"rtmp://127.0.0.1:{port}/live/key")
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True)
    assert done.returncode == 0, done.stderr
    await eventually(lambda: not sink.streams)
    await sink.close()
    for kind in (flv.AUDIO, flv.VIDEO):
        theirs = [tag.body for tag in got if tag.type == kind and not tag.is_header]
        assert theirs == [tag.body for tag in clip_tags() if tag.type == kind and not tag.is_header]
