import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.aac import LC, SAMPLE_RATES, AudioSpecificConfig


def test_the_relays_output():
    assert AudioSpecificConfig(LC, 44100, 2).encode() == bytes.fromhex("1210")
    # FFmpeg's, with its explicit "no SBR" behind.
    assert AudioSpecificConfig.parse(bytes.fromhex("121056e500")) == (LC, 44100, 2)


@given(st.integers(1, 30), st.sampled_from(SAMPLE_RATES), st.integers(1, 7))
def test_round_trip(object_type, rate, channels):
    config = AudioSpecificConfig(object_type, rate, channels)
    assert AudioSpecificConfig.parse(config.encode()) == config


def test_an_explicit_rate():
    bits = LC << 35 | 15 << 31 | 50000 << 7 | 2 << 3
    assert AudioSpecificConfig.parse(bits.to_bytes(5, "big")) == (LC, 50000, 2)


@pytest.mark.parametrize("data", [b"", b"\x12", b"\x00\x10", b"\x16\x90", b"\x17\x90"])
def test_not_a_config(data):
    with pytest.raises(ValueError, match=r"AudioSpecificConfig|frequency"):
        AudioSpecificConfig.parse(data)


@given(st.binary(max_size=8))
def test_garbage(data):
    try:
        AudioSpecificConfig.parse(data)
    except ValueError:
        return


@pytest.mark.parametrize("config", [(LC, 44000, 2), (0, 44100, 2), (LC, 44100, 0), (31, 44100, 2)])
def test_what_cannot_be_written(config):
    with pytest.raises(ValueError, match=r"index|range"):
        AudioSpecificConfig(*config).encode()
