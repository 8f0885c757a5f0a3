"""One viewer's session: a WHEP offer answered, a stream's packets out, retransmissions and key frames on request.

What is sent is what was published, so a viewer whose network cannot carry it is not sent less of it but, while that
lasts, no pictures at all from time to time: after a report of heavy loss they pause until a key frame. Sound goes on.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from relay.core.rtp import rtcp
from relay.core.rtp.packet import is_rtcp
from relay.core.rtp.sender import RtpSender
from relay.core.rtp.sources import Sources
from relay.rtc.session import MAX_HEARD, TOO_MANY_SOURCES, AnsweringSession
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport
from relay.rtc.viewer_answer import Decision, Outlet, Pictures, Source, decide, write_answer

_NTP_OF_1970 = 2_208_988_800
_REPORT_INTERVAL = 1.0
"""Seconds between sender reports of a track; the first goes out with the first media."""
_RATE = 6_250_000
"""Bytes a second that leave at most: a large key frame at once would be more than a viewer's socket holds."""
_BURST = 128 * 1024
"""Bytes that may leave at once, in one tick: half of what a socket holds by default."""
_MAX_WAITING = 4 * 1024 * 1024
"""Bytes that wait to leave, above which pictures pause until a key frame."""
_REPAIR_BURST = 256 * 1024
"""Bytes of retransmission that may be asked for at once; over time no more than the media itself."""
_HEAVY_LOSS = 0.25
"""The part of the packets lost since the report before, from which pictures pause: NACK would repeat them in vain."""
_PAUSE = 2.0
"""Seconds until a key frame is asked for then, which costs everybody who watches."""


@dataclass(slots=True)
class Packed:
    """A frame in RTP payloads, which all viewers share."""

    kind: Literal["video", "audio"]
    payloads: list[bytes]
    stamp: int
    """RTP time."""
    at: float
    """The same on the stream's timeline, in seconds."""
    key: bool


class ViewerSession(AnsweringSession):
    """Made by `answer()`. Its owner gives it the stream's packets, and calls `tick()` every few milliseconds until
    `on_closed` has been called."""

    def __init__(self, decision: Decision, transport: Transport) -> None:
        super().__init__(transport)
        self.on_key_frame_wanted: Callable[[], None] = lambda: None
        """Called inside `tick()`."""
        self.awaiting_key = True
        """Pictures are left out until a key frame."""
        self._cname = secrets.token_urlsafe(12)
        self._sources = {outlet.index: _source(outlet) for outlet in decision.outlets}
        self._video = self._sender(decision.video)
        self._audio = self._sender(decision.audio)
        self._senders = tuple(sender for sender in (self._video, self._audio) if sender is not None)
        self._epoch = time.time() + _NTP_OF_1970 - self._now()
        """NTP time of the stream's timeline's zero: one for both tracks, so that a receiver can align them exactly."""
        self._report_due: dict[int, float] = {}
        self._waiting: deque[bytes] = deque()
        self._waiting_size = 0
        self._allowance = float(_BURST)
        self._allowed_at = self._now()
        self._repairs = _REPAIR_BURST
        self._resume_at: float | None = None
        self._met = Sources()

    @classmethod
    async def answer(cls, offer: str, pictures: Pictures, *, settings: RtcSettings) -> tuple[Self, str]:
        """Takes a WHEP offer; gives the session and the SDP answer, and begins to connect.

        `OfferMalformed`, `OfferRefused` or `NotTakingWork`.
        """
        decision = decide(offer, pictures)
        session = cls(decision, Transport(settings, offering=False))
        answer = await session._begin(
            decision.transport,
            lambda local: write_answer(
                decision, local, session._sources, cname=session._cname, session_id=secrets.randbits(62)
            ),
        )
        return session, answer

    @property
    def watches(self) -> bool:
        """It takes pictures."""
        return self._video is not None

    def send(self, frames: Sequence[Packed]) -> None:
        """In order."""
        now = self._now()
        leaving: list[bytes] = []
        for frame in frames:
            if frame.kind == "audio":
                sender = self._audio
                packets = [] if sender is None else sender.send_opus(frame.payloads[0], frame.stamp, now)
            else:
                sender = self._video if self._takes(frame, now) else None
                packets = [] if sender is None else sender.send_payloads(frame.payloads, frame.stamp, now)
            if sender is not None:
                leaving += self._admit(packets)
                leaving += self._report(sender, frame.at, now)
        self._transport.send_all(leaving)

    def _takes(self, frame: Packed, now: float) -> bool:
        """This picture is to be sent."""
        if self.awaiting_key and not frame.key:
            return False
        if self._waiting_size > _MAX_WAITING:
            self._pause(now)
            return False
        self.awaiting_key = False
        self._resume_at = None
        return True

    def _admit(self, packets: list[bytes]) -> list[bytes]:
        """Of what waits and of `packets`, those that may leave now; the others wait."""
        size = sum(map(len, packets))
        self._repairs = min(self._repairs + size, _REPAIR_BURST)
        if not self._waiting and size <= self._allowance:
            self._allowance -= size
            return packets
        self._waiting += packets
        self._waiting_size += size
        return self._release()

    def _release(self) -> list[bytes]:
        """What has waited and may leave now."""
        leaving = []
        while self._waiting and len(self._waiting[0]) <= self._allowance:
            packet = self._waiting.popleft()
            self._waiting_size -= len(packet)
            self._allowance -= len(packet)
            leaving.append(packet)
        return leaving

    def _report(self, sender: RtpSender, at: float, now: float) -> list[bytes]:
        """A sender report, where one is due."""
        if now < self._report_due.get(sender.ssrc, 0.0):
            return []
        self._report_due[sender.ssrc] = now + _REPORT_INTERVAL
        return [sender.report(now, self._epoch + at)]

    def tick(self, now: float) -> None:
        """What waits goes on its way; then what the viewer asks for. `now`: seconds on the event loop's clock."""
        if not self._transport.connected:
            return
        self._allowance = min(self._allowance + (now - self._allowed_at) * _RATE, _BURST)
        self._allowed_at = now
        if self._waiting:
            self._transport.send_all(self._release())
        wanted = False
        received = self._transport.receive(now)
        heard = [(arrival, packet) for arrival, packet in received if is_rtcp(packet)]
        for _, packet in received:  # a viewer sends little, and no RTP at all
            self._met.meet_sender(packet)
        for arrival, packet in heard[:MAX_HEARD]:
            messages = rtcp.parse(packet) or ()
            for sender in self._senders:
                wanted |= self._heed(sender, messages, arrival)
        if self._resume_at is not None and now >= self._resume_at:
            self._resume_at = now + _PAUSE
            wanted = True
        if wanted:
            self.on_key_frame_wanted()
        if self._met.too_many:
            self.close(TOO_MANY_SOURCES)

    def _heed(self, sender: RtpSender, messages: Sequence[rtcp.Message], now: float) -> bool:
        """Acts on an RTCP datagram; whether a key frame is asked for."""
        feedback = sender.heed(messages, now, self._repairs)
        if feedback.retransmissions:
            self._repairs -= sum(map(len, feedback.retransmissions))
            self._transport.send_all(feedback.retransmissions)
        if sender is self._video and (feedback.loss or 0.0) >= _HEAVY_LOSS and not self.awaiting_key:
            self._pause(now)
        return feedback.key_frame_wanted and self._resume_at is None

    def _pause(self, now: float) -> None:
        self.awaiting_key = True
        self._resume_at = now + _PAUSE

    def close(self, reason: str) -> None:
        """Politely: RTCP BYE, then DTLS close_notify."""
        if self._transport.connected:
            self._transport.send_all([sender.bye() for sender in self._senders])
        super().close(reason)

    def _sender(self, outlet: Outlet | None) -> RtpSender | None:
        if outlet is None:
            return None
        source = self._sources[outlet.index]
        return RtpSender(
            kind="video" if outlet.section.kind == "video" else "audio",
            payload_type=outlet.codec.payload_type,
            clock_rate=outlet.codec.clock_rate,
            ssrc=source.ssrc,
            cname=self._cname,
            first_sequence=secrets.randbits(16),
            rtp_offset=secrets.randbits(32),
            rtx_payload_type=outlet.rtx.payload_type if outlet.rtx is not None else None,
            rtx_ssrc=source.rtx_ssrc,
            rtx_first_sequence=secrets.randbits(16),
        )


def _source(outlet: Outlet) -> Source:
    return Source(secrets.randbits(32), secrets.randbits(32) if outlet.rtx is not None else None)
