"""One ICE and DTLS transport of a BUNDLE group, whose SRTP packets come out in the clear, synchronously."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from aioice.candidate import Candidate

from relay.rtc import mmsg
from relay.rtc.parameters import LocalParameters, RemoteParameters, TransportStats
from relay.rtc.reader import make_reader
from relay.rtc.sendmmsg import BatchOutput
from relay.rtc.settings import RtcSettings
from relay.rtc.srtp import SrtpOutput
from relay.rtc.tap import DtlsSession, IceConnection, Path, certificate_fingerprint
from relay.rtc.udp import UdpTransport

_log = logging.getLogger(__name__)

_MAX_REMOTE_CANDIDATES = 64


CLOSED_BY_PEER = "closed by the peer"
"""The reason where the peer has said goodbye."""


def _nobody(reason: str) -> None:
    """Hears nothing."""


class Transport:
    """A BUNDLE group's one transport, for the answering and for the offering side.

    `gather()`, then `start()` with the peer's parameters, then `receive()` on each tick and `send()`. `on_closed` is
    called exactly once, with the reason, as soon as the peer says goodbye (DTLS close_notify), stops answering (ICE
    consent), does not connect in time, or `close()` is called.
    """

    def __init__(self, settings: RtcSettings, *, offering: bool, on_closed: Callable[[str], None] = _nobody) -> None:
        self._settings = settings
        self.on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.stats = TransportStats()
        self.reader = make_reader(settings.reader)
        self._connection = IceConnection(controlling=offering, settings=settings, reader=self.reader, stats=self.stats)
        self._dtls: DtlsSession | None = None
        self._tx: SrtpOutput | None = None
        self._path: Path | None = None
        """The one that `_batches` takes."""
        self._batches: BatchOutput | None = None
        self._establishing: asyncio.Task[None] | None = None
        self._shutting_down: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._remote_candidates = 0
        self.connected = False
        self.closed_reason: str | None = None

    async def gather(self, patience: float | None = None) -> LocalParameters:
        """Opens the sockets. `NotTakingWork` where none can be bound; then, too, `close()` is owed.

        `patience`: seconds that STUN and TURN servers get; what they say later comes by `late_candidates`.
        """
        connection = self._connection
        if patience is not None:
            connection.patience = patience
        await connection.gather_candidates()
        return LocalParameters(
            ufrag=connection.local_username,
            password=connection.local_password,
            fingerprint=certificate_fingerprint(),
            candidates=tuple(candidate.to_sdp() for candidate in connection.advertised),
        )

    @property
    def gathered(self) -> bool:
        """There are no more candidates to come."""
        return self._connection.gathered

    async def late_candidates(self, seconds: float) -> tuple[str, ...]:
        """Values of `a=candidate` that came after `gather()`."""
        return tuple(candidate.to_sdp() for candidate in await self._connection.late_candidates(seconds))

    def start(self, remote: RemoteParameters, role: Literal["client", "server"]) -> None:
        """Begins connecting, as DTLS client or server; `wait_connected()` and `on_closed` tell how it ends."""
        if self.closed_reason is None:
            self._establishing = self._loop.create_task(self._establish(remote, role))

    async def add_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Remote candidates with IP literals, from the SDP or trickled. End-of-candidates is never signalled to
        aioice: its checks would then fail before a peer behind NAT, or with mDNS names, has sent its own."""
        for candidate in candidates:
            if self._remote_candidates < _MAX_REMOTE_CANDIDATES:
                self._remote_candidates += 1
                await self._connection.add_remote_candidate(candidate)

    async def wait_connected(self) -> bool:
        """True when media can flow; False when it never will, see `closed_reason`."""
        if self._establishing is not None:
            await asyncio.wait([self._establishing])
        return self.connected

    async def _establish(self, remote: RemoteParameters, role: Literal["client", "server"]) -> None:
        connection = self._connection
        connection.remote_username, connection.remote_password = remote.ufrag, remote.password
        connection.remote_is_lite = remote.ice_lite
        if remote.ice_lite:
            connection.ice_controlling = True
        stage = "no ICE path"
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await connection.connect()
                stage = "the DTLS handshake did not finish"
                self._dtls = dtls = DtlsSession(connection, role)
                srtp = await dtls.shake_hands(remote.fingerprints)
        except TimeoutError:
            self.close(f"not connected within {self._settings.connect_timeout:g} s: {stage}")
            return
        except ConnectionError:
            self.close(f"not connected: {stage}")
            return
        except Exception:
            _log.exception("a transport failed while it connected")
            self.close("not connected: an internal error")
            return
        if srtp is None:
            self.close("not connected: the DTLS handshake failed (certificate, fingerprint or SRTP profile)")
            return
        received, self._tx = srtp
        self.reader.attach(connection.sockets(), received)
        dtls.on("statechange", self._dtls_changed)
        self.connected = True

    def _dtls_changed(self) -> None:
        if self._dtls is not None and self._dtls.state == "closed":
            self.close("ICE consent expired" if self._connection.expired else CLOSED_BY_PEER)

    def receive(self, now: float) -> list[tuple[float, bytes]]:
        """RTP and RTCP in the clear, each with its arrival in seconds on the loop's clock; `now` is on that, too.

        What came between the peer's last handshake flight and our own readiness is held and comes first.
        """
        reader, stats = self.reader, self.stats
        plain = reader.drain(now)
        stats.datagrams += len(plain)
        stats.refused = reader.refused
        return plain

    def send(self, packet: bytes) -> bool:
        """Protects and sends one RTP or RTCP packet at once. False where it could not go: no path, no packet."""
        path = self._connection.path()
        data = self._tx.protect(packet) if self._tx is not None and path is not None else None
        if data is None or path is None:
            self.stats.unsent += 1
            return False
        transport, address = path
        transport.sendto(data, address)
        self.stats.sent += 1
        return True

    def send_all(self, packets: Sequence[bytes]) -> int:
        """The same of several, in one system call where that can be; how many went."""
        path = self._connection.path()
        if self._batches is None or path is not self._path:
            self._path, self._batches = path, self._batch_output(path)
        if self._batches is None:
            return sum(map(self.send, packets))
        sent = self._batches.send(packets)
        self.stats.sent += sent
        self.stats.unsent += len(packets) - sent
        return sent

    def _batch_output(self, path: Path | None) -> BatchOutput | None:
        """None where packets have to go one by one."""
        if self._tx is None or path is None or not mmsg.available():
            return None
        transport, address = path
        # An IPv6 zone is for the socket module to look up.
        if not isinstance(transport, UdpTransport) or "%" in address[0]:
            return None
        return BatchOutput(transport, address, self._tx)

    def close(self, reason: str) -> None:
        """Says goodbye (DTLS close_notify) and lets go of sockets and tasks; the first reason counts."""
        if self.closed_reason is not None:
            return
        self.closed_reason = reason
        self._shutting_down = self._loop.create_task(self._shut_down())
        self.on_closed(reason)
        self.on_closed = _nobody  # it holds the session, which holds this: together they would wait for the collector
        self.connected = False

    def kill(self) -> None:
        """The sockets vanish, with no goodbye: what a peer sees of a process that was killed."""
        for sock in self._connection.sockets():
            sock.abort()
        self.close("killed")

    async def wait_closed(self) -> None:
        """Returns when `close()` has been called and nothing is left."""
        await self._gone.wait()

    async def _shut_down(self) -> None:
        try:
            if self._establishing is not None:
                self._establishing.cancel()
                await asyncio.wait([self._establishing])
            if self._dtls is not None:
                await self._dtls.say_goodbye()
            await self._connection.close()
        except Exception:
            _log.exception("a transport did not close cleanly")
        finally:
            self._tx = self._dtls = self._path = self._batches = None
            self.reader.close()
            for sock in self._connection.sockets():
                sock.abort()
            self._gone.set()
