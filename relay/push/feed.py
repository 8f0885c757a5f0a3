"""One stream made ready for CDNs, once, for all the pushes of it: FLV bodies of its pictures, and its sound as AAC.

A feed works only while a push takes from it: it asks for key frames, runs the stream's one transcoder, and keeps the
sound's timeline going when the publisher sends none (media contract, sections 4 and 7).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from relay.core import flv, h264
from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.stream import Stream
from relay.push.transcode import AacFrame, Transcoder

log = structlog.get_logger(__name__)

AUDIO_LAG = 0.3
"""Seconds the sound may be late before silence takes its place: above what reception waits for a lost Opus packet."""
AUDIO_HEAD = 0.1
"""Seconds of sound before a push begins, since the first picture's time is a little before its arrival."""


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """What a decoder needs before the pictures that follow."""

    width: int
    height: int
    sequence_header: bytes
    """FLV video body: AVCDecoderConfigurationRecord."""


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
        self.video_config: VideoConfig | None = None
        self._make_transcoder = make_transcoder
        self._transcoder: Transcoder | None = None
        self._takers: list[FeedTaker] = []
        self._opus: list[OpusPacket] = []
        self._parameter_sets: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())

    @property
    def active(self) -> bool:
        return bool(self._takers)

    def attach(self, taker: FeedTaker, now: float) -> None:
        if not self._takers:
            self._transcoder = self._make_transcoder()
            self._transcoder.start(now - AUDIO_HEAD)
            self.audio_config = flv.aac_sequence_header(self._transcoder.config)
            self.stream.sinks.append(self._on_frame)
        self._takers.append(taker)
        self.stream.request_key_frame()

    def detach(self, taker: FeedTaker) -> None:
        if taker not in self._takers:
            return
        self._takers.remove(taker)
        if not self._takers and self._transcoder is not None:
            self.stream.sinks.remove(self._on_frame)
            self._transcoder.close()
            self._transcoder = None
            self._opus.clear()

    def tick(self, now: float) -> None:
        """Encodes the sound that came since the last tick, and silence where none came for too long."""
        if self._transcoder is None:
            return
        frames: list[AacFrame] = []
        if self._opus:
            frames += self._transcoder.push(self._opus)
            self._opus.clear()
        frames += self._transcoder.fill(now - AUDIO_LAG)
        for frame in frames:
            self._give(MediaTag(flv.AUDIO, frame.time, flv.aac_body(frame.data), key=False, config=None))

    def _on_frame(self, frame: Frame) -> None:
        if isinstance(frame, OpusPacket):
            self._opus.append(frame)
        else:
            self._on_access_unit(frame)

    def _on_access_unit(self, unit: AccessUnit) -> None:
        if unit.key:
            self._take_parameter_sets(unit.nals)
        if self.video_config is None:
            return
        body = flv.video_body(h264.length_prefixed(unit.nals), key=unit.key)
        self._give(MediaTag(flv.VIDEO, unit.time, body, unit.key, self.video_config))

    def _take_parameter_sets(self, nals: list[bytes]) -> None:
        sps = tuple(nal for nal in nals if h264.nal_type(nal) == h264.NalType.SPS)
        pps = tuple(nal for nal in nals if h264.nal_type(nal) == h264.NalType.PPS)
        if not sps or not pps or (sps, pps) == self._parameter_sets:
            return
        self._parameter_sets = (sps, pps)
        try:
            size = h264.parse_sps(sps[0])
            record = h264.decoder_configuration(sps, pps)
        except ValueError as error:
            # Without a sequence header no player can decode it: it is left out rather than sent under an older one.
            log.warning("video that cannot be described", reason=str(error), user_id=self.stream.key.user_id)
            self.video_config = None
            return
        self.video_config = VideoConfig(size.width, size.height, flv.avc_sequence_header(record))

    def _give(self, tag: MediaTag) -> None:
        for taker in tuple(self._takers):
            taker.on_tag(tag)
