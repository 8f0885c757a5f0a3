"""The relay's own resampler, compiled: how near it is to what it takes, and that it slides to its place."""

import numpy as np
import numpy.typing as npt
import pytest

from relay.core.opus import MAX_SAMPLES, RATE
from relay.push.transcode import AAC_RATE
from relay.push.transcode.coders import PcmResampler, make_coder

Array = npt.NDArray[np.float64]
NEAR = RATE // 1000
"""Samples that the sound may be away from its place for good."""


def resampler() -> PcmResampler:
    return make_coder("lean", 128_000).make_resampler()


def tone(hertz: float, seconds: float) -> bytes:
    """Sine on the left, cosine on the right."""
    angles = 2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE
    return np.round(26_000 * np.stack([np.sin(angles), np.cos(angles)], axis=1)).astype("<i2").tobytes()


def through(pcm: bytes, *, drift: float = 0.0, size: int = 960) -> tuple[Array, list[float]]:
    """What becomes of it, where each piece should be a little later than where the last one ends; and how far from
    its place it is, after each."""
    made = resampler()
    sound, away, total = [], [], 0
    for at in range(0, len(pcm) // 4, size):
        piece = pcm[4 * at : 4 * (at + size)]
        planes = made.resample(piece, round(at * (1 + drift)))
        sound.append(np.stack([np.frombuffer(plane, "<f4").astype(float) for plane in planes]))
        total += sound[-1].shape[1]
        away.append((at + len(piece) // 4) * (1 + drift) - total * RATE / AAC_RATE - made.held)
    return np.concatenate(sound, axis=1), away


def spectrum(sound: Array) -> tuple[Array, Array]:
    """Frequencies and powers."""
    return np.fft.rfftfreq(len(sound), 1 / AAC_RATE), np.square(np.abs(np.fft.rfft(sound * np.blackman(len(sound)))))


@pytest.mark.parametrize("hertz", [50, 440, 1000, 5000, 10_000, 15_000])
def test_a_tone_stays_what_it_is(hertz: float) -> None:
    sound, away = through(tone(hertz, 1.0))
    angles = 2 * np.pi * hertz * np.arange(sound.shape[1]) / AAC_RATE
    waves = np.stack([np.sin(angles), np.cos(angles)])
    for got, expected in zip(sound[:, 100:], 26_000 / 32_768 * waves[:, 100:], strict=True):
        parts = np.linalg.lstsq(waves[:, 100:].T, got, rcond=None)[0]
        error = got - parts @ waves[:, 100:]
        assert 10 * np.log10(np.square(expected).mean() / np.square(error).mean()) >= 90
        # Flat to 0.01 dB, and where it was.
        assert np.square(got - expected).mean() < 1e-6 * np.square(expected).mean()
    assert max(map(abs, away)) < 0.1


def test_what_is_high_is_not_heard_as_something_low() -> None:
    """What Opus codes ends at 20 kHz."""
    for hertz in (17_500, 19_000, 20_000):
        sound, _ = through(tone(hertz, 1.0))
        frequencies, powers = spectrum(sound[0, 100:])
        assert 10 * np.log10(powers[frequencies < 16_500].sum() / powers.sum()) < -90


@pytest.mark.parametrize("size", [120, 1000, MAX_SAMPLES])
def test_it_is_the_same_however_the_sound_comes(size: int) -> None:
    pcm = np.random.default_rng(3).integers(-20_000, 20_000, 2 * 2 * MAX_SAMPLES).astype("<i2").tobytes()
    got, expected = through(pcm, size=size)[0], through(pcm)[0]
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("drift", [0.0001, -0.001, 0.004, -0.004])
def test_it_slides_to_its_place(drift: float) -> None:
    sound, away = through(tone(1000, 20.0), drift=drift)
    assert max(map(abs, away)) <= max(1.05 * NEAR, 1.05 * abs(drift) * RATE)
    # The tone is a little higher or lower then, and alone.
    frequencies, powers = spectrum(sound[0, 8 * AAC_RATE : 12 * AAC_RATE])
    tones = np.abs(frequencies - 1000) < 60
    assert 10 * np.log10(powers[tones].sum() / powers[~tones].sum()) >= 70


def test_it_takes_so_much_at_once() -> None:
    with pytest.raises(ValueError, match="5761 samples"):
        resampler().resample(bytes(4 * (MAX_SAMPLES + 1)), 0)
