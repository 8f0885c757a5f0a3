"""Parameter sets of x264 (ffmpeg 5.1), Chromium's constrained baseline, and bytes that are none."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import h264

SETS = {
    # -profile:v, size: SPS, PPS, (profile, level, width, height, reorder, fps)
    "baseline": ("6742c01fd9005005bb0110000003001000000303c0f1832480", "68cb83cb20", (66, 31, 1280, 720, 0, 30)),
    "main": ("674d4028eca03c0113d4b80880000003008000001e078c18cb", "68ebe3cb20", (77, 40, 1918, 1080, 2, 30)),
    "high": ("6764001eacd940a02ff970110000030001000003003c0f162d96", "68ebe3cb22c0", (100, 30, 640, 360, 2, 30)),
    "high 4:4:4": (
        "67f40028919b280f0044f7138088000003000800000301e078c18cb0",
        "68ebe3c44844",
        (244, 40, 1918, 1080, 2, 30),
    ),
    "interlaced with HRD": (
        "6764001eacd940b47b602200000300020000030064c08001e848003d09c98601f1429960",
        "68fbacb22c",
        (100, 30, 720, 480, 2, 25),
    ),
    "without VUI": ("6742e01e8c8d40501ec8", "68ce3c80", (66, 30, 640, 480, None, None)),
}


def _sps(name: str) -> bytes:
    return bytes.fromhex(SETS[name][0])


@pytest.mark.parametrize("name", SETS)
def test_sps_tells_size_profile_and_reordering(name: str) -> None:
    sps = h264.parse_sps(_sps(name))

    assert (sps.profile, sps.level, sps.width, sps.height, sps.max_num_reorder_frames, sps.fps) == SETS[name][2]


def test_chroma_of_high_profiles() -> None:
    assert h264.parse_sps(_sps("high 4:4:4")).chroma_format == 3
    assert h264.parse_sps(_sps("high")).chroma_format == 1


@given(st.binary(max_size=64))
def test_any_bytes_are_an_sps_or_a_value_error(data: bytes) -> None:
    try:
        sps = h264.parse_sps(b"\x67" + data)
    except ValueError:
        return
    assert 0 < sps.width <= 16384
    assert 0 < sps.height <= 32768


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_sps_is_read_or_refused(position: int, value: int) -> None:
    data = bytearray(_sps("interlaced with HRD"))
    data[1 + position % (len(data) - 1)] = value
    with contextlib.suppress(ValueError):
        h264.parse_sps(bytes(data))


def test_a_cut_sps_is_refused() -> None:
    with pytest.raises(ValueError, match="ends early"):
        h264.parse_sps(_sps("high")[:8])
    with pytest.raises(ValueError, match="not an SPS"):
        h264.parse_sps(bytes.fromhex("68ebe3cb20"))
    with pytest.raises(ValueError, match="not an SPS"):
        h264.parse_sps(b"")


def test_decoder_configuration_of_baseline_and_high() -> None:
    baseline, high = _sps("baseline"), _sps("high")
    pps = bytes.fromhex("68cb83cb20")

    record = h264.decoder_configuration([baseline], [pps])
    assert record == (
        bytes((1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1, 0, len(baseline))) + baseline + bytes((1, 0, len(pps))) + pps
    )
    # ISO/IEC 14496-15 5.3.3.1.2: chroma format 4:2:0, 8 bits, no SPS extensions.
    assert h264.decoder_configuration([high], [pps]).endswith(pps + bytes((0xFD, 0xF8, 0xF8, 0)))


@pytest.mark.parametrize("name", ["baseline", "high 4:4:4"])
def test_decoder_configuration_and_back(name: str) -> None:
    sps, pps = _sps(name), bytes.fromhex(SETS[name][1])

    parsed = h264.parse_decoder_configuration(h264.decoder_configuration([sps, sps], [pps, pps, pps]))

    assert parsed == h264.DecoderConfiguration((sps, sps), (pps, pps, pps), 4)


@given(st.integers(0, 60))
def test_a_cut_decoder_configuration_is_refused(size: int) -> None:
    record = h264.decoder_configuration([_sps("baseline")], [b"\x68\xcb\x83\xcb\x20"])
    if size < len(record):
        with pytest.raises(ValueError, match="avcC"):
            h264.parse_decoder_configuration(record[:size])


def test_decoder_configuration_needs_an_sps() -> None:
    with pytest.raises(ValueError, match="1 to 31 SPS"):
        h264.decoder_configuration([], [b"\x68"])
    with pytest.raises(ValueError, match="not an SPS"):
        h264.decoder_configuration([b"\x68abc"], [])


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8))
def test_lengths_and_back(nals: list[bytes]) -> None:
    assert h264.split_length_prefixed(h264.length_prefixed(nals)) == nals


@given(st.binary(max_size=100), st.sampled_from([1, 2, 4]))
def test_any_bytes_are_lengths_or_a_value_error(data: bytes, length_size: int) -> None:
    try:
        nals = h264.split_length_prefixed(data, length_size)
    except ValueError:
        return
    assert sum(map(len, nals)) <= len(data)


def test_annex_b_with_short_and_long_start_codes() -> None:
    stream = b"\x00\x00\x00\x01\x67abc\x00\x00\x01\x68d\x00\x00\x00\x00\x01\x65\x00\x00\x03e\x00"

    assert h264.split_annex_b(stream) == [b"\x67abc", b"\x68d", b"\x65\x00\x00\x03e"]
    assert h264.split_annex_b(b"") == []
    assert h264.split_annex_b(b"no start code") == []


def test_sets_that_are_repeated_before_each_slice_are_told_once() -> None:
    sps, pps = (bytes.fromhex(text) for text in SETS["main"][:2])
    idr = b"\x65\x88"
    assert h264.describe([sps, pps, idr] * 40) == h264.describe([sps, pps, idr])


def test_an_sps_beyond_all_measure_is_none() -> None:
    sps = _sps("high")
    assert h264.parse_sps(sps + bytes(1000)).width == 640
    with pytest.raises(ValueError, match="2048"):
        h264.parse_sps(sps + bytes(2048))
