"""A webhook receiver: an HTTP server of its own that verifies each call as an application does, and may misbehave."""

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.http import HOST, Request, Response, serving

SECRET = "callback-secret-of-the-tests"  # noqa: S105
PATH = "/hook/path-secret-of-the-tests"
SIGNED = ("EventType", "EventData", "EventTime", "EventId", "AppId", "Version", "Nonce")


@dataclass(frozen=True, slots=True)
class Call:
    target: str
    message: dict[str, str]

    @property
    def event_id(self) -> str:
        return self.message["EventId"]

    @property
    def type(self) -> str:
        return self.message["EventType"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.message["EventData"])
        return data


Answer = Callable[[Call], Awaitable[Response]]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    async def answer(call: Call) -> Response:
        return Response(code, headers, body)

    return answer


async def hang(call: Call) -> Response:
    """Takes the request and says nothing."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


@dataclass(slots=True)
class WebhookReceiver:
    port: int
    answer: Answer = field(default_factory=lambda: status(200))
    calls: list[Call] = field(default_factory=list)
    """As they came, failed ones too."""
    accepted: list[Call] = field(default_factory=list)
    """Those answered with 200."""
    open: int = 0
    most_open: int = 0
    """Calls at once."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}{PATH}"

    def setting(self, app_id: str = "app", **more: object) -> str:
        """Of `RELAY_CALLBACKS`."""
        return json.dumps({app_id: {"url": self.url, "secret": SECRET, **more}})

    def types(self, task: str | None = None) -> list[str]:
        """Of the accepted ones, of that task or of rooms."""
        return [call.type for call in self.accepted if call.data.get("TaskId") == task]

    async def take(self, request: Request) -> Response:
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        message = json.loads(request.body)
        signed = "".join(sorted([*(message[name] for name in SIGNED), SECRET], key=str.encode))
        assert message["Signature"] == hashlib.sha256(signed.encode()).hexdigest()
        call = Call(request.target, message)
        self.calls.append(call)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            response = await self.answer(call)
        finally:
            self.open -= 1
        if response.status == 200:
            self.accepted.append(call)
        return response

    @contextlib.asynccontextmanager
    async def up(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        async with serving(self.take, self.port, tls):
            yield


def receiver_down() -> WebhookReceiver:
    """One whose port refuses until it is `up`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return WebhookReceiver(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[WebhookReceiver]:
    receiver = receiver_down()
    async with receiver.up():
        yield receiver
