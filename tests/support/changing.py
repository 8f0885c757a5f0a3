"""Publishers that change while they are live: other pictures, and tracks that come and go."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext

from relay.cli.pattern import PatternSource, configure_h264, pictures
from relay.cli.source import Item, Picture, Sound
from relay.core.h264 import split_annex_b


@dataclass(frozen=True, slots=True)
class Shape:
    """What an encoder is set to; a new one begins with an IDR and its own SPS."""

    width: int
    height: int
    profile: str = "baseline"


class ShapedSource:
    """Pictures that take the next of `shapes` every `frames` frames, over one sound that runs on; it ends with them."""

    def __init__(self, shapes: Sequence[Shape], *, frames: int, fps: int = 15) -> None:
        self._shapes = shapes
        self._frames = frames
        self._fps = fps
        tracks: tuple[Iterator[Item], Iterator[Item]] = (self._pictures(), self._sounds())
        self._items = heapq.merge(*tracks, key=lambda item: item.time)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def skip_to_key(self) -> None:
        """A key frame comes with each shape, several a second."""

    def _pictures(self) -> Iterator[Picture]:
        count = 0
        for shape in self._shapes:
            encoder = cast(VideoCodecContext, av.CodecContext.create("libx264", "w"))
            configure_h264(
                encoder, width=shape.width, height=shape.height, fps=self._fps, bit_rate=300_000, key_interval=10
            )
            encoder.options = {**encoder.options, "profile": shape.profile, "x264-params": "keyint=250:bframes=0"}
            drawn = pictures(shape.width, shape.height, self._fps)
            packets = [packet for _ in range(self._frames) for packet in encoder.encode(next(drawn))]
            for packet in [*packets, *encoder.encode(None)]:
                yield Picture(split_annex_b(bytes(packet)), packet.is_keyframe, count / self._fps)
                count += 1

    def _sounds(self) -> Iterator[Sound]:
        encoder = PatternSource(width=64, height=64, fps=5)
        seconds = len(self._shapes) * self._frames / self._fps
        for item in encoder:
            if item.time > seconds:
                return
            if isinstance(item, Sound):
                yield item


class GatedSource(PatternSource):
    """The pattern with `video` and `audio` only between the given times: a camera or microphone that is stopped sends
    nothing at all, and comes back with an IDR."""

    def __init__(
        self, *, video: Sequence[tuple[float, float]], audio: Sequence[tuple[float, float]], seconds: float
    ) -> None:
        super().__init__(width=320, height=180, fps=15, bit_rate=200_000)
        self._open = {Picture: video, Sound: audio}
        self._seconds = seconds
        self._waiting = True

    def __next__(self) -> Item:
        while True:
            item = super().__next__()
            if item.time > self._seconds:
                raise StopIteration
            on = any(start <= item.time < end for start, end in self._open[type(item)])
            if isinstance(item, Picture):
                if not on:
                    self._waiting = True
                elif self._waiting and not item.key:
                    self.skip_to_key()
                    continue
                else:
                    self._waiting = False
            if on:
                return item
