"""A generated stream: a moving picture that flashes, and beeps, at each whole second, coded while it runs."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from relay.cli.source import Item, Picture, Sound
from relay.core.h264 import split_annex_b

SAMPLE_RATE = 48_000
NOISE = 12
FLASH_FRAMES = 3
BEEP_SECONDS = 0.1
PACKET_SECONDS = 0.02
_LOOKAHEAD = 312 / SAMPLE_RATE
"""libopus gives a sound's samples so much later than they went in (RFC 7845, 4.2: pre-skip)."""


def pictures(width: int, height: int, fps: int) -> Iterator[VideoFrame]:
    """Endless frames: moving bars and a counter under noise, mostly white for 3 frames from each whole second on."""
    chain = [
        f"testsrc2=size={width}x{height}:rate={fps}",
        f"noise=alls={NOISE}:allf=t:all_seed=1",
        # Not all of the picture: an IDR that falls on a flash is to have the size of any other.
        f"drawbox=x=iw/8:y=ih/8:w=iw*3/4:h=ih*3/4:color=white:t=fill:enable='lt(mod(n,{fps}),{FLASH_FRAMES})'",
        "format=yuv420p",
    ]
    graph = _graph(chain, "buffersink")
    while True:
        frame = graph.vpull()
        frame.pict_type = PictureType.NONE  # testsrc2 says I of each, which forces an IDR
        yield frame


def sounds() -> Iterator[AudioFrame]:
    """Endless frames of 20 ms: at each whole second a beep, 1000 Hz on the left and 1500 Hz on the right, over faint
    noise, so that a hole can be told from a pause."""
    beep = f"lt(mod(t,1),{BEEP_SECONDS})*0.5*sin(2*PI*{{}}*t)+0.004*(random({{}})-0.5)"
    expressions = "|".join(beep.format(*pair) for pair in ((1000, 0), (1500, 1)))
    chain = [
        f"aevalsrc='{expressions}':channel_layout=stereo:s={SAMPLE_RATE}",
        "aformat=sample_fmts=s16",
        f"asetnsamples={round(PACKET_SECONDS * SAMPLE_RATE)}",
    ]
    graph = _graph(chain, "abuffersink")
    while True:
        yield cast(AudioFrame, graph.pull())


def configure_h264(
    encoder: VideoCodecContext, *, width: int, height: int, fps: int, bit_rate: int, key_interval: float
) -> None:
    """Makes a `libx264` context code as a browser does: constrained baseline, no B-frames, each frame out at once."""
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
    encoder.bit_rate = bit_rate
    encoder.thread_count = 1
    encoder.options = {
        "profile": "baseline",
        "preset": "veryfast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "maxrate": str(bit_rate),
        "bufsize": str(bit_rate // 2),
        "x264-params": f"keyint={round(key_interval * fps)}:scenecut=0",
    }


def configure_opus(encoder: AudioCodecContext, *, bit_rate: int) -> None:
    """Makes a `libopus` context code stereo in packets of 20 ms at a constant bit rate."""
    encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE, "stereo", "s16"
    encoder.bit_rate, encoder.time_base = bit_rate, Fraction(1, SAMPLE_RATE)
    encoder.options = {"vbr": "off", "frame_duration": "20"}


class PatternSource:
    """Same interface as `ClipSource`, with no end; it codes as fast as items are taken, so the taker sets the pace."""

    def __init__(
        self,
        *,
        width: int = 1280,
        height: int = 720,
        fps: int = 30,
        bit_rate: int = 2_000_000,
        audio_bit_rate: int = 96_000,
        key_interval: float = 2.0,
    ) -> None:
        """`bit_rate` is a ceiling of the pictures, bit/s; `key_interval` seconds between IDRs that nobody asked for."""
        self.width, self.height, self.fps = width, height, fps
        self._pictures = pictures(width, height, fps)
        self._sounds = sounds()
        self._h264 = av.CodecContext.create("libx264", "w")
        configure_h264(self._h264, width=width, height=height, fps=fps, bit_rate=bit_rate, key_interval=key_interval)
        self._opus = av.CodecContext.create("libopus", "w")
        configure_opus(self._opus, bit_rate=audio_bit_rate)
        self._key_wanted = False
        tracks: tuple[Iterator[Item], Iterator[Item]] = (self._picture_items(), self._sound_items())
        self._items = heapq.merge(*tracks, key=lambda item: item.time)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def skip_to_key(self) -> None:
        """The next picture that is coded is an IDR (one picture is coded ahead already)."""
        self._key_wanted = True

    def _picture_items(self) -> Iterator[Picture]:
        count = 0
        for frame in self._pictures:
            if self._key_wanted:
                self._key_wanted = False
                frame.pict_type = PictureType.I
            for packet in self._h264.encode(frame):
                yield Picture(split_annex_b(bytes(packet)), packet.is_keyframe, count / self.fps + _LOOKAHEAD)
                count += 1

    def _sound_items(self) -> Iterator[Sound]:
        packets = (packet for frame in self._sounds for packet in self._opus.encode(frame))
        for count, packet in enumerate(packets):
            yield Sound(bytes(packet), count * PACKET_SECONDS)


def _graph(chain: list[str], sink: str) -> Graph:
    graph = Graph()
    contexts = []
    for step in [*chain, sink]:
        name, _, arguments = step.partition("=")
        contexts.append(graph.add(name, arguments or None))
    for before, after in pairwise(contexts):
        before.link_to(after)
    graph.configure()
    return graph
