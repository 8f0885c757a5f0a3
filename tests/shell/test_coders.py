"""AAC coders: tones, and where the default changes its ways."""

from collections.abc import Sequence

import numpy as np
import pytest

from relay.core.aac import SILENCE
from relay.push.transcode import AAC_RATE, AAC_SAMPLES
from relay.push.transcode.coders import CoderName, make_coder
from tests.support import programme
from tests.support.coding import alike, at_aac_rate, code, decode, through
from tests.support.programme import Sound
from tests.support.quality import snr


def step(sound: Sound) -> float:
    return float(np.abs(np.diff(sound)).max())


@pytest.mark.parametrize("amplitude", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("hertz", [100, 1000, 5000])
def test_a_loud_tone_is_clean(amplitude: float, hertz: float) -> None:
    tone = at_aac_rate(programme.tone(amplitude, hertz))
    assert snr(*through(tone)) >= 40
    assert snr(*through(tone * np.array([[1.0], [0.5]], np.float32))) >= 40


def test_a_square_wave_at_full_scale_is_clean() -> None:
    """Its fundamental is above full scale."""
    square = np.sign(programme.tone(1.0, 400)).astype(np.float32)
    assert snr(*through(at_aac_rate(square))) >= 20


def test_one_side_alone_stays_there() -> None:
    sound = at_aac_rate(programme.tone(0.5)) * np.array([[1.0], [0.0]], np.float32)
    _, got = through(sound)
    assert np.abs(got[1]).max() == 0


def seconds(*parts: Sound) -> Sound:
    return np.concatenate(parts, axis=1)


def tones(left: float, right: float, length: float, start: float = 0.0) -> Sound:
    """A steady 300 Hz, at its phase from `start` on; 44.1 kHz."""
    wave = np.sin(2 * np.pi * 300 * (np.arange(round(length * AAC_RATE)) / AAC_RATE + start))
    return np.stack([left * wave, right * wave]).astype(np.float32)


@pytest.mark.parametrize("size", [441, 882, 4410])
def test_no_click_where_one_channel_becomes_two_and_two_one(size: int) -> None:
    """The left goes on as it was; the right fades out and, when two are one again, has been back for two seconds."""
    level = np.interp(np.arange(5 * AAC_RATE) / AAC_RATE, [0, 1, 1.2, 1.8, 2.0, 5.0], [1, 1, 0, 0, 1, 1])
    sound = tones(0.5, 0.5, 5) * np.stack([np.ones(len(level)), level]).astype(np.float32)
    source, got = through(sound, size=size)
    assert step(got[:1]) < 1.05 * step(source[:1])
    assert step(got[1:]) < 1.05 * step(source[1:])
    assert snr(source, got) > 40


def test_no_click_where_two_channels_begin_at_once() -> None:
    """Another sound on the right from one sample to the next, at a zero of both."""
    begins = AAC_RATE  # a whole number of periods
    time = np.arange(2 * AAC_RATE) / AAC_RATE
    left = 0.5 * np.sin(2 * np.pi * 300 * time)
    right = np.where(np.arange(2 * AAC_RATE) < begins, left, 0.5 * np.sin(2 * np.pi * 420 * time))
    source, got = through(np.stack([left, right]).astype(np.float32))
    for channel in (0, 1):
        assert step(got[channel : channel + 1]) < 1.2 * step(source[channel : channel + 1])


@pytest.mark.parametrize("size", [882, 4410])
def test_digital_silence_needs_no_encoder_and_no_click_is_at_its_joins(size: int) -> None:
    sound = seconds(tones(0.5, 0.3, 1), np.zeros((2, AAC_RATE), np.float32), tones(0.5, 0.5, 1, start=2.0))
    coder = make_coder("paired", 128_000)
    units = code(coder, sound, size)
    assert 30 <= units.count(SILENCE) <= 43
    source, got = alike(sound, decode(coder.config, units))
    assert snr(source, got) > 40
    assert step(got) < 1.2 * step(source)
    quiet = got[:, round(1.2 * AAC_RATE) - 2048 : round(1.8 * AAC_RATE) - 2048]
    assert np.abs(quiet).max() == 0


def test_silence_from_the_beginning() -> None:
    coder = make_coder("paired", 128_000)
    units = code(coder, np.zeros((2, 20 * AAC_SAMPLES), np.float32), AAC_SAMPLES)
    assert units == [SILENCE] * 19


@pytest.mark.parametrize("sizes", [(1024,), (1, 5000), (441, 882, 4410, 9000), (1023, 1025)])
@pytest.mark.parametrize("coder", ["paired", "twoloop"])
def test_a_unit_for_each_1024_samples_however_they_come(coder: CoderName, sizes: Sequence[int]) -> None:
    made = make_coder(coder, 128_000)
    given = units = 0
    for size in sizes * 4:
        units += len(code(made, tones(0.2, 0.1, 1)[:, :size], size))
        given += size
    assert units == max(0, given // AAC_SAMPLES - 1)
