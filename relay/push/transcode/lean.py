"""The relay's own AAC encoder, compiled, for one stream."""

from functools import lru_cache
from typing import Any

from relay.core.aac.encoder.memory import FLOATS, FRAME, FRAME_BYTES, INTS, LONGS, STATE, first_controls
from relay.push.transcode.codecs import BLOCK
from relay.push.transcode.libraries import libraries

_MOST = 16
"""Blocks at once."""
_SPENDING = 0.985
"""Of the bit rate, what frames may have: what is not counted is below the rest."""


class _Room:
    """For what the encoder wants and gives: calls are synchronous and on one thread, so one serves the process."""

    def __init__(self) -> None:
        ffi = libraries().ffi
        self.sound = ffi.new("float[]", 2 * _MOST * FRAME)
        self.floats = ffi.new("float[]", FLOATS)
        self.ints = ffi.new("int32_t[]", INTS)
        self.longs = ffi.new("int64_t[]", LONGS)
        self.out = ffi.new("uint8_t[]", _MOST * FRAME_BYTES)
        self.units = ffi.buffer(self.out)
        self.sizes = ffi.new("int32_t[]", _MOST)


@lru_cache(maxsize=1)
def _room() -> _Room:
    return _Room()


class LeanEncoder:
    """Two channels. The first raw data block that it gives is priming."""

    def __init__(self, encode: Any, bit_rate: int, bandwidth: int) -> None:
        """`encode`: of `compiled`; `bandwidth` in hertz."""
        ffi = libraries().ffi
        self._encode = encode
        self._room = _room()
        self._memmove = ffi.memmove
        self._state = ffi.new("float[]", STATE)
        self._control = ffi.new("double[]", first_controls(_SPENDING * bit_rate, bandwidth))
        self._begun = False

    def encode(self, left: bytes, right: bytes) -> list[bytes]:
        """Takes floats in whole blocks of 1024 samples; gives a raw data block for each block but the first."""
        room = self._room
        units: list[bytes] = []
        for start in range(0, len(left), _MOST * BLOCK):
            size = min(len(left) - start, _MOST * BLOCK)
            blocks = size // BLOCK
            self._memmove(room.sound, left[start : start + size], size)
            self._memmove(room.sound + size // 4, right[start : start + size], size)
            self._encode(
                room.sound,
                blocks,
                self._state,
                self._control,
                room.floats,
                room.ints,
                room.longs,
                room.out,
                room.sizes,
            )
            at = 0
            for block in range(blocks):
                end = at + room.sizes[block]
                units.append(room.units[at:end])
                at = end
        if units and not self._begun:
            # What it has before it has heard anything is a frame of nothing.
            self._begun = True
            del units[0]
        return units
