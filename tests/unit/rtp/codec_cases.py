"""Streams of every video codec, from FFmpeg's encoders and RTP muxer into a Reception, and out as FLV."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.core import flv
from relay.core.codecs import CODECS
from relay.core.media import AccessUnit
from relay.core.rtp.packet import RtpPacket
from relay.core.rtp.reception import Reception, TrackSpec
from tests.support.coded import FPS, Coded, coded
from tests.support.ffmpeg_rtp import rtp_packets

NOW = 100.0
PAYLOAD_TYPE = 97


@dataclass(frozen=True, slots=True)
class Case:
    codec: str
    encoder: str
    options: tuple[tuple[str, str], ...]
    ffmpeg_name: str

    def units(self, count: int = 60, **shape: int) -> list[Coded]:
        return coded(self.encoder, count, dict(self.options), **shape)

    def packets(self, units: list[Coded], size: int = 1200) -> list[RtpPacket]:
        return rtp_packets(self.encoder, units, payload_type=PAYLOAD_TYPE, size=size)

    def receiver(self) -> Reception:
        return Reception([TrackSpec("video", PAYLOAD_TYPE, 90000, codec=self.codec)], ssrc=1, cname="relay")


VP8 = Case("vp8", "libvpx", (("deadline", "realtime"), ("cpu-used", "8"), ("error-resilient", "0")), "vp8")
VP9 = Case("vp9", "libvpx-vp9", (("deadline", "realtime"), ("cpu-used", "8"), ("lag-in-frames", "0")), "vp9")
_X265 = "log-level=none:open-gop=0:scenecut=0:pools=none:frame-threads=1:bframes={}"
H265 = Case("h265", "libx265", (("preset", "ultrafast"), ("x265-params", _X265.format(0))), "hevc")
H265_B_FRAMES = Case("h265", "libx265", (("preset", "ultrafast"), ("x265-params", _X265.format(4))), "hevc")
AV1 = Case("av1", "libsvtav1", (("preset", "12"), ("svtav1-params", "pred-struct=1:lp=1")), "av1")
CASES = [VP8, VP9, H265, AV1]


def receive(receiver: Reception, packets: Iterable[RtpPacket]) -> list[AccessUnit]:
    """Each at its own media time."""
    received: list[AccessUnit] = []
    origin = None
    for packet in packets:
        origin = packet.timestamp if origin is None else origin
        now = NOW + ((packet.timestamp - origin) & 0xFFFFFFFF) / 90000
        received += _pictures(receiver.poll(now))
        received += _pictures(receiver.receive_rtp(packet.serialise(), now))
    received += _pictures(receiver.poll(now + 1))
    return received


def _pictures(frames: Iterable[object]) -> list[AccessUnit]:
    return [frame for frame in frames if isinstance(frame, AccessUnit)]


def file_of(units: list[AccessUnit]) -> bytes:
    """What a CDN gets of them, as a file."""
    codec = CODECS[units[0].codec]
    assert codec.fourcc is not None
    tags = []
    for unit in units:
        at = round((unit.time - units[0].time) * 1000)
        if unit.key and (described := codec.describe(unit.parts)) is not None:
            tags.append(flv.Tag(flv.VIDEO, at, flv.enhanced_sequence_header(codec.fourcc, described.record)))
        body = flv.enhanced_video_body(
            codec.fourcc, codec.sample(unit.parts), key=unit.key, composition=round(unit.composition * 1000)
        )
        tags.append(flv.Tag(flv.VIDEO, at, body))
    assert all(tag.is_key == (not tag.is_header and unit_key) for tag, unit_key in _keys(tags, units))
    return flv.file_header(audio=False, video=True) + b"".join(map(flv.write_tag, tags))


def _keys(tags: list[flv.Tag], units: list[AccessUnit]) -> Iterable[tuple[flv.Tag, bool]]:
    keys = iter(units)
    return [(tag, not tag.is_header and next(keys).key) for tag in tags]


FRAME = 1 / FPS
