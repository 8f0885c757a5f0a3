"""The relay's own AAC encoder, compiled, on any floats, also such as no resampler gives."""

from array import array
from typing import Any

from relay.core.aac.encoder.memory import (
    CONTROLS,
    FLOATS,
    FRAME,
    FRAME_BYTES,
    INTS,
    LINES,
    LONGS,
    STATE,
    first_controls,
)
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


def _plane(tape: Tape, blocks: int) -> bytes:
    """Its floats, or its small integers at some scale, again and again."""
    kind, length = tape.number(1), tape.number(2) % 4096 + 1
    if kind & 1:
        data = tape.take(length)
        floats = array("f", data + bytes(4 - len(data) % 4))
    else:
        scale = tape.choose(_SCALES)
        floats = array("f", [scale * (byte - 128) / 128 for byte in tape.take(length)] or [0.0])
    wanted = blocks * FRAME
    return (floats * (wanted // len(floats) + 1))[:wanted].tobytes()


def encoder(data: bytes) -> None:
    """Blocks of sound, some at a time."""
    encode: Any = compiled.encoder()
    assert encode is not None
    tape = Tape(data)
    shapes = (
        *(("float", 2 * _MOST * FRAME), ("float", STATE), ("double", CONTROLS), ("float", FLOATS), ("int32_t", INTS)),
        *(("int64_t", LONGS), ("uint8_t", _MOST * FRAME_BYTES), ("int32_t", _MOST)),
    )
    made = [_Guarded(kind, count) for kind, count in shapes]
    sound, state, control, floats, ints, longs, out, sizes = made
    first = first_controls(tape.choose((32_000, 64_000, 128_000, 192_000, 320_000)), bandwidth=16_000)
    first[LINES] = tape.choose((400, 743, 929, 1024))
    control.at[0:CONTROLS] = first
    for _ in range(6):
        blocks = tape.number(1) % _MOST + 1
        left = _plane(tape, blocks)
        given = left + (left if tape.number(1) & 1 else _plane(tape, blocks))
        sound.inside[: len(given)] = given
        encode(sound.at, blocks, state.at, control.at, floats.at, ints.at, longs.at, out.at, sizes.at)
        for memory in made:
            memory.check()
        assert all(0 < sizes.at[block] <= FRAME_BYTES for block in range(blocks))
        if not tape:
            break
