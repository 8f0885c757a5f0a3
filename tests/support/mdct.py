"""Windows and MDCT as ISO/IEC 14496-3 writes them (4.6.11), without haste: what encoder and decoder are judged by."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LONG, START, EIGHT_SHORT, STOP = 0, 1, 2, 3
"""window_sequence."""


@cache
def cosines(size: int) -> Array:
    """By line, then by sample: `size` samples, half as many lines."""
    shift = (size / 2 + 1) / 2
    return np.cos(2 * np.pi / size * np.outer(np.arange(size // 2) + 0.5, np.arange(size) + shift))


def _sine(size: int) -> Array:
    return np.sin(np.pi / size * (np.arange(size) + 0.5))


@cache
def window(sequence: int) -> Array:
    """Of 2048 samples, or of the 256 of one of eight."""
    rise, short_rise = _sine(2048)[:1024], _sine(256)[:128]
    slope = np.concatenate([np.zeros(448), short_rise, np.ones(448)])
    return {
        LONG: np.concatenate([rise, rise[::-1]]),
        START: np.concatenate([rise, slope[::-1]]),
        EIGHT_SHORT: np.concatenate([short_rise, short_rise[::-1]]),
        STOP: np.concatenate([slope, rise[::-1]]),
    }[sequence]


def forward(sound: Array, sequence: int) -> Array:
    """2048 samples become 1024 lines, of which eight short windows have 128 each."""
    if sequence != EIGHT_SHORT:
        return 2 * cosines(2048) @ (sound * window(sequence))
    starts = range(448, 448 + 8 * 128, 128)
    return np.concatenate([2 * cosines(256) @ (sound[at : at + 256] * window(sequence)) for at in starts])


def inverse(lines: Array, sequence: int) -> Array:
    """2048 samples, to be added to those of the frames before and after."""
    if sequence != EIGHT_SHORT:
        return 2 / 2048 * (lines @ cosines(2048)) * window(sequence)
    out = np.zeros(2048)
    for index, some in enumerate(lines.reshape(8, 128)):
        at = 448 + index * 128
        out[at : at + 256] += 2 / 256 * (some @ cosines(256)) * window(sequence)
    return out


def overlap_add(frames: Sequence[tuple[Array, int]]) -> Array:
    """What a decoder makes of lines and their window sequences: 1024 samples for each, the first of what is before."""
    out = np.zeros(1024 * (len(frames) + 1))
    for index, (lines, sequence) in enumerate(frames):
        out[index * 1024 : index * 1024 + 2048] += inverse(lines, sequence)
    return out[:-1024]
