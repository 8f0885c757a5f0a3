"""A user in a room: the clip, live by WHIP, and a list of what was sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from relay.cli.live import LivePublisher
from relay.cli.measure import vcl_digests
from relay.cli.source import ClipSource, Picture, Source, builtin_clip
from tests.support.relay import LOOPBACK, Relay


class User:
    """Publishes until told otherwise."""

    def __init__(self, source: Source) -> None:
        self.sent: list[tuple[str, ...]] = []
        """Digests of each picture's VCL NAL units, in order."""
        self.live = LivePublisher(source, settings=LOOPBACK, on_picture=self._on_picture)
        self._playing: asyncio.Task[None] | None = None

    def _on_picture(self, picture: Picture) -> None:
        self.sent.append(vcl_digests(picture.nals))

    async def join(self, url: str) -> None:
        await self.live.connect(url)
        self._playing = asyncio.create_task(self.live.play())

    async def pause(self) -> None:
        """Sends nothing more; the session stays."""
        self.live.stop()
        if self._playing is not None:
            await asyncio.wait([self._playing])
            self._playing = None

    async def leave(self) -> None:
        await self.pause()
        await self.live.close()

    async def vanish(self) -> None:
        """Like a process that is killed: no goodbye of any kind."""
        await self.pause()
        self.live.caster.kill()
        await self.live.caster.wait_closed()


@contextlib.asynccontextmanager
async def publishing(
    relay: Relay, user: str = "user", *, stream_type: int = 0, clip: Path | None = None, source: Source | None = None
) -> AsyncIterator[User]:
    """A user who publishes the clip, or `source`, for as long as the context lasts."""
    one = User(source or ClipSource(clip or builtin_clip()))
    await one.join(relay.whip_url(user, stream_type=stream_type))
    try:
        yield one
    finally:
        if one.live.caster.closed_reason is None:
            await one.leave()
        else:
            await one.pause()
