"""SRTP datagrams off the sockets of one session, decrypted, each with its arrival time.

Two ways. `HookReader`: the event loop wakes for each readable socket and the protocol hands SRTP over (any platform,
any loop). `BatchReader`: after the handshake the sockets are taken off the loop and read by `recvmmsg` once a tick:
no wake-up per packet, no copy of what is encrypted, and the kernel's own arrival time.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal

from relay.rtc.recvmmsg import BatchSocket, available
from relay.rtc.srtp import SrtpInput
from relay.rtc.udp import UdpTransport

_LIMIT = 4096
"""Datagrams held between two drains: 16 s of a 2 Mbit/s stream, or a flood, which is cut here."""


class DatagramReader:
    """What both ways share: a bounded list that the protocol's callback fills."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: list[tuple[float, bytes]] = []
        self._srtp: SrtpInput | None = None
        self.overflow = 0
        """Datagrams dropped because nobody drained."""
        self.refused = 0
        """Datagrams that SRTP refused."""

    def received(self, data: bytes) -> None:
        """Takes one SRTP or SRTCP datagram that the event loop has just read."""
        if len(self._held) < _LIMIT:
            self._held.append((self._clock(), data))
        else:
            self.overflow += 1

    def attach(self, sockets: Sequence[UdpTransport], srtp: SrtpInput) -> None:
        """The handshake is done: packets can be decrypted, and `sockets` read in another way."""
        self._srtp = srtp

    def drain(self, now: float) -> list[tuple[float, bytes]]:
        """Everything that came since the last call, in order: arrival in seconds on the loop's clock, RTP or RTCP in
        the clear. Before `attach` there is nothing."""
        srtp = self._srtp
        if srtp is None or not self._held:
            return []
        held, self._held = self._held, []
        plain = [(arrival, packet) for arrival, data in held if (packet := srtp.open(data)) is not None]
        self.refused += len(held) - len(plain)
        return plain

    def close(self) -> None:
        self._held = []
        self._srtp = None


class HookReader(DatagramReader):
    """The event loop reads; `drain` decrypts what it has read."""


class BatchReader(DatagramReader):
    """`drain` reads the sockets; what is not SRTP goes to their protocols, so ICE and DTLS live on ticks, too."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._sockets: list[BatchSocket] = []

    def attach(self, sockets: Sequence[UdpTransport], srtp: SrtpInput) -> None:
        super().attach(sockets, srtp)
        for transport in sockets:
            if not transport.is_closing():
                transport.detach()
                self._sockets.append(BatchSocket(transport, srtp))

    def drain(self, now: float) -> list[tuple[float, bytes]]:
        got = super().drain(now)
        busy = 0
        now = self._clock()  # later than the tick's beginning, as other sessions come before this one
        offset = time.time() - now
        for sock in self._sockets:
            count = len(got)
            self.refused += sock.read(got, now, offset)
            busy += len(got) > count
        if busy > 1:
            got.sort(key=lambda item: item[0])
        return got

    def close(self) -> None:
        super().close()
        self._sockets = []


def make_reader(wanted: Literal["auto", "hook", "batch"]) -> DatagramReader:
    """`auto` takes batches where this machine has them. `RuntimeError` where `batch` is demanded and there is none."""
    clock = asyncio.get_running_loop().time
    if wanted == "batch" and not available():
        raise RuntimeError(f"reader=batch needs recvmmsg of 64-bit Linux, this is {sys.platform}")
    if wanted == "hook" or not available():
        return HookReader(clock)
    return BatchReader(clock)
