"""The resampler, uncompiled: 48 to 44.1 kHz, by the formula; `tests/shell/test_lean.py` has more of it, compiled."""

from itertools import cycle

import numpy as np
import numpy.typing as npt
import pytest

from relay.core.aac.encoder.memory import (
    FIRST_RESAMPLER_CONTROLS,
    FRACTION,
    HELD,
    LANES,
    MADE,
    MOST_HELD,
    RESAMPLER_FLOATS,
    RESAMPLER_STATE,
)
from relay.core.aac.encoder.resample import resample

SAMPLES = 3000
Array = npt.NDArray[np.float64]


def resampled(sound: Array, *, sizes: tuple[int, ...] = (960,), slides: tuple[float, ...] = (0.0,)) -> Array:
    """In pieces of `sizes`, whose slides are `slides`, in turn."""
    pcm = np.round(32768 * sound).astype(np.int16)
    state, control = np.zeros(RESAMPLER_STATE, np.float32), np.array(FIRST_RESAMPLER_CONTROLS)
    made, at = [np.zeros((2, 0), np.float32)], 0
    for size, slide in zip(cycle(sizes), cycle(slides), strict=False):
        if at >= sound.shape[1]:
            break
        piece = np.ascontiguousarray(pcm[:, at : at + size].T).reshape(-1)
        count = len(piece) // 2
        out = np.full((2, count + LANES), np.nan, np.float32)
        resample(piece, count, slide, state, control, np.full(RESAMPLER_FLOATS, np.nan, np.float32), *out)
        made.append(out[:, : int(control[MADE])])
        assert 0 <= control[FRACTION] < 147
        assert 0 <= control[HELD] <= MOST_HELD
        at += size
    return np.concatenate(made, axis=1).astype(float)


def tones(times: Array, hertz: float) -> Array:
    return 0.7 * np.stack([np.sin(2 * np.pi * hertz * times), np.cos(2 * np.pi * hertz * times)])


@pytest.mark.parametrize("hertz", [100, 1000, 15_000])
def test_a_tone_is_where_it_was(hertz: float) -> None:
    got = resampled(tones(np.arange(SAMPLES) / 48_000, hertz))
    assert SAMPLES * 0.91875 - 45 < got.shape[1] <= SAMPLES * 0.91875
    expected = tones(np.arange(got.shape[1]) / 44_100, hertz)
    error = (got - expected)[:, 30:]
    assert np.square(expected).mean() > 1e8 * np.square(error).mean()


@pytest.mark.parametrize("sizes", [(1,), (5760,), (7, 1500, 1)])
def test_it_is_the_same_however_the_sound_comes(sizes: tuple[int, ...]) -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, (2, 2000))
    assert np.array_equal(resampled(sound, sizes=sizes), resampled(sound))


@pytest.mark.parametrize("slide", [0.005, -0.005, 0.0007])
def test_a_slide_makes_more_or_fewer_without_a_step(slide: float) -> None:
    """Of a tone another one, and the first again when it ends."""
    got = resampled(tones(np.arange(2880) / 48_000, 1000), slides=(0.0, slide, 0.0))
    expected = round(2880 * 0.91875 + 960 * 0.91875 * slide)
    assert expected - 45 < got.shape[1] <= expected + 1
    # The curve of a tone is as its place: what is no step has the same everywhere.
    bent = got[:, 2:] - 2 * got[:, 1:-1] + got[:, :-2]
    turned = 2 * (1 - np.cos(2 * np.pi * 1000 / 44_100)) * got[:, 1:-1]
    assert np.abs(bent + turned)[:, 30:].max() < 6e-4
    assert np.abs(bent + turned)[:, -600:].max() < 1e-4
