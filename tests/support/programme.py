"""Sound to measure coders by: speech, music, tones, noise; arrays of left and right at 48 kHz, full scale 1."""

import io
import subprocess
import wave
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from tests.support.debian import need

Sound = npt.NDArray[np.float32]
RATE = 48_000
_WORDS = (
    "The quick brown fox jumps over the lazy dog. She sells sea shells by the sea shore, and sixty six sausages "
    "sizzle in a pan. How much wood would a woodchuck chuck?"
)
_ROOM = 1e-4
"""Noise of a quiet room, root mean square."""


@cache
def voice(name: str = "en-us", *, pan: float = 0.5, level: float = 0.7) -> Sound:
    """Ten seconds that espeak-ng says, from the left (0) to the right (1)."""
    need("espeak-ng")
    said = subprocess.run(["espeak-ng", "-v", name, "--stdout", _WORDS], capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(said)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(1 << 24), "<i2").astype(float)
    at = np.arange(round(len(samples) * RATE / rate)) * rate / RATE
    mono = np.interp(at, np.arange(len(samples)), samples)
    mono = level * mono / np.abs(mono).max() + np.random.default_rng(5).normal(0, _ROOM, len(mono))
    angle = pan * np.pi / 2
    both = np.stack([mono, mono]) if pan == 0.5 else np.stack([mono * np.cos(angle), mono * np.sin(angle)])
    return both.astype(np.float32)


@cache
def music(*, width: float = 1.0, seed: int = 1, seconds: int = 8) -> Sound:
    """Chords that decay, bass, drums and a hi-hat, spread over `width` of the stage."""
    rng = np.random.default_rng(seed)
    count = seconds * RATE
    time = np.arange(count) / RATE
    out = np.zeros((2, count))
    harmonics = np.arange(1, 14)
    places = [0.5 + width * (index - 1.5) / 4 for index in range(4)]

    def put(sound: npt.NDArray[np.float64], start: int, place: float) -> None:
        length = min(len(sound), count - start)
        out[0, start : start + length] += sound[:length] * np.sqrt(1 - place)
        out[1, start : start + length] += sound[:length] * np.sqrt(place)

    for beat in range(seconds * 4):
        start = beat * RATE // 4
        if beat % 2 == 0:
            root = 110 * 2 ** (rng.integers(12) / 12)
            for index, interval in enumerate((0, 4, 7, 12)):
                tone = root * 2 ** (interval / 12)
                local = time[: min(count - start, 4 * RATE)]
                # Harmonics are powers of the fundamental: the higher, the sooner they fade.
                fundamental = np.exp((2j * np.pi * tone - 0.6) * local).astype(np.complex64)
                weights = 0.09 / harmonics**1.1 * np.exp(1j * rng.uniform(0, 2 * np.pi, len(harmonics)))
                put(np.polyval([*weights[::-1], 0], fundamental).imag * np.exp(-1.5 * local), start, places[index])
        hat = np.diff(rng.normal(0, 0.08, RATE // 16), prepend=0) * np.exp(-np.arange(RATE // 16) / RATE * 60)
        put(hat, start, 0.5 + width * 0.2)
        if beat % 4 == 2:
            decay = np.exp(-np.arange(RATE // 6) / RATE * 25)
            put(rng.normal(0, 0.15, RATE // 6) * decay, start, 0.5)
            for place in (0.5 - width / 2, 0.5 + width / 2):
                put(rng.normal(0, 0.03, RATE // 6) * decay, start, place)
        if beat % 4 == 0:
            local = time[: RATE // 3]
            put(np.sin(2 * np.pi * (60 * local - np.exp(-local * 30))) * np.exp(-local * 9) * 0.5, start, 0.5)
    return (0.9 * out / np.abs(out).max()).astype(np.float32)


def tone(amplitude: float, hertz: float = 1000, seconds: float = 3) -> Sound:
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave, wave]).astype(np.float32)


def noise(level: float = 0.07, seconds: float = 4) -> Sound:
    """White, left and right of their own."""
    return np.random.default_rng(3).normal(0, level, (2, round(seconds * RATE))).astype(np.float32)


def apart(seconds: float = 4) -> Sound:
    """Two voices' worth of tones that have nothing in common."""
    time = np.arange(round(seconds * RATE)) / RATE
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 1.5 * time)
    left = 0.5 * swell * np.sin(2 * np.pi * 441 * time)
    right = 0.5 * (1 - swell) * np.sin(2 * np.pi * 1331 * time)
    return np.stack([left, right]).astype(np.float32)


def silence(seconds: float = 4) -> Sound:
    return np.zeros((2, round(seconds * RATE)), np.float32)


PROGRAMME: dict[str, Callable[[], Sound]] = {
    "voice": voice,
    "voice 2": lambda: voice("en-gb+f3"),
    "voice, panned": lambda: voice("en-gb+m7", pan=0.3),
    "music": music,
    "music, narrow": lambda: music(width=0.3, seed=2),
    "loud tone": lambda: tone(0.8),
    "noise": noise,
    "apart": apart,
    "silence": silence,
}
