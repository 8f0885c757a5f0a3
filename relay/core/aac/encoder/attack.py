"""Which windows a frame has: short ones where the sound sets in, or its noise would be heard before it (pre-echo)."""

import numpy as np

from relay.core.aac.encoder.memory import FRAME, SHORT
from relay.core.aac.encoder.tables import Floats
from relay.core.aac.encoder.transform import EIGHT_SHORT, LONG, START, STOP

EARLY, LATE = 1, 2
"""An attack in the first half of a block, or in the second."""
_RATIO = np.float32(10)
"""An attack has so many times the energy of what was before."""
_FADE = np.float32(0.7)
"""What was before counts less with each part of a block."""
_LEAST = np.float32(1e-5)
"""Energy of a part (full scale: 1), high frequencies raised, of which nobody hears a pre-echo."""


def attacks(sound: Floats, before: Floats) -> int:
    """Looks at one block of one channel for attacks; `before` holds the energy and the sample that precede it."""
    found = 0
    energy, last = before[0], before[1]
    for part in range(8):
        start = part * SHORT
        step = sound[start] - last
        here = step * step
        for i in range(start + 1, start + SHORT):
            step = sound[i] - sound[i - 1]
            here += step * step
        last = sound[start + SHORT - 1]
        if here > _RATIO * energy and here > _LEAST:
            found |= EARLY if part < 4 else LATE
        energy = max(energy * _FADE, here)
    before[0], before[1] = energy, sound[FRAME - 1]
    return found


def window_sequence(previous: int, first: int, second: int, following: int) -> int:
    """Of a frame, by that of the frame before, and by the attacks in its two blocks and in the one that follows.

    Eight short windows span the later half of its first block and the earlier half of its second.
    """
    short = first & LATE or second & EARLY
    short_next = second & LATE or following & EARLY
    # A long window has a short slope on one side only: between two short frames there is none.
    if short or previous == START or (short_next and previous == EIGHT_SHORT):
        return EIGHT_SHORT
    if short_next:
        return START
    return STOP if previous == EIGHT_SHORT else LONG
