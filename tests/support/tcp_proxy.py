"""A TCP proxy with moods, between a push and its CDN: what happens to connections on the way, and to servers."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType

BUFFER = 16 * 1024
"""SO_RCVBUF towards the client: a bottleneck holds little, so that what it does is seen at once."""
_PIECE = 4096


class TcpProxy:
    """`async with TcpProxy(port) as proxy`: takes connections on `proxy.port` and passes them on to 127.0.0.1:`port`.

    Moods: `kill` and `come_back`, `reset`, `freeze` and `thaw`, `blackhole` and `come_back`, `limit`.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.accepted: list[float] = []
        """When each connection was taken, on the loop's clock."""
        self.limit: float | None = None
        """Bytes a second from the client, over all connections."""
        self._target = target
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._pairs: set[_Pair] = set()
        self._fillers: list[socket.socket] = []
        self._reading = asyncio.Event()
        self._reading.set()

    async def __aenter__(self) -> "TcpProxy":
        await self.come_back()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    def url(self, name: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{name}"

    async def kill(self) -> None:
        """The server is gone: connections are reset, new ones refused."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        await self.reset()

    async def come_back(self) -> None:
        """Listens again, on the same port."""
        await self.kill()
        self._listen(backlog=64)
        self._accepting = asyncio.create_task(self._accept())

    async def blackhole(self) -> None:
        """The host is gone: connections that stand hear nothing any more, and a SYN is left without an answer."""
        self.freeze()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None
        assert self._listener is not None
        self._listener.close()
        # Linux drops a SYN where the queue of those not accepted yet is full.
        self._listen(backlog=0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._fillers.append(filler)

    async def reset(self, *, keep_server_side: bool = False) -> None:
        """RST to the clients. `keep_server_side`: the server is not told, as where a packet filter forgot them."""
        for pair in tuple(self._pairs):
            await pair.end(keep_server_side=keep_server_side)
            if not keep_server_side:
                self._pairs.discard(pair)

    def freeze(self) -> None:
        """Reads nothing any more, and stays connected."""
        self._reading.clear()

    def thaw(self) -> None:
        self._reading.set()

    def _listen(self, *, backlog: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(backlog)
        self.port = listener.getsockname()[1]
        self._listener = listener

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        while True:
            client, _ = await loop.sock_accept(self._listener)
            self.accepted.append(loop.time())
            server = socket.socket()
            server.setblocking(False)
            try:
                await loop.sock_connect(server, ("127.0.0.1", self._target))
            except OSError:
                server.close()
                _cut(client)
                continue
            self._pairs.add(_Pair(self, client, server))

    async def passed(self, size: int) -> None:
        """The time that `size` bytes take on the way."""
        if self.limit is not None:
            await asyncio.sleep(size / self.limit)
        await self._reading.wait()


class _Pair:
    """One client's connection and its twin to the server."""

    def __init__(self, proxy: TcpProxy, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._tasks = [
            asyncio.create_task(self._pump(client, server, proxy)),
            asyncio.create_task(self._pump(server, client, None)),
        ]

    async def _pump(self, source: socket.socket, target: socket.socket, paced_by: TcpProxy | None) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                if paced_by is not None:
                    await paced_by.passed(0)
                data = await loop.sock_recv(source, _PIECE)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                if paced_by is not None:
                    await paced_by.passed(len(data))
                await loop.sock_sendall(target, data)
        # Broken on one side: so it is on the other.
        _cut(target)

    async def end(self, *, keep_server_side: bool) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        _cut(self._client)
        if not keep_server_side:
            _cut(self._server)


def _cut(sock: socket.socket) -> None:
    """Closes with RST."""
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
