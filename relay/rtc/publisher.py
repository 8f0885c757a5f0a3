"""One publisher's session: a WHIP offer answered."""

import secrets
from typing import Self

from relay.rtc.answer import decide, write_answer
from relay.rtc.receiving import ReceivingSession
from relay.rtc.session import AnsweringSession
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport


class PublisherSession(AnsweringSession, ReceivingSession):
    """Made by `answer()`."""

    @classmethod
    async def answer(cls, offer: str, *, settings: RtcSettings) -> tuple[Self, str]:
        """Takes a WHIP offer; gives the session and the SDP answer, and begins to connect.

        `OfferMalformed`, `OfferRefused` or `NotTakingWork`.
        """
        decision = decide(offer, settings.enhanced_codecs)
        session = cls(decision, settings, Transport(settings, offering=False))
        answer = await session._begin(
            decision.transport,
            lambda local: write_answer(
                decision, local, session_id=secrets.randbits(62), max_video_bitrate=settings.max_video_bitrate
            ),
        )
        return session, answer
