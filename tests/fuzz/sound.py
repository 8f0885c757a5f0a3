"""The relay's own AAC encoder, compiled, on any floats, also such as no resampler gives; and its resampler."""

from array import array
from math import isfinite

from relay.core.aac.encoder.memory import (
    CONTROLS,
    FIRST_RESAMPLER_CONTROLS,
    FLOATS,
    FRAME,
    FRAME_BYTES,
    HELD,
    INTS,
    LANES,
    LINES,
    LONGS,
    MADE,
    MOST_HELD,
    RESAMPLER_CONTROLS,
    RESAMPLER_FLOATS,
    RESAMPLER_STATE,
    STATE,
    first_controls,
)
from relay.core.opus import MAX_SAMPLES
from relay.push.transcode import compiled
from relay.push.transcode.libraries import libraries
from tests.fuzz.tape import Tape

_MOST = 8
"""Blocks at once."""
_GUARD = b"\xa5" * 4096
_SCALES = (1.0, 1.5, 1e-3, 0.0, 1e-30, 10.0, 1e6, 1e30, float("inf"))


class _Guarded:
    """Memory for one array, with a pattern on either side."""

    def __init__(self, kind: str, count: int) -> None:
        ffi = libraries().ffi
        self._size = ffi.sizeof(kind) * count
        self._all = ffi.new("uint8_t[]", _GUARD + bytes(self._size) + _GUARD)
        self.at = ffi.cast(f"{kind} *", self._all + len(_GUARD))
        self._bytes = ffi.buffer(self._all, self._size + 2 * len(_GUARD))
        self.inside = ffi.buffer(self._all + len(_GUARD), self._size)

    def check(self) -> None:
        assert self._bytes[: len(_GUARD)] == self._bytes[len(_GUARD) + self._size :] == _GUARD


def _plane(tape: Tape, wanted: int) -> bytes:
    """Its floats, or its small integers at some scale, again and again."""
    kind, length = tape.number(1), tape.number(2) % 4096 + 1
    if kind & 1:
        data = tape.take(length)
        floats = array("f", data + bytes(4 - len(data) % 4))
    else:
        scale = tape.choose(_SCALES)
        floats = array("f", [scale * (byte - 128) / 128 for byte in tape.take(length)] or [0.0])
    return (floats * (wanted // len(floats) + 1))[:wanted].tobytes()


def _functions() -> compiled.Functions:
    functions = compiled.encoder()
    assert functions is not None
    return functions


def encoder(data: bytes) -> None:
    """Sound, some at a time."""
    encode = _functions().encode
    tape = Tape(data)
    shapes = (
        *(("float", _MOST * FRAME), ("float", _MOST * FRAME), ("float", STATE), ("double", CONTROLS)),
        *(("float", FLOATS), ("int32_t", INTS), ("int64_t", LONGS), ("uint8_t", _MOST * FRAME_BYTES)),
        ("int32_t", _MOST),
    )
    made = [_Guarded(kind, count) for kind, count in shapes]
    left, right, state, control, floats, ints, longs, out, sizes = made
    first = first_controls(tape.choose((32_000, 64_000, 128_000, 192_000, 320_000)), bandwidth=16_000)
    first[LINES] = tape.choose((400, 743, 929, 1024))
    control.at[0:CONTROLS] = first
    filled = 0
    for _ in range(6):
        size = tape.number(1)
        count = (size % _MOST + 1) * FRAME - size // _MOST * 33
        sound = _plane(tape, count)
        left.inside[: len(sound)] = sound
        right.inside[: len(sound)] = sound if tape.number(1) & 1 else _plane(tape, count)
        encode(left.at, right.at, count, filled, state.at, control.at, floats.at, ints.at, longs.at, out.at, sizes.at)
        for memory in made:
            memory.check()
        blocks, filled = divmod(filled + count, FRAME)
        assert all(0 < sizes.at[block] <= FRAME_BYTES for block in range(blocks))
        if not tape:
            break


def resampler(data: bytes) -> None:
    """Sound, some at a time, sliding."""
    resample = _functions().resample
    tape = Tape(data)
    shapes = (
        *(("int16_t", 2 * MAX_SAMPLES), ("float", RESAMPLER_STATE), ("double", RESAMPLER_CONTROLS)),
        *(("float", RESAMPLER_FLOATS), ("float", MAX_SAMPLES + LANES), ("float", MAX_SAMPLES + LANES)),
    )
    guarded = [_Guarded(kind, count) for kind, count in shapes]
    sound, state, control, scratch, left, right = guarded
    control.at[0:RESAMPLER_CONTROLS] = FIRST_RESAMPLER_CONTROLS
    taken = made = slid = 0.0
    for _ in range(20):
        count = tape.number(2) % MAX_SAMPLES + 1
        slide = (tape.number(1) - 128) / 128 * 0.005
        piece = tape.blob() or b"\0"
        given = (piece * (4 * count // len(piece) + 1))[: 4 * count]
        sound.inside[: len(given)] = given
        resample(sound.at, count, slide, state.at, control.at, scratch.at, left.at, right.at)
        for memory in guarded:
            memory.check()
        new = int(control.at[MADE])
        assert all(isfinite(plane.at[i]) and abs(plane.at[i]) < 4 for plane in (left, right) for i in range(new))
        assert 0 <= control.at[HELD] <= MOST_HELD
        taken, made, slid = taken + count, made + new, slid + abs(slide) * (count + 2 * MOST_HELD)
        assert abs(taken * 147 / 160 - made) < 50 + slid
        if not tape:
            break
