"""A publisher session over real ICE, DTLS and SRTP, with our own publisher as its peer."""

import asyncio
import dataclasses
import gc
import socket
import time
from collections.abc import Callable

import pytest
from aioice import stun

from relay.core.offer import NotTakingWork, OfferMalformed, OfferRefused, RestartRefused, UnknownSession
from relay.core.rtp import rtcp
from relay.core.rtp.packet import RtpPacket
from relay.core.rtp.reception import ReceptionSettings
from relay.rtc import sdp, tap
from relay.rtc.caster import Caster
from relay.rtc.publisher import PublisherSession
from relay.rtc.settings import RtcSettings
from tests.support.eventually import eventually
from tests.support.rtc import LOOPBACK, Received, Ticker, joined, open_things, picture, sound
from tests.unit.rtc.offers import NAMES, offer

READERS = ["hook", "batch"]


def with_reader(reader: str) -> RtcSettings:
    return dataclasses.replace(LOOPBACK, reader=reader)


@pytest.mark.parametrize("reader", READERS)
def test_frames_arrive_byte_for_byte(reader: str) -> None:
    async def run() -> None:
        async with joined(with_reader(reader)) as (caster, session, received):
            assert session.kinds == {"audio", "video"}
            assert session.last_media is None
            began = asyncio.get_running_loop().time()
            pictures = [picture(i, key=i % 10 == 0) for i in range(40)]
            sounds = [sound(i) for i in range(60)]
            for i in range(60):
                if i < 40:
                    caster.send_access_unit(pictures[i], i / 30)
                caster.send_opus(sounds[i], i / 50)
                if i % 10 == 9:  # a socket does not hold all of it at once
                    await eventually(lambda sent=i + 1: len(received.sounds) == sent, what="what was sent so far")
            await eventually(lambda: (len(received.pictures), len(received.sounds)) == (40, 60), what="all frames")
            assert [p.parts for p in received.pictures] == pictures
            assert [p.key for p in received.pictures] == [i % 10 == 0 for i in range(40)]
            assert [s.data for s in received.sounds] == sounds
            ended = asyncio.get_running_loop().time()
            assert all(began <= frame.arrival <= ended for frame in received.frames)
            assert session.last_media is not None
            assert began <= session.last_media <= ended
            stats = session.stats
            assert stats.transport.refused == stats.transport.malformed == stats.overflow == 0
            assert [t.lost for t in stats.reception.tracks] == [0, 0]
            # Reports go both ways.
            await eventually(lambda: stats.transport.sent > 0, what="a receiver report")
            await eventually(lambda: caster._transport.stats.datagrams > 0, what="its arrival")

    asyncio.run(run())


@pytest.mark.parametrize("reader", READERS)
def test_a_key_frame_request_reaches_the_publisher(reader: str) -> None:
    async def run() -> None:
        asked: list[float] = []
        settings = dataclasses.replace(with_reader(reader), reception=ReceptionSettings(pli_interval=0.1))
        async with joined(settings, on_key_frame_wanted=lambda: asked.append(time.monotonic())) as peers:
            caster, session, received = peers
            caster.send_access_unit(picture(1, key=False), 0.0)  # nothing to begin with
            await eventually(lambda: asked, what="PLI for a stream that begins without an IDR")
            caster.send_access_unit(picture(2, key=True), 0.1)
            await eventually(lambda: received.pictures, what="the IDR")
            count = len(asked)
            session.request_key_frame()
            await eventually(lambda: len(asked) > count, what="PLI on request")
            assert not session.key_frames_wanted
            session.key_frames_wanted = True
            assert session.key_frames_wanted

    asyncio.run(run())


@pytest.mark.parametrize("rtx", [True, False])
def test_a_lost_packet_is_sent_again(rtx: bool) -> None:
    async def run() -> None:
        async with joined(rtx=rtx) as (caster, _, received):
            pictures = [picture(i, key=i == 0) for i in range(12)]
            for i, nals in enumerate(pictures):
                packets = caster.packetize_access_unit(nals, i / 30)
                caster.send_packets([packet for j, packet in enumerate(packets) if (i, j) not in ((3, 0), (5, 0))])
            await eventually(lambda: len(received.pictures) == len(pictures), what="all pictures")
            assert [p.parts for p in received.pictures] == pictures
            assert caster.retransmitted >= 2

    asyncio.run(run())


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(lambda ssrc: RtpPacket(102, 1, 0, ssrc, b"\x41").serialise(), id="media"),
        pytest.param(lambda ssrc: RtpPacket(103, 1, 0, ssrc, b"\x00\x01\x41").serialise(), id="retransmissions"),
        pytest.param(lambda ssrc: rtcp.pli(ssrc, 1), id="RTCP"),
    ],
)
def test_a_peer_of_sources_without_end_is_let_go(packet: Callable[[int], bytes]) -> None:
    """SRTP would keep state of each."""

    async def run() -> None:
        async with joined() as (caster, _, received):
            for ssrc in range(1100):
                caster.send_packets([packet(ssrc)])
                if ssrc % 50 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: received.closed, what="the end")
            assert received.closed == ["the peer sent packets of more than 1000 sources (SSRC)"]

    asyncio.run(run())


def test_a_peer_of_addresses_without_end_is_not_followed() -> None:
    """Each that a check comes from, though the password be right, is checked in return for a minute."""

    async def run() -> None:
        async with joined() as (caster, session, _):
            ours, theirs = session._transport._connection, caster._transport._connection
            (protocol,) = ours._protocols
            for number in range(1500):
                check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
                check.attributes["USERNAME"] = f"{ours.local_username}:{theirs.local_username}"
                check.attributes["PRIORITY"] = 1
                check.add_message_integrity(ours.local_password.encode())
                address = f"127.1.{number >> 8}.{number & 255}", 9
                ours.request_received(stun.parse_message(bytes(check)), address, protocol)
            assert len(ours.remote_candidates) == 1000
            caster.send_opus(sound(0), 0.0)
            await eventually(lambda: session.last_media, what="sound of the peer")

    asyncio.run(run())


def test_a_flood_of_control_packets_is_cut() -> None:
    async def run() -> None:
        async with joined() as (caster, session, received):
            reception = session._reception
            for _ in range(300):
                caster.send_packets([b"\x80\xc8\x00\x00" + bytes(4)])  # a sender report cut short
            caster.send_packets(caster.packetize_opus(sound(0), 0.0)[:1])
            session.tick(session._now())
            await eventually(lambda: received.sounds, what="the sound behind it")
            assert 0 < reception.stats.malformed < 150

    asyncio.run(run())


@pytest.mark.parametrize("reader", READERS)
def test_goodbye_is_heard_at_once(reader: str) -> None:
    async def run() -> None:
        async with joined(with_reader(reader)) as (caster, session, received):
            caster.send_access_unit(picture(0, key=True), 0.0)
            caster.close()
            began = time.monotonic()
            await eventually(lambda: received.closed, every=0.002, what="on_closed")
            assert time.monotonic() - began < 0.5
            assert received.closed == ["closed by the peer"]
            assert len(received.pictures) == 1  # sent right before the goodbye
            assert not session.connected
            await asyncio.wait_for(session.wait_closed(), 2)

    asyncio.run(run())


def test_the_publisher_hears_our_goodbye() -> None:
    async def run() -> None:
        gone: list[str] = []
        async with joined(on_closed=gone.append) as (caster, session, received):
            session.close("stopped")
            session.close("again")
            assert received.closed == ["stopped"]
            await eventually(lambda: gone == ["closed by the peer"], what="the publisher's on_closed")
            assert not caster.connected
            session.tick(asyncio.get_running_loop().time())
            with pytest.raises(UnknownSession):
                await session.trickle(caster.fragment())

    asyncio.run(run())


def test_a_killed_publisher_says_nothing_and_closing_leaves_nothing() -> None:
    async def run() -> None:
        async with joined() as (caster, session, received):
            caster.send_opus(sound(0), 0.0)
            await eventually(lambda: received.sounds, what="sound")
            before = session.stats.transport.datagrams
            caster.kill()
            await caster.wait_closed()
            assert caster.closed_reason == "killed"
            for _ in range(10):
                await asyncio.sleep(0)
            assert session.connected
            assert received.closed == []
            assert session.stats.transport.datagrams == before

    asyncio.run(run())


@pytest.mark.parametrize("reader", READERS)
def test_trickled_candidates(reader: str) -> None:
    async def run() -> None:
        settings = with_reader(reader)
        caster = await Caster.create(settings=settings)
        bare = caster.offer(candidates=False)
        assert "a=candidate" not in bare
        session, answer = await PublisherSession.answer(bare, settings=settings)
        received = Received(session)
        with pytest.raises(OfferMalformed):
            await session.trickle("nonsense")
        with pytest.raises(RestartRefused):
            await session.trickle(caster.fragment().replace("a=ice-ufrag:", "a=ice-ufrag:x"))
        await session.trickle(caster.fragment())
        await caster.accept(answer)
        assert await caster.wait_connected()
        await eventually(lambda: session.connected)
        caster.close()
        session.close("done")
        await asyncio.gather(caster.wait_closed(), session.wait_closed())
        assert received.closed == ["done"]

    asyncio.run(run())


def test_the_publishers_own_checks_are_enough() -> None:
    """Neither candidates in the offer nor trickled: mDNS names, for one, come to this."""

    async def run() -> None:
        caster = await Caster.create(settings=LOOPBACK)
        session, answer = await PublisherSession.answer(caster.offer(candidates=False), settings=LOOPBACK)
        await caster.accept(answer)
        assert await caster.wait_connected()
        await eventually(lambda: session.connected)
        session.close("done")
        caster.close()
        await asyncio.gather(caster.wait_closed(), session.wait_closed())

    asyncio.run(run())


@pytest.mark.parametrize("reader", READERS)
def test_media_sent_before_we_are_ready_is_kept(reader: str) -> None:
    """The publisher's handshake may be done a flight before ours; what it sends then is there on the first tick."""

    async def run() -> None:
        settings = with_reader(reader)
        caster = await Caster.create(settings=settings)
        session, answer = await PublisherSession.answer(caster.offer(), settings=settings)
        received = Received(session)
        await caster.accept(answer)
        assert await caster.wait_connected()
        sounds = [sound(i) for i in range(100)]
        for i in range(50):
            caster.send_opus(sounds[i], i / 50)
        await eventually(lambda: session.connected)
        for i in range(50, 100):
            caster.send_opus(sounds[i], i / 50)
        async with Ticker().running() as ticker:
            ticker.members.append(session)
            await eventually(lambda: len(received.sounds) == 100, what="sound from the beginning")
        assert [s.data for s in received.sounds] == sounds
        caster.close()
        session.close("done")
        await asyncio.gather(caster.wait_closed(), session.wait_closed())

    asyncio.run(run())


def test_nobody_comes() -> None:
    async def run() -> None:
        settings = dataclasses.replace(LOOPBACK, connect_timeout=0.2)
        session, _ = await PublisherSession.answer(offer("lib-medooze"), settings=settings)
        received = Received(session)
        await asyncio.wait_for(session.wait_closed(), 5)
        assert received.closed == ["not connected within 0.2 s: no ICE path"]

    asyncio.run(run())


def test_a_wrong_certificate_is_refused() -> None:
    async def run() -> None:
        caster = await Caster.create(settings=LOOPBACK)
        sdp_offer = caster.offer()
        print_of = next(line for line in sdp_offer.splitlines() if line.startswith("a=fingerprint"))
        forged = sdp_offer.replace(print_of, print_of[:-5] + "00:00")
        session, answer = await PublisherSession.answer(forged, settings=LOOPBACK)
        received = Received(session)
        await caster.accept(answer)
        await asyncio.wait_for(session.wait_closed(), 5)
        assert "fingerprint" in received.closed[0]
        caster.close()
        await caster.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize("reader", READERS)
def test_garbage_is_counted_and_dropped(reader: str) -> None:
    async def run() -> None:
        async with joined(with_reader(reader)) as (caster, session, received):
            host, port = next(c for c in session._transport._connection.local_candidates).to_sdp().split()[4:6]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for data in (
                    b"", b"\x80", b"\x80\x60" + bytes(10), b"\x80\xc8" + bytes(60), b"\xbf" * 1400, b"\x80" * 1600,
                    b"\x80" * 5000, b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), b"\x00" * 700,
                    b"\x16\xfe\xfd" + bytes(40), b"\x14", b"\x3f" * 100, b"\xff" * 100,
                    b"\x01\x01\xff\xff\x21\x12\xa4\x42" + bytes(2000),
                ):  # fmt: skip
                    stranger.sendto(data, (host, int(port)))
            await eventually(lambda: session.stats.transport.refused >= 4, what="refusals counted")
            caster.send_opus(sound(1), 0.0)
            await eventually(lambda: received.sounds, what="sound after the garbage")
            assert session.connected
            assert received.closed == []

    asyncio.run(run())


def test_nobody_ticks() -> None:
    """What waits between two ticks is bounded."""

    async def run() -> None:
        caster = await Caster.create(settings=with_reader("hook"))
        session, answer = await PublisherSession.answer(caster.offer(), settings=with_reader("hook"))
        await caster.accept(answer)
        await caster.wait_connected()
        await eventually(lambda: session.connected)
        for i in range(5000):
            caster.send_opus(sound(0), i / 50)
            if i % 100 == 0:
                await asyncio.sleep(0)
        await eventually(lambda: session.stats.overflow > 0, what="overflow")
        now = asyncio.get_running_loop().time()
        assert len(session._transport.receive(now)) == 4096
        caster.close()
        session.close("done")
        await asyncio.gather(caster.wait_closed(), session.wait_closed())

    asyncio.run(run())


@pytest.mark.parametrize("reader", READERS)
def test_twenty_sessions_leave_nothing(reader: str) -> None:
    async def one() -> None:
        async with joined(with_reader(reader)) as (caster, _, received):
            caster.send_access_unit(picture(0, key=True), 0.0)
            await eventually(lambda: received.pictures, what="a picture")

    async def run() -> None:
        await one()
        gc.collect()
        before = open_things()
        await asyncio.gather(*(one() for _ in range(10)))
        for _ in range(10):
            await one()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert open_things() == before

    asyncio.run(run(), debug=False)


def test_a_cancelled_answer_leaves_nothing() -> None:
    async def run() -> None:
        before = open_things()
        for name in ("cr-basic", "ff-cert"):
            task = asyncio.create_task(PublisherSession.answer(offer(name), settings=LOOPBACK))
            await asyncio.sleep(0)
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            if not isinstance(result, BaseException):  # it was faster
                result[0].close("done")
        await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()}, what="no task left")
        assert open_things() == before

    asyncio.run(run())


def test_ports_addresses_and_advertised_address() -> None:
    async def run() -> None:
        settings = RtcSettings(
            addresses=("127.0.0.1", "::1"), port_range=(42000, 42001), advertised_address="203.0.113.7"
        )
        sessions = []
        for _ in range(2):
            session, answer = await PublisherSession.answer(offer("cr-basic"), settings=settings)
            sessions.append(session)
            candidates = [c for c in sdp.parse(answer).candidates() if c.host != "203.0.113.7"]
            assert [c.host for c in candidates] == ["::1"]
            assert {c.host for c in sdp.parse(answer).candidates()} == {"203.0.113.7", "::1"}
            assert all(c.port in (42000, 42001) for c in sdp.parse(answer).candidates())
            priorities = [c.priority for c in sdp.parse(answer).candidates()]
            assert priorities == sorted(set(priorities), reverse=True)
            sock = session._transport._connection._protocols[0].transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 1024 * 1024
        with pytest.raises(NotTakingWork, match="no free UDP port of 42000-42001"):
            await PublisherSession.answer(offer("cr-basic"), settings=settings)
        for session in sessions:
            session.close("done")
            await session.wait_closed()
        await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()}, what="no task left")

    asyncio.run(run())


def test_silence_ends_when_consent_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7675, in a hurry."""
    monkeypatch.setattr(tap, "CONSENT_EXPIRY", 0.3)
    monkeypatch.setattr(tap, "CONSENT_INTERVAL", 0.02)
    monkeypatch.setattr(stun, "RETRY_RTO", 0.05)

    async def run() -> None:
        async with joined() as (caster, session, received):
            caster.kill()
            await asyncio.wait_for(session.wait_closed(), 5)
            assert received.closed == ["ICE consent expired"]

    asyncio.run(run())


def test_a_slow_path_has_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that take twice as long as a first try is waited for."""
    monkeypatch.setattr(tap, "CONSENT_EXPIRY", 0.3)
    monkeypatch.setattr(tap, "CONSENT_INTERVAL", 0.02)

    async def run() -> None:
        async with joined() as (caster, session, received):
            monkeypatch.setattr(stun, "RETRY_RTO", 0.05)
            loop, answers = asyncio.get_running_loop(), []
            (protocol,) = caster._transport._connection._protocols
            send = protocol.send_stun

            def slowly(message: stun.Message, addr: tuple[str, int]) -> None:
                if message.message_class == stun.Class.RESPONSE:
                    answers.append(loop.call_later(0.1, send, message, addr))
                else:
                    send(message, addr)

            monkeypatch.setattr(protocol, "send_stun", slowly)
            await eventually(lambda: len(answers) >= 15 or received.closed, what="checks of consent")
            assert received.closed == []
            assert session.connected

    asyncio.run(run())


class StunServer(asyncio.DatagramProtocol):
    """Tells everybody that they come from 198.51.100.x, x being the last digit of their port."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.parse_message(data)
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = (f"198.51.100.{addr[1] % 10}", addr[1])
        self.transport.sendto(bytes(response), addr)


def test_a_stun_server_tells_the_public_address() -> None:
    async def run() -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            StunServer, local_addr=("127.0.0.1", 0)
        )
        settings = dataclasses.replace(LOOPBACK, stun_server=transport.get_extra_info("sockname"))
        session, answer = await PublisherSession.answer(offer("cr-basic"), settings=settings)
        host, mapped = sdp.parse(answer).candidates()
        assert (mapped.type, mapped.host, mapped.port) == ("srflx", f"198.51.100.{host.port % 10}", host.port)
        assert (mapped.related_address, mapped.related_port) == (host.host, host.port)
        session.close("done")
        await session.wait_closed()
        transport.close()

    asyncio.run(run())


def test_ipv6() -> None:
    async def run() -> None:
        async with joined(RtcSettings(addresses=("::1",))) as (caster, _, received):
            caster.send_opus(sound(5), 0.0)
            await eventually(lambda: received.sounds, what="sound")

    asyncio.run(run())


def test_default_addresses() -> None:
    async def run() -> None:
        session, answer = await PublisherSession.answer(offer("cr-basic"), settings=RtcSettings())
        hosts = [c.host for c in sdp.parse(answer).candidates()]
        assert hosts
        assert hosts == sorted(hosts, key=lambda h: ":" in h)
        assert "127.0.0.1" not in hosts or len(hosts) == 1
        session.close("done")
        await session.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize("name", NAMES)
def test_every_fixture_is_answered_or_refused(name: str) -> None:
    async def run() -> None:
        try:
            session, answer = await PublisherSession.answer(offer(name), settings=LOOPBACK)
        except OfferRefused:
            assert name in ("firefox-vp8", "twovid")
        else:
            assert answer.startswith("v=0\r\n")
            session.close("done")
            await session.wait_closed()

    asyncio.run(run())
