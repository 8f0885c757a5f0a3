"""Several viewers of one stream over real ICE, DTLS and SRTP: what one of them gets is nobody else's business."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

from relay.core.ident import StreamKey, StreamType
from relay.core.media import AccessUnit
from relay.core.stream import Stream
from relay.rtc.viewer import ViewerSession
from relay.worker.audience import Audience
from tests.support.eventually import eventually
from tests.support.rtc import LOOPBACK, picture
from tests.support.viewing import Viewer, opened, write_offer

STEP = 3_000
"""RTP time from picture to picture."""


class Watched:
    """A stream and its audience, which the test ticks."""

    def __init__(self) -> None:
        self.stream = Stream(StreamKey("app", "room", "user", StreamType.MAIN))
        self._gone: list[ViewerSession] = []
        self.audience = Audience(self.stream, LOOPBACK, self._gone.append)
        self._stack = contextlib.AsyncExitStack()
        self._time = asyncio.get_running_loop().time()
        self._count = 0

    def deliver(self, rtp_time: int, *, key: bool = False) -> None:
        """The next picture, 1/30 s after the one before it, whatever its timestamp says."""
        self._count += 1
        at = self._time + self._count / 30
        self.stream.deliver(AccessUnit(picture(self._count, key=key), key, rtp_time, at, at))

    async def until(self, check: Callable[[], object], what: str) -> None:
        """`eventually`, with ticks."""

        def ticked() -> object:
            self.audience.tick(asyncio.get_running_loop().time())
            return check()

        await eventually(ticked, what=what)

    async def joins(self) -> Viewer:
        """A viewer that is connected, and has what the stream's head holds."""
        viewer = await self._stack.enter_async_context(opened())
        await viewer.accept((await self.audience.add(write_offer(viewer.local))).answer)
        await self.until(lambda: viewer.pictures, "a viewer's first picture")
        return viewer

    async def close(self) -> None:
        self.audience.close("test over")
        await asyncio.gather(*(session.wait_closed() for session in self._gone))
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    it = Watched()
    try:
        yield it
    finally:
        await it.close()


def steps(viewer: Viewer) -> list[int]:
    """From picture to picture, of RTP time."""
    stamps = list(dict.fromkeys(packet.timestamp for packet in viewer.of("video")))
    return [(after - before) & 0xFFFFFFFF for before, after in pairwise(stamps)]


async def test_who_joins_after_a_jump_of_timestamps_moves_nobody_elses() -> None:
    async with watched() as it:
        it.deliver(0, key=True)
        first = await it.joins()
        jumped = 10 * 90_000
        for rtp_time in (STEP, 2 * STEP, jumped, jumped + STEP):
            it.deliver(rtp_time)
        await it.until(lambda: len(first.pictures) == 5, "all pictures")
        second = await it.joins()
        await eventually(lambda: len(second.pictures) == 5, what="the head")
        third = await it.joins()
        for number in range(2, 6):
            it.deliver(jumped + number * STEP)
        for viewer in (first, second, third):
            await it.until(lambda viewer=viewer: len(viewer.pictures) == 9, "what follows")
        assert steps(first) == [STEP] * 8
        assert steps(second) == steps(third) == [90] * 4 + [STEP] * 4


async def test_the_head_ends_where_what_follows_begins() -> None:
    """Nobody watched while the timestamps jumped."""
    async with watched() as it:
        it.deliver(0, key=True)
        for rtp_time in (STEP, 400_000, 400_000 + STEP):
            it.deliver(rtp_time)
        viewer = await it.joins()
        it.deliver(400_000 + 2 * STEP)
        await it.until(lambda: len(viewer.pictures) == 5, "all pictures")
        assert steps(viewer) == [90] * 3 + [STEP]
