"""What FFmpeg's mono AAC encoder makes of short sounds of all kinds."""

from functools import cache

import av
import numpy as np

COUNT = 12


@cache
def mono_blocks(seed: int, level: float, bit_rate: int) -> tuple[bytes, ...]:
    """Mono units of noise, tones and blows, which take long and short windows; none of silence, half of them loud."""
    rng = np.random.default_rng(seed)
    time = np.arange((COUNT + 1) * 1024) / 44_100
    sound = np.sin(2 * np.pi * rng.uniform(50, 9000) * time) * (rng.random() < 0.7)
    sound += rng.normal(0, 0.3, len(time)) * np.repeat(rng.random(COUNT + 1) < 0.4, 1024)
    for blow in rng.integers(0, len(time), 3):
        sound[blow : blow + 200] += rng.normal(0, 1, len(sound[blow : blow + 200]))
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 44_100, "mono", "fltp", bit_rate
    encoder.options = {"aac_coder": "fast", "aac_tns": "0", "aac_pns": "0", "flags": "+bitexact"}
    frame = av.AudioFrame.from_ndarray((level * sound).astype(np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate = 44_100
    return tuple(map(bytes, encoder.encode(frame)))
