"""The bad network itself: what it does to datagrams is what its profile says, and the same each time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.http import PLAIN, Request, Response, serving
from tests.support.impairer import Address, Impairer, Profile, Session, Way, fate, impaired, in_burst

MEDIA, STUN = b"\x80media", b"\x00\x01stun"


def test_fates_are_of_the_seed_and_the_number_alone() -> None:
    profile = Profile(loss=0.1, duplicate=0.05, reorder=0.05)
    fates = [fate("seed", number, profile) for number in range(5000)]
    assert fates == [fate("seed", number, profile) for number in range(5000)]
    assert fates != [fate("another", number, profile) for number in range(5000)]
    assert sum(one.lost for one in fates) / 5000 == pytest.approx(0.1, abs=0.015)
    assert sum(one.duplicated for one in fates) / 5000 == pytest.approx(0.05, abs=0.01)
    assert sum(one.reordered for one in fates) / 5000 == pytest.approx(0.05, abs=0.01)
    # What is lost at 1 % is lost at 10 %, too.
    few = [fate("seed", number, replace(profile, loss=0.01)) for number in range(5000)]
    assert all(more.lost for one, more in zip(few, fates, strict=True) if one.lost)


def test_one_outage_in_each_period() -> None:
    profile = Profile(burst=0.2, burst_period=2.0)
    dark = [in_burst("seed", milliseconds / 1000, profile) for milliseconds in range(20_000)]
    for period in range(10):
        assert sum(dark[period * 2000 : period * 2000 + 2000]) == pytest.approx(200, abs=1)
    assert not any(in_burst("seed", milliseconds / 1000, Profile()) for milliseconds in range(2000))


async def through(profile: Profile, count: int = 400) -> list[int]:
    """The numbers of the datagrams that came out, in order."""
    got: list[int] = []
    way = Way("seed", lambda: profile)
    way.began = asyncio.get_running_loop().time()
    for number in range(count):
        way.push(MEDIA + number.to_bytes(2, "big"), lambda data: got.append(int.from_bytes(data[-2:], "big")))
    await eventually(lambda: way.counters.sent + way.counters.lost == count + way.counters.duplicated, every=0.005)
    way.close()
    assert way.counters.received == count
    return got


async def test_loss() -> None:
    got = await through(Profile(loss=0.1))
    assert got == sorted(got)
    assert 20 < 400 - len(got) < 60
    assert got == await through(Profile(loss=0.1))


async def test_a_queue_keeps_the_order_and_delays() -> None:
    began = asyncio.get_running_loop().time()
    assert await through(Profile(delay=0.03, jitter=0.02)) == list(range(400))
    assert asyncio.get_running_loop().time() - began >= 0.03


async def test_duplicates_and_reordering() -> None:
    got = await through(Profile(duplicate=0.1))
    assert sorted(set(got)) == list(range(400))
    assert 420 < len(got) < 460
    got = await through(Profile(reorder=0.1))
    assert sorted(got) == list(range(400))
    assert got != list(range(400))


async def test_what_is_not_media_can_be_spared() -> None:
    way = Way("seed", lambda: Profile(loss=1.0, media_only=True))
    way.began = asyncio.get_running_loop().time()
    got: list[bytes] = []
    for data in (STUN, MEDIA):
        way.push(data, got.append)
    assert got == [STUN]


class Peer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[tuple[bytes, Address]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.address: Address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((data, addr))

    def send(self, data: bytes, address: Address) -> None:
        self.transport.sendto(data, address)


@contextlib.asynccontextmanager
async def peers(count: int) -> AsyncIterator[list[Peer]]:
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_datagram_endpoint(Peer, ("127.0.0.1", 0)))[1] for _ in range(count)]
    try:
        yield opened
    finally:
        for peer in opened:
            peer.transport.close()
        await asyncio.sleep(0)


async def until_got(peer: Peer, data: bytes, send: Callable[[bytes], None]) -> Address:
    """Sends until `peer` has got it; gives where it came from."""

    def from_whom() -> list[Address]:
        send(data)
        return [sender for got, sender in peer.got if got == data]

    return (await eventually(from_whom))[0]


async def test_each_address_of_a_publisher_has_one_of_its_own_before_the_relay() -> None:
    async with peers(3) as (relay, one, two):
        session = Session(Way("up", Profile), Way("down", lambda: Profile(loss=1.0)), relay.address, from_start=False)
        front = ("127.0.0.1", await session.open())
        first = await until_got(relay, STUN + b"one", lambda data: one.send(data, front))
        second = await until_got(relay, STUN + b"two", lambda data: two.send(data, front))
        assert first != second
        # No media has passed yet, so there is no harm; the answers go to whom they belong.
        assert await until_got(two, STUN + b"to two", lambda data: relay.send(data, second)) == front
        assert one.got == []
        await until_got(relay, MEDIA, lambda data: two.send(data, front))
        relay.send(STUN + b"lost", second)
        await eventually(lambda: session.down.counters.lost)
        assert STUN + b"lost" not in [data for data, _ in two.got]
        await session.close()


ANSWER = "\r\n".join(
    [
        "v=0",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 10.0.0.1",
        "a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host",
        "a=candidate:2 1 udp 2130706175 10.0.0.1 4000 typ host",
        "a=end-of-candidates",
        "m=video 4000 UDP/TLS/RTP/SAVPF 102",
        "c=IN IP4 10.0.0.1",
        "",
    ]
)


@contextlib.asynccontextmanager
async def before_a_relay() -> AsyncIterator[tuple[Impairer, list[Request]]]:
    asked: list[Request] = []

    async def answer(request: Request) -> Response:
        asked.append(request)
        if request.method == "POST":
            headers = {"Location": "/whip/app/room/user/0/id", "ETag": '"e"', "Content-Type": "application/sdp"}
            return Response(201, headers, ANSWER.encode())
        return Response(204 if request.method == "PATCH" else 404, {"X-Kept": "yes"}, b"")

    async with serving(answer) as relay_url, impaired(relay_url) as network:
        yield network, asked


async def test_signalling_passes_with_the_impairers_own_candidate() -> None:
    offer = "v=0\r\na=candidate:1 1 udp 1 127.0.0.1 5 typ host\r\na=end-of-candidates\r\n"
    async with before_a_relay() as (network, asked), httpx.AsyncClient(base_url=network.url, verify=PLAIN) as client:
        headers = {"Content-Type": "application/sdp", "Authorization": "Bearer t"}
        answer = await client.post("/whip/app/room/user?StreamType=0", content=offer, headers=headers)
        assert (answer.status_code, answer.headers["etag"]) == (201, '"e"')
        assert answer.headers["location"] == "/whip/app/room/user/0/id"
        (candidate,) = [line for line in answer.text.splitlines() if line.startswith("a=candidate")]
        assert candidate.split()[4] == "127.0.0.1"
        port = candidate.split()[5]
        assert port != "4000"
        assert f"m=audio {port} " in answer.text
        assert f"m=video {port} " in answer.text
        assert answer.text.count("c=IN IP4 127.0.0.1\r\n") == 2
        assert (asked[0].method, asked[0].target) == ("POST", "/whip/app/room/user?StreamType=0")
        assert asked[0].headers["authorization"] == "Bearer t"
        assert asked[0].body == b"v=0\r\na=end-of-candidates\r\n"
        assert (await client.patch("/whip/x", content=offer)).status_code == 204
        assert b"a=candidate" not in asked[1].body
        gone = await client.delete("/whip/x")
        assert (gone.status_code, gone.headers["x-kept"]) == (404, "yes")


async def test_nothing_passes_in_a_blackout() -> None:
    async with before_a_relay() as (network, _), httpx.AsyncClient(base_url=network.url, verify=PLAIN) as client:
        await client.post("/whip/app/room/user", content="v=0\r\n")
        (session,) = network.sessions
        end = network.blackout(0.1)
        got: list[bytes] = []
        for way in (session.up, session.down):
            way.push(STUN, got.append)
            assert way.counters.lost == 1
        await eventually(lambda: asyncio.get_running_loop().time() >= end)
        session.up.push(STUN, got.append)
        assert got == [STUN]
