"""One stream made ready for CDNs, once, for all the pushes of it: FLV bodies of its pictures, and its sound as AAC.

A feed works only while a push takes from it: it runs the stream's one transcoder, and keeps the sound's timeline going
when the publisher sends none (media contract, sections 4 and 7). A new push begins with the stream's head, without
waiting for a key frame.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import structlog

from relay.core import flv
from relay.core.codec import VideoCodec
from relay.core.codecs import CODECS
from relay.core.head import HEAD_LIMIT
from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.stream import Stream
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, AacFrame, Transcoder

log = structlog.get_logger(__name__)

AUDIO_LAG = 0.3
"""Seconds the sound may be late before silence takes its place: above what reception waits for a lost Opus packet."""
AUDIO_DELAY = AUDIO_LAG + 0.05
"""Seconds from a sound's time to its way out: silence has taken its place by then (`AUDIO_LAG` and the encoder's
lookahead), so sound goes out evenly whatever the network does. Sent as it comes, it would pause for 0.3 s wherever a
publisher vanishes, mutes with DTX or loses a packet, and a player that is nearer to live than that would stall."""
AUDIO_STEP = 0.05
"""Seconds that sound waits for a picture to go with: a write to a CDN costs about the same whatever is in it."""
AUDIO_BATCH = 0.16
"""Seconds of sound from the first packet to the last that are enough to be encoded: streams that take turns find the
processor's caches full of each other's, so turns are long, and short enough for what else the loop serves."""
AUDIO_HEAD = 0.1
"""Seconds of sound before a push begins, since the first picture's time is a little before its arrival."""


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """What a decoder needs before the pictures that follow."""

    width: int
    height: int
    sequence_header: bytes
    """FLV video body with the codec's configuration record."""
    fourcc: bytes | None = None
    """Of a codec that goes by Enhanced RTMP."""


@dataclass(slots=True)
class MediaTag:
    """A frame on its way to CDNs: an FLV tag body that all pushes share."""

    kind: int
    """`flv.AUDIO` or `flv.VIDEO`."""
    time: float
    """Seconds, the stream's timeline."""
    body: bytes
    key: bool
    config: VideoConfig | None
    """For a picture, what it decodes with."""


class FeedTaker(Protocol):
    def on_tag(self, tag: MediaTag) -> None: ...


class Feed:
    """Turns `stream`'s frames into FLV bodies for its takers."""

    def __init__(self, stream: Stream, make_transcoder: Callable[[], Transcoder]) -> None:
        self.stream = stream
        self.audio_config = b""
        """FLV audio body: AudioSpecificConfig. Empty before the first taker."""
        self.audio_bit_rate = 0
        """Bits per second of the AAC; 0 before the first taker."""
        self._make_transcoder = make_transcoder
        self._transcoder: Transcoder | None = None
        self._takers: list[FeedTaker] = []
        self._watching: list[FeedTaker] = []
        """Those of them that take pictures, too."""
        self._opus: list[OpusPacket] = []
        self._video_config: VideoConfig | None = None
        self._undescribed = False
        self._failing = False
        """The last call of the coder failed."""
        self._sound: deque[MediaTag] = deque()
        """Encoded, and on its way out at `AUDIO_DELAY`."""
        self._shown = False
        """A picture has been given since the last `release`."""
        self._recent_audio: deque[MediaTag] = deque(maxlen=ceil(HEAD_LIMIT * AAC_RATE / AAC_SAMPLES))
        stream.sinks.append(self._on_frame)

    @property
    def active(self) -> bool:
        return bool(self._takers)

    @property
    def watched(self) -> bool:
        """Somebody takes its pictures."""
        return bool(self._watching)

    def attach(self, taker: FeedTaker, now: float, *, video: bool = True) -> list[MediaTag]:
        """Gives `taker` every tag from now on, pictures only where `video` says so; returns those since the last key
        frame, if that is not long ago."""
        begin = self.stream.head.begin
        if not self._takers:
            self._transcoder = self._make_transcoder()
            self._transcoder.start(now - AUDIO_HEAD if begin is None else begin)
            self.audio_config = flv.aac_sequence_header(self._transcoder.config)
            self.audio_bit_rate = self._transcoder.bit_rate
            self._sound.clear()
            self._recent_audio.clear()
            self._opus = self.stream.head.sounds
        self._takers.append(taker)
        if video:
            self._watching.append(taker)
        if begin is None:
            if video:
                self.stream.request_key_frame()
            return []
        pictures = self.stream.head.pictures if video else []
        tags = [tag for unit in pictures if (tag := self._video_tag(unit)) is not None]
        tags += [tag for tag in self._recent_audio if tag.time >= begin]
        return sorted(tags, key=lambda tag: tag.time)

    def detach(self, taker: FeedTaker) -> None:
        """Ends it for `taker`, which gets the sound on its way first: so that it ends where its pictures do."""
        if taker not in self._takers:
            return
        self._push_waiting()
        for tag in self._sound:
            taker.on_tag(tag)
        self._takers.remove(taker)
        if taker in self._watching:
            self._watching.remove(taker)
        if not self._takers and self._transcoder is not None:
            self._transcoder.close()
            self._transcoder = None
            self._opus = []
            self._sound.clear()

    def close(self) -> None:
        """The stream is forgotten, and so is what was made of it."""
        self._recent_audio.clear()

    def due(self, now: float) -> bool:
        """There is something to encode: a batch of the sound that came, or silence where none came for too long."""
        opus, transcoder = self._opus, self._transcoder
        if transcoder is None:
            return False
        return (bool(opus) and opus[-1].time - opus[0].time >= AUDIO_BATCH) or transcoder.end <= now - AUDIO_LAG

    def encode(self, now: float) -> None:
        """Takes what is due."""
        if self.due(now):
            self._push_waiting()
            self._code(lambda transcoder: transcoder.fill(now - AUDIO_LAG))

    def _push_waiting(self) -> None:
        packets, self._opus = self._opus, []
        if packets:
            self._code(lambda transcoder: transcoder.push(packets))

    def _code(self, step: Callable[[Transcoder], list[AacFrame]]) -> None:
        """Adds the frames that `step` gives. A coder that fails is replaced by one that goes on where it ended."""
        failed = self._transcoder
        if failed is None:
            return
        try:
            frames = step(failed)
        except Exception:
            if not self._failing:
                log.exception("the sound's coder failed", **self.stream.key.names())
            self._failing = True
            self._transcoder = self._make_transcoder()
            self._transcoder.start(failed.end)
            failed.close()
            return
        self._failing = False
        for frame in frames:
            self._sound.append(MediaTag(flv.AUDIO, frame.time, flv.aac_body(frame.data), key=False, config=None))

    def release(self, now: float) -> None:
        """Gives the takers the sound that is due, with a picture if one comes soon."""
        sound, due = self._sound, now - AUDIO_DELAY
        shown, self._shown = self._shown, False
        if not sound or sound[0].time > (due if shown else due - AUDIO_STEP):
            return
        while sound and sound[0].time <= due:
            tag = sound.popleft()
            self._recent_audio.append(tag)
            self._give(tag, self._takers)

    def _on_frame(self, frame: Frame) -> None:
        if isinstance(frame, OpusPacket):
            if self._takers:
                self._opus.append(frame)
        elif self._watching and (tag := self._video_tag(frame)) is not None:
            self._shown = True
            self._give(tag, self._watching)

    def _video_tag(self, unit: AccessUnit) -> MediaTag | None:
        codec = CODECS[unit.codec]
        if unit.key:
            self._describe(codec, unit.parts)
        if self._video_config is None:
            return None
        sample, composition = codec.sample(unit.parts), round(unit.composition * 1000)
        if codec.fourcc is None:
            body = flv.video_body(sample, key=unit.key, composition=composition)
        else:
            body = flv.enhanced_video_body(codec.fourcc, sample, key=unit.key, composition=composition)
        return MediaTag(flv.VIDEO, unit.time, body, unit.key, self._video_config)

    def _describe(self, codec: VideoCodec, parts: list[bytes]) -> None:
        """Takes what a key picture says about those that follow; where it says the same again, nothing changes."""
        try:
            described = codec.describe(parts)
        except ValueError as error:
            # Without a sequence header no player can decode it: it is left out rather than sent under an older one.
            if not self._undescribed:
                log.warning("video that cannot be described", reason=str(error), user_id=self.stream.key.user_id)
            self._undescribed, self._video_config = True, None
            return
        if described is None:
            return
        if codec.fourcc is None:
            header = flv.avc_sequence_header(described.record)
        else:
            header = flv.enhanced_sequence_header(codec.fourcc, described.record)
        config = VideoConfig(described.width, described.height, header, codec.fourcc)
        self._undescribed = False
        if config != self._video_config:
            self._video_config = config

    @staticmethod
    def _give(tag: MediaTag, takers: list[FeedTaker]) -> None:
        for taker in tuple(takers):
            taker.on_tag(tag)
