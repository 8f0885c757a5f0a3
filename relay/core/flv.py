"""FLV: file header, tags, and the tag bodies that RTMP messages carry as well (Adobe "Video File Format Specification"
10.1, annex E; the bodies of H.264 and AAC: E.4.3.1 and E.4.2.2; other video by FourCC: Enhanced RTMP v2)."""

from dataclasses import dataclass

from relay.core.rtmp import amf0

AUDIO = 8
VIDEO = 9
DATA = 18

_AVC = 7
_AAC = 10
# AAC is always told as 44 kHz, 16 bit, stereo; the AudioSpecificConfig counts (E.4.2.1).
_AUDIO_FLAGS = _AAC << 4 | 3 << 2 | 1 << 1 | 1
_KEY = 1 << 4 | _AVC
_INTER = 2 << 4 | _AVC
_KEY_HEAD = bytes((_KEY, 1, 0, 0, 0))
_INTER_HEAD = bytes((_INTER, 1, 0, 0, 0))
_SEQUENCE_HEAD = bytes((_KEY, 0, 0, 0, 0))
# Enhanced RTMP v2, ExVideoTagHeader: the upper bit, the frame type, the packet type.
_EX_KEY, _EX_INTER = 0x90, 0xA0
_EX_SEQUENCE_START, _EX_CODED_FRAMES, _EX_CODED_FRAMES_X = 0, 1, 3
_EX_COMPOSED = (b"hvc1",)
"""Those with pictures that are shown later than they are decoded; their coded frames have a composition time."""
_AAC_HEAD = bytes((_AUDIO_FLAGS, 1))
_AAC_SEQUENCE_HEAD = bytes((_AUDIO_FLAGS, 0))


class FlvError(ValueError):
    """The bytes are not FLV."""


@dataclass(slots=True)
class Tag:
    type: int
    """`AUDIO`, `VIDEO` or `DATA`."""
    timestamp: int
    """Milliseconds, any size; 32 bits of it are written."""
    body: bytes

    @property
    def is_header(self) -> bool:
        """A sequence header or metadata: what a decoder needs before any frame."""
        if self.type == VIDEO and self.body[:1] >= b"\x80":
            return self.body[0] & 15 == _EX_SEQUENCE_START
        return self.type == DATA or self.body[1:2] == b"\0"

    @property
    def is_key(self) -> bool:
        """A video key frame."""
        if self.type != VIDEO or not self.body or self.body[0] >> 4 & 7 != 1:
            return False
        if self.body[0] & 0x80:
            return self.body[0] & 15 in (_EX_CODED_FRAMES, _EX_CODED_FRAMES_X)
        return self.body[1:2] == b"\1"


def video_body(avcc: bytes, *, key: bool, composition: int = 0) -> bytes:
    """One access unit in AVCC form (four-byte lengths). `composition`: milliseconds from DTS, which is the tag's
    timestamp, to PTS; 24 bits, signed (CompositionTime)."""
    head = _KEY_HEAD if key else _INTER_HEAD
    if composition:
        head = head[:2] + (composition & 0xFFFFFF).to_bytes(3, "big")
    return head + avcc


def avc_sequence_header(record: bytes) -> bytes:
    """`record`: AVCDecoderConfigurationRecord (avcC)."""
    return _SEQUENCE_HEAD + record


def enhanced_video_body(fourcc: bytes, sample: bytes, *, key: bool, composition: int = 0) -> bytes:
    """One access unit of another codec, as its MP4 samples are; `composition` as above."""
    kind = _EX_KEY if key else _EX_INTER
    if fourcc not in _EX_COMPOSED:
        return bytes((kind | _EX_CODED_FRAMES,)) + fourcc + sample
    if not composition:
        return bytes((kind | _EX_CODED_FRAMES_X,)) + fourcc + sample
    return bytes((kind | _EX_CODED_FRAMES,)) + fourcc + (composition & 0xFFFFFF).to_bytes(3, "big") + sample


def enhanced_sequence_header(fourcc: bytes, record: bytes) -> bytes:
    """`record`: hvcC, av1C or vpcC."""
    return bytes((_EX_KEY | _EX_SEQUENCE_START,)) + fourcc + record


def aac_body(frame: bytes) -> bytes:
    """One raw AAC frame, no ADTS header."""
    return _AAC_HEAD + frame


def aac_sequence_header(config: bytes) -> bytes:
    """`config`: AudioSpecificConfig."""
    return _AAC_SEQUENCE_HEAD + config


def metadata_body(
    *,
    width: int | None = None,
    height: int | None = None,
    fourcc: bytes | None = None,
    frame_rate: float | None = None,
    video_bit_rate: int | None = None,
    audio: bool = True,
    audio_bit_rate: int = 128_000,
) -> bytes:
    """`onMetaData` of a live stream, so without duration (E.5). Without `width` and `height` there is no video.

    `fourcc`: the video's in Enhanced RTMP; None: H.264. Bit rates: bits per second.
    """
    values: dict[str, amf0.Value] = {}
    if width is not None and height is not None:
        codec = _AVC if fourcc is None else int.from_bytes(fourcc, "big")
        values |= {"hasVideo": True, "width": width, "height": height, "videocodecid": codec}
        if frame_rate is not None:
            values["framerate"] = frame_rate
        if video_bit_rate is not None:
            values["videodatarate"] = video_bit_rate / 1000
    if audio:
        values |= {
            "hasAudio": True,
            "audiocodecid": _AAC,
            "audiodatarate": audio_bit_rate / 1000,
            "audiosamplerate": 44100,
            "audiosamplesize": 16,
            "stereo": True,
        }
    values["encoder"] = "relay"
    return amf0.encode("onMetaData", amf0.EcmaArray(values))


def file_header(*, audio: bool, video: bool) -> bytes:
    """The header with the first PreviousTagSize."""
    return b"FLV\x01" + bytes((audio << 2 | video,)) + b"\0\0\0\x09\0\0\0\0"


def write_tag(tag: Tag) -> bytes:
    """One tag with the PreviousTagSize behind it."""
    size = len(tag.body)
    stamp = tag.timestamp & 0xFFFFFFFF
    return b"".join(
        (
            bytes((tag.type,)),
            size.to_bytes(3, "big"),
            (stamp & 0xFFFFFF).to_bytes(3, "big"),
            bytes((stamp >> 24, 0, 0, 0)),
            tag.body,
            (size + 11).to_bytes(4, "big"),
        )
    )


class TagReader:
    """An FLV file, byte by byte, to tags. Holds at most one tag not yet whole (16 MiB)."""

    __slots__ = ("_buffer", "_skip")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = -1
        """Bytes to pass over before the next tag; -1 before the file header."""

    def receive(self, data: bytes) -> list[Tag]:
        """The tags that `data` completes. `FlvError` when it does not begin as FLV or a tag's type is unknown."""
        buffer = self._buffer
        buffer += data
        at = 0
        if self._skip < 0:
            if buffer[:3] != b"FLV"[: len(buffer)]:
                raise FlvError("no FLV signature")
            if len(buffer) < 9:
                return []
            self._skip = int.from_bytes(buffer[5:9], "big") + 4
        tags = []
        while True:
            passed = min(self._skip, len(buffer) - at)
            at += passed
            self._skip -= passed
            if self._skip or len(buffer) < at + 11:
                break
            kind = buffer[at]
            if kind not in (AUDIO, VIDEO, DATA):
                raise FlvError(f"tag type {kind}")
            size = int.from_bytes(buffer[at + 1 : at + 4], "big")
            if len(buffer) < at + 11 + size:
                break
            stamp = buffer[at + 7] << 24 | int.from_bytes(buffer[at + 4 : at + 7], "big")
            tags.append(Tag(kind, stamp, bytes(buffer[at + 11 : at + 11 + size])))
            at += 11 + size
            self._skip = 4
        del buffer[:at]
        return tags
