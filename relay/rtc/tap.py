"""What the relay uses of aioice and aiortc: finding a path (RFC 8445) and shaking hands on it (RFC 5764).

The RTP never passes through aiortc's receive chain of queue, task and coroutines: SRTP datagrams go to a reader of our
own. This is the only file that touches private parts of the two libraries; `tests/unit/test_aiortc_contract.py` names
each of them and fails when an upgrade moves one.
"""

import asyncio
import contextlib
import datetime
import secrets
from collections.abc import Coroutine, Iterator
from typing import Literal, cast

from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol, relayed_candidate, server_reflexive_candidate
from aioice.stun import Message, TransactionError
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
from pylibsrtp._binding import lib as libsrtp  # type: ignore[import-not-found]  # compiled

from relay.core.offer import NotTakingWork
from relay.rtc.parameters import TransportStats
from relay.rtc.reader import DatagramReader
from relay.rtc.settings import RtcSettings, TurnServer
from relay.rtc.srtp import SrtpInput, SrtpOutput
from relay.rtc.udp import UdpTransport, bind

Path = tuple[asyncio.DatagramTransport, tuple[str, int]]
"""A socket, and the remote address that media goes to."""
_MAX_HANDSHAKE_QUEUE = 64
"""Datagrams that wait for aiortc's handshake task; a flood is cut here."""
_MAX_STRANGERS = 100
"""STUN messages a second from addresses that are not the peer's, which may become it. Each costs more than the media of
a publisher does meanwhile."""
_MAX_ADDRESSES = 1000
"""Of the peer: far more than a phone gets from its networks in a session of days."""
CONSENT_INTERVAL = 5.0
"""Seconds between checks of consent, give or take a fifth (RFC 7675 5.1)."""
CONSENT_EXPIRY = 30.0
"""Seconds after which a peer that has answered none is gone."""
_CONSENT_TRIES = 3  # the first answer is waited for 0.5 s, the others twice as long each
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
        self._admits, self._handshake = connection.admits, connection.handshake_received
        self._received = reader.received
        self._stats = stats

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        data = cast(bytes, data)
        if not data:
            return
        first = data[0]
        if 127 < first < 192:
            self._received(data)
        elif first < 4 and not self._admits(addr):
            self._stats.malformed += 1
        elif first < 4:
            try:
                super().datagram_received(data, addr)
            except Exception:  # whatever a stranger's bytes do to the STUN parser, the session goes on
                self._stats.malformed += 1
        elif 19 < first < 64:
            self._handshake(data, addr)


class IceConnection(Connection):
    """ICE on the addresses and ports that the operator chose; sockets are `UdpTransport`s."""

    def __init__(
        self, *, controlling: bool, settings: RtcSettings, reader: DatagramReader, stats: TransportStats
    ) -> None:
        super().__init__(ice_controlling=controlling, components=1)
        self._settings = settings
        self._reader = reader
        self._stats = stats
        self.advertised: list[Candidate] = []
        self._asking: set[asyncio.Task[Candidate]] = set()
        """STUN and TURN servers that have not answered yet."""
        self.patience: float | None = None
        """Seconds that gathering waits for STUN and TURN servers, if `late_candidates` is to follow; None: it is not,
        and they have 5 s."""
        self._pair: CandidatePair | None = None
        self._path: Path | None = None
        """Of that pair."""
        self._strangers, self._strangers_since = 0, 0.0
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
        self._asking = {asyncio.create_task(query) for query in self._queries()}
        self.advertised += await self._told(timeout if self.patience is None else self.patience)
        if self.patience is None:
            self._stop_asking()
        return [protocol.local_candidate for protocol in self._protocols]

    def _queries(self) -> Iterator[Coroutine[None, None, Candidate]]:
        """Public addresses of the IPv4 sockets (RFC 8445 section 5.1.1.2), and a relayed one (RFC 8656)."""
        settings = self._settings
        if settings.stun_server is not None:
            for protocol in self._protocols:
                if ":" not in protocol.local_candidate.host:
                    yield self._ask_stun(protocol, settings.stun_server)
        if settings.turn_server is not None:
            yield self._ask_turn(settings.turn_server)

    async def _ask_stun(self, protocol: StunProtocol, server: tuple[str, int]) -> Candidate:
        return (await server_reflexive_candidate(protocol, server))[0]

    async def _ask_turn(self, server: TurnServer) -> Candidate:
        candidate, protocol = await relayed_candidate(
            component=1,
            hide_related_address=False,
            protocol_factory=lambda: _Protocol(self, self._reader, self._stats),
            turn_server=(server.host, server.port),
            turn_username=server.username,
            turn_password=server.password,
            turn_ssl=False,
            turn_transport="udp",
        )
        self._protocols.append(protocol)
        # What `connect()` does for the sockets it finds when it begins.
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        return candidate

    async def _told(self, seconds: float) -> list[Candidate]:
        """Candidates of the servers that answer in time; the others may answer later."""
        if not self._asking:
            return []
        answered, self._asking = await asyncio.wait(self._asking, timeout=seconds)
        return [query.result() for query in answered if not query.cancelled() and query.exception() is None]

    @property
    def gathered(self) -> bool:
        return not self._asking

    async def late_candidates(self, seconds: float) -> list[Candidate]:
        """What the servers said after `patience` had run out; then no more is waited for."""
        late = await self._told(seconds)
        self._stop_asking()
        return late

    def _stop_asking(self) -> None:
        for query in self._asking:
            query.cancel()
        self._asking = set()

    def handshake_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """A DTLS record waits for aiortc, if it comes from where ICE has met the peer: a stranger's ClientHello would
        be answered in place of the peer's, which then fails."""
        if self._queue.qsize() < _MAX_HANDSHAKE_QUEUE and self._knows(addr):
            super().data_received(data, 1)
        else:
            self._stats.malformed += 1

    def _knows(self, addr: tuple[object, ...]) -> bool:
        """The address is a remote candidate's, told by the peer or met in a check that knew our password."""
        found = addr[:2]
        return any((c._network_host, c.port) == found for c in self._remote_candidates) or any(
            sender == found for _, sender, _ in self._early_checks
        )

    def admits(self, addr: tuple[object, ...]) -> bool:
        """A STUN message from there is read: the peer's always, of others' so many in a second."""
        if self._knows(addr):
            return True
        now = asyncio.get_running_loop().time()
        if now - self._strangers_since >= 1.0:
            self._strangers, self._strangers_since = 0, now
        self._strangers += 1
        return self._strangers <= _MAX_STRANGERS

    def request_received(self, message: Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        """Of aioice's calls: a check. Each address that one comes from is kept, and checked in return."""
        if len(self._remote_candidates) < _MAX_ADDRESSES or self._knows(addr):
            super().request_received(message, addr, protocol)

    def data_received(self, data: bytes, component: int) -> None:
        """Of aioice's calls: it was no STUN."""
        self._stats.malformed += 1

    async def query_consent(self) -> None:
        """Consent (RFC 7675), patiently: aioice takes an answer that needs more than half a second for none, and so
        would end a session over a satellite, or while a queue on the path is full."""
        loop, chance = asyncio.get_running_loop(), secrets.SystemRandom()
        heard, key = loop.time(), (self.remote_password or "").encode()
        while loop.time() - heard < CONSENT_EXPIRY:
            await asyncio.sleep(CONSENT_INTERVAL * chance.uniform(0.8, 1.2))
            for pair in tuple(self._nominated.values()):
                request = self.build_request(pair, nominate=False)
                with contextlib.suppress(TransactionError):
                    await pair.protocol.request(request, pair.remote_addr, key, retransmissions=_CONSENT_TRIES - 1)
                    heard = loop.time()
        self._query_consent_task = None  # it is this one, which `close()` must not cancel
        await self.close()

    def sockets(self) -> list[UdpTransport]:
        return [p.transport for p in self._protocols if isinstance(p.transport, UdpTransport)]

    def path(self) -> Path | None:
        """Where to send: the nominated pair's; None where there is no pair. The same object while it is the same."""
        pair = self._nominated.get(1)
        if pair is not self._pair:
            self._pair = pair
            self._path = None if pair is None else (pair.protocol.transport, pair.remote_addr)
        return self._path

    async def close(self) -> None:
        self.expired = True
        self._stop_asking()
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


def srtp_input(session: Session) -> SrtpInput:
    """pylibsrtp copies each packet into a buffer of its own and out again: these are the calls below that."""
    return SrtpInput(session, session._srtp[0], libsrtp.srtp_unprotect, libsrtp.srtp_unprotect_rtcp)


def srtp_output(session: Session) -> SrtpOutput:
    """The same of what is sent."""
    return SrtpOutput(session, session._srtp[0], libsrtp.srtp_protect, libsrtp.srtp_protect_rtcp)


class DtlsSession(RTCDtlsTransport):
    """aiortc's handshake, and the SRTP sessions that it ends in."""

    def __init__(self, connection: Connection, role: Literal["client", "server"]) -> None:
        super().__init__(cast(RTCIceTransport, _IceSide(connection)), [certificate()])
        self._set_role(role)

    async def shake_hands(self, fingerprints: tuple[tuple[str, str], ...]) -> tuple[SrtpInput, SrtpOutput] | None:
        """(receiving, sending) SRTP; None where it failed: certificate, fingerprint or SRTP profile."""
        await self.start(RTCDtlsParameters([RTCDtlsFingerprint(algorithm=a, value=v) for a, v in fingerprints]))
        if self.state != "connected":
            return None
        return srtp_input(self._rx_srtp), srtp_output(self._tx_srtp)

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
