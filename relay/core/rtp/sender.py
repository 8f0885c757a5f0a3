"""The sending half of an RTP stream (RFC 3550, RFC 6184, RFC 7587), with retransmission (RFC 4588)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class SenderFeedback:
    """What one RTCP datagram of the receiver asks for."""

    retransmissions: list[bytes] = field(default_factory=list)
    key_frame_wanted: bool = False
    loss: float | None = None
    rtt: float | None = None


class RtpSender:
    def __init__(
        self,
        *,
        kind: Literal["video", "audio"],
        payload_type: int,
        clock_rate: int,
        ssrc: int,
        cname: str,
        first_sequence: int,
        rtp_offset: int,
        rtx_payload_type: int | None = None,
        rtx_ssrc: int | None = None,
        rtx_first_sequence: int = 0,
        history: int = 1024,
    ) -> None:
        self.ssrc = ssrc

    def send_access_unit(self, nals: Sequence[bytes], rtp_time: int, now: float) -> list[bytes]:
        return []

    def send_opus(self, data: bytes, rtp_time: int, now: float) -> list[bytes]:
        return []

    def receive_rtcp(self, data: bytes, now: float) -> SenderFeedback:
        return SenderFeedback()

    def report(self, now: float, ntp: float) -> bytes:
        return b""

    def bye(self) -> bytes:
        return b""
