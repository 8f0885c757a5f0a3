"""One publisher's session: a WHIP offer answered."""

import secrets
from typing import Self

from relay.core.offer import RestartRefused, UnknownSession
from relay.rtc.answer import Decision, decide, write_answer
from relay.rtc.fragment import parse_fragment
from relay.rtc.receiving import ReceivingSession
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport


class PublisherSession(ReceivingSession):
    """Made by `answer()`."""

    def __init__(self, decision: Decision, settings: RtcSettings, transport: Transport) -> None:
        super().__init__(decision, settings, transport)
        self.etag = secrets.token_urlsafe(12)
        """Names the ICE session (RFC 9725 section 4.3.1); as ICE restarts are refused, it never changes."""

    @classmethod
    async def answer(cls, offer: str, *, settings: RtcSettings) -> tuple[Self, str]:
        """Takes a WHIP offer; gives the session and the SDP answer, and begins to connect.

        Nothing happens before the caller gives way to the event loop, so it can set `on_frame` and `on_closed` first.
        `OfferMalformed`, `OfferRefused` or `NotTakingWork`.
        """
        decision = decide(offer, settings.enhanced_codecs)
        transport = Transport(settings, offering=False)
        session = cls(decision, settings, transport)
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

    async def trickle(self, fragment: str) -> None:
        """More candidates of the publisher (RFC 8840). `OfferMalformed`; `RestartRefused` where the fragment belongs to
        another ICE session; `UnknownSession` after the end."""
        if self.closed_reason is not None:
            raise UnknownSession("The publishing session has ended.")
        parsed = parse_fragment(fragment)
        if parsed.ufrag != self._remote.ufrag or parsed.password not in (None, self._remote.password):
            raise RestartRefused("ICE restarts are not supported: DELETE this session and POST a new offer.")
        await self._transport.add_candidates(parsed.candidates)
