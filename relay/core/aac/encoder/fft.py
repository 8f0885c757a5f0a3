"""Fourier transforms of 512 complex values and of 64, by passes of radix 8 (Stockham's, which end in order).

Loops run over neighbours, and how far the others are away is known when they are compiled: machine code takes eight at
once.
"""

import numpy as np

from relay.core.aac.encoder.inlined import inlined
from relay.core.aac.encoder.tables import ROOT_COSINES, ROOT_SINES, Floats

VALUES = 512
_APART = VALUES // 8
_DIAGONAL = np.float32(np.sqrt(0.5))


def fft_512(real: Floats, imaginary: Floats, real_to: Floats, imaginary_to: Floats) -> None:
    """Gives its result in `real_to` and `imaginary_to`; the others are scratch then."""
    for j in range(64):
        a, b, c, d, e, f, g, h = _fft_8(real, imaginary, j)
        to = 8 * j
        _put(a, real_to, imaginary_to, to)
        _put(_turned(b, 1, j), real_to, imaginary_to, to + 1)
        _put(_turned(c, 2, j), real_to, imaginary_to, to + 2)
        _put(_turned(d, 3, j), real_to, imaginary_to, to + 3)
        _put(_turned(e, 4, j), real_to, imaginary_to, to + 4)
        _put(_turned(f, 5, j), real_to, imaginary_to, to + 5)
        _put(_turned(g, 6, j), real_to, imaginary_to, to + 6)
        _put(_turned(h, 7, j), real_to, imaginary_to, to + 7)
    eight_ffts_64(real_to, imaginary_to, real, imaginary)


def eight_ffts_64(real: Floats, imaginary: Floats, scratch: Floats, more_scratch: Floats) -> None:
    """In place; the values of the eight take turns: 0 of each, then 1 of each."""
    for j in range(8):
        for i in range(8):
            a, b, c, d, e, f, g, h = _fft_8(real, imaginary, 8 * j + i)
            to = 64 * j + i
            _put(a, scratch, more_scratch, to)
            _put(_turned(b, 1, 8 * j), scratch, more_scratch, to + 8)
            _put(_turned(c, 2, 8 * j), scratch, more_scratch, to + 16)
            _put(_turned(d, 3, 8 * j), scratch, more_scratch, to + 24)
            _put(_turned(e, 4, 8 * j), scratch, more_scratch, to + 32)
            _put(_turned(f, 5, 8 * j), scratch, more_scratch, to + 40)
            _put(_turned(g, 6, 8 * j), scratch, more_scratch, to + 48)
            _put(_turned(h, 7, 8 * j), scratch, more_scratch, to + 56)
    for j in range(64):
        a, b, c, d, e, f, g, h = _fft_8(scratch, more_scratch, j)
        _put(a, real, imaginary, j)
        _put(b, real, imaginary, j + 64)
        _put(c, real, imaginary, j + 128)
        _put(d, real, imaginary, j + 192)
        _put(e, real, imaginary, j + 256)
        _put(f, real, imaginary, j + 320)
        _put(g, real, imaginary, j + 384)
        _put(h, real, imaginary, j + 448)


@inlined
def _fft_8(
    real: Floats, imaginary: Floats, at: int
) -> tuple[complex, complex, complex, complex, complex, complex, complex, complex]:
    """Of every 64th value from `at` on."""
    a, b = _get(real, imaginary, at), _get(real, imaginary, at + 4 * _APART)
    c, d = _get(real, imaginary, at + 2 * _APART), _get(real, imaginary, at + 6 * _APART)
    e, f = _get(real, imaginary, at + _APART), _get(real, imaginary, at + 5 * _APART)
    g, h = _get(real, imaginary, at + 3 * _APART), _get(real, imaginary, at + 7 * _APART)
    a, b, c, d, e, f, g, h = a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h
    d, h = _quarter_turn(d), _quarter_turn(h)
    a, c, b, d, e, g, f, h = a + c, a - c, b + d, b - d, e + g, e - g, f + h, f - h
    f, g, h = _eighth_turn(f), _quarter_turn(g), _quarter_turn(_eighth_turn(h))
    return a + e, b + f, c + g, d + h, a - e, b - f, c - g, d - h


@inlined
def _get(real: Floats, imaginary: Floats, at: int) -> complex:
    return complex(real[at], imaginary[at])


@inlined
def _put(value: complex, real: Floats, imaginary: Floats, at: int) -> None:
    real[at], imaginary[at] = value.real, value.imag


@inlined
def _quarter_turn(value: complex) -> complex:
    return complex(value.imag, -value.real)


@inlined
def _eighth_turn(value: complex) -> complex:
    return complex(_DIAGONAL * (value.real + value.imag), _DIAGONAL * (value.imag - value.real))


@inlined
def _turned(value: complex, times: int, at: int) -> complex:
    """By so many times the angle of the root of unity."""
    cosine, sine = ROOT_COSINES[times - 1, at], ROOT_SINES[times - 1, at]
    return complex(value.real * cosine - value.imag * sine, value.real * sine + value.imag * cosine)
