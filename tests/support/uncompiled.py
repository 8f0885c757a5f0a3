"""The relay's own AAC encoder as plain Python, and what it says in its units."""

from typing import NamedTuple

import numpy as np

from relay.core.aac.encoder import frame
from relay.core.aac.encoder.memory import FLOATS, FRAME, FRAME_BYTES, INTS, LONGS, STATE, first_controls
from tests.support.programme import Sound


def encode(sound: Sound, bit_rate: int = 128_000, bandwidth: int = 16_000) -> list[bytes]:
    """Whole blocks; a unit for each, of which the first is of nothing and the second is priming."""
    blocks = sound.shape[1] // FRAME
    state, control = np.zeros(STATE, np.float32), np.array(first_controls(bit_rate, bandwidth))
    scratch = np.full(FLOATS, 7, np.float32), np.full(INTS, 7, np.int32), np.full(LONGS, 7, np.int64)
    out, sizes = np.zeros(blocks * FRAME_BYTES, np.uint8), np.zeros(blocks, np.int32)
    left, right = np.ascontiguousarray(sound[:, : blocks * FRAME], np.float32)
    frame.encode(left, right, blocks * FRAME, 0, state, control, *scratch, out, sizes)
    return [unit.tobytes() for unit in np.split(out, np.cumsum(sizes))[:-1]]


class Head(NamedTuple):
    """Of a channel_pair_element with common windows (ISO/IEC 14496-3, 4.4.2.1)."""

    sequence: int
    bands: int
    groups: int
    mid_side: bool

    @classmethod
    def of(cls, unit: bytes) -> "Head":
        bits = "".join(f"{byte:08b}" for byte in unit[:5])
        assert bits.startswith("00100001"), "no common window"
        sequence = int(bits[9:11], 2)
        if sequence != 2:
            return cls(sequence, int(bits[12:18], 2), 1, bits[19:21] != "00")
        return cls(sequence, int(bits[12:16], 2), 1 + bits[16:23].count("0"), bits[23:25] != "00")
