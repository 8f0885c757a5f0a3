"""A UDP socket of our own under aioice's protocols.

aioice expects an `asyncio.DatagramTransport`. This one holds a plain non-blocking socket and waits for it by
`loop.add_reader`, which asyncio and uvloop both have, so that reading can be taken off the loop and done in batches
without touching an event loop's private parts.
"""

import asyncio
import ipaddress
import logging
import secrets
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_log = logging.getLogger(__name__)

MAX_DATAGRAM = 2048
"""Bytes; no DTLS record, STUN message or RTP packet of a sane peer is as long."""
MIN_RECEIVE_BUFFER = 1024 * 1024
_READS_PER_CALLBACK = 128


class UdpTransport(asyncio.DatagramTransport):
    """Reads for its protocol from the start; `detach()` leaves the reading to somebody else."""

    def __init__(self, sock: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.sock = sock
        self.protocol = protocol
        self._address = sock.getsockname()
        self._closed = False
        self.send_drops = 0
        """Datagrams that the kernel had no room for."""
        protocol.connection_made(self)
        self._loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        for _ in range(_READS_PER_CALLBACK):
            if self._closed:
                return
            try:
                data, address = self.sock.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.protocol.error_received(error)
                return
            self.protocol.datagram_received(data, address)

    def detach(self) -> None:
        """From now on the loop does not read; `sock` does."""
        self._loop.remove_reader(self.sock.fileno())

    def sendto(self, data: "Buffer", addr: "tuple[Any, ...] | str | Buffer | None" = None) -> None:
        """Sends at once or not at all: UDP's promise, so a full socket buffer drops."""
        if self._closed or not isinstance(addr, tuple):
            return
        try:
            self.sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            self.send_drops += 1
        except OSError as error:
            self.protocol.error_received(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return self.sock
        if name == "sockname":
            return self._address
        return default

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self.sock.fileno())
        self.sock.close()
        self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


def bind(address: str, port_range: tuple[int, int] | None, receive_buffer: int) -> socket.socket:
    """A non-blocking UDP socket on `address` (an IP literal) and a free port, of `port_range` if given.

    `OSError` where the address is not ours or no port is free. Ports are tried from a random one on, so that a new
    session does not get the port, and the stray packets, of the last.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        _bind_port(sock, address, port_range)
        _enlarge(sock, receive_buffer)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_port(sock: socket.socket, address: str, port_range: tuple[int, int] | None) -> None:
    if port_range is None:
        sock.bind((address, 0))
        return
    first, last = port_range
    count = last - first + 1
    start = secrets.randbelow(count)
    for step in range(count):
        try:
            sock.bind((address, first + (start + step) % count))
        except OSError as error:
            if step == count - 1:
                raise OSError(error.errno, f"no free UDP port of {first}-{last} on {address}") from error
        else:
            return


def _enlarge(sock: socket.socket, wanted: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIN_RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if got < min(wanted, MIN_RECEIVE_BUFFER):
        _warn_small_buffer(got)


_warned: set[int] = set()


def _warn_small_buffer(got: int) -> None:
    if got not in _warned:  # once, not for each session
        _warned.add(got)
        _log.warning("UDP receive buffer is only %d bytes; raise sysctl net.core.rmem_max to 4194304", got)
