"""Sound through the AAC coders alone, and through FFmpeg's decoder."""

from collections.abc import Sequence

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from relay.core.aac import LC, AudioSpecificConfig
from relay.push.transcode import AAC_RATE, AAC_SAMPLES
from relay.push.transcode.coders import DEFAULT_CODER, Coder, CoderName, make_coder
from tests.support.programme import RATE, Sound

STEREO = AudioSpecificConfig(LC, AAC_RATE, 2).encode()
BATCH = 4410
"""Samples at a time: what five packets of 20 ms become."""


def at_aac_rate(sound: Sound) -> Sound:
    """48 kHz to 44.1 kHz."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=AAC_RATE)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="stereo")
    frame.sample_rate = RATE
    return np.concatenate([piece.to_ndarray() for piece in resampler.resample(frame)], axis=1)


def frames(coder: Coder, sound: Sound, size: int = BATCH) -> list[list[bytes]]:
    """`sound` (44.1 kHz) as the resampler would give it to `coder`."""
    planes = (np.array(coder.mix) @ sound).astype("<f4")
    return [
        [plane[start : start + size].tobytes() for plane in planes]
        for start in range(0, planes.shape[1] - size + 1, size)
    ]


def code(coder: Coder, sound: Sound, size: int = BATCH) -> list[bytes]:
    """Access units, the priming one too."""
    return [unit for frame in frames(coder, sound, size) for unit in coder.encode(frame)]


def decode(config: bytes, units: Sequence[bytes]) -> Sound:
    """As FFmpeg hears it, without what is priming: sample for sample what was coded."""
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.extradata = config
    heard = [frame.to_ndarray() for unit in units for frame in decoder.decode(av.Packet(unit))]
    return np.concatenate(heard, axis=1)[:, AAC_SAMPLES:]


def alike(source: Sound, heard: Sound) -> tuple[Sound, Sound]:
    """What both have, from the third frame on."""
    length = min(source.shape[1], heard.shape[1])
    return source[:, 2 * AAC_SAMPLES : length], heard[:, 2 * AAC_SAMPLES : length]


def through(sound: Sound, coder: CoderName = DEFAULT_CODER, *, size: int = BATCH) -> tuple[Sound, Sound]:
    """Source and what is left of it."""
    made = make_coder(coder, 128_000)
    return alike(sound, decode(made.config, code(made, sound, size)))
