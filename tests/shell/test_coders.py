"""AAC coders: tones, silence, what is hard to code, and where they change their ways."""

from collections.abc import Callable, Sequence
from itertools import cycle

import numpy as np
import pytest

from relay.core.aac import SILENCE
from relay.push.transcode import AAC_RATE, AAC_SAMPLES
from relay.push.transcode.coders import DEFAULT_CODER, CoderName, LeanCoder, make_coder
from tests.support import programme
from tests.support.coding import alike, at_aac_rate, code, decode, frames, through
from tests.support.programme import Sound
from tests.support.quality import snr
from tests.support.thorough import also

OURS = pytest.mark.parametrize("coder", ["lean", "paired"])


def step(sound: Sound) -> float:
    return float(np.abs(np.diff(sound)).max())


@pytest.mark.parametrize("amplitude", [1.0, *also(0.3, 0.8)])
@pytest.mark.parametrize("hertz", [100, 1000, 5000])
@OURS
def test_a_loud_tone_is_clean(coder: CoderName, amplitude: float, hertz: float) -> None:
    tone = at_aac_rate(programme.tone(amplitude, hertz))
    assert snr(*through(tone, coder)) >= 40
    assert snr(*through(tone * np.array([[1.0], [0.5]], np.float32), coder)) >= 40


@OURS
def test_a_square_wave_at_full_scale_is_clean(coder: CoderName) -> None:
    """Its fundamental is above full scale."""
    square = np.sign(programme.tone(1.0, 400)).astype(np.float32)
    assert snr(*through(at_aac_rate(square), coder)) >= 20


@OURS
def test_one_side_alone_stays_there(coder: CoderName) -> None:
    sound = at_aac_rate(programme.tone(0.5)) * np.array([[1.0], [0.0]], np.float32)
    _, got = through(sound, coder)
    assert np.abs(got[1]).max() == 0


def seconds(*parts: Sound) -> Sound:
    return np.concatenate(parts, axis=1)


def tones(left: float, right: float, length: float, start: float = 0.0) -> Sound:
    """A steady 300 Hz, at its phase from `start` on; 44.1 kHz."""
    wave = np.sin(2 * np.pi * 300 * (np.arange(round(length * AAC_RATE)) / AAC_RATE + start))
    return np.stack([left * wave, right * wave]).astype(np.float32)


@pytest.mark.parametrize("size", [441, 882, 4410])
@OURS
def test_no_click_where_one_channel_becomes_two_and_two_one(coder: CoderName, size: int) -> None:
    """The left goes on as it was; the right fades out and, when two are one again, has been back for two seconds."""
    level = np.interp(np.arange(5 * AAC_RATE) / AAC_RATE, [0, 1, 1.2, 1.8, 2.0, 5.0], [1, 1, 0, 0, 1, 1])
    sound = tones(0.5, 0.5, 5) * np.stack([np.ones(len(level)), level]).astype(np.float32)
    source, got = through(sound, coder, size=size)
    assert step(got[:1]) < 1.05 * step(source[:1])
    assert step(got[1:]) < 1.05 * step(source[1:])
    assert snr(source, got) > 40


@OURS
def test_no_click_where_two_channels_begin_at_once(coder: CoderName) -> None:
    """Another sound on the right from one sample to the next, at a zero of both."""
    begins = AAC_RATE  # a whole number of periods
    time = np.arange(2 * AAC_RATE) / AAC_RATE
    left = 0.5 * np.sin(2 * np.pi * 300 * time)
    right = np.where(np.arange(2 * AAC_RATE) < begins, left, 0.5 * np.sin(2 * np.pi * 420 * time))
    source, got = through(np.stack([left, right]).astype(np.float32), coder)
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
@pytest.mark.parametrize("coder", ["lean", "paired", "twoloop"])
def test_a_unit_for_each_1024_samples_however_they_come(coder: CoderName, sizes: Sequence[int]) -> None:
    made = make_coder(coder, 128_000)
    given = units = 0
    for size in sizes * 4:
        units += len(code(made, tones(0.2, 0.1, 1)[:, :size], size))
        given += size
    assert units == max(0, given // AAC_SAMPLES - 1)


def test_the_relay_s_own_is_what_stands_in_the_settings() -> None:
    assert isinstance(make_coder(DEFAULT_CODER, 128_000), LeanCoder)


def lean(sound: Sound, bit_rate: int = 128_000) -> list[bytes]:
    return code(make_coder("lean", bit_rate), sound)


def test_silence_is_a_few_bytes_from_the_beginning_and_after_sound() -> None:
    quiet = np.zeros((2, AAC_RATE), np.float32)
    assert max(map(len, lean(quiet))) <= 8
    units = lean(seconds(quiet, tones(0.5, 0.3, 1), quiet))
    # Around the sound, frames that reach into the second before or after it, and decide on their windows.
    assert max(map(len, units[:41] + units[90:])) <= 8
    got = decode(make_coder("lean", 128_000).config, units)
    assert not got[:, : AAC_RATE - 3 * AAC_SAMPLES].any()
    assert not got[:, 2 * AAC_RATE + 3 * AAC_SAMPLES :].any()


@pytest.mark.parametrize("sizes", [(4410,), (1, 1023, 7000), (16 * AAC_SAMPLES, 33 * AAC_SAMPLES)])
def test_units_are_the_same_however_the_sound_comes(sizes: Sequence[int]) -> None:
    sound = at_aac_rate(programme.music(seconds=2))
    made = make_coder("lean", 128_000)
    units: list[bytes] = []
    at = 0
    for size in cycle(sizes):
        if at >= sound.shape[1]:
            break
        units += made.encode([np.ascontiguousarray(plane[at : at + size]).tobytes() for plane in sound])
        at += size
    assert units == code(make_coder("lean", 128_000), sound, AAC_SAMPLES)


def test_two_streams_have_nothing_of_each_other() -> None:
    sounds = [at_aac_rate(programme.music(seconds=2)), at_aac_rate(programme.noise(0.2, 2))]
    made = [make_coder("lean", 128_000) for _ in sounds]
    units: list[list[bytes]] = [[], []]
    for both in zip(*(frames(coder, sound) for coder, sound in zip(made, sounds, strict=True)), strict=False):
        for mine, coder, frame in zip(units, made, both, strict=True):
            mine += coder.encode(frame)
    for mine, sound in zip(units, sounds, strict=True):
        assert mine == lean(sound)[: len(mine)]


def blows(seed: int = 1) -> Sound:
    """Noise at full scale, for a third of each half second."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (2, 4 * AAC_RATE)) * (np.arange(4 * AAC_RATE) % 22050 < 7350)).astype(np.float32)


def clicks() -> Sound:
    sound = np.zeros((2, 4 * AAC_RATE), np.float32)
    sound[0, ::3000], sound[1, ::2700] = 1, -1
    return sound


HARD: dict[str, Callable[[], Sound]] = {
    "noise": lambda: np.random.default_rng(1).uniform(-1.5, 1.5, (2, 4 * AAC_RATE)).astype(np.float32),
    "square": lambda: np.sign(tones(1.0, 1.0, 4)),
    "squares apart": lambda: np.stack([np.sign(tones(1, 1, 4)[0]), np.sign(tones(1, 1, 4, start=0.0013)[0])]),
    "blows": blows,
    "clicks": clicks,
    "music": lambda: at_aac_rate(programme.music(seconds=4)),
}


@pytest.mark.parametrize("bit_rate", [32_000, 128_000, 320_000, *also(64_000, 192_000, 256_000)])
@pytest.mark.parametrize("name", HARD)
def test_the_bit_rate_is_what_was_asked_at_most_and_units_fit_a_decoder_s_buffer(name: str, bit_rate: int) -> None:
    sound = HARD[name]()
    units = lean(sound, bit_rate)
    assert max(map(len, units)) * 8 <= 2 * 6144
    assert sum(map(len, units)) * 8 * AAC_RATE / AAC_SAMPLES / len(units) <= bit_rate
    got = decode(make_coder("lean", bit_rate).config, units)
    assert np.isfinite(got).all()
    assert np.abs(got).max() < 4


@pytest.mark.parametrize("sound", [programme.tone(0.8), programme.silence(1), blows()[:1].repeat(2, 0)])
def test_what_is_the_same_on_both_sides_stays_the_same(sound: Sound) -> None:
    _, got = through(sound, "lean")
    assert np.array_equal(got[0], got[1])


def pre_echo(coder: CoderName) -> float:
    """Mean square of the error 10 to 3 ms before bursts of noise, wherever they begin in a frame."""
    onsets = np.arange(AAC_RATE // 2, 5 * AAC_RATE, 9973)
    sound = np.random.default_rng(4).normal(0, 1e-4, (2, 5 * AAC_RATE))
    for onset in onsets:
        length = min(2000, sound.shape[1] - onset)
        fade = np.exp(-np.arange(length) / 400)
        sound[:, onset : onset + length] += np.random.default_rng(onset).normal(0, 0.3, (2, length)) * fade
    made = make_coder(coder, 128_000)
    heard = decode(made.config, code(made, sound.astype(np.float32)))
    errors = np.square(heard - sound[:, : heard.shape[1]])
    return float(np.mean([errors[:, onset - 441 : onset - 132].mean() for onset in onsets if onset < heard.shape[1]]))


def test_no_more_noise_precedes_a_blow_than_with_ffmpeg_s_best() -> None:
    assert pre_echo("lean") <= pre_echo("twoloop")
