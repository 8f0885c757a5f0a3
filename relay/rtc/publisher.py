"""One publisher's session: an offer answered, datagrams in on each tick, whole frames out, RTCP feedback back."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from relay.core.media import Frame
from relay.core.offer import RestartRefused, UnknownSession
from relay.core.rtp.reception import Reception
from relay.core.rtp.stats import ReceptionStats
from relay.rtc.answer import Decision, decide, write_answer
from relay.rtc.fragment import parse_fragment
from relay.rtc.parameters import TransportStats
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """Live views; the counters go on counting."""

    transport: TransportStats
    reception: ReceptionStats
    overflow: int
    """Datagrams dropped because no tick came in time."""


class PublisherSession:
    """Made by `answer()`. Its owner calls `tick()` every few milliseconds until `on_closed` has been called."""

    def __init__(self, decision: Decision, settings: RtcSettings) -> None:
        self.kinds: frozenset[str] = frozenset(track.kind for track in decision.tracks)
        self.etag = secrets.token_urlsafe(12)
        """Names the ICE session (RFC 9725 section 4.3.1); as ICE restarts are refused, it never changes."""
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        """Gets each whole frame, inside `tick()`."""
        self.on_closed: Callable[[str], None] = lambda reason: None
        """Called exactly once, with the reason, however the session ends, `close()` included."""
        self._remote = decision.remote
        self._leaving = False
        self._transport = Transport(settings, offering=False, on_closed=self._closed)
        self._now = self._transport.clock
        reception = settings.reception
        if settings.max_video_bitrate is not None:
            reception = replace(reception, max_bitrate=1000 * settings.max_video_bitrate)
        self._reception = Reception(
            decision.tracks,
            ssrc=secrets.randbits(32),
            cname=secrets.token_urlsafe(12),
            settings=reception,
            transport_extension=decision.transport_extension,
            remb=decision.remb,
        )

    @classmethod
    async def answer(cls, offer: str, *, settings: RtcSettings) -> tuple[Self, str]:
        """Takes a WHIP offer; gives the session and the SDP answer, and begins to connect.

        Nothing happens before the caller gives way to the event loop, so it can set `on_frame` and `on_closed` first.
        `OfferMalformed`, `OfferRefused` or `NotTakingWork`.
        """
        decision = decide(offer, settings.enhanced_codecs)
        session = cls(decision, settings)
        transport = session._transport
        try:
            local = await transport.gather()
            await transport.add_candidates(decision.candidates)
        except BaseException:
            transport.close("not answered")
            raise
        text = write_answer(
            decision, local, session_id=secrets.randbits(62), max_video_bitrate=settings.max_video_bitrate
        )
        transport.start(decision.remote, decision.role)
        return session, text

    def tick(self, now: float) -> None:
        """Everything that has arrived, then what is due: frames to `on_frame`, feedback to the publisher.

        `now`: seconds on the event loop's clock.
        """
        if not self._transport.connected:
            return
        self._receive(now)
        reception = self._reception
        for frame in reception.poll(now):
            self.on_frame(frame)
        for report in reception.feedback(now):
            self._transport.send(report)

    def _receive(self, now: float) -> None:
        reception, on_frame = self._reception, self.on_frame
        for arrival, packet in self._transport.receive(now):
            if 191 < packet[1] < 224:
                reception.receive_rtcp(packet, arrival)
            else:
                for frame in reception.receive_rtp(packet, arrival):
                    on_frame(frame)

    def request_key_frame(self, now: float) -> None:
        """Asks the publisher for an IDR; `core` keeps the pace."""
        self._reception.request_key_frame(now)

    @property
    def key_frames_wanted(self) -> bool:
        """Whether key frames are asked for again and again, on the timer of `ReceptionSettings`."""
        return self._reception.key_frames_wanted

    @key_frames_wanted.setter
    def key_frames_wanted(self, wanted: bool) -> None:
        self._reception.key_frames_wanted = wanted

    async def trickle(self, fragment: str) -> None:
        """More candidates of the publisher (RFC 8840). `OfferMalformed`; `RestartRefused` where the fragment belongs to
        another ICE session; `UnknownSession` after the end."""
        if self.closed_reason is not None:
            raise UnknownSession("The publishing session has ended.")
        parsed = parse_fragment(fragment)
        if parsed.ufrag != self._remote.ufrag or parsed.password not in (None, self._remote.password):
            raise RestartRefused("ICE restarts are not supported: DELETE this session and POST a new offer.")
        await self._transport.add_candidates(parsed.candidates)

    def close(self, reason: str) -> None:
        """Says goodbye to the publisher and ends; a second call changes nothing."""
        self._leaving = True
        self._transport.close(reason)

    async def wait_closed(self) -> None:
        """Returns when the session is closed and its sockets and tasks are gone."""
        await self._transport.wait_closed()

    def _closed(self, reason: str) -> None:
        if not self._leaving:
            self._receive(self._now())  # what came before the publisher's goodbye
        self.on_closed(reason)

    @property
    def connected(self) -> bool:
        return self._transport.connected

    @property
    def closed_reason(self) -> str | None:
        return self._transport.closed_reason

    @property
    def last_media(self) -> float | None:
        """When media last arrived, in seconds on the clock of `tick()`."""
        return max((t.last_media for t in self._reception.stats.tracks if t.last_media is not None), default=None)

    @property
    def stats(self) -> PublisherStats:
        return PublisherStats(self._transport.stats, self._reception.stats, self._transport.reader.overflow)
