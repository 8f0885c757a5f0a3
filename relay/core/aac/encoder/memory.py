"""How much memory encoder and resampler keep and want for themselves, and what lies where: all that their caller has to
know."""

FRAME = 1024
"""Samples of a block, and lines of its spectrum."""
SHORT = 128
"""The same of one of eight short windows."""
MOST_BANDS = 128
"""More than any frame has: eight groups of 14."""
TRANSFORM_FLOATS = 4 * FRAME

STATE = 6 * FRAME + 4
"""Floats that an encoder keeps: of each channel three blocks of sound, the last not whole yet, and what precedes that.
"""
BITS, LINES, STEP, SAVED, SEQUENCE, FIRST, SECOND = range(7)
"""What its doubles are: bits for a frame and lines of a long spectrum that are coded, both for good; the last frame's
step; bits that were not spent; the last frame's window_sequence; the attacks in the two blocks of sound at hand."""
CONTROLS = 7
_FIRST_STEP = 6.0
_RATE = 44_100

FLOATS = TRANSFORM_FLOATS + 2 * (2 * FRAME + 3 * MOST_BANDS) + FRAME
INTS = 2 * (FRAME + 4 * MOST_BANDS) + 2 * MOST_BANDS + 9
"""Scratch for all encoders of a thread."""
LONGS = 3
FRAME_BYTES = 2 * 6144 // 8
"""The most that one frame takes (ISO/IEC 14496-3, 4.5.3.1: 6144 bits for each channel)."""


def first_controls(bit_rate: float, bandwidth: float) -> list[float]:
    """The doubles of an encoder that has heard nothing yet; its floats are zeros. `bandwidth` in hertz."""
    controls = [0.0] * CONTROLS
    controls[BITS] = bit_rate * FRAME / _RATE
    controls[LINES] = round(bandwidth * 2 * FRAME / _RATE)
    controls[STEP] = _FIRST_STEP
    return controls


UP = 147
"""Phases of the resampler."""
TAPS, SPAN, LANES = 24, 26, 24
"""Samples that make one, and that make 21, counted for each from its own place on; and vectors' lengths."""
AHEAD = TAPS // 2 - 1
"""Samples before one that make it."""
MOST_HELD = SPAN + LANES - 2
"""Samples of each channel that wait for those that follow."""
PIECE = 1024
"""Samples between which the resampler's scratch is used again."""
RESAMPLER_STATE = 2 * MOST_HELD
"""Floats that a resampler keeps: what it holds, left and right."""
RESAMPLER_FLOATS = 2 * (MOST_HELD + PIECE)
"""Its scratch, for all resamplers of a thread."""
FRACTION, HELD, MADE = range(3)
"""What its doubles are: the place of the next sample behind the first that is held, in 147ths; the samples held; and
those that the last call made."""
RESAMPLER_CONTROLS = 3
FIRST_RESAMPLER_CONTROLS = (0.0, float(AHEAD), 0.0)
"""Of one that has heard nothing yet: what precedes its first sample is nothing. Its floats are zeros."""
