"""Windows and the MDCT (ISO/IEC 14496-3, 4.6.11, seen from the encoder)."""

import numpy as np

from relay.core.aac.encoder.fft import VALUES, eight_ffts_64, fft_512
from relay.core.aac.encoder.inlined import inlined
from relay.core.aac.encoder.memory import FRAME, SHORT
from relay.core.aac.encoder.tables import SHORT_WINDOW, TWIST_COSINES, TWIST_SINES, WINDOWS, Floats

LONG, START, EIGHT_SHORT, STOP = 0, 1, 2, 3
"""window_sequence (table 4.6)."""
_FIRST = (FRAME - SHORT) // 2
"""Where the first of eight short windows begins."""
_SCALE = np.float32(2 * 32768)
"""An encoder's MDCT has a two before the sum, and a decoder's full scale is that of 16 bits."""


def transform(sound: Floats, sequence: int, lines: Floats, scratch: Floats) -> None:
    """Two blocks of sound (full scale: 1) become one of lines; those of eight short windows one after the other.

    `scratch`: `TRANSFORM_FLOATS`.
    """
    windowed, rest = scratch[: 2 * FRAME], scratch[2 * FRAME :]
    real, imaginary = rest[:VALUES], rest[VALUES : 2 * VALUES]
    real_to, imaginary_to = rest[2 * VALUES : 3 * VALUES], rest[3 * VALUES :]
    if sequence == EIGHT_SHORT:
        for short in range(8):
            start = _FIRST + short * SHORT
            for i in range(SHORT):
                windowed[i] = sound[start + 2 * i] * SHORT_WINDOW[2 * i]
                windowed[SHORT + i] = sound[start + 2 * i + 1] * SHORT_WINDOW[2 * i + 1]
            _fold(windowed, SHORT, real[short:], imaginary[short:], 8)
        eight_ffts_64(real, imaginary, real_to, imaginary_to)
        for short in range(8):
            _unfold(real[short:], imaginary[short:], 8, SHORT, lines[short * SHORT : (short + 1) * SHORT])
    else:
        _fold_long(sound, sequence, windowed, real, imaginary)
        fft_512(real, imaginary, real_to, imaginary_to)
        _unfold_long(real_to, imaginary_to, lines)


def _fold_long(sound: Floats, sequence: int, windowed: Floats, real: Floats, imaginary: Floats) -> None:
    """By itself, as `_unfold_long`: loops become vectors where little is to be known of their arrays."""
    window = WINDOWS[sequence]
    for i in range(FRAME):
        windowed[i] = sound[2 * i] * window[2 * i]
        windowed[FRAME + i] = sound[2 * i + 1] * window[2 * i + 1]
    _fold(windowed, FRAME, real, imaginary, 1)


def _unfold_long(real: Floats, imaginary: Floats, lines: Floats) -> None:
    _unfold(real, imaginary, 1, FRAME, lines)


@inlined
def _fold(windowed: Floats, size: int, real: Floats, imaginary: Floats, apart: int) -> None:
    """Of 2 * `size` samples, the even ones before the odd ones, what an MDCT by an FFT of size / 2 values begins with.

    Those are the time domain aliasing, of which the MDCT is the DCT-IV, two by two, and turned.
    """
    even, odd = windowed[:size], windowed[size : 2 * size]
    quarter = size // 4
    twist = 0 if size == SHORT else SHORT // 2
    for i in range(quarter):
        a = -odd[3 * quarter - 1 - i] - even[3 * quarter + i]
        b = odd[quarter - 1 - i] - even[quarter + i]
        cosine, sine = TWIST_COSINES[twist + i], TWIST_SINES[twist + i]
        real[apart * i], imaginary[apart * i] = a * cosine - b * sine, a * sine + b * cosine
    for i in range(quarter):
        a = even[i] - odd[2 * quarter - 1 - i]
        b = -even[2 * quarter + i] - odd[4 * quarter - 1 - i]
        cosine, sine = TWIST_COSINES[twist + quarter + i], TWIST_SINES[twist + quarter + i]
        to = apart * (quarter + i)
        real[to], imaginary[to] = a * cosine - b * sine, a * sine + b * cosine


@inlined
def _unfold(real: Floats, imaginary: Floats, apart: int, size: int, lines: Floats) -> None:
    """The MDCT's lines, of what its FFT gives, which is lost."""
    half = size // 2
    twist = 0 if size == SHORT else SHORT // 2
    cosines, sines = TWIST_COSINES[twist : twist + half], TWIST_SINES[twist : twist + half]
    for i in range(half):
        a, b = real[apart * i], imaginary[apart * i]
        real[apart * i] = _SCALE * (a * cosines[i] - b * sines[i])
        imaginary[apart * i] = -_SCALE * (a * sines[i] + b * cosines[i])
    for i in range(half):
        lines[2 * i], lines[2 * i + 1] = real[apart * i], imaginary[apart * (half - 1 - i)]
