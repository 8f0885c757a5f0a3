"""H.264 outside RTP: NAL units, SPS (ITU-T H.264 7.3, Annex E), avcC and AVCC (ISO/IEC 14496-15 5.3.3)."""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from relay.core.bits import Bits, rbsp
from relay.core.codec import Description


class NalType(IntEnum):
    """nal_unit_type, ITU-T H.264 table 7-1."""

    SLICE = 1
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    FILLER = 12


def nal_type(nal: bytes) -> int:
    """nal_unit_type of a NAL unit that is not empty."""
    return nal[0] & 0x1F


# Profiles whose SPS tells the chroma format and the bit depths (7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_SAR = 255
_MAX_SPS = 2048
"""Bytes; with every scaling list and all HRD parameters an SPS has fewer. Those that were read are kept."""


@dataclass(frozen=True, slots=True)
class Sps:
    """What the relay wants of a sequence parameter set."""

    profile: int
    """profile_idc: 66 baseline, 77 main, 100 high."""
    constraints: int
    """constraint_set flags, the byte between profile and level."""
    level: int
    """level_idc: ten times the level's number."""
    chroma_format: int
    luma_bits: int
    chroma_bits: int
    width: int
    """Luma samples after cropping."""
    height: int
    max_num_reorder_frames: int | None
    """How many pictures may come before one that is shown earlier; None where the VUI does not tell."""
    fps: float | None
    """From the VUI's timing; None where it does not tell."""


@functools.lru_cache(maxsize=64)
def parse_sps(nal: bytes) -> Sps:
    """Reads an SPS NAL unit (header byte included). ValueError where it is none or breaks the syntax."""
    if len(nal) < 4 or nal_type(nal) != NalType.SPS:
        raise ValueError("not an SPS")
    if len(nal) > _MAX_SPS:
        raise ValueError(f"an SPS of more than {_MAX_SPS} bytes")
    bits = Bits(rbsp(nal[1:]))
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue(31)  # seq_parameter_set_id
    chroma_format, luma_bits, chroma_bits, separate_planes = 1, 8, 8, 0
    if profile in _HIGH_PROFILES:
        chroma_format = bits.ue(3)
        if chroma_format == 3:
            separate_planes = bits.u(1)
        luma_bits += bits.ue(6)
        chroma_bits += bits.ue(6)
        bits.u(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.u(1):
            for index in range(12 if chroma_format == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue(12)  # log2_max_frame_num_minus4
    _skip_picture_order_count(bits)
    bits.ue(16)  # max_num_ref_frames
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    width = 16 * (bits.ue(1023) + 1)
    map_units = bits.ue(1023) + 1
    frame_mbs_only = bits.u(1)
    height = 16 * map_units * (2 - frame_mbs_only)
    if not frame_mbs_only:
        bits.u(1)  # mb_adaptive_frame_field_flag
    bits.u(1)  # direct_8x8_inference_flag
    if bits.u(1):
        # 7.4.2.1.1: crop units are chroma samples, and pairs of lines in interlaced sequences.
        planes = 0 if separate_planes else chroma_format
        unit_x = 2 if planes in (1, 2) else 1
        unit_y = (2 if planes == 1 else 1) * (2 - frame_mbs_only)
        width -= unit_x * (bits.ue(16384) + bits.ue(16384))
        height -= unit_y * (bits.ue(16384) + bits.ue(16384))
        if width <= 0 or height <= 0:
            raise ValueError("the cropping leaves no picture")
    max_num_reorder_frames, fps = _read_vui(bits) if bits.u(1) else (None, None)
    return Sps(
        profile, constraints, level, chroma_format, luma_bits, chroma_bits, width, height, max_num_reorder_frames, fps
    )


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_picture_order_count(bits: Bits) -> None:
    kind = bits.ue(2)
    if kind == 0:
        bits.ue(12)
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue(255)):
            bits.se()


def _read_vui(bits: Bits) -> tuple[int | None, float | None]:
    """max_num_reorder_frames and pictures per second (E.1.1)."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):
        bits.u(1)  # overscan_appropriate_flag
    if bits.u(1):
        bits.u(4)  # video_format, video_full_range_flag
        if bits.u(1):
            bits.u(24)  # colour primaries, transfer, matrix
    if bits.u(1):
        bits.ue(5)
        bits.ue(5)  # chroma_sample_loc_type of both fields
    fps = None
    if bits.u(1):
        tick, scale = bits.u(32), bits.u(32)
        bits.u(1)  # fixed_frame_rate_flag
        fps = scale / (2 * tick) if tick and scale else None
    nal_hrd = bits.u(1)
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.u(1)
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.u(1)  # low_delay_hrd_flag
    bits.u(1)  # pic_struct_present_flag
    if not bits.u(1):
        return None, fps
    bits.u(1)  # motion_vectors_over_pic_boundaries_flag
    for limit in (16, 16, 16, 16):
        bits.ue(limit)  # bytes, bits, and motion vector lengths
    return bits.ue(16), fps


def _skip_hrd(bits: Bits) -> None:
    count = bits.ue(31) + 1
    bits.u(8)
    for _ in range(count):
        bits.ue((1 << 32) - 1)
        bits.ue((1 << 32) - 1)
        bits.u(1)
    bits.u(20)


@dataclass(frozen=True, slots=True)
class DecoderConfiguration:
    """An avcC's parameter sets and the size of the lengths before its samples' NAL units."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    length_size: int = 4


def decoder_configuration(sps: Sequence[bytes], pps: Sequence[bytes]) -> bytes:
    """AVCDecoderConfigurationRecord for samples with 4-byte lengths. ValueError: none, too many or unreadable sets."""
    if not 1 <= len(sps) <= 31 or len(pps) > 255 or any(len(nal) > 0xFFFF for nal in (*sps, *pps)):
        raise ValueError("a record holds 1 to 31 SPS and up to 255 PPS of up to 65535 bytes")
    first = parse_sps(sps[0])
    parts = [bytes((1, first.profile, first.constraints, first.level, 0xFF, 0xE0 | len(sps)))]
    parts += [len(nal).to_bytes(2, "big") + nal for nal in sps]
    parts.append(bytes((len(pps),)))
    parts += [len(nal).to_bytes(2, "big") + nal for nal in pps]
    if first.profile in _HIGH_PROFILES:
        parts.append(bytes((0xFC | first.chroma_format, 0xF8 | first.luma_bits - 8, 0xF8 | first.chroma_bits - 8, 0)))
    return b"".join(parts)


def parameter_sets(nals: list[bytes]) -> list[bytes]:
    """SPS and PPS; none without an SPS."""
    sets = [nal for nal in nals if nal_type(nal) in (NalType.SPS, NalType.PPS)]
    return sets if any(nal_type(nal) == NalType.SPS for nal in sets) else []


def describe(nals: list[bytes]) -> Description | None:
    """Of an IDR picture; None where it is sent without parameter sets. ValueError where they cannot be read."""
    # Each once: some senders repeat them before each slice.
    sps = list(dict.fromkeys(nal for nal in nals if nal_type(nal) == NalType.SPS))
    pps = list(dict.fromkeys(nal for nal in nals if nal_type(nal) == NalType.PPS))
    if not sps or not pps:
        return None
    size = parse_sps(sps[0])
    return Description(size.width, size.height, decoder_configuration(sps, pps))


def reorder_depth(nals: list[bytes]) -> int | None:
    """max_num_reorder_frames, where the picture brings an SPS that tells."""
    return next((_told_depth(nal) for nal in nals if nal_type(nal) == NalType.SPS), None)


def _told_depth(sps: bytes) -> int | None:
    try:
        return parse_sps(sps).max_num_reorder_frames
    except ValueError:
        return None


def parse_decoder_configuration(data: bytes) -> DecoderConfiguration:
    """Reads an AVCDecoderConfigurationRecord. ValueError where it breaks the syntax."""
    if len(data) < 7 or data[0] != 1:
        raise ValueError("not an avcC of version 1")
    position = 6
    sets: list[tuple[bytes, ...]] = []
    count = data[5] & 0x1F
    for last in (False, True):
        nals = []
        for _ in range(count):
            size = int.from_bytes(data[position : position + 2], "big")
            nals.append(data[position + 2 : position + 2 + size])
            position += 2 + size
        if position >= len(data) + last:
            raise ValueError("the avcC ends early")
        sets.append(tuple(nals))
        if not last:
            count = data[position]
            position += 1
    return DecoderConfiguration(sets[0], sets[1], (data[4] & 3) + 1)


def length_prefixed(nals: Iterable[bytes]) -> bytes:
    """NAL units as AVCC: each behind its length in 4 bytes."""
    parts: list[bytes] = []
    for nal in nals:
        parts.append(len(nal).to_bytes(4, "big"))
        parts.append(nal)
    return b"".join(parts)


def split_length_prefixed(data: bytes, length_size: int = 4) -> list[bytes]:
    """The inverse. ValueError where the lengths do not add up. Empty NAL units are left out."""
    nals: list[bytes] = []
    position = 0
    while position < len(data):
        start = position + length_size
        position = start + int.from_bytes(data[position:start], "big")
        if position > len(data) or start > len(data):
            raise ValueError("a length reaches past the end")
        if position > start:
            nals.append(data[start:position])
    return nals


_START_CODE = re.compile(rb"\x00\x00\x01")


def split_annex_b(data: bytes) -> list[bytes]:
    """NAL units of a byte stream (Annex B), without start codes and the zeros around them."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    # rstrip: trailing_zero_8bits and the zero_byte of the next start code; a NAL unit never ends in a zero (7.4.1).
    return [nal for start, end in zip(starts, ends, strict=False) if (nal := data[start:end].rstrip(b"\x00"))]
