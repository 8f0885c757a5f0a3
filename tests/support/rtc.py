"""A publisher and a relay session joined over loopback: our own cores on both sides, real ICE, DTLS and SRTP."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import psutil

from relay.core.ident import StreamKey
from relay.core.media import AccessUnit, Frame, OpusPacket
from relay.core.offer import Answered, NotTakingWork, StaleSession, UnknownSession
from relay.rtc.caster import Caster
from relay.rtc.publisher import PublisherSession
from relay.rtc.settings import RtcSettings
from tests.support.eventually import eventually

LOOPBACK = RtcSettings(addresses=("127.0.0.1",))


class Ticker:
    """What the worker does: one tick for all, every 5 ms here."""

    def __init__(self) -> None:
        self.members: list[Caster | PublisherSession] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Ticker"]:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            while True:
                for member in tuple(self.members):
                    member.tick(loop.time())
                await asyncio.sleep(0.005)

        task = asyncio.create_task(run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])


class Received:
    """All that a session has given."""

    def __init__(self, session: PublisherSession) -> None:
        self.frames: list[Frame] = []
        self.closed: list[str] = []
        session.on_frame = self.frames.append
        session.on_closed = self.closed.append

    @property
    def pictures(self) -> list[AccessUnit]:
        return [frame for frame in self.frames if isinstance(frame, AccessUnit)]

    @property
    def sounds(self) -> list[OpusPacket]:
        return [frame for frame in self.frames if isinstance(frame, OpusPacket)]


class SmallEngine:
    """A `PublishPort` with one session for each stream."""

    def __init__(self, ticker: Ticker, settings: RtcSettings) -> None:
        self.ticker = ticker
        self.settings = settings
        self.sessions: dict[tuple[StreamKey, str], PublisherSession] = {}
        self.received: list[Received] = []
        self.draining = False

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        if self.draining:
            raise NotTakingWork("this relay is going down for a new version")
        session, answer = await PublisherSession.answer(offer, settings=self.settings)
        session_id = f"s{len(self.received)}"
        self.sessions[key, session_id] = session
        self.received.append(Received(session))
        self.ticker.members.append(session)
        return Answered(session_id, answer, session.etag)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        session = self.sessions.get((key, session_id))
        if session is None:
            raise UnknownSession("no such session")
        if etag not in (None, session.etag):
            raise StaleSession("another ICE session")
        await session.trickle(fragment)

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        session = self.sessions.pop((key, session_id), None)
        if session is None:
            return False
        session.close("deleted")
        await session.wait_closed()
        return True

    async def close(self) -> None:
        for session in self.sessions.values():
            session.close("over")
            await session.wait_closed()


@contextlib.asynccontextmanager
async def joined(
    settings: RtcSettings = LOOPBACK, **options: object
) -> AsyncIterator[tuple[Caster, PublisherSession, Received]]:
    """Connected and ticking; afterwards closed, with nothing left."""
    async with Ticker().running() as ticker:
        caster = await Caster.create(settings=settings, **options)
        session, answer = await PublisherSession.answer(caster.offer(), settings=settings)
        received = Received(session)
        ticker.members += [caster, session]
        try:
            await caster.accept(answer)
            assert await caster.wait_connected(), caster.closed_reason
            await eventually(lambda: session.connected, what="session connected")
            yield caster, session, received
        finally:
            caster.close()
            session.close("test over")
            await asyncio.gather(caster.wait_closed(), session.wait_closed())


def picture(number: int, *, key: bool) -> list[bytes]:
    """NAL units as an encoder makes them, of no meaning but their types; some span several packets."""
    source = random.Random(number)  # noqa: S311  reproducible bytes are what is wanted
    slices = [bytes([0x65 if key else 0x41, 0x88]) + source.randbytes(source.randrange(20, 6000)) for _ in range(2)]
    return [b"\x67\x42\xc0\x1f" + source.randbytes(12), b"\x68\xce\x3c\x80", *slices] if key else slices[:1]


def sound(number: int) -> bytes:
    """An Opus packet by its first byte (CELT, 20 ms, stereo, one frame)."""
    return b"\xfc" + random.Random(number).randbytes(100)  # noqa: S311  as above


def open_things() -> tuple[int, int]:
    """Open file descriptors and threads of this process."""
    process = psutil.Process()
    return process.num_fds(), process.num_threads()


def nothing_more(before: tuple[int, int]) -> bool:
    """No more is open than was; less may be, as what others left is closed."""
    return all(now <= then for now, then in zip(open_things(), before, strict=True))
