"""What one CDN connection is sent, and when by its own clock: which frame is the first, which headers go before which.

The clock is monotonic milliseconds; zero is the first frame sent, a key frame where the stream has video (media
contract, sections 3, 5 and 6).
"""

from collections.abc import Iterator

from relay.core import flv
from relay.core.flv import Tag
from relay.push.feed import MediaTag, VideoConfig

VIDEO_WAIT = 3.0
"""Seconds a new connection waits for the first key frame before sound goes ahead alone."""


class Output:
    """One connection's side of the stream.

    `video`: pictures are wanted. `audio_config`: FLV audio body of the AudioSpecificConfig. `audio_bit_rate`: bits per
    second. `opened`: monotonic seconds. `first_timestamp`: milliseconds at which the clock begins.
    """

    __slots__ = (
        "_audio_bit_rate",
        "_audio_config",
        "_begun",
        "_config",
        "_first_timestamp",
        "_last",
        "_opened",
        "_origin",
        "_video_open",
        "video",
    )

    def __init__(
        self, *, video: bool, audio_config: bytes, audio_bit_rate: int, opened: float, first_timestamp: int = 0
    ) -> None:
        self.video = video
        self._audio_config = audio_config
        self._audio_bit_rate = audio_bit_rate
        self._opened = opened
        self._first_timestamp = first_timestamp
        self._origin: float | None = None
        self._video_open = False
        self._begun = False
        self._config: VideoConfig | None = None
        self._last = {flv.AUDIO: -1, flv.VIDEO: -1}

    def admits(self, tag: MediaTag, now: float, *, video_expected: bool) -> bool:
        """Whether `tag` belongs to this connection. Pictures begin with a key frame; sound does not lead them unless
        none are expected or they keep it waiting."""
        if tag.kind == flv.VIDEO:
            if not self.video or not (tag.key or self._video_open):
                return False
            self._video_open = True
            if self._origin is None:
                self._origin = tag.time
            return True
        if self._origin is None:
            if self.video and video_expected and now - self._opened < VIDEO_WAIT:
                return False
            self._origin = tag.time
        return tag.time >= self._origin

    def tags(self, tag: MediaTag) -> Iterator[Tag]:
        """An admitted frame by this connection's clock, behind the headers that are due before it."""
        timestamp = self._timestamp(tag)
        if not self._begun or (tag.config is not None and tag.config is not self._config):
            self._config = tag.config
            yield Tag(flv.DATA, timestamp, self._metadata())
            if self._config is not None:
                yield Tag(flv.VIDEO, timestamp, self._config.sequence_header)
            if not self._begun:
                yield Tag(flv.AUDIO, timestamp, self._audio_config)
            self._begun = True
        yield Tag(tag.kind, timestamp, tag.body)

    def _timestamp(self, tag: MediaTag) -> int:
        origin = self._origin if self._origin is not None else tag.time
        timestamp = self._first_timestamp + round((tag.time - origin) * 1000)
        # Players take two frames of one track at one millisecond, or one before the other, for an error.
        timestamp = max(timestamp, self._last[tag.kind] + 1, 0)
        self._last[tag.kind] = timestamp
        return timestamp

    def _metadata(self) -> bytes:
        config, audio_bit_rate = self._config, self._audio_bit_rate
        if config is None:
            return flv.metadata_body(audio_bit_rate=audio_bit_rate)
        return flv.metadata_body(
            width=config.width, height=config.height, fourcc=config.fourcc, audio_bit_rate=audio_bit_rate
        )
