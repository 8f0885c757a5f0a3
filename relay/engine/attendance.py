"""Who publishes in which room, kept in the database for all its servers, and the room events of each change.

A room is created once, whichever servers its users are at; and who was there when a server was killed still leaves.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select, update

from relay.core.ident import RoomKey, StreamKey, StreamType
from relay.core.presence import LeaveReason, PublisherChange, PublisherJoined, PublisherLeft, room_events
from relay.engine.database import Database, first_line
from relay.engine.outbox import Outbox
from relay.engine.schema import publishers, servers

log = structlog.get_logger(__name__)

MAX_WAITING = 10_000
"""Changes not written yet, while the database is away; beyond it they are dropped, and rooms' callbacks with them."""
LOOK = 5.0
"""Seconds from one look for servers that have died to the next."""
CLOSE_TIME = 2.0
PAUSE = 1.0
"""Seconds after an error of the database."""


class Attendance:
    """Takes changes from `start` to `close`; `close` writes what has come until then.

    `server` gives this server's id; whoever is at one that is not in the table `servers` any more has left.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        wall: Callable[[], int],
        server: Callable[[], str],
        *,
        look: float = LOOK,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._wall = wall
        self._look_every = look
        self._server_now = server
        self._server = ""
        """Under which this server's publishers stand in the table."""
        self._here: dict[StreamKey, PublisherJoined] = {}
        """Who publishes at this server, after all of `_waiting`."""
        self._waiting: deque[PublisherChange] = deque()
        self._news = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._closing = False

    def tell(self, change: PublisherChange) -> None:
        """Called inside a tick: it takes note, no more."""
        if not self._outbox.tells_of_rooms(change.stream.app_id):
            return
        if isinstance(change, PublisherJoined):
            self._here[change.stream] = change
        else:
            self._here.pop(change.stream, None)
        if len(self._waiting) >= MAX_WAITING:
            log.error("a room's callbacks dropped: the database is away", app_id=change.stream.app_id)
            return
        self._waiting.append(change)
        self._news.set()

    async def start(self) -> None:
        self._server = self._server or self._server_now()
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Within `CLOSE_TIME`."""
        if self._running is None:
            return
        self._closing = True
        self._news.set()
        await asyncio.wait([self._running], timeout=CLOSE_TIME)
        self._running.cancel()
        await asyncio.wait([self._running])
        self._running = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_look = loop.time()
        while True:
            self._news.clear()
            try:
                while self._waiting:
                    await self._write(self._waiting[0], self._server)
                    self._waiting.popleft()
                if loop.time() >= next_look and not self._closing:
                    await self._look()
                    next_look = loop.time() + self._look_every
            except Exception as error:
                log.warning("rooms' callbacks wait for the database", error=first_line(error))
                await asyncio.sleep(PAUSE)
                continue
            if self._closing:
                return await self._leave()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_look):
                    await self._news.wait()

    async def _look(self) -> None:
        """Whoever published at a server that is gone has left."""
        if (now := self._server_now()) != self._server:
            await self._go_on_as(now)
        known = select(servers.c.id)
        await self._lost(publishers.c.server != self._server, publishers.c.server.not_in(known))

    async def _go_on_as(self, server: str) -> None:
        """This server was taken for dead: whom others have told to have left joins again. Nothing waits at the call."""
        here = tuple(self._here.values())
        mine = update(publishers).where(publishers.c.server == self._server).values(server=server)

        def move(connection: Connection) -> set[StreamKey]:
            connection.execute(mine)
            return {_stream(row) for row in connection.execute(select(publishers))}

        present = await self._database.write(move)
        self._server = server
        missing = [replace(change, at=self._wall()) for change in here if change.stream not in present]
        self._waiting.extendleft(reversed(missing))
        self._news.set()

    async def _leave(self) -> None:
        """Whom a worker process has not told of any more."""
        with contextlib.suppress(Exception):  # the next server finds it out
            await self._lost(publishers.c.server == self._server)

    async def _lost(self, *which: ColumnElement[bool]) -> None:
        query = select(publishers).where(*which)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        for row in rows:
            await self._write(PublisherLeft(_stream(row), LeaveReason.CONNECTION_LOST, self._wall()), row.server)

    async def _write(self, change: PublisherChange, server: str) -> None:
        committed = await self._database.write(lambda connection: self._record(connection, change, server))
        committed()

    def _record(self, connection: Connection, change: PublisherChange, server: str) -> Callable[[], None]:
        """That a publisher has left is true only of the server that it was last at."""
        stream = change.stream
        self._database.lock(connection, func.hashtextextended("/".join(stream.room), 0))
        before, at = {}, {}
        for row in connection.execute(select(publishers).where(_in_room(stream.room))):
            key = _stream(row)
            before[key] = frozenset(row.kinds.split())
            at[key] = row.server
        if isinstance(change, PublisherLeft) and at.get(stream) != server:
            return self._outbox.add(connection, [])
        connection.execute(delete(publishers).where(_is(stream)))
        if isinstance(change, PublisherJoined):
            values = {
                **stream._asdict(),
                "kinds": " ".join(sorted(change.kinds)),
                "server": server,
                "stream_type": int(stream.stream_type),
            }
            connection.execute(publishers.insert().values(values))
        return self._outbox.add(connection, [(event, None) for event in room_events(before, change)])


def _stream(row: Row[Any]) -> StreamKey:
    return StreamKey(row.app_id, row.room_id, row.user_id, StreamType(row.stream_type))


def _in_room(room: RoomKey) -> ColumnElement[bool]:
    return and_(publishers.c.app_id == room.app_id, publishers.c.room_id == room.room_id)


def _is(stream: StreamKey) -> ColumnElement[bool]:
    return and_(
        _in_room(stream.room),
        publishers.c.user_id == stream.user_id,
        publishers.c.stream_type == int(stream.stream_type),
    )
