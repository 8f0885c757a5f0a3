"""Reception of one publisher's RTP session: datagrams in, whole frames out, RTCP feedback on time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from relay.core.media import Frame

Kind = Literal["video", "audio"]


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """What the SDP answer agreed on for one media section."""

    kind: Kind
    payload_type: int
    clock_rate: int
    rtx_payload_type: int | None = None
    nack: bool = True
    ssrc: int | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """Times in seconds."""

    reorder_allowance: float = 0.015
    video_deadline: float = 0.5
    audio_deadline: float = 0.2
    pli_interval: float = 1.0
    key_frame_interval: float = 2.0
    report_interval: float = 1.0
    remb_ceiling: int | None = None


@dataclass(slots=True)
class TrackStats:
    kind: Kind
    packets: int = 0
    bytes: int = 0
    lost: int = 0
    recovered: int = 0
    nacks: int = 0
    plis: int = 0
    malformed: int = 0
    dropped: int = 0
    frames: int = 0
    last_media: float | None = None
    rtt: float | None = None
    jitter: float = 0.0
    reordered: bool = False


@dataclass(slots=True)
class ReceptionStats:
    tracks: list[TrackStats] = field(default_factory=list)
    foreign: int = 0
    malformed: int = 0


class Reception:
    def __init__(
        self, tracks: Sequence[TrackSpec], *, ssrc: int, cname: str, settings: ReceptionSettings = ReceptionSettings()
    ) -> None:
        self.ended = False
        self.key_frames_wanted = False
        self.stats = ReceptionStats([TrackStats(track.kind) for track in tracks])

    def receive_rtp(self, data: bytes, now: float) -> Sequence[Frame]:
        return ()

    def receive_rtcp(self, data: bytes, now: float) -> None:
        pass

    def poll(self, now: float) -> Sequence[Frame]:
        return ()

    def feedback(self, now: float) -> list[bytes]:
        return []

    def deadline(self) -> float | None:
        return None

    def request_key_frame(self, now: float) -> None:
        pass
