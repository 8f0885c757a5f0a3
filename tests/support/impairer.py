"""A bad network, by a seed, between any WHIP publisher and the relay.

A publisher is given the impairer's URL in place of the relay's. Its POST, PATCH and DELETE are passed on; the
candidates of the answer are replaced by one UDP port of the impairer's own, those of the publisher are left out, so
that neither side finds a way round. From then on every datagram passes here, both ways.

    async with impaired(relay.url, up=Profile(loss=0.05, delay=0.03), down=Profile(delay=0.03)) as network:
        ...  # publish to network.url + "/whip/..."
        network.blackout(2.0)
"""

import asyncio
import contextlib
import heapq
import random
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import cast

import httpx

from tests.support.http import PLAIN, Request, Response, serving

HOST = "127.0.0.1"
MAX_IN_FLIGHT = 20_000
_NOT_PASSED_ON = {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "date", "server"}
Address = tuple[str, int]
Send = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one way does to datagrams: probabilities for each, times in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Of a datagram being overtaken by those of the next `reorder_delay`."""
    reorder_delay: float = 0.03
    delay: float = 0.0
    jitter: float = 0.0
    """More delay, up to so much; order is kept, as in a queue."""
    burst: float = 0.0
    """Length of an outage, of which there is one in each `burst_period`."""
    burst_period: float = 3.0
    media_only: bool = False
    """SRTP and SRTCP are harmed; STUN and DTLS pass at once."""


@dataclass(slots=True)
class Counters:
    """Datagrams of one way."""

    received: int = 0
    sent: int = 0
    lost: int = 0
    """By chance, in an outage, in a blackout, or above `MAX_IN_FLIGHT`."""
    duplicated: int = 0
    reordered: int = 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one datagram."""

    lost: bool
    duplicated: bool
    reordered: bool
    lateness: float
    """0 to 1: its part of the jitter."""


def fate(seed: str, number: int, profile: Profile) -> Fate:
    """The `number`th datagram's: of the seed and the number alone, so that a test sees the same losses each time.

    What is lost at 1 % is lost at 5 %, too.
    """
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  a seeded simulation
    lost, duplicated, reordered, lateness = (chance.random() for _ in range(4))
    return Fate(lost < profile.loss, duplicated < profile.duplicate, reordered < profile.reorder, lateness)


def in_burst(seed: str, elapsed: float, profile: Profile) -> bool:
    """Whether `elapsed` seconds after the beginning there is an outage."""
    if not profile.burst:
        return False
    period = max(profile.burst_period, profile.burst)
    turn = int(elapsed // period)
    chance = random.Random(f"{seed}/burst/{turn}")  # noqa: S311  a seeded simulation
    start = turn * period + chance.random() * (period - profile.burst)
    return start <= elapsed < start + profile.burst


class Way:
    """One direction of one session."""

    def __init__(
        self, seed: str, profile: Callable[[], Profile], dark_until: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._seed = seed
        self._profile = profile
        self._dark_until = dark_until
        self._loop = asyncio.get_running_loop()
        self._numbers = {True: count(), False: count()}
        self._orders = count()
        self._in_flight: list[tuple[float, int, bytes, Send]] = []
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.began: float | None = None
        """When it began to do harm."""
        self.counters = Counters()

    def push(self, data: bytes, send: Send) -> None:
        now, profile, counters = self._loop.time(), self._profile(), self.counters
        counters.received += 1
        media = is_media(data)
        if now < self._dark_until():
            counters.lost += 1
            return
        if self.began is None or (profile.media_only and not media):
            self._send(data, send)
            return
        # STUN and DTLS come when they like: media is numbered apart, so that they do not shift its fates.
        decided = fate(f"{self._seed}/{media}", next(self._numbers[media]), profile)
        outage = in_burst(self._seed, now - self.began, profile)
        if decided.lost or outage or len(self._in_flight) >= MAX_IN_FLIGHT:
            counters.lost += 1
            return
        at = max(self._last, now + profile.delay + profile.jitter * decided.lateness)
        if decided.reordered:
            counters.reordered += 1
            at += profile.reorder_delay
        else:
            self._last = at
        counters.duplicated += decided.duplicated
        for _ in range(2 if decided.duplicated else 1):
            heapq.heappush(self._in_flight, (at, next(self._orders), data, send))
        self._deliver()

    def _deliver(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._in_flight and self._in_flight[0][0] <= self._loop.time():
            _, _, data, send = heapq.heappop(self._in_flight)
            self._send(data, send)
        if self._in_flight:
            self._timer = self._loop.call_at(self._in_flight[0][0], self._deliver)

    def _send(self, data: bytes, send: Send) -> None:
        self.counters.sent += 1
        send(data)

    def close(self) -> None:
        self._in_flight.clear()
        if self._timer is not None:
            self._timer.cancel()


def is_media(data: bytes) -> bool:
    """SRTP or SRTCP by the first byte (RFC 7983)."""
    return bool(data) and 128 <= data[0] < 192


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self.take = take
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        self.take(data, cast(Address, addr))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)

    @classmethod
    async def open(cls, take: Callable[[bytes, Address], None]) -> "_Socket":
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(lambda: cls(take), (HOST, 0))
        return protocol

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, address: Address) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(data, address)


class Session:
    """One publisher's datagrams: to the relay from a socket for each address that the publisher sends from."""

    def __init__(self, up: Way, down: Way, relay: Address, *, from_start: bool) -> None:
        self.up = up
        self.down = down
        self._relay = relay
        self._front: _Socket
        self._backs: dict[Address, _Socket | None] = {}
        self._opening: set[asyncio.Task[None]] = set()
        if from_start:
            self._begin()

    async def open(self) -> int:
        """Gives the port that the publisher sends to."""
        self._front = await _Socket.open(self._from_publisher)
        return self._front.port

    def _begin(self) -> None:
        self.up.began = self.down.began = asyncio.get_running_loop().time()

    def _from_publisher(self, data: bytes, address: Address) -> None:
        if address not in self._backs:
            # What comes before the socket stands is lost: ICE asks again.
            self._backs[address] = None
            task = asyncio.create_task(self._open_back(address))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        back = self._backs[address]
        if back is None:
            return
        if self.up.began is None and is_media(data):
            self._begin()
        self.up.push(data, lambda data: back.send(data, self._relay))

    async def _open_back(self, address: Address) -> None:
        def from_relay(data: bytes, _: Address) -> None:
            self.down.push(data, lambda data: self._front.send(data, address))

        self._backs[address] = await _Socket.open(from_relay)

    async def close(self) -> None:
        if self._opening:
            await asyncio.wait(set(self._opening))
        self.up.close()
        self.down.close()
        sockets = [self._front, *(back for back in self._backs.values() if back is not None)]
        for sock in sockets:
            sock.transport.close()
        await asyncio.gather(*(sock.closed for sock in sockets))


@dataclass
class Impairer:
    """`up`, publisher to relay, and `down` may be replaced at any time."""

    relay_url: str
    up: Profile
    down: Profile
    seed: int
    from_start: bool
    url: str = ""
    """Its own base URL."""
    sessions: list[Session] = field(default_factory=list)
    """In order of their POSTs."""
    _dark_until: float = 0.0

    def blackout(self, seconds: float) -> float:
        """From now on nothing passes, either way. Returns when it ends, on the loop's clock."""
        self._dark_until = asyncio.get_running_loop().time() + seconds
        return self._dark_until

    async def answer(self, request: Request) -> Response:
        """Passes one HTTP request on."""
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        body = request.body
        if request.method in ("POST", "PATCH"):
            body = re.sub(rb"a=candidate:[^\r\n]*\r?\n", b"", body)
        async with httpx.AsyncClient(timeout=10, verify=PLAIN) as client:
            got = await client.request(request.method, self.relay_url + request.target, headers=headers, content=body)
        content = got.content
        if request.method == "POST" and got.status_code == 201:
            content = await self._answer_sdp(got.text)
        kept = {name: value for name, value in got.headers.items() if name not in _NOT_PASSED_ON}
        if "location" in kept:
            kept["location"] = kept["location"].removeprefix(self.relay_url)
        return Response(got.status_code, kept, content)

    async def _answer_sdp(self, text: str) -> bytes:
        candidates = re.findall(r"^a=candidate:(.*)\r?$", text, re.MULTILINE)
        host, port = candidates[0].split()[4:6]
        name = f"{self.seed}/{len(self.sessions)}"
        up = Way(f"{name}/up", lambda: self.up, lambda: self._dark_until)
        down = Way(f"{name}/down", lambda: self.down, lambda: self._dark_until)
        session = Session(up, down, (host, int(port)), from_start=self.from_start)
        self.sessions.append(session)
        own = await session.open()
        ours = " ".join([*candidates[0].split()[:4], HOST, str(own), "typ host"])
        text = re.sub(r"a=candidate:.*?\r\n", "", text)
        text = text.replace("a=end-of-candidates", f"a=candidate:{ours}\r\na=end-of-candidates", 1)
        text = re.sub(r"^c=IN IP[46] .*?\r$", f"c=IN IP4 {HOST}\r", text, flags=re.MULTILINE)
        return re.sub(rf"^(m=\w+) {port} ", rf"\1 {own} ", text, flags=re.MULTILINE).encode()


@contextlib.asynccontextmanager
async def impaired(
    relay_url: str,
    *,
    up: Profile = Profile(),
    down: Profile = Profile(),
    seed: int = 1,
    from_start: bool = False,
) -> AsyncIterator[Impairer]:
    """An impairer before the relay at `relay_url`. It does no harm before a session's first media, so that ICE and DTLS
    come through, unless it is to begin `from_start`."""
    impairer = Impairer(relay_url.rstrip("/"), up, down, seed, from_start)
    async with serving(impairer.answer) as impairer.url:
        try:
            yield impairer
        finally:
            await asyncio.gather(*(session.close() for session in impairer.sessions))
