"""The AAC encoder's windows and MDCT, against the formula."""

import numpy as np
import pytest

from relay.core.aac.encoder.memory import FRAME, TRANSFORM_FLOATS
from relay.core.aac.encoder.transform import EIGHT_SHORT, LONG, START, STOP, transform
from tests.support import mdct
from tests.support.programme import Sound

FULL_SCALE = 32768
SEQUENCES = (LONG, START, EIGHT_SHORT, STOP)


def lines_of(sound: Sound, sequence: int) -> mdct.Array:
    lines = np.full(FRAME, np.nan, np.float32)
    transform(sound, sequence, lines, np.full(TRANSFORM_FLOATS, np.nan, np.float32))
    return lines.astype(float)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_lines_are_those_of_the_formula(sequence: int) -> None:
    sound = np.random.default_rng(sequence).uniform(-1, 1, 2 * FRAME).astype(np.float32)
    expected = FULL_SCALE * mdct.forward(sound.astype(float), sequence)
    assert np.abs(lines_of(sound, sequence) - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("place", [0, 1, FRAME - 1, FRAME, 2 * FRAME - 1])
@pytest.mark.parametrize("sequence", [LONG, EIGHT_SHORT])
def test_one_sample_alone(sequence: int, place: int) -> None:
    sound = np.zeros(2 * FRAME, np.float32)
    sound[place] = 1
    expected = FULL_SCALE * mdct.forward(sound.astype(float), sequence)
    assert np.abs(lines_of(sound, sequence) - expected).max() <= 1e-6 * FULL_SCALE


def test_overlapping_frames_give_the_sound_back() -> None:
    """Time domain aliasing cancels, through all four window sequences."""
    order = (LONG, START, EIGHT_SHORT, EIGHT_SHORT, STOP, LONG, START, EIGHT_SHORT, STOP, START, EIGHT_SHORT)
    sound = np.random.default_rng(7).uniform(-1, 1, FRAME * (len(order) + 1)).astype(np.float32)
    frames = [
        (lines_of(sound[at * FRAME : (at + 2) * FRAME], sequence) / FULL_SCALE, sequence)
        for at, sequence in enumerate(order)
    ]
    back = mdct.overlap_add(frames)
    assert np.abs(back - sound[: len(back)])[FRAME:].max() < 2e-6
