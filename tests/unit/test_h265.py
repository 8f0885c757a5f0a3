import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import flv, h265
from relay.core.h264 import length_prefixed, split_annex_b
from relay.core.rtmp import amf0
from tests.support.coded import coded
from tests.support.ffmpeg_flv import flv_tags
from tests.support.thorough import also
from tests.unit.rtp.codec_cases import H265, H265_B_FRAMES

SPS = next(nal for nal in split_annex_b(H265.units(1)[0].data) if h265.nal_type(nal) == h265.NalType.SPS)


def arrays(record: bytes) -> dict[int, list[bytes]]:
    """NAL units of an hvcC by type."""
    found: dict[int, list[bytes]] = {}
    at = 23
    for _ in range(record[22]):
        kind, count = record[at] & 0x3F, int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            found.setdefault(kind, []).append(record[at + 2 : at + 2 + size])
            at += 2 + size
    assert at == len(record)
    return found


def test_the_record_is_that_of_ffmpegs_muxer() -> None:
    units = H265.units(20)
    metadata, header, *_ = flv_tags(H265.encoder, units, dict(H265.options))
    described = h265.describe(split_annex_b(units[0].data))
    assert described is not None
    ours = flv.enhanced_sequence_header(b"hvc1", described.record)
    theirs = header.body
    # FFmpeg adds an array of SEI, x265's own words, to the three of parameter sets.
    assert ours[: 5 + 22] == theirs[: 5 + 22]
    their_arrays = arrays(theirs[5:])
    del their_arrays[h265.NalType.PREFIX_SEI]
    assert arrays(described.record) == their_arrays
    told = amf0.decode(flv.metadata_body(width=160, height=120, fourcc=b"hvc1"))[1]
    assert told["videocodecid"] == amf0.decode(metadata.body)[1]["videocodecid"]


@pytest.mark.parametrize("case", [H265, H265_B_FRAMES], ids=["none", "b-frames"])
def test_bodies_are_those_of_ffmpegs_muxer(case) -> None:
    units = case.units(40)
    _, _, *tags = flv_tags(case.encoder, units)
    theirs = [tag.body for tag in tags if tag.body[0] & 15 in (1, 3)]
    ours = [
        flv.enhanced_video_body(
            b"hvc1", length_prefixed(split_annex_b(unit.data)), key=unit.key, composition=(unit.pts - unit.dts) // 90
        )
        for unit in units
    ]
    assert len(ours) == len(theirs)
    for body, their_body in zip(ours, theirs, strict=True):
        at = 8 if body[0] & 15 == 1 else 5
        assert (body[:5], body[at:]) == (their_body[:5], their_body[at:])
        assert abs(int.from_bytes(body[5:at], "big") - int.from_bytes(their_body[5:at], "big")) <= 1  # rounding


@pytest.mark.parametrize(("width", "height"), [(64, 48), (322, 242), (1280, 720), *also((1920, 1080))])
def test_sizes(width: int, height: int) -> None:
    units = coded(H265.encoder, 1, dict(H265.options), width=width, height=height)
    described = h265.describe(split_annex_b(units[0].data))
    assert described is not None
    assert (described.width, described.height) == (width, height)


def test_depth_of_reordering_is_told() -> None:
    assert h265.reorder_depth(split_annex_b(H265.units(1)[0].data)) == 0
    depth = h265.reorder_depth(split_annex_b(H265_B_FRAMES.units(1)[0].data))
    assert depth is not None
    assert depth >= 1
    assert h265.reorder_depth([b"\x26\x01\x80"]) is None
    assert h265.reorder_depth([SPS[:20]]) is None


def test_without_parameter_sets_nothing_is_said() -> None:
    assert h265.describe([b"\x26\x01\x80"]) is None


def test_unreadable_sets() -> None:
    with pytest.raises(ValueError, match="not an SPS"):
        h265.parse_sps(b"\x26\x01\x80")
    with pytest.raises(ValueError, match="ends early"):
        h265.parse_sps(SPS[:18])
    with pytest.raises(ValueError, match="1 to 64"):
        h265.decoder_configuration([], [], [])
    with pytest.raises(ValueError, match="1 to 64"):
        h265.decoder_configuration([], [SPS], [b"\x44\x01" + bytes(70_000)])


@given(st.binary(max_size=80), st.integers(0, len(SPS)))
def test_any_bytes_raise_nothing_else(tail: bytes, kept: int) -> None:
    try:
        h265.parse_sps(SPS[:kept] + tail)
    except ValueError:
        return
