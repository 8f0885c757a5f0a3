"""The search for the steps that the bit rate affords.

What one frame does not spend, a later one may: a decoder's buffer holds 6144 bits for each channel (ISO/IEC 14496-3,
4.5.3.1), so some frames may be longer than the bit rate says.
"""

from relay.core.aac.encoder.huffman import ESCAPE, ZERO, band_cost, factor_cost, least_book, length_bits, sections_cost
from relay.core.aac.encoder.memory import BITS, SAVED, STEP
from relay.core.aac.encoder.quantizer import choose_factors, quantize
from relay.core.aac.encoder.scratch import Channel, Layout
from relay.core.aac.encoder.tables import Doubles

_LEAST_STEP = 3.0
"""What a smaller one spares is not heard, whatever the bit rate: 16 bits have as much noise."""
_TRIES = 4
"""How often a frame is quantized before what fits is taken."""
_LEAST, _MOST = 0.85, 1.12
"""What is near enough of the bits that are wanted."""
_KEPT = 1.0
"""Frames' worth of bits that are saved in the long run."""
_FOR_ATTACKS = 0.75
"""Of those, what a short frame takes."""
_BUFFER = 11_800
"""Bits of a frame for which there is room in every decoder, and some left for what is not counted exactly."""
_FAR = 2.0
"""How far apart two tries are at most (log 2)."""
_BITS_PER_LINE = 0.8
"""What half the step costs for each line of a band that is not zero, about."""
_HEAD = 60
"""Bits of all that is neither sections nor scale factors nor lines."""


def fit(
    first: Channel,
    second: Channel,
    layout: Layout,
    per_group: int,
    groups: int,
    short: bool,
    alike: bool,
    control: Doubles,
) -> None:
    """Quantizes with steps so small that about the bits are spent that there are, beginning with the last frame's."""
    spare = control[SAVED]
    # Some are kept for when the sound sets in.
    wanted = control[BITS] + (spare * _FOR_ATTACKS if short else (spare - _KEPT * control[BITS]) / 4)
    most = min(control[BITS] + max(spare, -control[BITS] / 2), _BUFFER)
    width = length_bits(short)
    step = control[STEP]
    fits = -1.0  # a step for which there are bits: none yet
    tries = 0
    while True:
        bits = _HEAD + _quantize(first, layout, per_group, groups, width, step)
        lines = _lines(first, layout, per_group * groups)
        if not alike:
            bits += _quantize(second, layout, per_group, groups, width, step)
            lines += _lines(second, layout, per_group * groups)
        tries += 1
        if bits <= most:
            fits = step
            if bits >= wanted * _LEAST and (bits <= wanted * _MOST or tries >= _TRIES):
                break
            if bits < wanted and (step <= _LEAST_STEP or tries >= _TRIES):
                break
        if tries < _TRIES:
            change = (bits - wanted) / (_BITS_PER_LINE * lines + 1)
            step = max(step + max(-_FAR, min(change, _FAR)), _LEAST_STEP)
        else:
            # Even of the loudest sound nothing is left some time.
            step = fits if fits >= 0.0 else step + 1.0
    if lines > 0:
        control[STEP] = step


def _lines(channel: Channel, layout: Layout, count: int) -> int:
    """How many lines are in bands that are not zero."""
    lines = 0
    for band in range(count):
        if channel.peaks[band] > 0:
            lines += layout.bands[band + 1] - layout.bands[band]
    return lines


def _quantize(channel: Channel, layout: Layout, per_group: int, groups: int, width: int, step: float) -> int:
    """With steps so wide; the bits that takes, before sections are lengthened."""
    count = per_group * groups
    choose_factors(channel.levels, channel.steps, step, count, channel.factors)
    quantize(channel.lines, channel.raised, layout.bands, count, channel.factors, channel.values, channel.peaks)
    bits = 0
    last = -1
    before = -1
    for band in range(count):
        book = least_book(channel.peaks[band])
        channel.costs[band] = 0
        if book != ZERO:
            cost, other_cost = band_cost(channel.values, layout.bands[band], layout.bands[band + 1], book)
            if other_cost < cost or (other_cost == cost and before == book + 1):
                cost = other_cost
                book += book != ESCAPE
            channel.costs[band] = cost
            bits += cost
            if last >= 0:
                bits += factor_cost(channel.factors[band], last)
            last = channel.factors[band]
        channel.books[band] = book
        before = book
    return bits + sections_cost(channel.books, per_group, groups, width)
