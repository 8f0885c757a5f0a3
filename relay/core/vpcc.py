"""vpcC, the configuration record of VP8 and VP9 (VP Codec ISO Media File Format Binding 1.0, 2.2)."""

_LEVELS = (
    (10, 829_440, 36_864),
    (11, 2_764_800, 73_728),
    (20, 4_608_000, 122_880),
    (21, 9_216_000, 245_760),
    (30, 20_736_000, 552_960),
    (31, 36_864_000, 983_040),
    (40, 83_558_400, 2_228_224),
    (41, 160_432_128, 2_228_224),
    (50, 311_951_360, 8_912_896),
    (51, 588_251_136, 8_912_896),
    (52, 1_176_502_272, 8_912_896),
    (60, 1_176_502_272, 35_651_584),
    (61, 2_353_004_544, 35_651_584),
)
"""VP9's levels: ten times the number, luma samples a second, luma samples a picture."""
_TOP = 62
_FRAME_RATE = 30  # of live pictures; no header tells it
_UNSPECIFIED = 2


def codec_configuration(
    *, profile: int, width: int, height: int, bit_depth: int = 8, chroma: int = 1, full_range: bool = False
) -> bytes:
    """The record as a full box of version 1 holds it. `chroma`: 1 is 4:2:0 with samples beside luma (0, 0), 2 is 4:2:2,
    3 is 4:4:4. Colours are left to what the stream's own header says."""
    samples = width * height
    level = next((n for n, rate, most in _LEVELS if samples <= most and samples * _FRAME_RATE <= rate), _TOP)
    layout = bit_depth << 4 | chroma << 1 | full_range
    return bytes((1, 0, 0, 0, profile, level, layout, _UNSPECIFIED, _UNSPECIFIED, _UNSPECIFIED, 0, 0))
