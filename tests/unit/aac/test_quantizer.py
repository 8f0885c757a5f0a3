"""How much noise the AAC encoder's quantizer leaves, against what it was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.aac.encoder.quantizer import (
    band_powers,
    choose_factors,
    level,
    magnitudes,
    quantize,
    shape_steps,
)
from relay.core.aac.encoder.tables import LARGEST, LONG_BANDS
from tests.support.mdct import Array

BANDS = len(LONG_BANDS) - 1
LINES = int(LONG_BANDS[-1])
WIDTHS = np.diff(LONG_BANDS)


def quantized(lines: Array, factors: Array) -> tuple[Array, Array, Array]:
    """Values, peaks by band, and the scale factors that it took."""
    lines = lines.astype(np.float32)
    raised, taken = np.empty(LINES, np.float32), factors.astype(np.int32)
    values, peaks = np.empty(LINES, np.int32), np.empty(BANDS, np.int32)
    magnitudes(lines, LINES, raised)
    quantize(lines, raised, LONG_BANDS, BANDS, taken, values, peaks)
    return values, peaks, taken


def factors_for(lines: Array, step: float) -> Array:
    powers, levels, shape = (np.empty(BANDS, np.float32) for _ in range(3))
    factors = np.empty(BANDS, np.int32)
    band_powers(lines.astype(np.float32), LONG_BANDS, BANDS, powers)
    shape_steps(powers, BANDS, levels, shape)
    choose_factors(levels, shape, step, BANDS, factors)
    return factors


def restored(values: Array, factors: Array) -> Array:
    """As a decoder does (ISO/IEC 14496-3, 4.6.1.3 and 4.6.2.3)."""
    return np.sign(values) * np.abs(values) ** (4 / 3) * 2.0 ** ((np.repeat(factors, WIDTHS) - 100) / 4)


def test_powers_and_levels_of_bands() -> None:
    lines = np.random.default_rng(1).normal(0, 1000, LINES).astype(np.float32)
    powers, levels, steps = (np.empty(BANDS, np.float32) for _ in range(3))
    band_powers(lines, LONG_BANDS, BANDS, powers)
    assert np.allclose(powers, np.add.reduceat(lines.astype(float) ** 2, LONG_BANDS[:-1]) / WIDTHS, rtol=1e-5)
    shape_steps(powers, BANDS, levels, steps)
    assert np.allclose(levels, np.log2(powers) / 2, atol=1e-5)
    assert level(0.0) < -10


def test_a_band_has_wider_steps_where_it_is_louder_or_the_one_below_is() -> None:
    powers = np.array([4.0**10, 4.0**10, 4.0**2, 4.0**2, 0.0, 4.0**6], np.float32)
    levels, steps = np.empty(6, np.float32), np.empty(6, np.float32)
    shape_steps(powers, 6, levels, steps)
    assert steps[0] == steps[1] > steps[5] > steps[3] > steps[4]
    assert steps[1] > steps[2] > steps[3]


@pytest.mark.parametrize("loudness", [6, 10, 14])
@pytest.mark.parametrize("below", [1, 3, 5])
def test_noise_is_about_what_was_asked_for(loudness: int, below: int) -> None:
    """A step of width w leaves w / sqrt(12), root mean square."""
    lines = np.random.default_rng(loudness).normal(0, 2.0**loudness, LINES)
    step = np.full(BANDS, loudness - below, np.float32)
    factors = np.empty(BANDS, np.int32)
    choose_factors(np.full(BANDS, loudness, np.float32), step, 0.0, BANDS, factors)
    values, _, taken = quantized(lines, factors)
    left = np.log2(np.sqrt(np.mean((restored(values, taken) - lines) ** 2)))
    assert left == pytest.approx(loudness - below - np.log2(12) / 2, abs=0.5)


def test_a_decoder_s_values_are_the_nearest_or_one_below() -> None:
    lines = np.random.default_rng(3).normal(0, 300, LINES)
    factors = np.full(BANDS, 112)
    values, peaks, taken = quantized(lines, factors)
    assert np.array_equal(taken, factors)
    exact = (np.abs(lines) * 2.0**-3) ** 0.75
    assert (np.abs(values) <= exact + 0.4055).all()
    assert (np.abs(values) > exact - 0.5946).all()
    assert (values * lines >= 0).all()
    assert np.array_equal(peaks, np.maximum.reduceat(np.abs(values), LONG_BANDS[:-1]))


@given(st.lists(st.floats(0, 2.0**24, width=32), min_size=BANDS, max_size=BANDS), st.floats(3, 16))
def test_values_can_be_written_and_factors_are_within_reach(peaks: list[float], step: float) -> None:
    """One line in each band is far above the others."""
    lines = np.random.default_rng(1).normal(0, 1, LINES)
    lines[LONG_BANDS[:-1]] = peaks
    factors = factors_for(lines, step)
    assert factors.max() - factors.min() <= 50
    values, found, taken = quantized(lines, factors)
    assert np.abs(values).max() <= LARGEST[-1]
    assert found.max() <= LARGEST[-1]
    assert (taken >= factors).all()
    assert taken.max() <= 255
    assert taken.max() - taken.min() <= 60


def test_a_factor_is_raised_until_the_value_can_be_written() -> None:
    lines = np.zeros(LINES)
    lines[0], lines[-1] = 2.0**24, -(2.0**22)
    values, peaks, taken = quantized(lines, np.full(BANDS, 100))
    assert values[0] <= LARGEST[-1]
    assert values[-1] >= -LARGEST[-1]
    assert (taken[1:-1] == 100).all()
    # By no more than it takes.
    assert (peaks[[0, -1]] > LARGEST[-1] * 2 ** (-3 / 16)).all()
    assert np.allclose(restored(values, taken)[[0, -1]], lines[[0, -1]], rtol=1e-3)


def test_smaller_steps_take_smaller_factors() -> None:
    lines = np.random.default_rng(5).normal(0, 2.0**10, LINES)
    less, more = factors_for(lines, 3.0), factors_for(lines, 6.0)
    assert (less < more).all()
    values = quantized(lines, less)[0], quantized(lines, more)[0]
    assert np.abs(values[0]).sum() > 2 * np.abs(values[1]).sum()
