"""A received RTP session: datagrams in on each tick, whole frames out, RTCP feedback back."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from relay.core.media import Frame
from relay.core.rtp.packet import is_rtcp
from relay.core.rtp.reception import Reception
from relay.core.rtp.stats import ReceptionStats
from relay.rtc.answer import Decision
from relay.rtc.parameters import TransportStats
from relay.rtc.session import MAX_HEARD, TOO_MANY_SOURCES, Session
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Live views; the counters go on counting."""

    transport: TransportStats
    reception: ReceptionStats
    overflow: int
    """Datagrams dropped because no tick came in time."""


class ReceivingSession(Session):
    """What a publisher's session and a subscription have in common, once it is decided what comes."""

    def __init__(self, decision: Decision, settings: RtcSettings, transport: Transport) -> None:
        super().__init__(transport)
        self.kinds: frozenset[str] = frozenset(track.kind for track in decision.tracks)
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        """Gets each whole frame, inside `tick()`."""
        self._leaving = False
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

    def tick(self, now: float) -> None:
        """Everything that has arrived, then what is due: frames to `on_frame`, feedback to the peer.

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
        if reception.sources.too_many:
            self.close(TOO_MANY_SOURCES)

    def _receive(self, now: float) -> None:
        reception, on_frame, heard = self._reception, self.on_frame, 0
        for arrival, packet in self._transport.receive(now):
            if is_rtcp(packet):
                reception.sources.meet_sender(packet)
                heard += 1
                if heard <= MAX_HEARD:
                    reception.receive_rtcp(packet, arrival)
            else:
                for frame in reception.receive_rtp(packet, arrival):
                    on_frame(frame)

    def request_key_frame(self) -> None:
        """Asks the peer for an IDR; `core` keeps the pace."""
        self._reception.request_key_frame()

    @property
    def key_frames_wanted(self) -> bool:
        """Whether key frames are asked for again and again, on the timer of `ReceptionSettings`."""
        return self._reception.key_frames_wanted

    @key_frames_wanted.setter
    def key_frames_wanted(self, wanted: bool) -> None:
        self._reception.key_frames_wanted = wanted

    def close(self, reason: str) -> None:
        self._leaving = True
        super().close(reason)

    def _closed(self, reason: str) -> None:
        if not self._leaving:
            self._receive(self._now())  # what came before the peer's goodbye
        super()._closed(reason)

    @property
    def last_media(self) -> float | None:
        """When media last arrived, in seconds on the clock of `tick()`."""
        last: float | None = None
        for track in self._reception.stats.tracks:
            at = track.last_media
            if at is not None and (last is None or at > last):
                last = at
        return last

    @property
    def stats(self) -> SessionStats:
        return SessionStats(self._transport.stats, self._reception.stats, self._transport.reader.overflow)
