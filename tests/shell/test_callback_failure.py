"""A callback that was given up shows where its task is asked for."""

import httpx

from relay.app.server import make_engine, running, wall_clock
from relay.app.workers import Workers
from relay.engine.outbox import Capacity, Outbox, Outcome
from relay.worker.settings import WorkerSettings
from tests.support.http import PLAIN
from tests.support.relay import LOOPBACK, Relay
from tests.support.sql import InMemory


async def test_get_says_why_a_callback_was_given_up() -> None:
    database = InMemory()
    outbox = Outbox(database, lambda app_id, event: True, wall_clock)
    engine = make_engine(Workers(WorkerSettings(rtc=LOOPBACK)), database, outbox=outbox)
    async with running(engine) as url, httpx.AsyncClient(base_url=url, verify=PLAIN) as client:
        relay = Relay(url, client)
        for task in ("one", "other"):
            await relay.start("rtmp://127.0.0.1:9/live/key", task=task)
        assert "CallbackError" not in await relay.get("one")
        deliveries = await outbox.claim(Capacity((), {}, 8), 8)
        (started,) = [delivery for delivery in deliveries if delivery.event.sequence == "app/room/one"]
        await outbox.settle([Outcome(started, "HTTP status 500", final=True)])
        assert (await relay.get("one"))["CallbackError"] == "TranscodeStarted: HTTP status 500"
        assert "CallbackError" not in await relay.get("other")
