"""An RTMP server that takes what is pushed and may record it: the asyncio shell around `core.rtmp.ServerSession`."""

import asyncio
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from relay.core import flv
from relay.core.flv import Tag
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.server import (
    ConnectRequested,
    ProtocolFailed,
    PublishRequested,
    ServerSession,
    TagReceived,
    Unpublished,
)

MAX_CONNECTIONS = 256
_READ = 256 * 1024
"""Bytes that one read takes at most."""
GREETING_TIMEOUT = 10.0
"""Seconds a client has from TCP to `publish`."""


@dataclass(slots=True)
class SinkStream:
    """One publishing, from `publish` to its end."""

    app: str
    name: str = field(repr=False)
    """With its query: a secret, if the pusher's is one."""
    started: float
    path: Path | None = None
    """The FLV file, where there is one."""
    ended: float | None = None
    tags: int = 0
    size: int = 0
    """Bytes of tag bodies."""
    last: int = 0
    """Timestamp of the newest tag, ms modulo 2^32."""
    key: str = field(init=False)
    """The name without its query."""

    def __post_init__(self) -> None:
        self.key = self.name.partition("?")[0]


OnTag = Callable[[SinkStream, Tag, float], None]
OnStream = Callable[[SinkStream], None]


class Sink:
    """Streams by application and key; a second publisher of one that is on is refused (`BadName`)."""

    def __init__(
        self,
        *,
        on_tag: OnTag | None = None,
        on_start: OnStream | None = None,
        on_end: OnStream | None = None,
        directory: Path | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`on_tag(stream, tag, arrival)`: `arrival` in seconds of the loop's clock. `directory`: one FLV file a stream.

        `tls`: a server-side context makes it an rtmps server.
        """
        self._on_tag = on_tag
        self._on_start = on_start
        self._on_end = on_end
        self._directory = directory
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[_SinkConnection] = set()
        self.buffer = memoryview(bytearray(_READ))
        """What the connections read into: each has taken what came before another reads."""
        self.streams: dict[tuple[str, str], SinkStream] = {}
        """Streams that are on, by application and key."""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens and gives the port, which the system chooses for 0. `OSError` where it cannot."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _SinkConnection(self), host, port, ssl=self._tls)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stops listening and cuts every connection; streams end and files are closed before it returns."""
        if self._server is not None:
            self._server.close()
        open_ones = list(self._connections)
        for connection in open_ones:
            connection.abort()
        if open_ones:
            await asyncio.wait([connection.closed for connection in open_ones])
        if self._server is not None:
            await self._server.wait_closed()

    # from the connections

    def admit(self, connection: "_SinkConnection") -> bool:
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: "_SinkConnection") -> None:
        self._connections.discard(connection)

    def begin(self, app: str, name: str, now: float) -> "_Recording | None":
        """`None` when that stream is on already."""
        stream = SinkStream(app, name, now)
        if (app, stream.key) in self.streams:
            return None
        file = _create_file(self._directory, stream) if self._directory is not None else None
        self.streams[app, stream.key] = stream
        if self._on_start is not None:
            self._on_start(stream)
        return _Recording(stream, file)

    def take(self, recording: "_Recording", tag: Tag, now: float) -> None:
        stream = recording.stream
        stream.tags += 1
        stream.size += len(tag.body)
        stream.last = tag.timestamp
        recording.write(tag)
        if self._on_tag is not None:
            self._on_tag(stream, tag, now)

    def end(self, recording: "_Recording", now: float) -> None:
        stream = recording.stream
        stream.ended = now
        recording.close()
        del self.streams[stream.app, stream.key]
        if self._on_end is not None:
            self._on_end(stream)


class _Recording:
    """A stream that is on, and its file."""

    __slots__ = ("_file", "_kinds", "stream")

    def __init__(self, stream: SinkStream, file: BinaryIO | None) -> None:
        self.stream = stream
        self._file = file
        self._kinds: set[int] = set()
        if file is not None:
            file.write(flv.file_header(audio=True, video=True))

    def write(self, tag: Tag) -> None:
        if self._file is not None:
            self._kinds.add(tag.type)
            self._file.write(flv.write_tag(tag))

    def close(self) -> None:
        if self._file is not None:
            # Only now it is known what there is.
            self._file.seek(0)
            self._file.write(flv.file_header(audio=flv.AUDIO in self._kinds, video=flv.VIDEO in self._kinds))
            self._file.close()


class _SinkConnection(asyncio.BufferedProtocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._session = ServerSession(nonce=os.urandom(NONCE_SIZE))
        self._transport: asyncio.Transport | None = None
        self._recording: _Recording | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._transport = transport
        if not self._sink.admit(self):
            transport.abort()
            return
        self._deadline = self._loop.call_later(GREETING_TIMEOUT, transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._sink.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport is None:
            return
        now = self._loop.time()
        for event in self._session.receive(bytes(self._sink.buffer[:nbytes])):
            match event:
                case TagReceived(tag) if self._recording is not None:
                    self._sink.take(self._recording, tag, now)
                case ConnectRequested():
                    self._session.accept_connect()
                case PublishRequested(app, name):
                    self._publish(app, name, now)
                case Unpublished():
                    self._end()
                case ProtocolFailed():
                    self._transport.abort()
                case _:
                    pass
        if answer := self._session.data_to_send():
            # Not writelines, which before Python 3.12.9 and 3.13.2 calls no pause_writing (CVE-2024-12254).
            self._transport.write(b"".join(answer))

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._end()
        self._sink.leave(self)
        self.closed.set_result(None)

    def _publish(self, app: str, name: str, now: float) -> None:
        if self._recording is not None:  # asked again before the first answer: the stream that is on stays
            self._session.refuse_publish("NetStream.Publish.BadName", "One stream a connection.")
            return
        self._recording = self._sink.begin(app, name, now)
        if self._recording is None:
            self._session.refuse_publish("NetStream.Publish.BadName", "Already publishing")
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._session.accept_publish()

    def _end(self) -> None:
        if self._recording is not None:
            recording, self._recording = self._recording, None
            self._sink.end(recording, self._loop.time())


def _create_file(directory: Path, stream: SinkStream) -> BinaryIO:
    """`key.flv`, or `key-2.flv` and so on where that exists; the pusher's name cannot leave the directory."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", stream.key)[:100] or "stream"
    number = 1
    while True:
        path = directory / (f"{stem}.flv" if number == 1 else f"{stem}-{number}.flv")
        try:
            file = path.open("xb")
        except FileExistsError:
            number += 1
        else:
            stream.path = path
            return file
