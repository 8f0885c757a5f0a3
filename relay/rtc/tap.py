"""One ICE and DTLS transport (RFC 8445, RFC 5764) whose SRTP packets are ours.

aioice finds the path and aiortc's `RTCDtlsTransport` shakes hands; the RTP then never passes through aiortc's receive
chain of queue, task and coroutines. This is the only file that touches private parts of aiortc and aioice;
`tests/unit/test_aiortc_contract.py` names each of them and fails when an upgrade moves one.
"""

import asyncio
import copy
import datetime
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, cast

import pylibsrtp
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol, server_reflexive_candidate
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport

from relay.core.offer import NotTakingWork
from relay.rtc.parameters import LocalParameters, RemoteParameters
from relay.rtc.reader import DatagramReader, make_reader
from relay.rtc.settings import RtcSettings
from relay.rtc.udp import UdpTransport, bind

_log = logging.getLogger(__name__)

_MAX_REMOTE_CANDIDATES = 64
_MAX_HANDSHAKE_QUEUE = 64
"""Datagrams that wait for aiortc's handshake task; a flood of forged ones is cut here."""
_MAX_PROTECTED = 1500
"""Bytes; the size of pylibsrtp's buffer."""
_CERTIFICATE_AGE = datetime.timedelta(days=10)
"""aiortc's certificates live for 30 days; one is replaced when it has fewer than this left."""


@dataclass(slots=True)
class TransportStats:
    datagrams: int = 0
    """SRTP and SRTCP datagrams that passed authentication."""
    refused: int = 0
    """Datagrams that did not: forged, replayed, too long."""
    malformed: int = 0
    """STUN that could not be handled."""
    sent: int = 0
    unsent: int = 0


_certificate: RTCCertificate | None = None


def certificate() -> RTCCertificate:
    """The process's one DTLS certificate: making one takes time at each session, and nobody gains by it."""
    global _certificate
    now = datetime.datetime.now(tz=datetime.UTC)
    if _certificate is None or _certificate.expires - now < _CERTIFICATE_AGE:
        _certificate = RTCCertificate.generateCertificate()
    return _certificate


class _Protocol(StunProtocol):
    """One socket's datagrams, told apart by their first byte (RFC 7983)."""

    def __init__(self, connection: "_Connection", reader: DatagramReader, stats: TransportStats) -> None:
        super().__init__(connection)
        self._queue = connection._queue
        self._received = reader.received
        self._stats = stats

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        data = cast(bytes, data)
        if not data:
            return
        first = data[0]
        if 127 < first < 192:
            self._received(data)
        elif self._queue.qsize() >= _MAX_HANDSHAKE_QUEUE:
            self._stats.malformed += 1
        elif first < 4:
            try:
                super().datagram_received(data, addr)
            except Exception:  # whatever a stranger's bytes do to the STUN parser, the session goes on
                self._stats.malformed += 1
        elif 19 < first < 64:
            self.receiver.data_received(data, 1)


class _Connection(Connection):
    """ICE on the addresses and ports that the operator chose; sockets are `UdpTransport`s."""

    def __init__(
        self, *, controlling: bool, settings: RtcSettings, reader: DatagramReader, stats: TransportStats
    ) -> None:
        super().__init__(ice_controlling=controlling, components=1, stun_server=settings.stun_server)
        self._settings = settings
        self._reader = reader
        self._stats = stats
        self.advertised: list[Candidate] = []
        self.expired = False
        """It has closed itself: consent (RFC 7675) ran out."""

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109  aioice's signature
    ) -> list[Candidate]:
        settings = self._settings
        chosen = settings.addresses or sorted(addresses, key=lambda a: ":" in a) or ("127.0.0.1",)
        error: OSError | None = None
        for rank, address in enumerate(chosen):
            try:
                sock = bind(address, settings.port_range, settings.receive_buffer)
            except OSError as problem:
                error = problem
                continue
            protocol = _Protocol(self, self._reader, self._stats)
            UdpTransport(sock, protocol)
            host, port = sock.getsockname()[:2]
            protocol.local_candidate = _host_candidate(host, port, rank)
            self._protocols.append(protocol)
        if not self._protocols:
            raise NotTakingWork(f"No UDP socket for media: {error}") from error
        candidates = [protocol.local_candidate for protocol in self._protocols]
        self.advertised = [_advertise(c, settings.advertised_address, i) for i, c in enumerate(candidates)]
        if self.stun_server is not None:
            self.advertised += await self._ask_stun(self.stun_server, timeout)
        return candidates

    async def _ask_stun(self, server: tuple[str, int], seconds: float) -> list[Candidate]:
        """This host's public addresses (RFC 8445 section 5.1.1.2), those that the server tells in time; IPv4 only."""
        sockets = [protocol for protocol in self._protocols if ":" not in protocol.local_candidate.host]
        queries = [asyncio.create_task(server_reflexive_candidate(protocol, server)) for protocol in sockets]
        try:
            answered = (await asyncio.wait(queries, timeout=seconds))[0] if queries else set()
            return [query.result()[0] for query in queries if query in answered and query.exception() is None]
        finally:
            for query in queries:
                query.cancel()

    async def close(self) -> None:
        self.expired = True
        await super().close()


def _host_candidate(host: str, port: int, rank: int) -> Candidate:
    """`rank` lowers the local preference, so that every candidate has a priority of its own (RFC 8445 5.1.2.1)."""
    return Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, "host", 65535 - rank),
        host=host,
        port=port,
        type="host",
    )


def _advertise(candidate: Candidate, address: str | None, rank: int) -> Candidate:
    if address is None or (":" in address) != (":" in candidate.host):
        return candidate
    return _host_candidate(address, candidate.port, rank)


class _IceSide:
    """What `RTCDtlsTransport` uses of an `RTCIceTransport`: a way out, a way in, a role."""

    def __init__(self, connection: Connection) -> None:
        self._recv = connection.recv
        self._send = connection.send
        self.role = "controlling" if connection.ice_controlling else "controlled"


class Transport:
    """A BUNDLE group's one transport, for the answering and for the offering side.

    `gather()`, then `start()` with the peer's parameters, then `receive()` on each tick and `send()`. `on_closed` is
    called exactly once, with the reason, as soon as the peer says goodbye (DTLS close_notify), stops answering (ICE
    consent), does not connect in time, or `close()` is called.
    """

    def __init__(self, settings: RtcSettings, *, offering: bool, on_closed: Callable[[str], None]) -> None:
        self._settings = settings
        self._offering = offering
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.stats = TransportStats()
        self.reader = make_reader(settings.reader)
        self._connection = _Connection(controlling=offering, settings=settings, reader=self.reader, stats=self.stats)
        self._dtls: RTCDtlsTransport | None = None
        self._rx: pylibsrtp.Session | None = None
        self._tx: pylibsrtp.Session | None = None
        self._establishing: asyncio.Task[None] | None = None
        self._shutting_down: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._remote_candidates = 0
        self.connected = False
        self.closed_reason: str | None = None

    async def gather(self) -> LocalParameters:
        """Opens the sockets. `NotTakingWork` where none can be bound; then, too, `close()` is owed."""
        connection = self._connection
        await connection.gather_candidates()
        (fingerprint,) = (f.value for f in certificate().getFingerprints() if f.algorithm == "sha-256")
        return LocalParameters(
            ufrag=connection.local_username,
            password=connection.local_password,
            fingerprint=fingerprint,
            candidates=tuple(candidate.to_sdp() for candidate in connection.advertised),
        )

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
                await self._connection.add_remote_candidate(copy.copy(candidate))

    async def wait_connected(self) -> bool:
        """True when media can flow; False when it never will, see `closed_reason`."""
        if self._establishing is not None:
            await asyncio.wait([self._establishing])
        return self.connected

    async def _establish(self, remote: RemoteParameters, role: str) -> None:
        connection = self._connection
        connection.remote_username, connection.remote_password = remote.ufrag, remote.password
        connection.remote_is_lite = remote.ice_lite
        if remote.ice_lite:
            connection.ice_controlling = True
        fingerprints = [RTCDtlsFingerprint(algorithm=a, value=v) for a, v in remote.fingerprints]
        stage = "no ICE path"
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await connection.connect()
                stage = "the DTLS handshake did not finish"
                dtls = RTCDtlsTransport(cast(RTCIceTransport, _IceSide(connection)), [certificate()])
                dtls._set_role(role)
                self._dtls = dtls
                await dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        except TimeoutError:
            self.close(f"not connected within {self._settings.connect_timeout:g} s: {stage}")
            return
        except ConnectionError:
            self.close(f"not connected: {stage}")
            return
        if dtls.state != "connected":
            self.close("not connected: the DTLS handshake failed (certificate, fingerprint or SRTP profile)")
            return
        self._rx, self._tx = dtls._rx_srtp, dtls._tx_srtp
        self.reader.attach([cast(UdpTransport, protocol.transport) for protocol in connection._protocols])
        dtls.on("statechange", self._dtls_changed)
        self.connected = True

    def _dtls_changed(self) -> None:
        if self._dtls is not None and self._dtls.state == "closed":
            self.close("ICE consent expired" if self._connection.expired else "closed by the peer")

    def receive(self, now: float) -> list[tuple[float, bytes]]:
        """RTP and RTCP in the clear, each with its arrival in seconds on the loop's clock; `now` is on that, too.

        What came between the peer's last handshake flight and our own readiness is held and comes first.
        """
        rx = self._rx
        if rx is None:
            return []
        unprotect, unprotect_rtcp, error = rx.unprotect, rx.unprotect_rtcp, pylibsrtp.Error
        plain: list[tuple[float, bytes]] = []
        refused = 0
        for arrival, data in self.reader.drain(now):
            if not 11 < len(data) <= _MAX_PROTECTED:
                refused += 1
                continue
            try:
                # RFC 5761: RTCP's packet types, seen as RTP, would be payload types 64-95 with the marker set.
                packet = unprotect_rtcp(data) if 191 < data[1] < 224 else unprotect(data)
            except error:
                refused += 1
                continue
            plain.append((arrival, packet))
        self.stats.datagrams += len(plain)
        self.stats.refused += refused
        return plain

    def send(self, packet: bytes) -> bool:
        """Protects and sends one RTP or RTCP packet at once. False where it could not go: no path, no packet."""
        pair = self._connection._nominated.get(1)
        if self._tx is None or pair is None or len(packet) < 8:
            self.stats.unsent += 1
            return False
        try:
            data = self._tx.protect_rtcp(packet) if 191 < packet[1] < 224 else self._tx.protect(packet)
        except (pylibsrtp.Error, ValueError):
            self.stats.unsent += 1
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        self.stats.sent += 1
        return True

    def close(self, reason: str) -> None:
        """Says goodbye (DTLS close_notify) and lets go of sockets and tasks; the first reason counts."""
        if self.closed_reason is not None:
            return
        self.closed_reason = reason
        self._shutting_down = self._loop.create_task(self._shut_down())
        self._on_closed(reason)
        self.connected = False

    def kill(self) -> None:
        """The sockets vanish, with no goodbye: what a peer sees of a process that was killed."""
        for protocol in self._connection._protocols:
            protocol.transport.abort()
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
                pump = self._dtls._task
                await self._dtls.stop()
                if pump is not None:
                    await asyncio.gather(pump, return_exceptions=True)
                self._dtls.remove_all_listeners()
            await self._connection.close()
        except Exception:
            _log.exception("a transport did not close cleanly")
        finally:
            self._rx = self._tx = None
            self.reader.close()
            for protocol in self._connection._protocols:
                protocol.transport.abort()
            self._gone.set()
