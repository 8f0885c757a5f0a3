"""How near a coded sound is to its source: arrays of channels, the same length and place."""

import numpy as np
import numpy.typing as npt

from tests.support.programme import Sound

_SEGMENT = 1024
_LOUD_ENOUGH = 1e-5
"""Of the loudest segment's energy: what is less has no say."""


def snr(source: Sound, heard: Sound) -> float:
    """Signal to noise, dB."""
    return float(_decibels(np.square(source).sum(), np.square(source - heard).sum()))


def segmental_snr(source: Sound, heard: Sound) -> float:
    """Mean over segments of 1024 samples that are not silent, each between -10 and 60 dB."""
    signal = np.square(_segments(source)).sum((0, 2))
    error = np.square(_segments(source - heard)).sum((0, 2))
    there = signal > signal.max() * _LOUD_ENOUGH
    return float(np.clip(_decibels(signal[there], error[there]), -10, 60).mean()) if there.any() else float("nan")


def spectral_distance(source: Sound, heard: Sound, *, rate: int) -> float:
    """Log-spectral distance below 15 kHz, dB; what lies 60 dB below the mean counts as equal."""
    last = round(15_000 / rate * _SEGMENT)
    window = np.hanning(_SEGMENT)
    one, other = (np.square(np.abs(np.fft.rfft(_segments(sound) * window)))[:, :, 4:last] for sound in (source, heard))
    floor = one.mean() * 1e-6 + 1e-12
    return float(np.sqrt(np.square(_decibels(one + floor, other + floor)).mean(2)).mean())


def _segments(sound: Sound) -> npt.NDArray[np.float64]:
    whole = sound.shape[1] // _SEGMENT * _SEGMENT
    return sound[:, :whole].reshape(sound.shape[0], -1, _SEGMENT).astype(float)


def _decibels(signal: npt.ArrayLike, noise: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 10 * np.log10((np.asarray(signal, float) + 1e-20) / (np.asarray(noise, float) + 1e-20))
