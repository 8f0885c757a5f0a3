"""A small HTTP server for tests: one request a connection, whole bodies, on loopback."""

import asyncio
import contextlib
import http
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

HOST = "127.0.0.1"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak no TLS: making one of their own, with all authorities, takes them 50 ms."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def serialise(self) -> bytes:
        headers = {**self.headers, "content-length": str(len(self.body)), "connection": "close"}
        head = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*head, "", ""]).encode() + self.body


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[Request], Awaitable[Response]], port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Gives the base URL."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            # Cancelled at the end of the block, too: a client may wait for an answer that never comes.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                request = await _read(reader)
                answering = asyncio.ensure_future(answer(request))
                hung_up = asyncio.ensure_future(reader.read(1))
                try:
                    await asyncio.wait([answering, hung_up], return_when=asyncio.FIRST_COMPLETED)
                    if answering.done():
                        writer.write(answering.result().serialise())
                        await writer.drain()
                finally:
                    answering.cancel()
                    hung_up.cancel()
                    await asyncio.wait([answering, hung_up])
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            connections.discard(task)

    server = await asyncio.start_server(connected, HOST, port, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(set(connections))


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)
