"""VP9 outside RTP: the uncompressed header and superframes (VP9 Bitstream & Decoding Process Specification 0.6)."""

from relay.core.bits import Bits
from relay.core.codec import Description
from relay.core.vpcc import codec_configuration

_SYNC_CODE = 0x498342
_RGB = 7


def is_key(frame: bytes) -> bool:
    """The frame's first bytes say key frame (6.2, frame_type)."""
    if not frame or frame[0] >> 6 != 2:
        return False
    # frame_marker (2 bits), profile_low, profile_high, a reserved bit in profile 3, show_existing_frame, frame_type.
    if frame[0] & 0x30 == 0x30:
        return frame[0] & 0x04 == 0 and frame[0] & 0x02 == 0
    return frame[0] & 0x08 == 0 and frame[0] & 0x04 == 0


def describe(parts: list[bytes]) -> Description:
    """Of a key frame. ValueError where its header cannot be read."""
    frame = parts[0]
    if not is_key(frame):
        raise ValueError("not a VP9 key frame")
    bits = Bits(frame[:16])
    bits.u(2)
    profile = bits.u(1) | bits.u(1) << 1
    bits.u(5 if profile == 3 else 4)  # show_existing_frame, frame_type, show_frame, error_resilient_mode
    if bits.u(24) != _SYNC_CODE:
        raise ValueError("a VP9 key frame without its sync code")
    bit_depth = 8
    if profile >= 2:
        bit_depth = 12 if bits.u(1) else 10
    chroma, full_range = _chroma(bits, profile)
    width, height = bits.u(16) + 1, bits.u(16) + 1
    record = codec_configuration(
        profile=profile, width=width, height=height, bit_depth=bit_depth, chroma=chroma, full_range=full_range
    )
    return Description(width, height, record)


def _chroma(bits: Bits, profile: int) -> tuple[int, bool]:
    """vpcC's chroma subsampling and range (7.2.2)."""
    if bits.u(3) == _RGB:
        if profile in (1, 3):
            bits.u(1)
        return 3, True
    full_range = bool(bits.u(1))
    if profile not in (1, 3):
        return 1, full_range
    subsampled_x, subsampled_y = bits.u(1), bits.u(1)
    bits.u(1)
    if not subsampled_x:
        return 3, full_range
    return (1 if subsampled_y else 2), full_range


def superframe(frames: list[bytes]) -> bytes:
    """One chunk of several frames, with the index that tells them apart (Annex B); a single frame stays as it is."""
    if len(frames) == 1:
        return frames[0]
    width = max((max(map(len, frames)).bit_length() + 7) // 8, 1)
    marker = bytes((0xC0 | (width - 1) << 3 | len(frames) - 1,))
    sizes = b"".join(len(frame).to_bytes(width, "little") for frame in frames)
    return b"".join((*frames, marker, sizes, marker))
