"""Scratch for one frame, cut out of what a thread's encoders share."""

from typing import NamedTuple

from relay.core.aac.encoder.memory import FRAME, MOST_BANDS
from relay.core.aac.encoder.tables import Floats, Ints


class Channel(NamedTuple):
    """One of the two that are coded: left and right, or mid and side."""

    lines: Floats
    raised: Floats
    powers: Floats
    levels: Floats
    steps: Floats
    values: Ints
    factors: Ints
    peaks: Ints
    books: Ints
    costs: Ints


class Layout(NamedTuple):
    """How the lines are divided."""

    bands: Ints
    """Where each begins; those of one group of short windows follow those of the other."""
    windows: Ints
    """How many are in each group."""
    mid_side: Ints
    """By band."""


def cut_channel(floats: Floats, ints: Ints) -> Channel:
    bands = floats[2 * FRAME :]
    more = ints[FRAME:]
    return Channel(
        floats[:FRAME],
        floats[FRAME : 2 * FRAME],
        bands[:MOST_BANDS],
        bands[MOST_BANDS : 2 * MOST_BANDS],
        bands[2 * MOST_BANDS : 3 * MOST_BANDS],
        ints[:FRAME],
        more[:MOST_BANDS],
        more[MOST_BANDS : 2 * MOST_BANDS],
        more[2 * MOST_BANDS : 3 * MOST_BANDS],
        more[3 * MOST_BANDS : 4 * MOST_BANDS],
    )
