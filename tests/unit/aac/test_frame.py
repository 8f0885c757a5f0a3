"""A few frames of the AAC encoder, uncompiled, as FFmpeg's decoder hears them."""

import numpy as np
import pytest

from relay.core.aac.encoder.memory import FRAME
from relay.core.aac.encoder.transform import EIGHT_SHORT, LONG, START, STOP
from relay.push.transcode import AAC_RATE
from tests.support.coding import STEREO, decode
from tests.support.programme import Sound
from tests.support.quality import snr
from tests.support.uncompiled import Head, encode

TIME = np.arange(6 * FRAME) / AAC_RATE


def wave(hertz: float, amplitude: float = 0.5) -> Sound:
    return (amplitude * np.sin(2 * np.pi * hertz * TIME)).astype(np.float32)


def heard(units: list[bytes]) -> Sound:
    """From the encoder's first block on; its second unit is priming."""
    return decode(STEREO, units[1:])


def test_two_tones_are_heard() -> None:
    sound = np.stack([wave(440), wave(1330)])
    got = heard(encode(sound))
    assert got.shape[1] == 4 * FRAME
    assert snr(sound[:, : got.shape[1]], got) > 40


def test_what_both_have_is_coded_once() -> None:
    sound = np.stack([wave(440)] * 2)
    units = encode(sound)
    got = heard(units)
    assert np.array_equal(got[0], got[1])
    assert snr(sound[:, : got.shape[1]], got) > 40
    assert all(Head.of(unit).mid_side for unit in units[2:])


def test_opposite_sides_are_coded_once() -> None:
    sound = np.stack([wave(440), -wave(440)])
    got = heard(encode(sound))
    assert snr(sound[:, : got.shape[1]], got) > 40


def test_silence_is_a_few_bytes() -> None:
    units = encode(np.zeros((2, 4 * FRAME), np.float32))
    assert max(map(len, units)) <= 8
    assert not heard(units).any()


@pytest.mark.parametrize("place", [2 * FRAME + 100, 2 * FRAME + 900])
def test_sound_that_sets_in_has_short_windows(place: int) -> None:
    sound = np.zeros((2, 6 * FRAME), np.float32)
    sound[:, place:] = np.random.default_rng(1).normal(0, 0.2, (2, 6 * FRAME - place))
    units = encode(sound)
    sequences = [Head.of(unit).sequence for unit in units]
    short = sequences.index(EIGHT_SHORT)
    # Frame k is of the blocks k - 2 and k - 1, and its short windows are around the middle of both.
    assert (short - 1) * FRAME - FRAME // 2 <= place < (short - 1) * FRAME + FRAME // 2
    assert sequences[short - 1 : short + 2] == [START, EIGHT_SHORT, STOP]
    assert set(sequences[: short - 1]) == {LONG}
    assert Head.of(units[short]).groups > 1
    got = heard(units)
    before = place - 256
    assert not got[:, : before - FRAME].any()
    assert np.abs(got[:, :before]).max() < 1e-3


def test_the_bits_that_there_are_say_how_near_it_is() -> None:
    sound = np.random.default_rng(2).normal(0, 0.1, (2, 6 * FRAME)).astype(np.float32)
    units = {rate: encode(sound, rate) for rate in (64_000, 192_000)}
    sizes = [sum(map(len, some)) for some in units.values()]
    assert sizes == sorted(sizes)
    near = [snr(sound[:, : 4 * FRAME], heard(some)) for some in units.values()]
    assert near == sorted(near)
    assert near[1] > near[0] + 3


def test_nothing_is_above_the_bandwidth() -> None:
    sound = np.random.default_rng(2).normal(0, 0.1, (2, 6 * FRAME)).astype(np.float32)
    got = heard(encode(sound, 128_000, 8_000))[:, FRAME : 3 * FRAME]
    powers = np.square(np.abs(np.fft.rfft(got * np.hanning(2 * FRAME)))).sum(0)
    cut = round(9_000 / AAC_RATE * 2 * FRAME)
    assert powers[cut:].max() < 1e-4 * powers[:cut].max()
