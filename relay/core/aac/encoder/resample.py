"""48000 to 44100 Hz, by 147 / 160: a polyphase filter (a windowed sinc) that can slide in time.

It makes 21 samples at once: in that many it goes on by 22 and 6/7 of those that come in, so that seven sets of weights
are all there are as long as it does not slide. While it does, weights are interpolated.
"""

import numpy as np

from relay.core.aac.encoder.memory import (
    AHEAD,
    FRACTION,
    HELD,
    LANES,
    MADE,
    MOST_HELD,
    PIECE,
    SPAN,
    TAPS,
    UP,
)
from relay.core.aac.encoder.tables import Doubles, Floats, Shorts

_DOWN = 160
_AT_ONCE = 21
_CUTOFF = 22_000 / 48_000
"""Where half is left, per sample. Flat to 0.1 dB up to 17.5 kHz, and 90 dB down from 28 kHz on, which would be heard as
16.1 kHz and below: what Opus codes ends at 20 kHz."""
_BETA = 9.0
"""Of the Kaiser window."""
_SCALE = np.float32(1 / 32768)

_TIMES = np.arange(TAPS) - AHEAD - np.arange(UP + 1)[:, np.newaxis] / UP
_WINDOW = np.i0(_BETA * np.sqrt(np.maximum(0, 1 - (2 * _TIMES / TAPS) ** 2)))
_SINC = np.sinc(2 * _CUTOFF * _TIMES) * _WINDOW
_PHASES = (_SINC / _SINC.sum(1, keepdims=True)).astype(np.float32)
"""Weights for a sample that lies so many 147ths behind one that came in."""
_WEIGHTS = np.zeros((UP // _AT_ONCE, SPAN, LANES), np.float32)
"""The same for 21 samples, side by side, as each counts from its own place on what came in."""
for _row in range(UP // _AT_ONCE):
    for _lane in range(_AT_ONCE):
        _place = _row * _AT_ONCE + _lane * _DOWN
        _first = _place // UP - _lane
        _WEIGHTS[_row, _first : _first + TAPS, _lane] = _PHASES[_place % UP]


def resample(
    sound: Shorts,
    count: int,
    slide: float,
    state: Floats,
    control: Doubles,
    scratch: Floats,
    left: Floats,
    right: Floats,
) -> None:
    """Takes `count` samples of 16 bits, left and right in turn; gives floats (full scale: 1), `control[MADE]` of each.

    `slide`: how many samples more there shall be for each that comes in, 0.005 at most, or fewer where it is below 0.
    What needs samples that are not there yet is held back. `left` and `right` have room for `count` and `LANES`.
    """
    left_in, right_in = scratch[: MOST_HELD + PIECE], scratch[MOST_HELD + PIECE : 2 * (MOST_HELD + PIECE)]
    fraction, held = control[FRACTION], int(control[HELD])
    for i in range(held):
        left_in[i], right_in[i] = state[i], state[MOST_HELD + i]
    made = 0
    for begin in range(0, count, PIECE):
        size = min(PIECE, count - begin)
        _take(sound[2 * begin : 2 * (begin + size)], size, left_in[held:], right_in[held:])
        available, start = held + size, 0
        while start + MOST_HELD < available:
            beyond = fraction % _AT_ONCE
            # Without a slide it goes back to the seven.
            step = _DOWN * (1 - slide) if slide != 0.0 else _DOWN - min(beyond, 1.0) / _AT_ONCE
            if slide == 0.0 and beyond == 0.0:
                _make(int(fraction) // _AT_ONCE, left_in[start:], right_in[start:], left[made:], right[made:])
            else:
                _make_between(fraction, step, left_in[start:], right_in[start:], left[made:], right[made:])
            made += _AT_ONCE
            fraction += _AT_ONCE * step
            if slide == 0.0 and beyond <= 1.0:
                fraction = np.rint(fraction)
            whole = int(fraction) // UP
            start += whole
            fraction -= whole * UP
        held = available - start
        for i in range(held):
            left_in[i], right_in[i] = left_in[start + i], right_in[start + i]
    for i in range(held):
        state[i], state[MOST_HELD + i] = left_in[i], right_in[i]
    control[FRACTION], control[HELD], control[MADE] = fraction, held, made


def _take(sound: Shorts, size: int, left: Floats, right: Floats) -> None:
    for i in range(size):
        left[i], right[i] = _SCALE * np.float32(sound[2 * i]), _SCALE * np.float32(sound[2 * i + 1])


def _make(row: int, left_in: Floats, right_in: Floats, left: Floats, right: Floats) -> None:
    """21 samples, and some of no meaning behind them, so that all are whole vectors."""
    weights = _WEIGHTS[row]
    for i in range(LANES):
        one, other = np.float32(0), np.float32(0)
        for k in range(SPAN):
            one += weights[k, i] * left_in[i + k]
            other += weights[k, i] * right_in[i + k]
        left[i], right[i] = one, other


def _make_between(fraction: float, step: float, left_in: Floats, right_in: Floats, left: Floats, right: Floats) -> None:
    """21 samples from any place on, `step` apart: several times as slow."""
    for i in range(_AT_ONCE):
        place = fraction + i * step
        phase = int(place)
        part = np.float32(place - phase)
        first, phase = phase // UP, phase % UP
        before, after = _PHASES[phase], _PHASES[phase + 1]
        one, other = np.float32(0), np.float32(0)
        for k in range(TAPS):
            weight = before[k] + part * (after[k] - before[k])
            one += weight * left_in[first + k]
            other += weight * right_in[first + k]
        left[i], right[i] = one, other
