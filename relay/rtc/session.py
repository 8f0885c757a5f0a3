"""What all sessions share: one transport, and the end of it; and what those share that answer an offer."""

import secrets
from collections.abc import Callable

from relay.core.offer import RestartRefused, UnknownSession
from relay.core.rtp.sources import MOST
from relay.rtc.bundle import Agreement
from relay.rtc.fragment import parse_fragment
from relay.rtc.parameters import LocalParameters
from relay.rtc.transport import Transport

MAX_HEARD = 32
"""RTCP datagrams of the peer that a tick reads: more are a flood, and are dropped."""
TOO_MANY_SOURCES = f"the peer sent packets of more than {MOST} sources (SSRC)"
"""The reason where a session has had enough of its peer."""


class Session:
    """Its owner calls `tick()` every few milliseconds until `on_closed` has been called."""

    def __init__(self, transport: Transport) -> None:
        """`transport` still knows nobody to tell of its end: `on_closed` is set here."""
        self.on_closed: Callable[[str], None] = lambda reason: None
        """Called exactly once, with the reason, however the session ends, `close()` included."""
        self._transport = transport
        transport.on_closed = self._closed
        self._now = transport.clock

    def close(self, reason: str) -> None:
        """Says goodbye to the peer and ends; a second call changes nothing."""
        self._transport.close(reason)

    async def wait_closed(self) -> None:
        """Returns when the session is closed and its sockets and tasks are gone."""
        await self._transport.wait_closed()

    def _closed(self, reason: str) -> None:
        self.on_closed(reason)

    @property
    def connected(self) -> bool:
        return self._transport.connected

    @property
    def closed_reason(self) -> str | None:
        return self._transport.closed_reason


class AnsweringSession(Session):
    """One that is an HTTP resource of the relay's: a publisher's or a viewer's."""

    etag: str
    """Names the ICE session (RFC 9725 section 4.3.1); as ICE restarts are refused, it never changes."""
    _agreement: Agreement

    async def _begin(self, agreement: Agreement, write: Callable[[LocalParameters], str]) -> str:
        """Gives the answer, and begins to connect. `NotTakingWork`.

        Nothing happens before the caller gives way to the event loop, so it can set its callbacks first.
        """
        self.etag, self._agreement = secrets.token_urlsafe(12), agreement
        transport = self._transport
        try:
            local = await transport.gather()
            await transport.add_candidates(agreement.candidates)
            text = write(local)
        except BaseException:
            transport.close("not answered")
            raise
        transport.start(agreement.remote, agreement.role)
        return text

    async def trickle(self, fragment: str) -> None:
        """More candidates of the peer (RFC 8840). `OfferMalformed`; `RestartRefused` where the fragment belongs to
        another ICE session; `UnknownSession` after the end."""
        if self.closed_reason is not None:
            raise UnknownSession("The session has ended.")
        parsed, remote = parse_fragment(fragment), self._agreement.remote
        if parsed.ufrag != remote.ufrag or parsed.password not in (None, remote.password):
            raise RestartRefused("ICE restarts are not supported: DELETE this session and POST a new offer.")
        await self._transport.add_candidates(parsed.candidates)
