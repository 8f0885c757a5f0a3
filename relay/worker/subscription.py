"""The run of one stream's subscription to an SFU: drives one `core.subscription`, events in, effects out.

It owns the attempt that is under way and the newcomer that is on trial. The session that has the seat is the room's.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from relay.core.ident import StreamKey
from relay.core.media import Frame
from relay.core.subscription import Effect, Outcome, Subscription
from relay.core.whep_source import Endpoint, NoSuchStream, WhepSource
from relay.rtc.settings import RtcSettings
from relay.rtc.subscriber import SubscriberSession
from relay.rtc.whep import SubscribeError, WhepClient

log = structlog.get_logger(__name__)


class Closing(Protocol):
    """What takes a while to be gone."""

    async def wait_closed(self) -> None: ...


class SubscriptionRun:
    """One stream's; its owner calls `tick()` before that of the session which has the seat.

    `take` gives a session the seat, and closes the one that had it; `leave` tells that nobody has it any more.
    """

    def __init__(
        self,
        key: StreamKey,
        *,
        take: Callable[[SubscriberSession], None],
        leave: Callable[[str], None],
        source: WhepSource,
        client: WhepClient,
        settings: RtcSettings,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        retire: Callable[[Closing], None],
    ) -> None:
        self._log = log.bind(**key.names())
        self._key = key
        self._take = take
        self._leave = leave
        self._source = source
        self._client = client
        self._settings = settings
        self._clock = clock
        self._retire = retire
        self.subscription = Subscription(clock(), jitter)
        self._attempt: asyncio.Task[SubscriberSession] | None = None
        self._seated: SubscriberSession | None = None
        self._newcomer: SubscriberSession | None = None
        self._told = ""

    def tick(self, now: float) -> None:
        if self._attempt is not None and self._attempt.done():
            self._attempted(self._attempt, now)
        if self._newcomer is not None:
            self._newcomer.tick(now)
        if self._seated is not None and (last_media := self._seated.last_media) is not None:
            self._act(self.subscription.media(last_media))
        self._act(self.subscription.poll(now))

    def close(self) -> None:
        """Ends the attempt and the newcomer; the session that has the seat is the room's to close."""
        self._seated = None
        self._drop()

    def _act(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Effect.ASK:
                    self._ask()
                case Effect.SEAT:
                    self._take_seat()
                case Effect.DROP:
                    self._drop()

    def _ask(self) -> None:
        try:
            endpoint = self._source.endpoint(self._key)
        except NoSuchStream as error:
            self._refused(Outcome.DENIED, str(error), None)
            return
        self._log.debug("subscribing", host=endpoint.host, attempt=self.subscription.attempts)
        self._attempt = asyncio.create_task(self._subscribe(endpoint))

    async def _subscribe(self, endpoint: Endpoint) -> SubscriberSession:
        return await SubscriberSession.subscribe(self._client, endpoint, settings=self._settings)

    def _attempted(self, attempt: "asyncio.Task[SubscriberSession]", now: float) -> None:
        self._attempt = None
        try:
            session = attempt.result()
        except SubscribeError as error:
            self._refused(error.outcome, error.detail, error.retry_after)
        except Exception:
            self._log.exception("a subscription failed")
            self._refused(Outcome.BUSY, "an internal error", None)
        else:
            self._newcomer = session
            session.on_frame = lambda frame: self._heard(session, frame)
            session.on_closed = lambda reason: self._lost(session, reason)
            self._act(self.subscription.connected(now))
            if session.closed_reason is not None:  # between its connecting and this tick
                self._lost(session, session.closed_reason)

    def _refused(self, outcome: Outcome, reason: str, retry_after: float | None) -> None:
        self.subscription.refused(outcome, reason, self._clock(), retry_after=retry_after)
        if reason != self._told:  # once, not at each attempt
            self._told = reason
            self._log.warning("not subscribed", reason=reason, outcome=outcome.value)

    def _heard(self, session: SubscriberSession, frame: Frame) -> None:
        """A frame of a session that came without the seat."""
        if session is self._newcomer:
            self._act(self.subscription.media(frame.arrival, trial=True))
            if session is self._seated:
                session.request_key_frame()  # what came until now is not passed on
        elif session is self._seated:
            session.on_frame(frame)  # in the tick that seated it

    def _lost(self, session: SubscriberSession, reason: str) -> None:
        if session is self._newcomer:
            self._newcomer = None
            self._retire(session)
            self.subscription.lost(reason, self._clock(), trial=True)
        elif session is self._seated:
            self._log.info("subscription lost", reason=reason)
            self._seated = None
            self._leave(reason)
            self.subscription.lost(reason, self._clock())

    def _take_seat(self) -> None:
        session, self._newcomer = self._newcomer, None
        if session is None:
            return
        self._seated, self._told = session, ""
        self._log.info("subscribed", kinds=sorted(session.kinds), attempts=self.subscription.attempts)
        self._take(session)

    def _drop(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
            self._retire(_Abandoned(attempt))
        session, self._newcomer = self._newcomer, None
        if session is not None:
            session.close("not needed any more")
            self._retire(session)


class _Abandoned:
    """An attempt that is being cancelled, and may have a session to end yet."""

    def __init__(self, attempt: "asyncio.Task[SubscriberSession]") -> None:
        self._attempt = attempt

    async def wait_closed(self) -> None:
        await asyncio.wait([self._attempt])
        if not self._attempt.cancelled() and self._attempt.exception() is None:
            session = self._attempt.result()
            session.close("not needed any more")
            await session.wait_closed()
