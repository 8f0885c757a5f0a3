"""VP8 outside RTP: the frame header (RFC 6386 9.1), and vpcC (VP Codec ISO Media File Format Binding 1.0)."""

from relay.core.codec import Description
from relay.core.vpcc import codec_configuration

_START_CODE = b"\x9d\x01\x2a"


def describe(parts: list[bytes]) -> Description:
    """Of a key frame. ValueError where its header is not one."""
    frame = parts[0]
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != _START_CODE:
        raise ValueError("not a VP8 key frame")
    # The upper two bits of each are the scale at which to show it, which concerns the player.
    width = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    if not width or not height:
        raise ValueError("a VP8 key frame without a size")
    return Description(width, height, codec_configuration(profile=frame[0] >> 1 & 7, width=width, height=height))
