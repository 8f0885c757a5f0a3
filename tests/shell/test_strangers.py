"""What anybody can send to a session's port, who knows none of its secrets, does not keep its publisher out."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import pytest
from aioice import stun
from OpenSSL import SSL

from relay.rtc.caster import Caster
from relay.rtc.parameters import TransportStats
from relay.rtc.publisher import PublisherSession
from relay.rtc.reader import make_reader
from relay.rtc.tap import IceConnection
from tests.support.eventually import eventually
from tests.support.rtc import LOOPBACK, joined


def client_hello() -> bytes:
    stranger = SSL.Connection(SSL.Context(SSL.DTLS_METHOD))
    stranger.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        stranger.do_handshake()
    return stranger.bio_read(1500)


@pytest.mark.parametrize(
    "datagrams",
    [
        pytest.param([client_hello()], id="handshake"),
        pytest.param([b"\x16\xfe\xfd" + bytes(40)] * 100, id="records"),
        pytest.param([b"\x00" * 40] * 100, id="not STUN"),
    ],
)
def test_the_publisher_connects_all_the_same(datagrams: Sequence[bytes]) -> None:
    async def run() -> None:
        caster = await Caster.create(settings=LOOPBACK)
        session, answer = await PublisherSession.answer(caster.offer(), settings=LOOPBACK)
        host, port = session._transport._connection.local_candidates[0].to_sdp().split()[4:6]
        await asyncio.sleep(0)  # ICE has begun
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for data in datagrams:
                stranger.sendto(data, (host, int(port)))
        await caster.accept(answer)
        try:
            assert await asyncio.wait_for(caster.wait_connected(), 5), caster.closed_reason
            assert await asyncio.wait_for(session._transport.wait_connected(), 5), session.closed_reason
        finally:
            caster.close()
            session.close("over")
            await asyncio.gather(caster.wait_closed(), session.wait_closed())

    asyncio.run(run())


def test_a_peer_that_is_faster_than_its_answer_is_no_stranger() -> None:
    """A server may check, and begin the handshake, before the answer to our offer is here."""

    async def run() -> None:
        ours, theirs = (
            IceConnection(controlling=offers, settings=LOOPBACK, reader=make_reader("hook"), stats=TransportStats())
            for offers in (True, False)
        )
        await asyncio.gather(ours.gather_candidates(), theirs.gather_candidates())
        theirs.remote_username, theirs.remote_password = ours.local_username, ours.local_password
        for candidate in ours.local_candidates:
            await theirs.add_remote_candidate(candidate)
        connecting = asyncio.create_task(theirs.connect())
        await eventually(lambda: ours._early_checks, what="their check")
        at = ours.local_candidates[0]
        theirs.sockets()[0].sendto(client_hello(), (at.host, at.port))
        await eventually(lambda: ours._queue.qsize() == 1, what="their handshake")
        await asyncio.gather(ours.close(), theirs.close())
        await asyncio.wait([connecting])
        assert isinstance(connecting.exception(), ConnectionError)

    asyncio.run(run())


def test_a_flood_of_checks_is_cut_and_the_peers_are_answered() -> None:
    async def run() -> None:
        async with joined() as (caster, session, _):
            ours, theirs = session._transport._connection, caster._transport._connection
            check = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
            sent = ours.sockets()[0].sendto
            answers: list[object] = []
            ours.sockets()[0].sendto = lambda data, addr: answers.append(addr) or sent(data, addr)  # type: ignore[method-assign]
            for _ in range(1000):
                ours._protocols[0].datagram_received(check, ("127.9.9.9", 9))
            assert len(answers) <= 200, "at a second's end it begins anew"
            assert session.stats.transport.malformed >= 800
            pair = theirs._nominated[1]
            request = theirs.build_request(pair, nominate=False)
            key = ours.local_password.encode()
            answer, _ = await pair.protocol.request(request, pair.remote_addr, key, retransmissions=0)
            assert answer.message_class == stun.Class.RESPONSE

    asyncio.run(run())
