"""Raw data blocks of AAC-LC (ISO/IEC 14496-3, 4.4.2.1), taken apart and put together without decoding.

What a mono encoder makes is a single_channel_element: one individual_channel_stream. Two of them side by side are a
channel_pair_element with windows of their own; one with an empty side channel, all bands mid/side, is a pair in which
left and right are the same. All bits move as one integer: a loop over bits would cost as much as the encoder.

An individual_channel_stream begins with its global_gain, in steps of 1.5 dB (4.6.2): raised by 4, all that it holds is
doubled, exactly. So an encoder can be fed with headroom, and what it makes be as loud as the source. That goes for
spectral coefficients; noise substitution and intensity stereo count from elsewhere, and the encoder has to leave them
out. So it has to leave out temporal noise shaping for `mid_pair`, where the side channel would need it too.
"""

from functools import lru_cache
from typing import NamedTuple

_SCE, _CPE, _END = 0, 1, 7
_EIGHT_SHORT = 2
_HEAD = 7
"""Bits of an element's id and tag."""
_GAIN = 8
_LONG_INFO, _SHORT_INFO = 11, 15
"""Bits of ics_info after a long or a start and stop window, and of eight short ones."""


class ChannelStream(NamedTuple):
    """An individual_channel_stream that holds its own ics_info."""

    bits: int
    length: int

    @classmethod
    def parse(cls, block: bytes) -> "ChannelStream":
        """Of a raw data block that is one single_channel_element; ValueError for any other."""
        if len(block) < 4 or block[0] >> 5 != _SCE:
            raise ValueError("no single_channel_element")
        # Behind the element ID_END, three ones, and zeros up to the next byte.
        tail = block[-1] | block[-2] << 8
        padding = (tail & -tail).bit_length() - 1
        if not 0 <= padding < 8 or tail >> padding & 7 != _END:
            raise ValueError("the raw data block does not end")
        length = 8 * len(block) - _HEAD - 3 - padding
        # ics_info, from the last bit of the second byte on: small numbers are the cheaper ones.
        info = (block[1] << 16 | block[2] << 8 | block[3]) & 0x1FFFF
        short = info >> 14 & 3 == _EIGHT_SHORT
        if length < _GAIN + (_SHORT_INFO if short else _LONG_INFO) + 3:
            raise ValueError("the individual_channel_stream is cut short")
        if info >> 16:
            raise ValueError("a reserved bit is set")
        if not short and info >> 6 & 1:
            raise ValueError("prediction is not for AAC-LC")
        return cls(int.from_bytes(block, "big") >> (3 + padding) & ((1 << length) - 1), length)

    @property
    def gain(self) -> int:
        """global_gain."""
        return self.bits >> (self.length - _GAIN)

    @property
    def window_sequence(self) -> int:
        """0: long, 1: long to short, 2: eight short ones, 3: short to long (table 4.6)."""
        return self.bits >> (self.length - _GAIN - 3) & 3

    @property
    def info_length(self) -> int:
        return _SHORT_INFO if self.window_sequence == _EIGHT_SHORT else _LONG_INFO

    @property
    def info(self) -> int:
        """ics_info."""
        length = self.info_length
        return self.bits >> (self.length - _GAIN - length) & ((1 << length) - 1)

    def louder(self, steps: int) -> "ChannelStream":
        """By that many steps of 1.5 dB; as many as there is room for."""
        bits, length = self
        gain = bits >> (length - _GAIN)
        steps = max(-gain, min(steps, 255 - gain))
        return ChannelStream(bits + (steps << (length - _GAIN)), length)


def pair(left: ChannelStream, right: ChannelStream) -> bytes:
    """A raw data block with both as one channel_pair_element."""
    bits = (_CPE << 5) << left.length | left.bits  # the tag is 0, and so is common_window
    return _block(bits << right.length | right.bits, 8 + left.length + right.length)


def mid_pair(mid: ChannelStream) -> bytes:
    """A raw data block with `mid` on the left and on the right."""
    info_length = mid.info_length
    side, side_length = _empty(mid.info, info_length)
    rest_length = mid.length - _GAIN - info_length
    bits = (_CPE << 5 | 1) << info_length | mid.info
    bits = bits << 2 | 2  # ms_mask_present: all bands
    bits = bits << _GAIN | mid.gain
    bits = bits << rest_length | mid.bits & ((1 << rest_length) - 1)
    return _block(bits << side_length | side, 8 + 2 + mid.length + side_length)


@lru_cache(maxsize=512)
def _empty(info: int, info_length: int) -> tuple[int, int]:
    """The individual_channel_stream under an ics_info outside of it, all bands zero; its bits and their number."""
    if info_length == _SHORT_INFO:
        bands, groups, width = info >> 7 & 15, 8 - (info & 127).bit_count(), 3
    else:
        bands, groups, width = info >> 1 & 63, 1, 5
    escape = (1 << width) - 1
    bits, length = 0, _GAIN  # global_gain
    for _ in range(groups if bands else 0):
        bits <<= 4  # section_data: codebook 0 for all bands, which need no scale factors
        length += 4
        left = bands
        while left >= 0:
            bits = bits << width | min(left, escape)
            length += width
            left -= escape
    return bits << 3, length + 3  # no pulses, no noise shaping, no gain control


def _block(bits: int, length: int) -> bytes:
    padding = -(length + 3) % 8
    return ((bits << 3 | _END) << padding).to_bytes((length + 3 + padding) // 8, "big")


SILENCE = pair(ChannelStream(0, _GAIN + _LONG_INFO + 3), ChannelStream(0, _GAIN + _LONG_INFO + 3))
"""A raw data block of two channels, 1024 samples of nothing under a long sine window."""
