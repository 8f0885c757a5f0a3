"""A subscription's session: a stream taken from an SFU by WHEP (draft-ietf-wish-whep)."""

import asyncio
import contextlib
import secrets
from typing import Self

from relay.core.offer import SessionError
from relay.core.subscription import Outcome
from relay.core.whep_source import Endpoint
from relay.rtc.answer import Decision, decide, write_answer
from relay.rtc.fragment import write_fragment
from relay.rtc.parameters import LocalParameters
from relay.rtc.receiving import ReceivingSession
from relay.rtc.receiving_offer import read_receiving_answer, write_receiving_offer
from relay.rtc.settings import RtcSettings
from relay.rtc.transport import Transport
from relay.rtc.whep import Resource, SubscribeError, WhepClient

PATIENCE = 0.3
"""Seconds that STUN and TURN servers get before the offer goes out; what they say later is trickled."""
LATE = 5.0
"""Seconds that they get in all."""


class SubscriberSession(ReceivingSession):
    """Made by `subscribe()`."""

    def __init__(
        self, decision: Decision, settings: RtcSettings, transport: Transport, resource: Resource | None
    ) -> None:
        super().__init__(decision, settings, transport)
        self._resource = resource
        self._trickling: asyncio.Task[None] | None = None

    @classmethod
    async def subscribe(cls, client: WhepClient, endpoint: Endpoint, *, settings: RtcSettings) -> Self:
        """Asks for the stream, and waits until media can flow. Raises `SubscribeError`."""
        transport = Transport(settings, offering=True)
        resource = trickling = None
        try:
            local = await transport.gather(PATIENCE)
            offer = write_receiving_offer(
                local,
                session_id=secrets.randbits(62),
                enhanced=settings.enhanced_codecs,
                complete=transport.gathered,
            )
            answered = await client.post_offer(endpoint, offer)
            resource = answered.resource
            if answered.counter_offer and resource is not None:
                transport.close("the server offers")
                await transport.wait_closed()
                transport = Transport(settings, offering=False)
                decision = await _answer(answered.sdp, transport, resource, settings)
            else:
                decision = read_receiving_answer(answered.sdp, settings.enhanced_codecs)
            session = cls(decision, settings, transport, resource)
            await transport.add_candidates(decision.transport.candidates)
            transport.start(decision.transport.remote, decision.transport.role)
            if not transport.gathered and resource is not None:
                session._trickling = trickling = asyncio.create_task(_trickle(transport, local, resource))
            if not await transport.wait_connected():
                raise SubscribeError(Outcome.UNCONNECTED, f"{endpoint.host}: {transport.closed_reason}")
        except SessionError as error:
            await _give_up(transport, resource, trickling)
            outcome = Outcome.BUSY if error.status >= 500 else Outcome.DENIED
            raise SubscribeError(outcome, f"{endpoint.host}: {error.detail}") from error
        except BaseException:
            await _give_up(transport, resource, trickling)
            raise
        return session

    async def wait_closed(self) -> None:
        """Returns when the session is closed, its sockets and tasks are gone, and the server was told."""
        if self._trickling is not None:
            self._trickling.cancel()
            await asyncio.wait([self._trickling])
        try:
            if self._resource is not None:
                await self._resource.delete()
        finally:
            await super().wait_closed()


async def _answer(offer: str, transport: Transport, resource: Resource, settings: RtcSettings) -> Decision:
    """Answers a server's counter-offer, as a publisher's offer is answered; a server has more to offer."""
    decision = decide(offer, settings.enhanced_codecs, choosing=True)
    local = await transport.gather()
    await resource.answer(
        write_answer(decision, local, session_id=secrets.randbits(62), max_video_bitrate=settings.max_video_bitrate)
    )
    return decision


async def _trickle(transport: Transport, local: LocalParameters, resource: Resource) -> None:
    candidates = await transport.late_candidates(LATE)
    if candidates:
        # A server that takes none may still be reached: the relay's own checks tell it where from.
        with contextlib.suppress(SubscribeError):
            await resource.trickle(write_fragment(local.ufrag, local.password, "0", candidates))


async def _give_up(transport: Transport, resource: Resource | None, trickling: asyncio.Task[None] | None) -> None:
    """Lets go of all; also where the caller is being cancelled."""
    transport.close("not subscribed")
    if trickling is not None:
        trickling.cancel()
    try:
        if resource is not None:
            await resource.delete()
    finally:
        await transport.wait_closed()
