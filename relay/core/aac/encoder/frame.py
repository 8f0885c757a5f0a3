"""One block of sound after the other: windows, mid/side, the noise that the bit rate affords, and a raw data block.

Each frame is a channel_pair_element with common windows (ISO/IEC 14496-3, 4.4.2). What one frame does not spend, a
later one may: a decoder's buffer holds 6144 bits for each channel, so some frames may be longer than the bit rate says.
"""

from typing import NamedTuple

import numpy as np

from relay.core.aac.encoder.attack import attacks, window_sequence
from relay.core.aac.encoder.bits import COUNT, PENDING, POSITION, align, put
from relay.core.aac.encoder.huffman import (
    ESCAPE,
    NEW_SECTION,
    ZERO,
    band_cost,
    factor_cost,
    least_book,
    lengthen_sections,
    put_band,
    put_factors,
    put_sections,
)
from relay.core.aac.encoder.memory import (
    BITS,
    FIRST,
    FRAME,
    LINES,
    MOST_BANDS,
    NOISE,
    SAVED,
    SECOND,
    SEQUENCE,
    SHORT,
    TRANSFORM_FLOATS,
)
from relay.core.aac.encoder.quantizer import band_powers, choose_factors, level, magnitudes, quantize, shape_noise
from relay.core.aac.encoder.tables import LONG_BANDS, SHORT_BANDS, Bytes, Doubles, Floats, Ints, Longs
from relay.core.aac.encoder.transform import EIGHT_SHORT, transform

_LOUDEST = np.float32(8)
_LEAST_NOISE = 3.0
"""Less of it is not heard, whatever the bit rate: 16 bits have as much."""
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
"""The longest step between two choices of the noise (log 2)."""
_BITS_PER_LINE = 0.8
"""What half the noise costs for each line of a band that is not zero, about."""
_HEAD = 60
"""Bits of all that is neither sections nor scale factors nor lines."""
_ALIKE = np.float32(4)
"""Short windows share their scale factors unless one has so many times the other's energy."""
_WIDE = np.float32(0.125)
"""Mid and side are coded where their powers multiplied are less than so much of left's and right's."""
_HALF = np.float32(0.5)
_NOTHING = np.float32(0)


class Channel(NamedTuple):
    """Scratch for one of the two that are coded: left and right, or mid and side."""

    lines: Floats
    raised: Floats
    powers: Floats
    levels: Floats
    noise: Floats
    values: Ints
    factors: Ints
    peaks: Ints
    books: Ints
    costs: Ints


class Layout(NamedTuple):
    """Scratch for how the lines are divided."""

    bands: Ints
    """Where each begins; those of one group of short windows follow those of the other."""
    windows: Ints
    """How many are in each group."""
    mid_side: Ints
    """By band."""


def encode(
    left: Floats,
    right: Floats,
    count: int,
    filled: int,
    state: Floats,
    control: Doubles,
    floats: Floats,
    ints: Ints,
    at: Longs,
    out: Bytes,
    sizes: Ints,
) -> None:
    """Takes `count` samples of left and right (full scale: 1; what is above eight times that is cut off), after
    `filled` of a block that it has; for each block that is whole then a raw data block goes to `out`, its length to
    `sizes`.

    Frame k (from 0) is of the blocks k - 1 and k, and is written when block k + 1 is there: the first frame that a new
    encoder writes is of nothing, and the second is what decoders call priming.
    """
    scratch, floats = floats[:TRANSFORM_FLOATS], floats[TRANSFORM_FLOATS:]
    size = 2 * FRAME + 3 * MOST_BANDS
    first = _channel(floats[:size], ints[: FRAME + 4 * MOST_BANDS])
    second = _channel(floats[size : 2 * size], ints[FRAME + 4 * MOST_BANDS : 2 * (FRAME + 4 * MOST_BANDS)])
    spare = floats[2 * size :]
    rest = ints[2 * (FRAME + 4 * MOST_BANDS) :]
    layout = Layout(
        rest[: MOST_BANDS + 1],
        rest[2 * MOST_BANDS + 1 : 2 * MOST_BANDS + 9],
        rest[MOST_BANDS + 1 : 2 * MOST_BANDS + 1],
    )
    at[PENDING] = at[COUNT] = at[POSITION] = 0
    lefts, rights, before = state[: 3 * FRAME], state[3 * FRAME : 6 * FRAME], state[6 * FRAME :]
    taken = 0
    for block in range((filled + count) // FRAME):
        _fill(left[taken:], FRAME - filled, lefts[2 * FRAME + filled :])
        _fill(right[taken:], FRAME - filled, rights[2 * FRAME + filled :])
        taken += FRAME - filled
        filled = 0
        following = attacks(lefts[2 * FRAME :], before[:2]) | attacks(rights[2 * FRAME :], before[2:])
        sequence = window_sequence(int(control[SEQUENCE]), int(control[FIRST]), int(control[SECOND]), following)
        begun = at[POSITION]
        _frame(
            lefts[: 2 * FRAME],
            rights[: 2 * FRAME],
            sequence,
            control,
            first,
            second,
            layout,
            spare,
            scratch,
            at,
            out,
        )
        sizes[block] = at[POSITION] - begun
        control[SAVED] = max(-control[BITS], min(2 * control[BITS], control[SAVED] + control[BITS] - 8 * sizes[block]))
        control[SEQUENCE], control[FIRST], control[SECOND] = sequence, control[SECOND], following
        for i in range(2 * FRAME):
            lefts[i], rights[i] = lefts[FRAME + i], rights[FRAME + i]
    _fill(left[taken:], count - taken, lefts[2 * FRAME + filled :])
    _fill(right[taken:], count - taken, rights[2 * FRAME + filled :])


def _fill(sound: Floats, count: int, to: Floats) -> None:
    for i in range(count):
        # This way round, what is no number is loud as well.
        to[i] = max(-_LOUDEST, min(_LOUDEST, sound[i]))


def _channel(floats: Floats, ints: Ints) -> Channel:
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


def _frame(
    left: Floats,
    right: Floats,
    sequence: int,
    control: Doubles,
    first: Channel,
    second: Channel,
    layout: Layout,
    spare: Floats,
    scratch: Floats,
    at: Longs,
    out: Bytes,
) -> None:
    alike, silent = _alike(left, right)
    if silent and sequence != EIGHT_SHORT:
        _write(first, second, layout, sequence, 0, 1, False, at, out)
        return
    transform(left, sequence, first.lines, scratch)
    if alike:
        _copy(first.lines, second.lines)
    else:
        transform(right, sequence, second.lines, scratch)
    lines = int(control[LINES])
    if sequence == EIGHT_SHORT:
        groups = _group(first.lines, second.lines, layout.windows)
        per_group = _bands(lines * SHORT // FRAME, True)
        _divide(per_group, groups, layout, first.lines, spare)
        _divide(per_group, groups, layout, second.lines, spare)
    else:
        groups = 1
        per_group = _bands(lines, False)
        for band in range(per_group + 1):
            layout.bands[band] = LONG_BANDS[band]
    count = groups * per_group
    for channel in (first, second):
        band_powers(channel.lines, layout.bands, count, channel.powers)
        shape_noise(channel.powers, count, channel.levels, channel.noise)
    mixed = _mix(first, second, layout, count, alike)
    magnitudes(first.lines, layout.bands[count], first.raised)
    if alike:
        for band in range(count):
            second.books[band] = ZERO
    else:
        magnitudes(second.lines, layout.bands[count], second.raised)
    _fit(first, second, layout, per_group, groups, sequence == EIGHT_SHORT, alike, control)
    _write(first, second, layout, sequence, per_group, groups, mixed, at, out)


def _alike(left: Floats, right: Floats) -> tuple[bool, bool]:
    """Whether both are the same, and whether they are nothing."""
    silent = True
    for i in range(2 * FRAME):
        if left[i] != right[i]:
            return False, False
        if left[i] != 0:
            silent = False
    return True, silent


def _copy(lines: Floats, to: Floats) -> None:
    for i in range(FRAME):
        to[i] = lines[i]


def _bands(lines: int, short: bool) -> int:
    """How many bands begin below a line."""
    bands = 0
    if short:
        while bands < len(SHORT_BANDS) - 1 and SHORT_BANDS[bands] < lines:
            bands += 1
    else:
        while bands < len(LONG_BANDS) - 1 and LONG_BANDS[bands] < lines:
            bands += 1
    return bands


def _group(left: Floats, right: Floats, windows: Ints) -> int:
    """Puts short windows of about the same energy together; how many groups there are."""
    groups = 0
    before = np.float32(0)
    for window in range(8):
        energy = np.float32(0)
        for i in range(window * SHORT + 4, (window + 1) * SHORT):
            energy += left[i] * left[i] + right[i] * right[i]
        if window > 0 and energy < _ALIKE * before and before < _ALIKE * energy:
            windows[groups - 1] += 1
        else:
            windows[groups] = 1
            groups += 1
        before = energy
    return groups


def _divide(per_group: int, groups: int, layout: Layout, lines: Floats, spare: Floats) -> None:
    """Reorders a short frame's lines: by group, by band, then by window (4.5.2.3.5)."""
    _copy(lines, spare)
    to = window = 0
    for group in range(groups):
        for band in range(per_group):
            layout.bands[group * per_group + band] = to
            for i in range(layout.windows[group]):
                for line in range(SHORT_BANDS[band], SHORT_BANDS[band + 1]):
                    lines[to] = spare[(window + i) * SHORT + line]
                    to += 1
        window += layout.windows[group]
    layout.bands[groups * per_group] = to


def _mix(first: Channel, second: Channel, layout: Layout, count: int, alike: bool) -> bool:
    """Left and right become mid and side in the bands where that is cheaper; whether there are any."""
    mixed = False
    for band in range(count):
        start, end = layout.bands[band], layout.bands[band + 1]
        left, right = first.lines[start:end], second.lines[start:end]
        both = np.float32(0)
        for i in range(end - start):
            both += left[i] * right[i]
        sides = (first.powers[band] + second.powers[band]) / 4
        both /= np.float32(2 * (end - start))
        mid, side = max(sides + both, _NOTHING), max(sides - both, _NOTHING)
        layout.mid_side[band] = alike or mid * side < _WIDE * first.powers[band] * second.powers[band]
        if layout.mid_side[band]:
            mixed = True
            for i in range(end - start):
                left[i], right[i] = (left[i] + right[i]) * _HALF, (left[i] - right[i]) * _HALF
            first.levels[band], second.levels[band] = level(float(mid)), level(float(side))
            # Left as well as right will have the noise of both.
            first.noise[band] = second.noise[band] = min(first.noise[band], second.noise[band]) - _HALF
    return mixed


def _fit(
    first: Channel,
    second: Channel,
    layout: Layout,
    per_group: int,
    groups: int,
    short: bool,
    alike: bool,
    control: Doubles,
) -> None:
    """Quantizes with so little noise that about the bits are spent that there are, beginning with the last frame's."""
    spare = control[SAVED]
    # Some are kept for when the sound sets in.
    wanted = control[BITS] + (spare * _FOR_ATTACKS if short else (spare - _KEPT * control[BITS]) / 4)
    most = min(control[BITS] + max(spare, -control[BITS] / 2), _BUFFER)
    noise = control[NOISE]
    fits = -1.0  # a noise for which there are bits: none yet
    tries = 0
    while True:
        bits = _HEAD + _quantize(first, layout, per_group, groups, noise)
        lines = _lines(first, layout, per_group * groups)
        if not alike:
            bits += _quantize(second, layout, per_group, groups, noise)
            lines += _lines(second, layout, per_group * groups)
        tries += 1
        if bits <= most:
            fits = noise
            if bits >= wanted * _LEAST and (bits <= wanted * _MOST or tries >= _TRIES):
                break
            if bits < wanted and (noise <= _LEAST_NOISE or tries >= _TRIES):
                break
        if tries < _TRIES:
            step = (bits - wanted) / (_BITS_PER_LINE * lines + 1)
            noise = max(noise + max(-_FAR, min(step, _FAR)), _LEAST_NOISE)
        else:
            # Even of the loudest sound nothing is left some time.
            noise = fits if fits >= 0.0 else noise + 1.0
    if lines > 0:
        control[NOISE] = noise


def _lines(channel: Channel, layout: Layout, count: int) -> int:
    """How many lines are in bands that are not zero."""
    lines = 0
    for band in range(count):
        if channel.peaks[band] > 0:
            lines += layout.bands[band + 1] - layout.bands[band]
    return lines


def _quantize(channel: Channel, layout: Layout, per_group: int, groups: int, noise: float) -> int:
    """With so much noise; the bits that takes, about."""
    count = per_group * groups
    choose_factors(channel.levels, channel.noise, noise, count, channel.factors)
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
        if book != before:
            bits += NEW_SECTION
        before = book
    return bits


def _write(
    first: Channel,
    second: Channel,
    layout: Layout,
    sequence: int,
    per_group: int,
    groups: int,
    mixed: bool,
    at: Longs,
    out: Bytes,
) -> None:
    """A raw data block (4.4.2.1) that is one channel_pair_element."""
    for channel in (first, second):
        lengthen_sections(
            channel.values, layout.bands, per_group, groups, channel.books, channel.costs, channel.factors
        )
    short = sequence == EIGHT_SHORT
    if not short:
        while per_group > 0 and first.books[per_group - 1] == ZERO and second.books[per_group - 1] == ZERO:
            per_group -= 1
    put(out, at, 1 << 5 | 1, 8)  # id, tag, common_window
    put(out, at, sequence << 1, 4)  # a reserved bit, window_sequence, window_shape
    if short:
        put(out, at, per_group, 4)
        grouping = 0
        for group in range(groups):
            grouping = grouping << layout.windows[group] | (1 << layout.windows[group] - 1) - 1
        put(out, at, grouping, 7)
    else:
        put(out, at, per_group << 1, 7)  # max_sfb, predictor_data_present
    put(out, at, 1 if mixed else 0, 2)  # ms_mask_present
    if mixed:
        for band in range(per_group * groups):
            put(out, at, layout.mid_side[band], 1)
    for channel in (first, second):
        _put_channel(channel, layout, per_group, groups, short, at, out)
    put(out, at, 7, 3)  # ID_END
    align(out, at)


def _put_channel(
    channel: Channel, layout: Layout, per_group: int, groups: int, short: bool, at: Longs, out: Bytes
) -> None:
    """An individual_channel_stream (4.4.2.7)."""
    count = per_group * groups
    gain = 0
    for band in range(count):
        if channel.books[band] != ZERO:
            gain = channel.factors[band]
            break
    put(out, at, gain, 8)
    put_sections(out, at, channel.books, per_group, groups, 3 if short else 5)
    put_factors(out, at, channel.factors, channel.books, count, gain)
    put(out, at, 0, 3)  # no pulses, no noise shaping, no gain control
    for band in range(count):
        if channel.books[band] != ZERO:
            put_band(out, at, channel.values, layout.bands[band], layout.bands[band + 1], channel.books[band])
