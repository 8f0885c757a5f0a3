"""Windows and the MDCT (ISO/IEC 14496-3, 4.6.11, seen from the encoder)."""

import numpy as np

from relay.core.aac.encoder.memory import FRAME, SHORT
from relay.core.aac.encoder.tables import (
    ROOT_COSINES,
    ROOT_SINES,
    SHORT_WINDOW,
    TWIST_COSINES,
    TWIST_SINES,
    WINDOWS,
    Floats,
)

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
    windowed, folded, rest = scratch[: 2 * FRAME], scratch[2 * FRAME : 3 * FRAME], scratch[3 * FRAME :]
    if sequence == EIGHT_SHORT:
        for window in range(8):
            start = _FIRST + window * SHORT
            for i in range(2 * SHORT):
                windowed[i] = sound[start + i] * SHORT_WINDOW[i]
            _fold(windowed, SHORT, folded)
            _dct_iv(folded, SHORT, lines[window * SHORT : (window + 1) * SHORT], rest)
    else:
        for i in range(2 * FRAME):
            windowed[i] = sound[i] * WINDOWS[sequence, i]
        _fold(windowed, FRAME, folded)
        _dct_iv(folded, FRAME, lines, rest)


def _fold(windowed: Floats, size: int, folded: Floats) -> None:
    """The time domain aliasing of an MDCT: twice `size` samples become `size`, of which it is the DCT-IV."""
    half = size // 2
    for i in range(half):
        folded[i] = -windowed[3 * half - 1 - i] - windowed[3 * half + i]
        folded[half + i] = windowed[i] - windowed[size - 1 - i]


def _dct_iv(folded: Floats, size: int, lines: Floats, scratch: Floats) -> None:
    """By an FFT of half the size (Stockham's: radix 4, and 2 at the end) with a turn before and one after it."""
    half = size // 2
    twist = 0 if size == SHORT else SHORT // 2
    stride = FRAME // size
    real, imaginary = scratch[:half], scratch[half : 2 * half]
    real_to, imaginary_to = scratch[2 * half : 3 * half], scratch[3 * half : 4 * half]
    for i in range(half):
        a, b = folded[2 * i], folded[size - 1 - 2 * i]
        cosine, sine = TWIST_COSINES[twist + i], TWIST_SINES[twist + i]
        real[i] = a * cosine - b * sine
        imaginary[i] = a * sine + b * cosine
    count = half // 4
    width = 1
    while count >= 1:
        for j in range(count):
            turn = j * width * stride
            cosine, sine = ROOT_COSINES[turn], ROOT_SINES[turn]
            cosine_2, sine_2 = ROOT_COSINES[2 * turn], ROOT_SINES[2 * turn]
            cosine_3, sine_3 = ROOT_COSINES[3 * turn], ROOT_SINES[3 * turn]
            first, apart, to = j * width, count * width, 4 * j * width
            for i in range(first, first + width):
                k = to + i - first
                a, b = real[i], imaginary[i]
                c, d = real[i + apart], imaginary[i + apart]
                e, f = real[i + 2 * apart], imaginary[i + 2 * apart]
                g, h = real[i + 3 * apart], imaginary[i + 3 * apart]
                real_to[k] = a + e + c + g
                imaginary_to[k] = b + f + d + h
                p, q = a - e + d - h, b - f - c + g
                real_to[k + width] = p * cosine - q * sine
                imaginary_to[k + width] = p * sine + q * cosine
                p, q = a + e - c - g, b + f - d - h
                real_to[k + 2 * width] = p * cosine_2 - q * sine_2
                imaginary_to[k + 2 * width] = p * sine_2 + q * cosine_2
                p, q = a - e - d + h, b - f + c - g
                real_to[k + 3 * width] = p * cosine_3 - q * sine_3
                imaginary_to[k + 3 * width] = p * sine_3 + q * cosine_3
        real, real_to = real_to, real
        imaginary, imaginary_to = imaginary_to, imaginary
        count //= 4
        width *= 4
    if width < half:
        for i in range(width):
            a, b = real[i], imaginary[i]
            c, d = real[i + width], imaginary[i + width]
            real_to[i], imaginary_to[i] = a + c, b + d
            real_to[i + width], imaginary_to[i + width] = a - c, b - d
        real, imaginary = real_to, imaginary_to
    for i in range(half):
        a, b = real[i], imaginary[i]
        cosine, sine = TWIST_COSINES[twist + i], TWIST_SINES[twist + i]
        lines[2 * i] = _SCALE * (a * cosine - b * sine)
        lines[size - 1 - 2 * i] = -_SCALE * (a * sine + b * cosine)
