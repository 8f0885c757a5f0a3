"""The writing of a raw data block (ISO/IEC 14496-3, 4.4.2): a channel_pair_element with common windows."""

from relay.core.aac.encoder.bits import align, put
from relay.core.aac.encoder.huffman import ZERO, length_bits, lengthen_sections, put_band, put_factors, put_sections
from relay.core.aac.encoder.scratch import Channel, Layout
from relay.core.aac.encoder.tables import Bytes, Longs
from relay.core.aac.encoder.transform import EIGHT_SHORT


def write(
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
    short = sequence == EIGHT_SHORT
    width = length_bits(short)
    for channel in (first, second):
        lengthen_sections(
            channel.values, layout.bands, per_group, groups, width, channel.books, channel.costs, channel.factors
        )
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
        _put_channel(channel, layout, per_group, groups, width, at, out)
    put(out, at, 7, 3)  # ID_END
    align(out, at)


def _put_channel(
    channel: Channel, layout: Layout, per_group: int, groups: int, width: int, at: Longs, out: Bytes
) -> None:
    """An individual_channel_stream (4.4.2.7)."""
    count = per_group * groups
    gain = 0
    for band in range(count):
        if channel.books[band] != ZERO:
            gain = channel.factors[band]
            break
    put(out, at, gain, 8)
    put_sections(out, at, channel.books, per_group, groups, width)
    put_factors(out, at, channel.factors, channel.books, count, gain)
    put(out, at, 0, 3)  # no pulses, no noise shaping, no gain control
    for band in range(count):
        if channel.books[band] != ZERO:
            put_band(out, at, channel.values, layout.bands[band], layout.bands[band + 1], channel.books[band])
