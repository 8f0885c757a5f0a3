"""The relay's own AAC encoder and resampler, compiled, for one stream."""

from functools import lru_cache

from relay.core.aac.encoder.memory import (
    AHEAD,
    FIRST_RESAMPLER_CONTROLS,
    FLOATS,
    FRACTION,
    FRAME,
    FRAME_BYTES,
    HELD,
    INTS,
    LANES,
    LONGS,
    MADE,
    RESAMPLER_FLOATS,
    RESAMPLER_STATE,
    STATE,
    UP,
    first_controls,
)
from relay.core.opus import MAX_SAMPLES, RATE
from relay.push.transcode.codecs import AAC_RATE, FLOAT, MAX_DRIFT
from relay.push.transcode.compiled import Functions
from relay.push.transcode.libraries import libraries
from relay.push.transcode.pcm import SAMPLE

_MOST = 16
"""Blocks at once."""
_SPENDING = 0.985
"""Of the bit rate, what frames may have: what is not counted is below the rest."""
_APART = RATE // 1000
"""Samples that the sound may be away from its place before it slides there."""


class _Room:
    """For what they want and give: calls are synchronous and on one thread, so one serves the process."""

    def __init__(self) -> None:
        ffi = libraries().ffi
        self.left, self.right = (ffi.new("float[]", MAX_SAMPLES + LANES) for _ in range(2))
        self.planes = tuple(memoryview(ffi.buffer(plane)) for plane in (self.left, self.right))
        self.resampler = ffi.new("float[]", RESAMPLER_FLOATS)
        self.floats = ffi.new("float[]", FLOATS)
        self.ints = ffi.new("int32_t[]", INTS)
        self.longs = ffi.new("int64_t[]", LONGS)
        self.out = ffi.new("uint8_t[]", _MOST * FRAME_BYTES)
        self.units = ffi.buffer(self.out)
        self.sizes = ffi.new("int32_t[]", _MOST)


@lru_cache(maxsize=1)
def _room() -> _Room:
    return _Room()


class LeanResampler:
    """48 to 44.1 kHz, sliding by `MAX_DRIFT` at most towards each frame's position."""

    def __init__(self, functions: Functions) -> None:
        ffi = libraries().ffi
        self._resample = functions.resample
        self._room = _room()
        self._from_buffer = ffi.from_buffer
        self._state = ffi.new("float[]", RESAMPLER_STATE)
        self._control = ffi.new("double[]", FIRST_RESAMPLER_CONTROLS)
        self.held = 0.0
        """Samples (48 kHz) that went in behind the last that came out."""
        self._made = 0
        self._slide = 0.0
        self._left = 0
        """Samples for which it slides."""

    def resample(self, pcm: bytes, position: int) -> list[memoryview]:
        """Takes 16-bit stereo, 120 ms at most, whose place is `position` in samples; gives floats, left and right, that
        are there until the next call of any."""
        room, control = self._room, self._control
        samples = len(pcm) // SAMPLE
        if samples > MAX_SAMPLES:
            raise ValueError(f"{samples} samples at once")
        late = position - self._made * RATE / AAC_RATE - self.held
        if abs(late) > _APART:
            self._slide, self._left = max(-MAX_DRIFT, min(late, MAX_DRIFT)) / RATE, RATE
        elif self._left <= 0:
            self._slide = 0.0
        self._left -= samples
        self._resample(
            self._from_buffer("int16_t[]", pcm),
            samples,
            self._slide,
            self._state,
            control,
            room.resampler,
            room.left,
            room.right,
        )
        self.held = control[HELD] - AHEAD - control[FRACTION] / UP
        made = int(control[MADE])
        self._made += made
        return [plane[: made * FLOAT] for plane in room.planes]


class LeanEncoder:
    """Two channels. The first raw data block that it gives is priming."""

    def __init__(self, functions: Functions, bit_rate: int, bandwidth: int) -> None:
        """`bandwidth` in hertz."""
        ffi = libraries().ffi
        self._encode = functions.encode
        self._room = _room()
        self._from_buffer = ffi.from_buffer
        self._state = ffi.new("float[]", STATE)
        self._control = ffi.new("double[]", first_controls(_SPENDING * bit_rate, bandwidth))
        self._filled = 0
        """Samples of a block that is not whole yet."""
        self._begun = False

    def encode(self, left: bytes | memoryview, right: bytes | memoryview) -> list[bytes]:
        """Takes floats; gives a raw data block for each block of 1024 that is whole now, but none for the first."""
        room = self._room
        sounds = self._from_buffer("float[]", left), self._from_buffer("float[]", right)
        count = len(left) // FLOAT
        units: list[bytes] = []
        for start in range(0, count, _MOST * FRAME):
            size = min(count - start, _MOST * FRAME)
            self._encode(
                sounds[0] + start,
                sounds[1] + start,
                size,
                self._filled,
                self._state,
                self._control,
                room.floats,
                room.ints,
                room.longs,
                room.out,
                room.sizes,
            )
            blocks, self._filled = divmod(self._filled + size, FRAME)
            at = 0
            for length in room.sizes[0:blocks]:
                units.append(room.units[at : at + length])
                at += length
        if units and not self._begun:
            # What it has before it has heard anything is a frame of nothing.
            self._begun = True
            del units[0]
        return units
