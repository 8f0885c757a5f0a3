"""AV1 outside RTP: OBUs, the sequence header (AV1 Bitstream & Decoding Process Specification, 5.3 and 5.5), and av1C
(AV1 Codec ISO Media File Format Binding, 2.3)."""

from dataclasses import dataclass
from enum import IntEnum

from relay.core.bits import Bits
from relay.core.codec import Description


class ObuType(IntEnum):
    """obu_type, 6.2.2."""

    SEQUENCE_HEADER = 1
    TEMPORAL_DELIMITER = 2
    FRAME_HEADER = 3
    FRAME = 6
    TILE_LIST = 8
    PADDING = 15


_EXTENSION = 0x04
_HAS_SIZE = 0x02
_SELECT = 2
"""seq_force_screen_content_tools: each frame tells."""
_BT_709, _SRGB, _IDENTITY = 1, 13, 0
_UNSPECIFIED = 2


def obu_type(obu: bytes) -> int:
    """obu_type of an OBU that is not empty."""
    return obu[0] >> 3 & 15


def with_size(obu: bytes) -> bytes:
    """An OBU as the low-overhead format has it (5.2): with its size. ValueError where it has a wrong one."""
    at = 2 if obu[0] & _EXTENSION else 1
    if len(obu) < at:
        raise ValueError("an OBU without its header")
    if obu[0] & _HAS_SIZE:
        size, at = read_leb128(obu, at, len(obu))
        if at + size != len(obu):
            raise ValueError("an OBU of another size than it says")
        return obu
    return bytes((obu[0] | _HAS_SIZE,)) + obu[1:at] + _leb128(len(obu) - at) + obu[at:]


def payload(obu: bytes) -> bytes:
    """What an OBU with its size holds."""
    return obu[read_leb128(obu, 2 if obu[0] & _EXTENSION else 1, len(obu))[1] :]


def read_leb128(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at data[at:end] (4.10.5), and where what follows begins. ValueError where it is none."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("not a leb128 of 32 bits")


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def is_key(obus: list[bytes]) -> bool:
    """A temporal unit with which decoding can begin: a sequence header, then a shown key frame (7.6.1)."""
    described = False
    for obu in obus:
        kind = obu_type(obu)
        if kind == ObuType.SEQUENCE_HEADER:
            described = True
        elif kind in (ObuType.FRAME, ObuType.FRAME_HEADER):
            # show_existing_frame 0, frame_type 0 (2 bits), show_frame 1.
            return described and b"\x10" <= payload(obu)[:1] < b"\x20"
    return False


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """What the relay wants of one."""

    profile: int
    level: int
    """seq_level_idx of the first operating point."""
    tier: int
    width: int
    height: int
    high_bit_depth: int
    twelve_bit: int
    monochrome: int
    subsampling_x: int
    subsampling_y: int
    sample_position: int


def parse_sequence_header(data: bytes) -> SequenceHeader:
    """Reads the payload of a sequence header OBU (5.5.1). ValueError where it breaks the syntax."""
    bits = Bits(data)
    profile = bits.u(3)
    bits.u(1)  # still_picture
    reduced = bits.u(1)
    level, tier = (bits.u(5), 0) if reduced else _operating_points(bits)
    width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
    width, height = bits.u(width_bits) + 1, bits.u(height_bits) + 1
    if not reduced and bits.u(1):
        bits.u(7)  # lengths of frame identifiers
    bits.u(3)  # superblocks, filter_intra, intra_edge_filter
    if not reduced:
        _skip_tools(bits)
    bits.u(3)  # superres, cdef, restoration
    return SequenceHeader(profile, level, tier, width, height, *_colours(bits, profile))


def _operating_points(bits: Bits) -> tuple[int, int]:
    """Level and tier of the first; what is between is passed over."""
    delay_bits = 0
    if bits.u(1):  # timing_info_present_flag
        bits.u(64)
        if bits.u(1):
            bits.ue((1 << 32) - 2)
        if bits.u(1):  # decoder_model_info_present_flag
            delay_bits = bits.u(5) + 1
            bits.u(42)
    display_delay = bits.u(1)
    points = []
    for _ in range(bits.u(5) + 1):
        bits.u(12)
        level = bits.u(5)
        points.append((level, bits.u(1) if level > 7 else 0))
        if delay_bits and bits.u(1):
            bits.u(2 * delay_bits + 1)
        if display_delay and bits.u(1):
            bits.u(4)
    return points[0]


def _skip_tools(bits: Bits) -> None:
    bits.u(4)  # interintra, masked, warped, dual_filter
    order_hint = bits.u(1)
    if order_hint:
        bits.u(2)
    screen_content = _SELECT if bits.u(1) else bits.u(1)
    if screen_content and not bits.u(1):
        bits.u(1)
    if order_hint:
        bits.u(3)


def _colours(bits: Bits, profile: int) -> tuple[int, int, int, int, int, int]:
    """color_config() (5.5.2): bit depth, monochrome, subsampling, sample position."""
    high = bits.u(1)
    twelve = bits.u(1) if profile == 2 and high else 0
    monochrome = 0 if profile == 1 else bits.u(1)
    description = (bits.u(8), bits.u(8), bits.u(8)) if bits.u(1) else (_UNSPECIFIED,) * 3
    if monochrome:
        return high, twelve, 1, 1, 1, 0
    if description == (_BT_709, _SRGB, _IDENTITY):
        return high, twelve, 0, 0, 0, 0
    bits.u(1)  # color_range
    x, y = {0: (1, 1), 1: (0, 0), 2: (1, 0)}.get(profile, (1, 1))
    if twelve:
        x = bits.u(1)
        y = bits.u(1) if x else 0
    return high, twelve, 0, x, y, bits.u(2) if x and y else 0


def describe(obus: list[bytes]) -> Description | None:
    """Of a key temporal unit. ValueError where its sequence header cannot be read."""
    obu = next((obu for obu in obus if obu_type(obu) == ObuType.SEQUENCE_HEADER), None)
    if obu is None:
        return None
    header = parse_sequence_header(payload(obu))
    layout = header.high_bit_depth << 6 | header.twelve_bit << 5 | header.monochrome << 4
    layout |= header.subsampling_x << 3 | header.subsampling_y << 2 | header.sample_position
    record = bytes((0x81, header.profile << 5 | header.level, header.tier << 7 | layout, 0)) + obu
    return Description(header.width, header.height, record)
