"""What a video codec has to offer so that a publisher's pictures of it can be received and packed for a CDN."""

from collections.abc import Callable
from dataclasses import dataclass

from relay.core.rtp.payload import Depacketizer
from relay.core.rtp.stats import TrackStats


@dataclass(frozen=True, slots=True)
class Description:
    """What a decoder has to know before a key picture."""

    width: int
    height: int
    record: bytes
    """The codec's configuration record, as MP4 has it too: avcC, hvcC, vpcC, av1C."""


@dataclass(frozen=True, slots=True)
class VideoCodec:
    """`parts` are those of an `AccessUnit`; `data[start:end]` is a payload, not empty."""

    name: str
    """SDP's encoding name, in lower case."""
    fourcc: bytes | None
    """In Enhanced RTMP; None: plain FLV has a number for it."""
    depacketizer: Callable[[TrackStats], Depacketizer]
    starts_picture: Callable[[bytes, int, int], bool]
    """The payload is the first of a picture with which decoding may begin."""
    carries_key: Callable[[bytes, int, int], bool]
    """The payload shows that its picture is a key picture."""
    reorder_depth: Callable[[list[bytes]], int | None]
    """Of a key picture's `parts`: how many pictures may come before one that is shown earlier; None: not told."""
    parameter_sets: Callable[[list[bytes]], list[bytes]]
    """Of a key picture's `parts`: those by which it decodes, and later ones that bring none; empty where it does."""
    describe: Callable[[list[bytes]], Description | None]
    """Of a key picture's `parts`; None: as before, nothing is said. ValueError: what is said cannot be read."""
    sample: Callable[[list[bytes]], bytes]
    """A picture as FLV and MP4 carry it."""


def never_reorders(parts: list[bytes]) -> int | None:
    """For codecs whose pictures come in the order in which they are shown."""
    return 0


def no_parameter_sets(parts: list[bytes]) -> list[bytes]:
    """For codecs whose key pictures say themselves how to decode them."""
    return []
