"""A publisher of our own: the WebRTC side of `relay publish` and of the tests.

It carries coded media and codes none: H.264 access units and Opus packets in, SRTP out. The HTTP of WHIP is its
owner's: `offer` goes out, the answer comes back by `accept()`.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Literal, Self, cast

from relay.core.rtp import rtcp
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.packet import is_rtcp
from relay.core.rtp.sender import MAX_PAYLOAD, RtpSender
from relay.rtc.fragment import write_fragment
from relay.rtc.offer import H264, OPUS, RTX, Source, read_answer, write_offer
from relay.rtc.parameters import LocalParameters
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport

_NTP_OF_1970 = 2_208_988_800
_REPORT_INTERVAL = 1.0
"""Seconds between sender reports of a track; the first goes out with the first media."""


class Caster:
    """Made by `create()`; its owner calls `tick()` every few milliseconds, and sends.

    Times of media are seconds on one timeline for both tracks. A picture's packets go out at once by
    `send_access_unit`; to space them, take `packetize_access_unit` and give some at a time to `send_packets`.
    """

    def __init__(
        self,
        *,
        settings: RtcSettings,
        kinds: Sequence[Literal["audio", "video"]],
        rtx: bool,
        on_key_frame_wanted: Callable[[], None],
        on_closed: Callable[[str], None],
    ) -> None:
        self._on_key_frame_wanted = on_key_frame_wanted
        self._transport = Transport(settings, offering=True, on_closed=on_closed)
        self._clock = self._transport.clock
        self._epoch: float | None = None
        """NTP time of the media timeline's zero: one for both tracks, so that a receiver can align them exactly."""
        self._cname = secrets.token_urlsafe(12)
        self._sources = tuple(_source(kind, rtx) for kind in sorted(kinds))
        self._senders = {source.kind: _sender(source, self._cname) for source in self._sources}
        self._report_due: dict[str, float] = {}
        self._local: LocalParameters | None = None
        self.packets_sent = 0
        self.retransmitted = 0
        self.key_frames_asked = 0

    @classmethod
    async def create(
        cls,
        *,
        settings: RtcSettings,
        kinds: Sequence[Literal["audio", "video"]] = ("audio", "video"),
        rtx: bool = True,
        on_key_frame_wanted: Callable[[], None] = lambda: None,
        on_closed: Callable[[str], None] = lambda reason: None,
    ) -> Self:
        """Opens the sockets. `NotTakingWork` where none can be bound."""
        caster = cls(
            settings=settings, kinds=kinds, rtx=rtx, on_key_frame_wanted=on_key_frame_wanted, on_closed=on_closed
        )
        try:
            caster._local = await caster._transport.gather()
        except BaseException:
            caster._transport.close("gathering failed")
            raise
        return caster

    def offer(self, *, candidates: bool = True) -> str:
        """The SDP to POST; without `candidates`, `fragment()` has to be sent by PATCH."""
        assert self._local is not None, "made by create()"  # noqa: S101  a slip in this file, not of its user
        return write_offer(
            self._sources, self._local, session_id=secrets.randbits(62), cname=self._cname, candidates=candidates
        )

    def fragment(self) -> str:
        """All candidates as one trickle fragment (RFC 8840)."""
        assert self._local is not None, "made by create()"  # noqa: S101  a slip in this file, not of its user
        return write_fragment(self._local.ufrag, self._local.password, "0", self._local.candidates)

    async def accept(self, answer: str) -> None:
        """Begins to connect. `OfferMalformed` or `OfferRefused` where the answer is of no use."""
        parsed = read_answer(answer)
        await self._transport.add_candidates(parsed.candidates)
        self._transport.start(parsed.remote, cast(Literal["client", "server"], parsed.role))

    async def wait_connected(self) -> bool:
        """False where no connection came about, see `closed_reason`."""
        return await self._transport.wait_connected()

    def packetize_access_unit(self, nals: Sequence[bytes], at: float) -> list[bytes]:
        """RTP packets of one picture (RFC 6184), and a sender report where one is due; `at`: seconds on the media
        timeline."""
        return self.packetize_payloads(packetize(nals, MAX_PAYLOAD), at)

    def packetize_payloads(self, payloads: Sequence[bytes], at: float) -> list[bytes]:
        """The same of a picture that is packed already, by `packetize` with `MAX_PAYLOAD`."""
        now = self._clock()
        return self._senders["video"].send_payloads(payloads, round(at * 90000), now) + self._report("video", at, now)

    def send_access_unit(self, nals: Sequence[bytes], at: float) -> None:
        self.send_packets(self.packetize_access_unit(nals, at))

    def packetize_opus(self, data: bytes, at: float) -> list[bytes]:
        """The RTP packet of one Opus packet (RFC 7587), and a sender report where one is due."""
        now = self._clock()
        return self._senders["audio"].send_opus(data, round(at * 48000), now) + self._report("audio", at, now)

    def send_opus(self, data: bytes, at: float) -> None:
        self.send_packets(self.packetize_opus(data, at))

    def send_packets(self, packets: Sequence[bytes]) -> None:
        """RTP and RTCP packets that one of the `packetize_` methods has made."""
        self.packets_sent += self._transport.send_all(packets)

    def _report(self, kind: str, at: float, now: float) -> list[bytes]:
        if now < self._report_due.get(kind, 0.0):
            return []
        self._report_due[kind] = now + _REPORT_INTERVAL
        if self._epoch is None:
            self._epoch = time.time() + _NTP_OF_1970 - at
        return [self._senders[kind].report(now, self._epoch + at)]

    def tick(self, now: float) -> None:
        """Reads the receiver's RTCP: retransmits what it misses, passes on that it wants a key frame."""
        wanted = False
        for arrival, packet in self._transport.receive(now):
            if is_rtcp(packet):
                messages = rtcp.parse(packet) or ()
                for sender in self._senders.values():
                    feedback = sender.heed(messages, arrival)
                    wanted = wanted or feedback.key_frame_wanted
                    if feedback.retransmissions:
                        self.retransmitted += len(feedback.retransmissions)
                        self.send_packets(feedback.retransmissions)
        if wanted:
            self.key_frames_asked += 1
            self._on_key_frame_wanted()

    def close(self, reason: str = "finished") -> None:
        """Politely: RTCP BYE, then DTLS close_notify."""
        if self._transport.connected:
            for sender in self._senders.values():
                self._transport.send(sender.bye())
        self._transport.close(reason)

    def kill(self) -> None:
        """The sockets vanish without a word, as those of a killed process do."""
        self._transport.kill()

    async def wait_closed(self) -> None:
        await self._transport.wait_closed()

    @property
    def connected(self) -> bool:
        return self._transport.connected

    @property
    def closed_reason(self) -> str | None:
        return self._transport.closed_reason


def _source(kind: str, rtx: bool) -> Source:
    return Source(kind, secrets.randbits(32), secrets.randbits(32) if rtx and kind == "video" else None)


def _sender(source: Source, cname: str) -> RtpSender:
    video = source.kind == "video"
    return RtpSender(
        kind="video" if video else "audio",
        payload_type=H264 if video else OPUS,
        clock_rate=90000 if video else 48000,
        ssrc=source.ssrc,
        cname=cname,
        first_sequence=secrets.randbits(16),
        rtp_offset=secrets.randbits(32),
        rtx_payload_type=RTX if source.rtx_ssrc is not None else None,
        rtx_ssrc=source.rtx_ssrc,
        rtx_first_sequence=secrets.randbits(16),
    )
