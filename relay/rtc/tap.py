"""What the relay uses of aioice and aiortc: finding a path (RFC 8445) and shaking hands on it (RFC 5764).

The RTP never passes through aiortc's receive chain of queue, task and coroutines: SRTP datagrams go to a reader of our
own. This is the only file that touches private parts of the two libraries; `tests/unit/test_aiortc_contract.py` names
each of them and fails when an upgrade moves one.
"""

import asyncio
import datetime
from typing import Literal, cast

from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol, server_reflexive_candidate
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from aiortc.rtcicetransport import RTCIceTransport
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import Certificate
from OpenSSL import SSL
from pylibsrtp import Session

from relay.core.offer import NotTakingWork
from relay.rtc.parameters import TransportStats
from relay.rtc.reader import DatagramReader
from relay.rtc.settings import RtcSettings
from relay.rtc.udp import UdpTransport, bind

_MAX_HANDSHAKE_QUEUE = 64
"""Datagrams that wait for aiortc's handshake task; a flood of forged ones is cut here."""
_CERTIFICATE_AGE = datetime.timedelta(days=10)
"""aiortc's certificates live for 30 days; one is replaced when it has fewer than this left."""


class _Certificate(RTCCertificate):
    """One whose OpenSSL context is made once: it costs time, and its memory waits for the collector."""

    def __init__(self, key: EllipticCurvePrivateKey, cert: Certificate) -> None:
        super().__init__(key, cert)
        self._context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
        return self._context


_certificate: RTCCertificate | None = None


def certificate() -> RTCCertificate:
    """The process's one DTLS certificate: making one takes time at each session, and nobody gains by it."""
    global _certificate
    now = datetime.datetime.now(tz=datetime.UTC)
    if _certificate is None or _certificate.expires - now < _CERTIFICATE_AGE:
        _certificate = _Certificate.generateCertificate()
    return _certificate


def certificate_fingerprint() -> str:
    """SHA-256, upper-case hex pairs joined by colons."""
    (value,) = (f.value for f in certificate().getFingerprints() if f.algorithm == "sha-256")
    return value


class _Protocol(StunProtocol):
    """One socket's datagrams, told apart by their first byte (RFC 7983)."""

    def __init__(self, connection: "IceConnection", reader: DatagramReader, stats: TransportStats) -> None:
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


class IceConnection(Connection):
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

    def sockets(self) -> list[UdpTransport]:
        return [cast(UdpTransport, protocol.transport) for protocol in self._protocols]

    def send_now(self, data: bytes) -> bool:
        """On the nominated pair, at once; False where there is none."""
        pair = self._nominated.get(1)
        if pair is None:
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

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


class DtlsSession(RTCDtlsTransport):
    """aiortc's handshake, and the SRTP sessions that it ends in."""

    def __init__(self, connection: Connection, role: Literal["client", "server"]) -> None:
        super().__init__(cast(RTCIceTransport, _IceSide(connection)), [certificate()])
        self._set_role(role)

    async def shake_hands(self, fingerprints: tuple[tuple[str, str], ...]) -> tuple[Session, Session] | None:
        """(receiving, sending) SRTP; None where it failed: certificate, fingerprint or SRTP profile."""
        await self.start(RTCDtlsParameters([RTCDtlsFingerprint(algorithm=a, value=v) for a, v in fingerprints]))
        return (self._rx_srtp, self._tx_srtp) if self.state == "connected" else None

    async def say_goodbye(self) -> None:
        """Sends close_notify, and waits for aiortc's reading task to end."""
        pump = self._task
        await self.stop()
        if pump is not None:
            await asyncio.gather(pump, return_exceptions=True)
        self.remove_all_listeners()
        # OpenSSL's and libsrtp's memory goes back now: the collector, which does not see it, would let it pile up.
        self._ssl = None
        self._rx_srtp = self._tx_srtp = cast(Session, None)
