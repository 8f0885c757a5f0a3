"""A loop whose time passes only when nothing is left to do, and a network in it: hours of a push in seconds.

Connections are the relay's own shell, servers our own server half; between them bytes take `LATENCY`, and no socket.
"""

import asyncio
import enum
import socket
from collections.abc import Callable, Iterable
from typing import Any, cast

from relay.core.flv import Tag
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.server import ConnectRequested, PublishRequested, ServerSession, TagReceived, Unpublished

LATENCY = 0.02
"""Seconds from one end to the other."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` begins at 1000 s and jumps to whatever is due next."""

    def __init__(self, cdn: "VirtualCdn") -> None:
        super().__init__()
        self._now = 1000.0
        self._selector = self
        self._cdn = cdn

    def time(self) -> float:
        return self._now

    def toil(self, seconds: float) -> None:
        """Something holds the loop for so long."""
        self._now += seconds

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self._now += timeout
        return []

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No thread waits to be woken."""

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *where: Any, **options: Any) -> Any:  # type: ignore[override]  # what the relay uses of it
        return await self._cdn.connect(factory)


class Mood(enum.Enum):
    UP = "takes the stream"
    DOWN = "refuses TCP"
    GONE = "leaves TCP unanswered"
    SILENT = "accepts TCP and says nothing"
    MUTE = "accepts connect and leaves publish unanswered"
    CLOSES = "closes when it has read publish"
    BUSY = "still has a publisher of that name"
    DENIES = "refuses for good"


class VirtualCdn:
    """One server; `mood` is for connections and requests from now on."""

    def __init__(self) -> None:
        self.mood = Mood.UP
        self.connects: list[float] = []
        """When somebody asked for TCP."""
        self.tags = 0
        self.published = 0
        self.denials = 0
        """Since the last stream that was taken."""
        self.peer: _Peer | None = None
        """The newest connection that stands."""
        self.on_tag: Callable[[Tag], None] = lambda tag: None
        self.session: type[ServerSession] = ServerSession
        self.socket = socket.socket()
        """Takes the socket options; it is never connected."""

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> tuple["_Transport", asyncio.Protocol]:
        loop = asyncio.get_running_loop()
        self.connects.append(loop.time())
        if self.mood is Mood.GONE:
            await loop.create_future()
        await asyncio.sleep(2 * LATENCY)
        if self.mood is Mood.DOWN:
            raise ConnectionRefusedError
        protocol = factory()
        self.peer = _Peer(self)
        transport = _Transport(protocol, self.peer)
        self.peer.transport = transport
        protocol.connection_made(transport)
        return transport, protocol

    def kill(self) -> None:
        """The process is gone: its connections are reset."""
        self.mood = Mood.DOWN
        self.drop()

    def drop(self) -> None:
        if self.peer is not None:
            self.peer.transport.end(ConnectionResetError())

    @property
    def phase(self) -> str:
        """How far the connection that stands is: `""`, `"connected"` or `"publishing"`."""
        return self.peer.phase if self.peer is not None else ""


class _Peer:
    """The server's end of a connection."""

    transport: "_Transport"

    def __init__(self, cdn: VirtualCdn) -> None:
        self._cdn = cdn
        self._session = cdn.session(nonce=bytes(NONCE_SIZE))
        self.phase = ""

    def receive(self, data: bytes) -> None:
        if self._cdn.mood is Mood.SILENT and not self.phase:
            return
        for event in self._session.receive(data):
            match event:
                case ConnectRequested():
                    self._session.accept_connect()
                    self.phase = "connected"
                case PublishRequested():
                    self._publish()
                case TagReceived(tag):
                    self._cdn.tags += 1
                    self._cdn.on_tag(tag)
                case Unpublished():
                    self.phase = ""
        if answer := b"".join(self._session.data_to_send()):
            self.transport.to_client(answer)

    def _publish(self) -> None:
        match self._cdn.mood:
            case Mood.MUTE:
                pass
            case Mood.CLOSES:
                self.transport.end(None)
            case Mood.BUSY:
                self._session.refuse_publish("NetStream.Publish.BadName", "Already publishing")
            case Mood.DENIES:
                self._cdn.denials += 1
                self._session.refuse_publish("NetStream.Publish.Denied", "no")
            case _:
                self._session.accept_publish()
                self.phase = "publishing"
                self._cdn.published += 1
                self._cdn.denials = 0

    def closed(self) -> None:
        if self._cdn.peer is self:
            self._cdn.peer = None


class _Transport(asyncio.Transport):
    """The client's end."""

    def __init__(self, protocol: asyncio.Protocol, peer: _Peer) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._peer = peer
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return cast(VirtualCdn, self._peer._cdn).socket if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It takes all at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._loop.call_later(LATENCY, self._peer.receive, bytes(data))

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._loop.call_later(2 * LATENCY, self.end, None)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.end(None)

    def abort(self) -> None:
        self.end(None)

    def to_client(self, data: bytes) -> None:
        self._loop.call_later(LATENCY, self._receive, data)

    def _receive(self, data: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(data)

    def end(self, error: Exception | None) -> None:
        """Both ends are closed; the protocol hears of it soon."""
        if not self._closing:
            self._closing = True
            self._peer.closed()
            self._loop.call_soon(self._protocol.connection_lost, error)
