from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import av1, flv
from relay.core.rtmp import amf0
from tests.support.coded import Coded, coded
from tests.support.ffmpeg_flv import flv_tags
from tests.unit.rtp.codec_cases import AV1


def obus(unit: Coded) -> list[bytes]:
    """Those of a temporal unit in the low-overhead format, without its delimiter."""
    found, at, data = [], 0, unit.data
    while at < len(data):
        size, body = av1.read_leb128(data, at + (2 if data[at] & 4 else 1), len(data))
        if av1.obu_type(data[at:]) != av1.ObuType.TEMPORAL_DELIMITER:
            found.append(data[at : body + size])
        at = body + size
    return found


@pytest.mark.parametrize(
    "shape", [{}, {"pix_fmt": "yuv420p10le"}, {"width": 1280, "height": 720}], ids=["plain", "ten-bits", "large"]
)
def test_the_record_is_that_of_ffmpegs_muxer(shape: dict[str, Any]) -> None:
    options = dict(AV1.options)
    units = coded(AV1.encoder, 1, options, **shape)
    described = av1.describe(obus(units[0]))
    assert described is not None
    assert (described.width, described.height) == (shape.get("width", 160), shape.get("height", 120))
    _, header, *_ = flv_tags(AV1.encoder, units, options, **shape)
    # FFmpeg's has the sequence header that another encoder says it would send; ours the one that is sent.
    assert flv.enhanced_sequence_header(b"av01", described.record[:4]) == header.body[:9]
    assert described.record[4:] == obus(units[0])[0]


def test_bodies_are_those_of_ffmpegs_muxer() -> None:
    """But for the temporal delimiter, which AV1 in MP4 does without."""
    units = AV1.units(20)
    metadata, _, *tags = flv_tags(AV1.encoder, units)
    theirs = [tag.body for tag in tags if tag.body[0] & 15 == 1]
    ours = [flv.enhanced_video_body(b"av01", b"".join(obus(unit)), key=unit.key) for unit in units]
    assert ours == [body[:5] + body[5:].removeprefix(b"\x12\x00") for body in theirs]
    told = amf0.decode(flv.metadata_body(width=160, height=120, fourcc=b"av01"))[1]
    assert told["videocodecid"] == amf0.decode(metadata.body)[1]["videocodecid"]


def test_key_units() -> None:
    key, inter = (obus(unit) for unit in AV1.units(2))
    assert av1.is_key(key)
    assert not av1.is_key(inter)
    assert not av1.is_key(key[1:])
    assert not av1.is_key(key[:1])
    assert not av1.is_key([])
    assert av1.describe(inter) is None


def test_sizes_are_added() -> None:
    assert av1.with_size(b"\x30abc") == b"\x32\x03abc"
    assert av1.with_size(b"\x34\x08abc") == b"\x36\x08\x03abc"
    assert av1.with_size(b"\x32\x03abc") == b"\x32\x03abc"
    assert av1.with_size(b"\x30" + bytes(300)) == b"\x32\xac\x02" + bytes(300)
    assert av1.payload(b"\x36\x08\x03abc") == b"abc"
    for wrong in (b"\x32\x04abc", b"\x32\x02abc", b"\x32", b"\x34", b"\x32\xff\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match=r"OBU|leb128"):
            av1.with_size(wrong)


SEQUENCE_HEADER = av1.payload(obus(AV1.units(1)[0])[0])


@given(st.binary(max_size=60), st.integers(0, len(SEQUENCE_HEADER)))
def test_any_bytes_raise_nothing_else(tail: bytes, kept: int) -> None:
    try:
        av1.parse_sequence_header(SEQUENCE_HEADER[:kept] + tail)
    except ValueError:
        return
