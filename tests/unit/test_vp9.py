import io

import av
import pytest
from av.bitstream import BitStreamFilterContext

from relay.core import flv, vp9
from relay.core.rtmp import amf0
from tests.support.coded import coded
from tests.support.ffmpeg_flv import flv_tags
from tests.support.thorough import also
from tests.unit.rtp.codec_cases import VP9


def test_bodies_are_those_of_ffmpegs_muxer() -> None:
    units = VP9.units(20)
    metadata, header, colours, *frames = flv_tags(VP9.encoder, units)
    described = vp9.describe([units[0].data])
    assert header.body == flv.enhanced_sequence_header(b"vp09", described.record)
    assert colours.body[0] & 15 == 4  # PacketTypeMetadata, which is optional
    ours = [flv.enhanced_video_body(b"vp09", unit.data, key=unit.key) for unit in units]
    assert ours == [tag.body for tag in frames if tag.body[0] & 15 == 1]
    theirs = amf0.decode(metadata.body)[1]
    ours_told = amf0.decode(flv.metadata_body(width=160, height=120, fourcc=b"vp09"))[1]
    assert ours_told["videocodecid"] == theirs["videocodecid"]


@pytest.mark.parametrize(("width", "height"), [(64, 48), (320, 240), (640, 480), (1280, 720), *also((1920, 1080))])
def test_levels_are_those_of_ffmpeg(width: int, height: int) -> None:
    units = coded("libvpx-vp9", 1, dict(VP9.options), width=width, height=height)
    described = vp9.describe([units[0].data])
    assert (described.width, described.height) == (width, height)
    _, theirs, *_ = flv_tags("libvpx-vp9", units, width=width, height=height)
    assert flv.enhanced_sequence_header(b"vp09", described.record) == theirs.body


def frames_of(chunk: bytes) -> list[bytes]:
    """What a superframe's index tells apart (Annex B)."""
    marker = chunk[-1]
    assert marker >> 5 == 6
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = chunk[-1 - count * width : -1]
    assert chunk[-2 - count * width] == marker
    frames, at = [], 0
    for number in range(count):
        size = int.from_bytes(index[number * width : (number + 1) * width], "little")
        frames.append(chunk[at : at + size])
        at += size
    return frames


@pytest.mark.parametrize("count", [2, 3, 8])
def test_ffmpeg_splits_a_superframe(count: int) -> None:
    frames = [unit.data for unit in VP9.units(count)]
    chunk = vp9.superframe(frames)
    assert frames_of(chunk) == frames
    file = io.BytesIO()
    with av.open(file, "w", format="ivf") as output:
        stream = output.add_stream("libvpx-vp9", rate=30)
        stream.width, stream.height = 160, 120
        splitter = BitStreamFilterContext("vp9_superframe_split", stream)
        packet = av.Packet(chunk)
        packet.pts = packet.dts = 0
        assert [bytes(part) for part in splitter.filter(packet)] == frames


def test_other_frames_are_no_key_frames() -> None:
    inter = VP9.units(2)[1].data
    assert not vp9.is_key(inter)
    assert not vp9.is_key(b"")
    assert not vp9.is_key(b"\0\0")
    with pytest.raises(ValueError, match="not a VP9 key frame"):
        vp9.describe([inter])
    key = VP9.units(1)[0].data
    with pytest.raises(ValueError, match="sync code"):
        vp9.describe([key[:1] + b"\0" + key[2:]])
    with pytest.raises(ValueError, match="ends early"):
        vp9.describe([key[:5]])


def header(*fields: tuple[int, int]) -> bytes:
    """Bits, each as value and width, most significant first."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    return int(text.ljust(128, "0"), 2).to_bytes(16, "big")


@pytest.mark.parametrize(
    ("profile", "colours", "layout"),
    [
        ((0, 0), [(2, 3), (1, 1)], 0x83),
        ((1, 0), [(2, 3), (0, 1), (1, 1), (0, 1), (0, 1)], 0x84),
        ((1, 0), [(7, 3), (0, 1)], 0x87),
        ((0, 1), [(0, 1), (2, 3), (0, 1)], 0xA2),
        ((1, 1), [(1, 1), (2, 3), (0, 1), (0, 1), (0, 1), (0, 1)], 0xC6),
    ],
)
def test_depth_and_chroma(profile: tuple[int, int], colours: list[tuple[int, int]], layout: int) -> None:
    """Of each profile, as 6.2 and 7.2.2 write them. `profile`: its low bit and its high bit."""
    reserved = [(0, 1)] if profile == (1, 1) else []
    frame = header(
        (2, 2), (profile[0], 1), (profile[1], 1), *reserved, (0, 4), (0x498342, 24), *colours, (639, 16), (359, 16)
    )
    assert vp9.is_key(frame)
    described = vp9.describe([frame])
    assert (described.width, described.height) == (640, 360)
    assert described.record[4] == profile[0] + 2 * profile[1]
    assert described.record[6] == layout
