import pytest

from relay.core import vp8
from tests.unit.rtp.codec_cases import VP8


def test_a_key_frame_is_described() -> None:
    frame = VP8.units(1)[0].data
    described = vp8.describe([frame])
    assert (described.width, described.height) == (160, 120)
    # vpcC: version 1 and flags; profile 0, level 1.0; 8 bits and 4:2:0; colours unspecified; no initialisation data.
    assert described.record == bytes.fromhex("01000000 00 0a 82 020202 0000")


@pytest.mark.parametrize("at", [0, 3, 5])
def test_another_frame_is_not(at: int) -> None:
    frame = bytearray(VP8.units(1)[0].data)
    frame[at] ^= 1
    with pytest.raises(ValueError, match="not a VP8 key frame"):
        vp8.describe([bytes(frame)])
    with pytest.raises(ValueError, match="not a VP8 key frame"):
        vp8.describe([bytes(frame[:9])])
