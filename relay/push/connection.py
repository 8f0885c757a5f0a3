"""One RTMP connection to a CDN: the asyncio shell around `core.rtmp.Publisher`, with deadlines."""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Protocol, cast

from relay.core.egress import ForbiddenAddress
from relay.core.push_url import PushUrl
from relay.core.rtmp import publisher
from relay.core.rtmp.handshake import NONCE_SIZE
from relay.core.rtmp.publisher import Connected, Publisher, PublishStarted, Refused, State
from relay.net.destinations import Destinations
from relay.push.dial import default_tls, describe, dial, is_lasting
from relay.push.stall import STALL_TIMEOUT, StallDetector

HIGH_WATER = 16 * 1024
"""Bytes waiting in the transport beyond which the connection is not `writable`."""
SEND_BUFFER = 256 * 1024
"""SO_SNDBUF: what may be on its way, sent and not yet acknowledged."""
NOT_SENT = 16 * 1024
"""TCP_NOTSENT_LOWAT: bytes that the kernel takes beyond those on their way. What waits longer waits in the backlog,
where it can be dropped: at 1 Mbit/s, `SEND_BUFFER` alone would be 2 s more of it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The last event: the connection is no more."""

    reason: str
    """For people, without secrets."""
    unreachable: bool = False
    """TCP did not come about, or nobody spoke on it: the server is down rather than unwilling."""
    forbidden: bool = False
    """The egress policy does not let the relay connect to where the host's name leads."""


Event = Connected | PublishStarted | Refused | Lost


class Listener(Protocol):
    def on_event(self, event: Event) -> None:
        """Connected, PublishStarted, Refused: each at most once, in order; then Lost, once and last.

        `abort` silences it. Called on the event loop, never from inside a call of the listener's own.
        """


class Connection(asyncio.Protocol):
    """`open` it; after PublishStarted `send` tags and `flush` once a tick, while `writable`; `poll` once a tick too."""

    def __init__(
        self,
        url: PushUrl,
        listener: Listener,
        *,
        destinations: Destinations,
        fourccs: tuple[str, ...],
        connect_timeout: float,
        publish_timeout: float,
        stall_timeout: float,
    ) -> None:
        self._url = url
        self._listener: Listener | None = listener
        self._destinations = destinations
        self._loop = asyncio.get_running_loop()
        self._publisher = Publisher(url, nonce=os.urandom(NONCE_SIZE), fourccs=fourccs)
        self._transport: asyncio.Transport | None = None
        self._closed = self._loop.create_future()
        self._opening: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._connect_timeout = connect_timeout
        self._publish_timeout = publish_timeout
        self._stall = StallDetector(stall_timeout)
        self._finishing = False
        self._unflushed = 0
        self._queued = 0
        self._written = 0

    @classmethod
    def open(
        cls,
        url: PushUrl,
        listener: Listener,
        *,
        destinations: Destinations,
        tls: ssl.SSLContext | None = None,
        fourccs: tuple[str, ...] = (),
        connect_timeout: float = 5.0,
        publish_timeout: float = 10.0,
        stall_timeout: float = STALL_TIMEOUT,
    ) -> "Connection":
        """Starts name lookup, TCP, TLS for `rtmps` and publishing; what comes of it is told to `listener`, later.

        Seconds: `connect_timeout` until TCP and TLS stand, `publish_timeout` until PublishStarted, both from now;
        `stall_timeout` without progress while data waits. `destinations`: where it may go. `tls`: `default_tls()` if
        not given. `fourccs`: as for `core.rtmp.Publisher`.
        """
        connection = cls(
            url,
            listener,
            destinations=destinations,
            fourccs=fourccs,
            connect_timeout=connect_timeout,
            publish_timeout=publish_timeout,
            stall_timeout=stall_timeout,
        )
        connection._deadline = connection._loop.call_later(publish_timeout, connection._too_late)
        connection._opening = connection._loop.create_task(
            connection._open((tls or default_tls()) if url.tls else None)
        )
        return connection

    @property
    def writable(self) -> bool:
        """Publishing, and the peer takes what it is sent. While it is False, media waits in the backlog."""
        return (
            self._publisher.state is State.LIVE
            and self._transport is not None
            and self._transport.get_write_buffer_size() + self._unflushed < HIGH_WATER
        )

    @property
    def bytes_written(self) -> int:
        """Bytes handed to the kernel, without TLS's own."""
        if self._transport is not None and not self._closed.done() and not self._transport.is_closing():
            self._written = max(self._written, self._queued - self._transport.get_write_buffer_size())
        return self._written

    def send(self, tag_type: int, timestamp: int, body: bytes) -> None:
        """Queues one FLV tag (timestamp: ms, any size) for `flush`. Nothing happens unless publishing has begun."""
        if self._publisher.state is State.LIVE:
            self._publisher.send(tag_type, timestamp, body)
            self._unflushed += len(body)

    def flush(self) -> None:
        """Writes what is queued, in one call."""
        pieces = self._publisher.data_to_send()
        self._unflushed = 0
        if pieces and self._transport is not None and not self._transport.is_closing():
            self._queued += sum(map(len, pieces))
            self._transport.writelines(pieces)

    def poll(self, now: float) -> None:
        """Once a tick or so: a connection whose peer takes nothing for long while data waits is lost, soon after."""
        if self._transport is None or self._listener is None:
            return
        if self._stall.stalled(self._transport, self._queued, now):
            self._loop.call_soon(self._lose, f"stalled: the server has taken nothing for {self._stall.timeout:g} s")

    def finish(self, deadline: float = 1.0) -> None:
        """Flush, FCUnpublish, deleteStream, close; `deadline` seconds later it is cut. Lost("finished") comes then."""
        if self._listener is None or self._finishing:
            return
        self._finishing = True
        self._stop_timer()
        self._publisher.close()
        if self._transport is None:
            self._loop.call_soon(self._lose, "finished")
            return
        self.flush()
        self._deadline = self._loop.call_later(deadline, self._lose, "finished")
        if self._transport.can_write_eof():
            # The server closes when it has read all: closing with its answers unread could cost it the last bytes.
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Ends it at once, whatever its state; the listener hears nothing more."""
        self._listener = None
        self._end()

    async def wait_closed(self) -> None:
        """Until no task, timer or socket of it is left."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._transport is not None:
            await asyncio.shield(self._closed)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
        if self._listener is None:
            transport.abort()
            return
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self._listener is None or self._finishing:
            return
        for event in self._publisher.receive(data, self._loop.time()):
            match event:
                case publisher.Closed(code):
                    self._lose(f"the server ended the stream: {code}")
                case publisher.ProtocolFailed(reason):
                    self._lose(f"protocol error: {reason}")
                case Refused():
                    self._tell(event)
                    self._lose(f"refused: {event.code or event.description or 'without a reason'}")
                case PublishStarted():
                    self._stop_timer()
                    self._tell(event)
                case _:
                    self._tell(event)
        self._answer()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        # What a peer sends can make us answer: one that does not read is not read from either.
        if self._transport is not None and not self._finishing:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        if self._finishing:
            self._lose("finished")
        else:
            how = "closed the connection" if error is None else f"broke the connection ({describe(error)})"
            self._lose(f"the server {how} {self._publisher.state.value}")

    # inside

    async def _open(self, tls: ssl.SSLContext | None) -> None:
        try:
            deadline = self._loop.time() + self._connect_timeout
            async with asyncio.timeout_at(deadline):
                await dial(lambda: self, self._url, self._destinations, tls, deadline)
        except TimeoutError:
            self._lose(f"connect: no answer within {self._connect_timeout:g} s")
        except ForbiddenAddress as forbidden:
            self._lose(f"connect: {forbidden}", unreachable=False, forbidden=True)
        except (OSError, ValueError) as error:
            self._lose(f"connect: {describe(error)}", unreachable=not is_lasting(error))

    def _answer(self) -> None:
        """`flush` for what the peer made us say: `writelines` of Python 3.12.8, 3.13.1 and before calls no
        `pause_writing` (CVE-2024-12254)."""
        if answer := b"".join(self._publisher.data_to_send()):
            self._unflushed = 0
            self._queued += len(answer)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(answer)

    def _too_late(self) -> None:
        if self._transport is None:
            self._lose(f"connect: no answer within {self._publish_timeout:g} s")
        else:
            self._lose(f"publish: not begun within {self._publish_timeout:g} s, last {self._publisher.state.value}")

    def _tell(self, event: Event) -> None:
        if self._listener is not None:
            self._listener.on_event(event)

    def _lose(self, reason: str, unreachable: bool | None = None, forbidden: bool = False) -> None:
        """`unreachable`: by default, whether the server has said nothing yet."""
        listener, self._listener = self._listener, None
        if unreachable is None:
            unreachable = not self._finishing and self._publisher.state is State.HANDSHAKE
        self._end()
        if listener is not None:
            listener.on_event(Lost(reason, unreachable, forbidden))

    def _end(self) -> None:
        self._stop_timer()
        self._publisher.close()
        if self._transport is not None:
            _ = self.bytes_written  # an aborted transport forgets what it had not written
            self._transport.abort()
        elif self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
