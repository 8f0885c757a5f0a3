"""RTMP servers that misbehave, made with our own server half: what a CDN can do to a push."""

import asyncio
import enum
import socket
import struct
from types import TracebackType
from typing import cast

from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.server import ConnectRequested, PublishRequested, ServerSession, TagReceived


class Behaviour(enum.Enum):
    SILENT = "accepts TCP and says nothing"
    SILENT_AFTER_CONNECT = "accepts connect and leaves publish unanswered"
    HTTP = "speaks HTTP"
    REFUSE_CONNECT = "answers connect with _error"
    REFUSE_PUBLISH = "answers publish with an error status"
    CLOSE_AFTER_PUBLISH = "closes when it has read publish, as nginx-rtmp does when its callback says no"
    RESET_AFTER_PUBLISH = "resets TCP when it has read publish"
    RESET_AFTER_TAG = "accepts the stream and resets TCP at the first tag"
    READ_NOTHING = "accepts the stream and never reads again"
    FLOOD = "accepts the stream, sends pings for ever and never reads again"


class HostileServer:
    """`async with HostileServer(behaviour) as server: ... server.url("key")`."""

    def __init__(self, behaviour: Behaviour, *, code: str = "", description: str = "") -> None:
        """`code` and `description`: what the refusals say."""
        self.behaviour = behaviour
        self.code = code
        self.description = description
        self.connections: list[_Peer] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "HostileServer":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Peer(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self.connections:
            peer.transport.abort()
        await asyncio.gather(*(peer.closed for peer in self.connections))
        await self._server.wait_closed()

    def url(self, name: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{name}"

    @property
    def tags(self) -> int:
        return sum(peer.tags for peer in self.connections)


class _Peer(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, server: HostileServer) -> None:
        self._server = server
        self._session = ServerSession(nonce=bytes(NONCE_SIZE))
        self._flooding: asyncio.Handle | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tags = 0
        server.connections.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        behaviour = self._server.behaviour
        if behaviour is Behaviour.SILENT:
            return
        if behaviour is Behaviour.HTTP:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        for event in self._session.receive(data):
            match event:
                case ConnectRequested() if behaviour is Behaviour.REFUSE_CONNECT:
                    self._session.refuse_connect(self._server.code, self._server.description)
                case ConnectRequested():
                    self._session.accept_connect()
                case PublishRequested():
                    self._publish(behaviour)
                case TagReceived():
                    self.tags += 1
                    if behaviour is Behaviour.RESET_AFTER_TAG:
                        self._reset()
                        return
        if not self.transport.is_closing():
            self.transport.writelines(self._session.data_to_send())

    def connection_lost(self, error: Exception | None) -> None:
        if self._flooding is not None:
            self._flooding.cancel()
        self.closed.set_result(None)

    def _publish(self, behaviour: Behaviour) -> None:
        match behaviour:
            case Behaviour.SILENT_AFTER_CONNECT:
                pass
            case Behaviour.REFUSE_PUBLISH:
                self._session.refuse_publish(self._server.code, self._server.description)
            case Behaviour.CLOSE_AFTER_PUBLISH:
                self.transport.close()
            case Behaviour.RESET_AFTER_PUBLISH:
                self._reset()
            case Behaviour.READ_NOTHING | Behaviour.FLOOD:
                self._session.accept_publish()
                self.transport.pause_reading()
                if behaviour is Behaviour.FLOOD:
                    self._flooding = asyncio.get_running_loop().call_soon(self._flood)
            case _:
                self._session.accept_publish()

    def _flood(self) -> None:
        if self.transport.get_write_buffer_size() < 65536:
            for _ in range(1000):
                self._session.ping(1)
            self.transport.writelines(self._session.data_to_send())
        self._flooding = asyncio.get_running_loop().call_later(0.001, self._flood)

    def _reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
