"""Connections and runs for tests, a listener, and the steps of a push."""

import asyncio
from typing import Any

from relay.core.egress import ANY
from relay.core.flv import Tag
from relay.core.push_url import PushUrl
from relay.core.rtmp.publisher import PublishStarted
from relay.core.task import Lease, TaskSpec
from relay.net.destinations import Destinations
from relay.push.connection import Connection, Event, Listener, Lost
from relay.push.feed import Feed
from relay.push.run import PushRun
from tests.support.eventually import eventually


class Ear:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    @property
    def lost(self) -> str | None:
        """The reason, once it is lost."""
        match self.events:
            case [*_, Lost(reason)]:
                return reason
        return None


def opened(url: PushUrl, listener: Listener, **options: Any) -> Connection:
    """A connection that may go anywhere."""
    return Connection.open(url, listener, **{"destinations": Destinations(ANY), **options})


def run_of(spec: TaskSpec, feed: Feed, **options: Any) -> PushRun:
    """A run whose times are the loop's, for the feed's stream; `options`: what is to be otherwise."""
    clock = asyncio.get_running_loop().time
    usual = {
        "lease": Lease(id=1, generation=1, start_time=0),
        "connect": opened,
        "clock": clock,
        "wall": lambda: round(clock() * 1000),
        "jitter": lambda: 0.0,
        "on_change": lambda run: None,
    }
    return PushRun(spec, stream=feed.stream, feed=feed, **{**usual, **options})


async def publishing(url: str, **options: Any) -> tuple[Connection, Ear]:
    """A connection whose publishing has begun."""
    ear = Ear()
    connection = opened(PushUrl.parse(url), ear, **options)
    await eventually(lambda: ear.lost or PublishStarted() in ear.events, every=0.005, what="the publishing begins")
    assert PublishStarted() in ear.events, ear.events
    return connection, ear


async def push(connection: Connection, tags: list[Tag], *, offset: int = 0) -> None:
    """Sends as a run does: some at a time, while it is writable."""
    for start in range(0, len(tags), 20):
        await eventually(lambda: connection.writable, every=0.002)
        for tag in tags[start : start + 20]:
            connection.send(tag.type, tag.timestamp + offset, tag.body)
        connection.flush()


async def end(connection: Connection, ear: Ear) -> None:
    connection.finish()
    await connection.wait_closed()
    await eventually(lambda: ear.lost, every=0.002)
