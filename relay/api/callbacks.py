"""Callbacks on their way: what is due in the outbox is posted to its receiver, signed (control-api, section 4).

A call succeeds by a 200 within `TIME_LIMIT`; any other answer, a redirect too, is a failure. Calls are few at a time,
fewer still to one receiver, so that one that hangs holds up neither the others nor the relay.
"""

import asyncio
import contextlib
import secrets
import ssl
import string
import time
from collections import Counter

import structlog

from relay.api.receivers import Receiver, Receivers
from relay.api.webhook import Webhook
from relay.core.callback import TIME_LIMIT, message
from relay.engine.database import first_line
from relay.engine.outbox import Capacity, Delivery, Outbox, OutboxStats, Outcome
from relay.net.resolver import Resolver

log = structlog.get_logger(__name__)

MAX_CALLS = 32
"""At once."""
MAX_CALLS_EACH = 8
"""At once to one receiver."""
POLL = 5.0
"""Seconds between looks for what nobody told of: rows of a server that was killed."""
UPKEEP = 60.0
"""Seconds from one pruning of the outbox to the next."""
LEAST_PAUSE = 0.05
DATABASE_PAUSE = 1.0
"""Seconds after an error of the database."""
DRAIN_TIME = 3.0
"""Seconds that `close` gives to what is due."""


class Dispatcher:
    """Delivers from `start` to `close`."""

    def __init__(self, outbox: Outbox, receivers: Receivers, *, time_limit: float = TIME_LIMIT) -> None:
        self._outbox = outbox
        self._receivers = receivers
        self._time_limit = time_limit
        self._news = asyncio.Event()
        self._closing = False
        self._calls: dict[asyncio.Task[Outcome], str] = {}
        """Those under way, with their receiver's name for `Capacity`."""
        self._ended: list[Outcome] = []
        """Not recorded yet."""
        self._running: asyncio.Task[None] | None = None
        self._upkeep_due = 0.0

    @property
    def stats(self) -> OutboxStats:
        return self._outbox.stats

    async def start(self) -> None:
        # The system's certificates, or those of SSL_CERT_FILE.
        tls = ssl.create_default_context()
        resolver = Resolver()
        self._webhooks = {
            receiver: Webhook(
                receiver.url, resolver=resolver, tls=tls, time_limit=self._time_limit, limit=MAX_CALLS_EACH
            )
            for receiver in dict.fromkeys(self._receivers)
        }
        self._outbox.on_added = self._news.set
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Delivers what is due within `DRAIN_TIME`; the rest stays in the outbox."""
        if self._running is None:
            return
        self._closing = True
        self._news.set()
        await asyncio.wait([self._running], timeout=DRAIN_TIME)
        self._running.cancel()
        for call in self._calls:
            call.cancel()
        await asyncio.wait([self._running, *self._calls])
        self._running = None
        with contextlib.suppress(Exception):  # what is not recorded is called again
            await self._outbox.settle(self._ended)
        for webhook in self._webhooks.values():
            await webhook.close()

    def look(self) -> None:
        """Something may be due: have a look now."""
        self._news.set()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                pause = await self._round()
            except Exception as error:
                log.warning("callbacks wait for the database", error=first_line(error))
                pause = DATABASE_PAUSE
            if self._closing and not self._calls and not self._ended:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _round(self) -> float:
        """Records the calls that have ended and begins those that may be; gives the seconds to the next at the latest.

        The end of a call is news, so what is due and has no room is not waited for.
        """
        if self._ended:
            ended = self._ended.copy()
            await self._outbox.settle(ended)
            del self._ended[: len(ended)]
        now = time.monotonic()
        if now >= self._upkeep_due and not self._closing:
            self._upkeep_due = now + POLL
            if not await self._outbox.upkeep():
                self._upkeep_due = now + UPKEEP
        while (free := MAX_CALLS - len(self._calls)) > 0:
            capacity = Capacity(self._receivers.named, Counter(self._calls.values()), MAX_CALLS_EACH)
            deliveries = await self._outbox.claim(capacity, free)
            if not deliveries:
                wait = await self._outbox.wait(capacity)
                return POLL if wait is None else min(max(wait, LEAST_PAUSE), POLL)
            for delivery in deliveries:
                call = asyncio.create_task(self._call(delivery))
                self._calls[call] = capacity.receiver(delivery.event.app_id)
                call.add_done_callback(self._called)
        return POLL

    def _called(self, call: asyncio.Task[Outcome]) -> None:
        del self._calls[call]
        if not call.cancelled():
            self._ended.append(call.result())
        self._news.set()

    async def _call(self, delivery: Delivery) -> Outcome:
        event = delivery.event
        receiver = self._receivers.get(event.app_id)
        if receiver is None:
            outcome = Outcome(delivery, "no receiver is set for this application any more", final=True)
        else:
            outcome = Outcome(delivery, await self._post(receiver, delivery))
        if not outcome.delivered:
            (log.error if outcome.given_up else log.warning)(
                "callback given up" if outcome.given_up else "callback failed",
                app_id=event.app_id,
                event_type=event.type.value,
                event_id=delivery.event_id,
                receiver=receiver.origin if receiver is not None else None,
                error=outcome.error,
            )
        return outcome

    async def _post(self, receiver: Receiver, delivery: Delivery) -> str:
        """One call; gives what went wrong, or nothing."""
        nonce = "".join(secrets.choice(string.ascii_letters) for _ in range(4))
        body = message(delivery.event, event_id=delivery.event_id, nonce=nonce, secret=receiver.secret)
        return await self._webhooks[receiver].post(body)
