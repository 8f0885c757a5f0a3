"""One block of sound after the other: windows, bands, mid/side; then quantized and written as a raw data block."""

import numpy as np

from relay.core.aac.encoder.attack import attacks, window_sequence
from relay.core.aac.encoder.bits import COUNT, PENDING, POSITION
from relay.core.aac.encoder.block import write
from relay.core.aac.encoder.fit import fit
from relay.core.aac.encoder.huffman import ZERO
from relay.core.aac.encoder.memory import (
    BITS,
    FIRST,
    FRAME,
    LINES,
    MOST_BANDS,
    SAVED,
    SECOND,
    SEQUENCE,
    SHORT,
    TRANSFORM_FLOATS,
)
from relay.core.aac.encoder.quantizer import band_powers, level, magnitudes, shape_steps
from relay.core.aac.encoder.scratch import Channel, Layout, cut_channel
from relay.core.aac.encoder.tables import LONG_BANDS, SHORT_BANDS, Bytes, Doubles, Floats, Ints, Longs
from relay.core.aac.encoder.transform import EIGHT_SHORT, transform

_LOUDEST = np.float32(8)
_ALIKE = np.float32(4)
"""Short windows share their scale factors unless one has so many times the other's energy."""
_WIDE = np.float32(0.125)
"""Mid and side are coded where their powers multiplied are less than so much of left's and right's."""
_HALF = np.float32(0.5)
_NOTHING = np.float32(0)


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
    first = cut_channel(floats[:size], ints[: FRAME + 4 * MOST_BANDS])
    second = cut_channel(floats[size : 2 * size], ints[FRAME + 4 * MOST_BANDS : 2 * (FRAME + 4 * MOST_BANDS)])
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
        write(first, second, layout, sequence, 0, 1, False, at, out)
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
        shape_steps(channel.powers, count, channel.levels, channel.steps)
    mixed = _mix(first, second, layout, count, alike)
    magnitudes(first.lines, layout.bands[count], first.raised)
    if alike:
        for band in range(count):
            second.books[band] = ZERO
    else:
        magnitudes(second.lines, layout.bands[count], second.raised)
    fit(first, second, layout, per_group, groups, sequence == EIGHT_SHORT, alike, control)
    write(first, second, layout, sequence, per_group, groups, mixed, at, out)


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
            first.steps[band] = second.steps[band] = min(first.steps[band], second.steps[band]) - _HALF
    return mixed
