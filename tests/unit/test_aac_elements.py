"""Raw data blocks joined: what a decoder makes of them is what it makes of their parts."""

from collections.abc import Sequence

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from hypothesis import given
from hypothesis import strategies as st

from relay.core.aac import LC, SILENCE, AudioSpecificConfig, ChannelStream, mid_pair, pair
from relay.push.transcode.coders import PairedCoder
from tests.support.mono import mono_blocks
from tests.support.programme import Sound

MONO, STEREO = (AudioSpecificConfig(LC, 44_100, channels).encode() for channels in (1, 2))


def heard(config: bytes, units: Sequence[bytes]) -> Sound:
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.extradata = config
    return np.concatenate([piece.to_ndarray() for unit in units for piece in decoder.decode(av.Packet(unit))], axis=1)


sounds = st.builds(
    mono_blocks, st.integers(0, 40), st.sampled_from([0.0, 1e-4, 0.02, 0.2]), st.sampled_from([24_000, 64_000, 128_000])
)


@given(sounds, sounds)
def test_a_pair_is_its_left_and_its_right(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> None:
    units = [pair(ChannelStream.parse(one), ChannelStream.parse(other)) for one, other in zip(left, right, strict=True)]
    both = heard(STEREO, units)
    assert np.array_equal(both[0], heard(MONO, left)[0])
    assert np.array_equal(both[1], heard(MONO, right)[0])


@given(sounds)
def test_a_mid_is_heard_on_both_sides(mid: tuple[bytes, ...]) -> None:
    both = heard(STEREO, [mid_pair(ChannelStream.parse(unit)) for unit in mid])
    alone = heard(MONO, mid)[0]
    assert np.array_equal(both[0], alone)
    assert np.array_equal(both[1], alone)


@given(sounds, st.integers(1, 4))
def test_four_steps_of_gain_double(mid: tuple[bytes, ...], times: int) -> None:
    streams = [ChannelStream.parse(unit) for unit in mid]
    once = heard(STEREO, [mid_pair(stream) for stream in streams])
    more = heard(STEREO, [mid_pair(stream.louder(4 * times)) for stream in streams])
    assert np.array_equal(more, once * np.float32(2**times))


def test_all_windows_were_among_them() -> None:
    units = [unit for seed in range(41) for unit in mono_blocks(seed, 0.2, 64_000)]
    assert {ChannelStream.parse(unit).window_sequence for unit in units} == {0, 1, 2, 3}


def test_gain_stays_in_its_place() -> None:
    stream = ChannelStream.parse(mono_blocks(1, 0.2, 64_000)[5])
    assert stream.louder(1000).gain == 255
    assert stream.louder(-1000).gain == 0
    assert stream.louder(1000)._replace(bits=stream.bits) == stream


def test_silence_is_silent() -> None:
    assert len(SILENCE) == 7
    assert not heard(STEREO, [SILENCE] * 3).any()
    # Between two sounds it ends the one and begins the other.
    units = [mid_pair(ChannelStream.parse(unit)) for unit in mono_blocks(1, 0.2, 64_000)]
    assert heard(STEREO, [*units[:3], SILENCE, *units[3:6]]).shape == (2, 7 * 1024)


def test_the_config_is_that_of_ffmpegs_stereo_encoder() -> None:
    assert PairedCoder(128_000).config == bytes.fromhex("121056e500")


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "no single"),
        (b"\x01\x40\x20", "no single"),
        (SILENCE, "no single"),
        (b"\xde\x04\x00\x00\x00\x0e", "no single"),  # a fill_element
        (b"\x01\x40\x20\x00", "does not end"),
        (b"\x01\x40\x20\x07\x00", "does not end"),
        (b"\x00\x00\x00\x0e", "cut short"),
        (b"\x00\x01\x00\x00\x00\x0e", "reserved"),
        (b"\x00\x00\x00\x40\x0e", "prediction"),
    ],
)
def test_other_blocks_are_refused(block: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ChannelStream.parse(block)


@given(st.binary(max_size=40))
def test_any_bytes(block: bytes) -> None:
    try:
        stream = ChannelStream.parse(block)
    except ValueError:
        return
    assert ChannelStream.parse(block) == stream
    assert 0 <= stream.gain <= 255
    assert len(mid_pair(stream)) <= len(block) + 20
    assert len(pair(stream, stream)) <= 2 * len(block) + 1
