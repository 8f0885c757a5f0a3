"""What relay/rtc/tap.py relies on in aiortc, aioice and pylibsrtp, name by name.

Most of it is private, so an upgrade may move it without a word. Each failure here says what to look at in the tap.
"""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import cffi
import pylibsrtp
import pytest
from aioice import ice
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aiortc import rtcdtlstransport as dtls

from relay.rtc.tap import srtp_input, srtp_output

TAP = Path(__file__).parents[2] / "relay" / "rtc" / "tap.py"


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (ice.Connection.get_component_candidates, ["self", "component", "addresses", "timeout"]),
        (ice.Connection.gather_candidates, ["self"]),
        (ice.Connection.add_remote_candidate, ["self", "remote_candidate"]),
        (ice.Connection.connect, ["self"]),
        (ice.Connection.close, ["self"]),
        (ice.Connection.recv, ["self"]),
        (ice.Connection.send, ["self", "data"]),
        (ice.Connection.data_received, ["self", "data", "component"]),
        (ice.Connection.query_consent, ["self"]),
        (ice.Connection.request_received, ["self", "message", "addr", "protocol"]),
        (ice.Connection.build_request, ["self", "pair", "nominate"]),
        (ice.StunProtocol.__init__, ["self", "receiver"]),
        (ice.StunProtocol.request, ["self", "request", "addr", "integrity_key", "retransmissions"]),
        (ice.StunProtocol.datagram_received, ["self", "data", "addr"]),
        (ice.StunProtocol.connection_made, ["self", "transport"]),
        (ice.StunProtocol.connection_lost, ["self", "exc"]),
        (ice.StunProtocol.error_received, ["self", "exc"]),
        (ice.Connection._pair_remote_candidate, ["self", "remote_candidate"]),
        (ice.Connection.sort_check_list, ["self"]),
        (ice.server_reflexive_candidate, ["protocol", "stun_server"]),
        (
            ice.relayed_candidate,
            [
                *("component", "hide_related_address", "protocol_factory", "turn_server", "turn_username"),
                *("turn_password", "turn_ssl", "turn_transport"),
            ],
        ),
        (candidate_foundation, ["candidate_type", "candidate_transport", "base_address"]),
        (candidate_priority, ["candidate_component", "candidate_type", "local_pref"]),
        (dtls.RTCDtlsTransport.__init__, ["self", "transport", "certificates"]),
        (dtls.RTCCertificate.__init__, ["self", "key", "cert"]),
        (dtls.RTCCertificate._create_ssl_context, ["self", "srtp_profiles"]),
        (dtls.RTCDtlsTransport._set_role, ["self", "role"]),
        (dtls.RTCDtlsTransport.start, ["self", "remoteParameters"]),
        (dtls.RTCDtlsTransport.stop, ["self"]),
        (dtls.RTCDtlsParameters, ["fingerprints", "role"]),
        (dtls.RTCDtlsFingerprint, ["algorithm", "value"]),
        (dtls.RTCCertificate.generateCertificate, []),
        (pylibsrtp.Session.protect, ["self", "packet"]),
        (pylibsrtp.Session.protect_rtcp, ["self", "packet"]),
        (pylibsrtp.Session.unprotect, ["self", "packet"]),
        (pylibsrtp.Session.unprotect_rtcp, ["self", "packet"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_signatures(function: object, names: list[str]) -> None:
    assert parameters(function) == names


def test_a_connections_private_parts() -> None:
    async def look() -> None:
        connection = ice.Connection(ice_controlling=False, components=1, stun_server=None)
        assert connection._protocols == []
        assert connection._nominated == {}
        assert connection._queue.qsize() == 0
        assert connection._remote_candidates == []
        assert list(connection._early_checks) == []
        assert connection._query_consent_task is None
        assert connection.local_username
        assert len(connection.local_password) >= 22
        for name in ("remote_username", "remote_password", "remote_is_lite", "ice_controlling", "stun_server"):
            assert hasattr(connection, name)
        protocol = ice.StunProtocol(connection)
        assert protocol.receiver is connection
        protocol.local_candidate = Candidate.from_sdp("1 1 udp 1 192.0.2.1 4000 typ host")
        await connection.add_remote_candidate(Candidate.from_sdp("1 1 udp 1 2001:db8:0::1 4000 typ host"))
        assert [(c._network_host, c.port) for c in connection._remote_candidates] == [("2001:db8::1", 4000)]
        pair = ice.CandidatePair(protocol, Candidate.from_sdp("1 1 udp 1 192.0.2.2 5000 typ host"))
        assert (pair.protocol, pair.remote_addr) == (protocol, ("192.0.2.2", 5000))
        await connection.close()
        assert connection._queue.qsize() == 1  # the None that wakes a pending recv()

    asyncio.run(look())


def test_a_dtls_transports_private_parts() -> None:
    class Ice:
        role = "controlled"

        async def _recv(self) -> bytes:
            raise ConnectionError

        async def _send(self, data: bytes) -> None:
            raise ConnectionError

    async def look() -> None:
        transport = dtls.RTCDtlsTransport(Ice(), [dtls.RTCCertificate.generateCertificate()])
        assert transport.state == "new"
        assert transport._rx_srtp is transport._tx_srtp is transport._ssl is transport._task is None
        changes: list[str] = []
        transport.on("statechange", lambda: changes.append(transport.state))
        transport._set_role("server")
        await transport.start(dtls.RTCDtlsParameters([dtls.RTCDtlsFingerprint("sha-256", "AB")]))
        assert changes == ["connecting", "failed"]
        await transport.stop()
        transport.remove_all_listeners()

    asyncio.run(look())


def test_only_these_parts_of_an_ice_transport_are_used() -> None:
    """`_IceSide` stands in for an RTCIceTransport: it must have all that the DTLS transport asks of one."""
    source = inspect.getsource(dtls.RTCDtlsTransport)
    assert set(re.findall(r"self\.(?:_)?transport\.(\w+)", source)) == {"role", "_recv", "_send"}


def test_gathering_asks_each_component_for_its_candidates() -> None:
    source = inspect.getsource(ice.Connection.gather_candidates)
    assert "self.get_component_candidates(component=component, addresses=addresses)" in source


def test_a_certificate_has_one_fingerprint_of_sha_256_and_an_end() -> None:
    certificate = dtls.RTCCertificate.generateCertificate()
    values = [f.value for f in certificate.getFingerprints() if f.algorithm == "sha-256"]
    assert len(values) == 1
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", values[0])
    assert certificate.expires.tzinfo is not None


def test_srtp_holds_a_packet_of_1500_bytes_and_says_so_of_more() -> None:
    policy = pylibsrtp.Policy(key=bytes(30), ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    session = pylibsrtp.Session(policy)
    assert len(session._cdata) == 1500
    with pytest.raises(ValueError, match="too long"):
        session.protect(bytes(1501))
    with pytest.raises(pylibsrtp.Error):
        session.unprotect(b"\x80\x60" + bytes(30))


@pytest.mark.parametrize("profile", ["AES128_CM_SHA1_80", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"])
def test_packets_are_decrypted_where_they_lie(profile: str) -> None:
    number = getattr(pylibsrtp.Policy, f"SRTP_PROFILE_{profile}")
    outbound, inbound = (
        pylibsrtp.Session(pylibsrtp.Policy(key=bytes(44), ssrc_type=kind, srtp_profile=number))
        for kind in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    )
    srtp = srtp_input(inbound)
    ffi = cffi.FFI()  # as relay/rtc/mmsg.py has one of its own
    buffer, length = ffi.new("unsigned char[]", 1500), ffi.new("int *")
    rtp = bytes((0x80, 96, 0, 1)) + bytes(8) + b"payload" * 100
    rtcp = bytes((0x80, 201, 0, 1)) + bytes(4)
    for packet, protect, unprotect in (
        (rtp, outbound.protect, srtp.open_rtp),
        (rtcp, outbound.protect_rtcp, srtp.open_rtcp),
    ):
        protected = protect(packet)
        assert protected != packet
        for authentic in (True, False):  # a second time it is a replay
            ffi.buffer(buffer)[0 : len(protected)] = protected
            length[0] = len(protected)
            assert (unprotect(srtp.handle, buffer, length) == 0) is authentic
            if authentic:
                assert ffi.buffer(buffer)[0 : length[0]] == packet


def test_packets_are_encrypted_where_they_lie() -> None:
    outbound, other, inbound = (
        pylibsrtp.Session(pylibsrtp.Policy(key=bytes(44), ssrc_type=kind))
        for kind in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND,) * 2 + (pylibsrtp.Policy.SSRC_ANY_INBOUND,)
    )
    srtp = srtp_output(outbound)
    ffi = cffi.FFI()
    buffer, length = ffi.new("unsigned char[]", 1500), ffi.new("int *")
    rtp = bytes((0x80, 96, 0, 1)) + bytes(8) + b"payload" * 100
    rtcp = bytes((0x80, 201, 0, 1)) + bytes(4)
    for packet, protect, same, unprotect in (
        (rtp, srtp.protect_rtp, other.protect, inbound.unprotect),
        (rtcp, srtp.protect_rtcp, other.protect_rtcp, inbound.unprotect_rtcp),
    ):
        ffi.buffer(buffer)[0 : len(packet)] = packet
        length[0] = len(packet)
        assert protect(srtp.handle, buffer, length) == 0
        protected = ffi.buffer(buffer)[0 : length[0]]
        assert protected == same(packet)
        assert unprotect(protected) == packet
    length[0] = 5
    assert srtp.protect_rtp(srtp.handle, buffer, length) != 0
    assert srtp.protect(b"\x80") is None
    assert srtp.protect(bytes(1500)) is None


def private_names(source: str) -> set[str]:
    """Attributes with a leading underscore that the file uses and does not make: inherited ones, and other objects'."""
    tree = ast.parse(source)
    private = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    ]
    own = [node for node in private if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "session")]
    made = {node.attr for node in own if isinstance(node.ctx, ast.Store)}
    made |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {node.attr for node in private if node not in own} | ({node.attr for node in own} - made)


RELEASED = {"_query_consent_task", "_rx_srtp", "_ssl", "_tx_srtp"}
"""Theirs, set to None by the tap at the end of a session."""
KNOWN = RELEASED | {
    "_srtp",
    *("_create_ssl_context", "_early_checks", "_network_host", "_nominated", "_pair_remote_candidate", "_protocols"),
    *("_queue", "_remote_candidates", "_set_role", "_task"),
}


def test_this_test_knows_every_private_name_in_the_tap() -> None:
    assert private_names(TAP.read_text()) | RELEASED == KNOWN


def test_our_subclasses_names_are_free() -> None:
    """What tap.py adds to aioice's objects must not be something of aioice's."""

    async def look() -> None:
        connection = ice.Connection(ice_controlling=False)
        for name in (
            *(
                "_settings",
                "_reader",
                "_stats",
                "_queries",
                "_ask_stun",
                "_ask_turn",
                "_told",
                "_asking",
                "_stop_asking",
                "_knows",
                "_strangers",
                "_strangers_since",
                "admits",
            ),
            *(
                "advertised",
                "expired",
                "gathered",
                "late_candidates",
                "patience",
                "sockets",
                "path",
                "handshake_received",
            ),
        ):
            assert not hasattr(connection, name)
        protocol = ice.StunProtocol(connection)
        for name in ("_admits", "_handshake", "_received", "_stats"):
            assert not hasattr(protocol, name)
        await connection.close()
        for name in ("shake_hands", "say_goodbye"):
            assert not hasattr(dtls.RTCDtlsTransport, name)

    asyncio.run(look())


def imports(source: str) -> set[str]:
    """`module.name` of each name that a from-import takes, and modules imported whole."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", [p for p in TAP.parent.glob("*.py") if p != TAP], ids=lambda p: p.name)
def test_no_other_file_knows_of_it(path: Path) -> None:
    source = path.read_text()
    assert not private_names(source) & KNOWN
    foreign = {name for name in imports(source) if name.startswith(("aiortc", "aioice", "pylibsrtp"))}
    assert foreign <= {"aioice.candidate.Candidate", "pylibsrtp"}
