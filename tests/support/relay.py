"""The relay itself, with its HTTP port on loopback, as tests drive it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from relay.api.actions import VERSION
from relay.api.auth import Gate
from relay.api.callbacks import Dispatcher
from relay.api.rates import RateLimits
from relay.api.receivers import Receivers
from relay.app.server import make_engine, running, wall_clock
from relay.app.workers import Workers
from relay.core.snapshot import TaskSnapshot
from relay.engine.fleet import Fleet
from relay.engine.outbox import Outbox
from relay.net.destinations import Destinations
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings
from tests.support.http import PLAIN
from tests.support.sql import InMemory

LOOPBACK = RtcSettings(addresses=("127.0.0.1",))
APP, ROOM = "app", "room"


@dataclass(slots=True)
class Relay:
    """A running relay: its base URL, and the control API as a client calls it."""

    url: str
    client: httpx.AsyncClient

    def whip_url(self, user: str = "user", *, stream_type: int = 0, room: str = ROOM) -> str:
        return f"{self.url}/whip/{APP}/{room}/{user}?StreamType={stream_type}"

    def whep_url(self, user: str = "user", *, stream_type: int = 0, room: str = ROOM) -> str:
        return f"{self.url}/whep/{APP}/{room}/{user}?StreamType={stream_type}"

    async def call(self, action: str, body: object = None, *, method: str = "POST", **query: Any) -> httpx.Response:
        """One request; `body` is sent as JSON unless it is bytes."""
        content: dict[str, Any] = {}
        if body is not None:
            content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.client.request(method, "/", params={"Action": action, "Version": VERSION, **query}, **content)

    async def start(
        self,
        push_url: str,
        *,
        task: str = "task",
        user: str = "user",
        room: str = ROOM,
        stream_type: int = 0,
        media_type: int = 0,
        max_idle_time: int = 180,
    ) -> str:
        """Start, as an application calls it; gives `Result`."""
        response = await self.call(
            "StartPushSingleStreamToCDN",
            {
                "AppId": APP,
                "RoomId": room,
                "TaskId": task,
                "Stream": {"UserId": user, "StreamType": stream_type},
                "PushURL": push_url,
                "Control": {"MediaType": media_type, "MaxIdleTime": max_idle_time},
            },
        )
        assert response.status_code == 200, response.text
        return str(response.json()["Result"])

    async def stop(self, task: str = "task", *, room: str = ROOM) -> httpx.Response:
        return await self.call("StopPushStreamToCDN", {"AppId": APP, "RoomId": room, "TaskId": task})

    async def get(self, task: str = "task", *, room: str = ROOM) -> dict[str, Any]:
        """Get; `Result.PushSingleStreamToCDNTask`."""
        response = await self.call("GetPushSingleStreamToCDNTask", method="GET", AppId=APP, RoomId=room, TaskId=task)
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()["Result"]["PushSingleStreamToCDNTask"]
        return result

    async def states(self, task: str = "task", *, room: str = ROOM) -> tuple[int, int, str]:
        """`Status`, `PushStreamState`, `StopReason`."""
        got = await self.get(task, room=room)
        return got["Status"], got["PushStreamState"], got["StopReason"]


@dataclass(slots=True)
class InlineRelay(Relay):
    """One in this process, whose engine can be looked into."""

    engine: Fleet

    async def task(self, task: str = "task") -> TaskSnapshot:
        snapshot = await self.engine.find_task(APP, ROOM, task_id=task)
        assert snapshot is not None
        return snapshot


@contextlib.asynccontextmanager
async def running_relay(
    settings: WorkerSettings | None = None,
    *,
    workers: int = 1,
    gate: Gate | None = None,
    rates: RateLimits | None = None,
    destinations: Destinations | None = None,
    callbacks: str = "",
) -> AsyncIterator[InlineRelay]:
    """`callbacks` as in `RELAY_CALLBACKS`."""
    settings = settings or WorkerSettings(rtc=LOOPBACK)
    database = InMemory()
    receivers = Receivers.parse(callbacks) if callbacks else Receivers()
    outbox = Outbox(database, receivers.wants, wall_clock) if receivers else None
    engine = make_engine(Workers(settings, workers), database, outbox=outbox)
    faces: dict[str, Any] = {"gate": gate, "rates": rates, "destinations": destinations, "source": settings.source}
    faces["callbacks"] = Dispatcher(outbox, receivers) if outbox is not None else None
    async with running(engine, **faces) as url, httpx.AsyncClient(base_url=url, timeout=10, verify=PLAIN) as client:
        yield InlineRelay(url, client, engine)
