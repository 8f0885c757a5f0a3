"""How wide a quantizer's steps are in each band, and the integers they give (ISO/IEC 14496-3, 4.6.2; our choice).

A step is spoken of as the logarithm to base 2 of its width, for a decoder's full scale of 16 bits. The wider it is, the
more noise is left. It may be the wider the louder its band is, or the band below; by how much is a compromise between
what is measured (the same noise everywhere) and what is heard (as much as the sound in each band covers).
"""

import math

import numpy as np

from relay.core.aac.encoder.tables import GAINS, LARGEST, Floats, Ints

_COVER = 0.4
"""Of a band's level (log 2) that much is added to its step."""
_SPREAD = 2.5
"""So far (log 2) below a band's level is what is counted of it for the band above."""
_LEAST_POWER = 1e-9
_ROUND = np.float32(0.4054)
"""Added before the fraction is cut off: less than a half, as smaller values are the more frequent ones."""
_LARGEST = LARGEST[-1]
_TOO_LARGE = np.float32(_LARGEST + 1)
_LAST_FACTOR = 255
_REACH = 50
"""How far scale factors may be apart: of the 60 that can be written (4.6.2.3.2), with room for some that are raised."""


def band_powers(lines: Floats, bands: Ints, count: int, powers: Floats) -> None:
    """Mean square of each band's lines."""
    for band in range(count):
        part = lines[bands[band] : bands[band + 1]]
        total = np.float32(0)
        for i in range(len(part)):
            total += part[i] * part[i]
        powers[band] = total / np.float32(len(part))


def level(power: float) -> float:
    """Logarithm to base 2 of an amplitude."""
    return 0.5 * math.log2(max(power, _LEAST_POWER))


def shape_steps(powers: Floats, count: int, levels: Floats, steps: Floats) -> None:
    """The level of each band, and how much wider its step is than a silent one's."""
    before = -math.inf
    for band in range(count):
        here = level(powers[band])
        levels[band] = here
        steps[band] = _COVER * max(here, before - _SPREAD)
        before = here


def magnitudes(lines: Floats, count: int, to: Floats) -> None:
    """To the power of 3/4: what is quantized."""
    for i in range(count):
        magnitude = abs(lines[i])
        to[i] = np.sqrt(magnitude * np.sqrt(magnitude))


def choose_factors(levels: Floats, steps: Floats, more: float, count: int, factors: Ints) -> None:
    """Scale factors for steps as wide as `steps` says, plus `more`."""
    top = 0
    for band in range(count):
        step = steps[band] + more
        # Quantizing is finer for small values: a step at the band's own level is 4/3 of its width to the power of 3/4.
        width = (4 * (step - math.log2(4 / 3)) - max(levels[band], step)) / 3
        factors[band] = min(max(math.floor(100 + 4 * width + 0.5), 0), _LAST_FACTOR)
        top = max(top, factors[band])
    for band in range(count):
        factors[band] = max(factors[band], top - _REACH)


def quantize(lines: Floats, raised: Floats, bands: Ints, count: int, factors: Ints, values: Ints, peaks: Ints) -> None:
    """Integers, and the largest magnitude of each band; `raised`: see `magnitudes`.

    Where a value would be too large to be written, the band's factor is raised.
    """
    for band in range(count):
        start, end = bands[band], bands[band + 1]
        peak = _quantize_band(lines[start:end], raised[start:end], factors[band], values[start:end])
        while peak > _LARGEST and factors[band] < _LAST_FACTOR:
            factors[band] += 1
            peak = _quantize_band(lines[start:end], raised[start:end], factors[band], values[start:end])
        peaks[band] = peak


def _quantize_band(lines: Floats, raised: Floats, factor: int, values: Ints) -> int:
    gain = GAINS[factor]
    peak = np.int32(0)
    for i in range(len(lines)):
        value = np.int32(min(raised[i] * gain + _ROUND, _TOO_LARGE))
        peak = max(peak, value)
        values[i] = value if lines[i] >= 0 else -value
    return int(peak)
