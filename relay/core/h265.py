"""H.265 outside RTP: NAL units, SPS (ITU-T H.265 7.3), hvcC (ISO/IEC 14496-15 8.3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from relay.core.bits import Bits, rbsp
from relay.core.codec import Description


class NalType(IntEnum):
    """nal_unit_type, ITU-T H.265 table 7-1."""

    RASL_R = 9
    IDR_W_RADL = 19
    IDR_N_LP = 20
    LAST_VCL = 31
    VPS = 32
    SPS = 33
    PPS = 34
    AUD = 35
    END_OF_SEQUENCE = 36
    END_OF_BITSTREAM = 37
    FILLER = 38
    PREFIX_SEI = 39


IDR = (NalType.IDR_W_RADL, NalType.IDR_N_LP)
_PARAMETER_SETS = (NalType.VPS, NalType.SPS, NalType.PPS)
_MAX_SIZE = 16384
_MAX_DEPTH = 16


def nal_type(nal: bytes) -> int:
    """nal_unit_type of a NAL unit that is not empty."""
    return nal[0] >> 1 & 0x3F


@dataclass(frozen=True, slots=True)
class Sps:
    """What the relay wants of a sequence parameter set."""

    profile: bytes
    """The 12 bytes of general profile, tier, constraints and level (7.3.3)."""
    temporal_layers: int
    temporal_nesting: bool
    chroma_format: int
    luma_bits: int
    chroma_bits: int
    width: int
    """Luma samples after cropping."""
    height: int
    max_num_reorder_pics: int
    """Of the highest temporal layer."""


def parse_sps(nal: bytes) -> Sps:
    """Reads an SPS NAL unit (header included) as far as is needed. ValueError where it is none or breaks the syntax."""
    if len(nal) < 15 or nal_type(nal) != NalType.SPS:
        raise ValueError("not an SPS")
    bits = Bits(rbsp(nal[2:]))
    bits.u(4)  # sps_video_parameter_set_id
    layers = bits.u(3) + 1
    nesting = bool(bits.u(1))
    profile = bits.u(96).to_bytes(12, "big")
    _skip_layer_profiles(bits, layers - 1)
    bits.ue(15)  # sps_seq_parameter_set_id
    chroma_format = bits.ue(3)
    separate_planes = bits.u(1) if chroma_format == 3 else 0
    width, height = bits.ue(_MAX_SIZE), bits.ue(_MAX_SIZE)
    if bits.u(1):
        # 7.4.3.2.1: the window's offsets are in chroma samples.
        planes = 0 if separate_planes else chroma_format
        unit_x = 2 if planes in (1, 2) else 1
        unit_y = 2 if planes == 1 else 1
        width -= unit_x * (bits.ue(_MAX_SIZE) + bits.ue(_MAX_SIZE))
        height -= unit_y * (bits.ue(_MAX_SIZE) + bits.ue(_MAX_SIZE))
    if width <= 0 or height <= 0:
        raise ValueError("the cropping leaves no picture")
    luma_bits, chroma_bits = 8 + bits.ue(8), 8 + bits.ue(8)
    bits.ue(12)  # log2_max_pic_order_cnt_lsb_minus4
    reorder = 0
    for _ in range(layers if bits.u(1) else 1):  # sps_sub_layer_ordering_info_present_flag
        bits.ue(15)  # sps_max_dec_pic_buffering_minus1
        reorder = bits.ue(_MAX_DEPTH)
        bits.ue((1 << 32) - 2)  # sps_max_latency_increase_plus1
    return Sps(profile, layers, nesting, chroma_format, luma_bits, chroma_bits, width, height, reorder)


def _skip_layer_profiles(bits: Bits, count: int) -> None:
    """profile_tier_level() of the temporal layers below the highest (7.3.3)."""
    present = [(bits.u(1), bits.u(1)) for _ in range(count)]
    if count:
        bits.u(2 * (8 - count))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)


def decoder_configuration(vps: Sequence[bytes], sps: Sequence[bytes], pps: Sequence[bytes]) -> bytes:
    """HEVCDecoderConfigurationRecord for samples with 4-byte lengths. ValueError: none, too many or unreadable sets."""
    if not sps or max(len(vps), len(sps), len(pps)) > 64 or any(len(nal) > 0xFFFF for nal in (*vps, *sps, *pps)):
        raise ValueError("a record holds 1 to 64 sets of a kind, of up to 65535 bytes each")
    first = parse_sps(sps[0])
    head = bytes((1,)) + first.profile
    # Segmentation and parallelism are not told: 0. Frame rates are not told: 0.
    head += bytes((0xF0, 0, 0xFC, 0xFC | first.chroma_format, 0xF8 | first.luma_bits - 8, 0xF8 | first.chroma_bits - 8))
    head += bytes((0, 0, first.temporal_layers << 3 | first.temporal_nesting << 2 | 3, 3))
    parts = [head]
    for kind, nals in zip(_PARAMETER_SETS, (vps, sps, pps), strict=True):
        parts.append(bytes((kind,)) + len(nals).to_bytes(2, "big"))
        parts += [len(nal).to_bytes(2, "big") + nal for nal in nals]
    return b"".join(parts)


def parameter_sets(nals: list[bytes]) -> list[bytes]:
    """VPS, SPS and PPS; none without an SPS."""
    sets = [nal for nal in nals if nal_type(nal) in _PARAMETER_SETS]
    return sets if any(nal_type(nal) == NalType.SPS for nal in sets) else []


def describe(nals: list[bytes]) -> Description | None:
    """Of an IDR picture; None where it is sent without parameter sets. ValueError where they cannot be read."""
    vps, sps, pps = (list(dict.fromkeys(nal for nal in nals if nal_type(nal) == kind)) for kind in _PARAMETER_SETS)
    if not vps or not sps or not pps:
        return None
    size = parse_sps(sps[0])
    return Description(size.width, size.height, decoder_configuration(vps, sps, pps))


def reorder_depth(nals: list[bytes]) -> int | None:
    """sps_max_num_reorder_pics, where the picture brings an SPS."""
    for nal in nals:
        if nal_type(nal) == NalType.SPS:
            try:
                return parse_sps(nal).max_num_reorder_pics
            except ValueError:
                return None
    return None
