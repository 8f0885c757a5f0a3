"""The way to PCM at AAC's rate: the Opus decoder and the resampler, both of FFmpeg through PyAV."""

from errno import EAGAIN
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.filter import Graph

from relay.core.opus import RATE

AAC_RATE = 44_100
MAX_DRIFT = RATE // 200
"""Samples of each second that resampling may add or leave out."""
RESAMPLER_DELAY = 17
"""Samples (48 kHz) that the resampler holds back: half its filter."""


def open_decoder() -> AudioCodecContext:
    """libopus: it costs a little more than FFmpeg's own decoder (0.25 against 0.18 % of a core) and can conceal losses.

    Opened for two channels it gives mono packets on both.
    """
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate = RATE
    decoder.layout = "stereo"
    decoder.open()
    return decoder


class Resampler:
    """48 to 44.1 kHz, sliding by `MAX_DRIFT` at most towards each frame's pts; its hard corrections are off.

    Half of what a small frame costs is the way there and back: long frames are cheaper.
    """

    def __init__(self, mix: str) -> None:
        """`mix`: arguments of FFmpeg's `pan`, by which left and right become other channels; empty: they stay."""
        self._graph = Graph()
        self._graph.threads = 1  # else it keeps a pool of them
        last = self._graph.add(
            "abuffer", sample_rate=str(RATE), sample_fmt="s16", channel_layout="stereo", time_base=f"1/{RATE}"
        )
        chain = [
            self._graph.add("aresample", f"{AAC_RATE}:async={MAX_DRIFT}:min_hard_comp=1000000:out_sample_fmt=fltp"),
            *([self._graph.add("pan", mix)] if mix else []),
            self._graph.add("abuffersink"),
        ]
        for following in chain:
            last.link_to(following)
            last = following
        self._graph.configure()

    def resample(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """Takes 16-bit stereo with a pts in samples; gives planar floats."""
        self._graph.push(frame)
        frames: list[av.AudioFrame] = []
        while True:
            try:
                pulled = self._graph.pull()
            except av.FFmpegError as error:
                if error.errno != EAGAIN:
                    raise
                return frames
            frames.append(cast(av.AudioFrame, pulled))
