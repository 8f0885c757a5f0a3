"""Sound for tests: Opus from expressions of libavfilter, PCM from AAC, and what to look for in PCM."""

from array import array
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from relay.core.media import OpusPacket
from relay.push.transcode import AacFrame

RATE = 44_100


def opus(expression: str, seconds: float, *, frame_ms: str = "20", bit_rate: int = 128_000) -> list[bytes]:
    """Packets of `expression` (of t; `left|right` for stereo), as libopus codes it."""
    return list(_opus(expression, seconds, frame_ms, bit_rate))


@cache
def _opus(expression: str, seconds: float, frame_ms: str, bit_rate: int) -> tuple[bytes, ...]:
    layout = "stereo" if "|" in expression else "mono"
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, layout, "s16"
    encoder.bit_rate, encoder.time_base = bit_rate, Fraction(1, 48_000)
    encoder.options = {"frame_duration": frame_ms}
    graph = av.filter.Graph()
    chain = [
        graph.add("aevalsrc", f"{expression}:s=48000:d={seconds}"),
        graph.add("aformat", f"sample_fmts=s16:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ]
    chain[0].link_to(chain[1])
    chain[1].link_to(chain[2])
    graph.configure()
    packets: list[bytes] = []
    while True:
        try:
            packets += map(bytes, encoder.encode(graph.pull()))
        except EOFError:
            return tuple(packets)


def timed(packets: Iterable[bytes], *, start: float = 0.0, ms: float = 20, rtp: int = 0) -> list[OpusPacket]:
    """The packets as received without jitter, the first at `start`."""
    return [
        OpusPacket(data, rtp + round(index * ms * 48), start + index * ms / 1000, start + index * ms / 1000)
        for index, data in enumerate(packets)
    ]


def decode_opus(packets: Iterable[bytes]) -> tuple["array[float]", "array[float]"]:
    """Left and right at 44100 Hz, from the first packet's first sample."""
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "stereo"
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
    frames = [
        piece for data in packets for frame in decoder.decode(av.Packet(data)) for piece in resampler.resample(frame)
    ]
    return _planes(frames)


def decode_aac(config: bytes, frames: Sequence[AacFrame]) -> tuple["array[float]", "array[float]"]:
    """Left and right at 44100 Hz, as a player gives them: the first frame's first sample first."""
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.extradata = config
    return _planes([frame for aac in frames for frame in decoder.decode(av.Packet(aac.data))])


def _planes(frames: Iterable[av.AudioFrame]) -> tuple["array[float]", "array[float]"]:
    left, right = array("f"), array("f")
    for frame in frames:
        assert frame.format.name == "fltp"
        assert frame.layout.name == "stereo"
        for samples, plane in zip((left, right), frame.planes, strict=True):
            samples.frombytes(bytes(plane)[: frame.samples * 4])
    return left, right


def largest_step(samples: Sequence[float]) -> float:
    """The largest difference of two neighbouring samples: a click is one that the source does not have."""
    return float(np.abs(np.diff(np.asarray(samples, float))).max())


def level(samples: Sequence[float], start: float, end: float) -> float:
    """Root mean square between two times in seconds."""
    part = np.asarray(samples[round(start * RATE) : round(end * RATE)], float)
    return float(np.sqrt(np.mean(np.square(part))))


def lag(reference: Sequence[float], samples: Sequence[float], *, at: float, reach: int = 200) -> int:
    """How many samples later (44100 Hz) than `reference` the same sound is in `samples`, by correlation around `at`."""
    centre, length = round(at * RATE), 2_000
    around = np.asarray(samples[centre - reach : centre + length + reach], float)
    likeness = np.correlate(around, np.asarray(reference[centre : centre + length], float))
    return int(likeness.argmax()) - reach
