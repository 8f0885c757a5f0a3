"""The line between a server and one of its worker processes: a socket pair that only the two hold.

Each message is a pickle after its length. Pickle is fit here: both ends are the same program, and nothing that comes
from outside is unpickled but as a value inside a message that the other end made.
"""

import asyncio
import contextlib
import pickle
import socket
from dataclasses import dataclass
from typing import Any

from relay.worker.settings import WorkerSettings
from relay.worker.stats import WorkerStats
from relay.worker.worker import WorkerEvent

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes; offers and answers are some thousands, a thousand tasks' states some hundred thousand."""
_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message to a worker process."""

    number: int
    settings: WorkerSettings
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Call:
    """A method of `WorkerHandle` to be called with these arguments."""

    id: int
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call: its result, or what it raised."""

    id: int
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker takes calls."""


@dataclass(frozen=True, slots=True)
class Happened:
    event: WorkerEvent


@dataclass(frozen=True, slots=True)
class Beat:
    """Sent every second: the worker lives, and this is how it goes."""

    stats: WorkerStats


class LinkBroken(Exception):
    """The other end is gone, or speaks something else."""


class Link:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> "Link":
        """Takes `sock` over."""
        sock.setblocking(False)
        return cls(*await asyncio.open_connection(sock=sock))

    def send(self, message: object) -> None:
        """Queues it; a link that is broken forgets it, `receive` tells."""
        if self._writer.is_closing():
            return
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(body).to_bytes(_LENGTH, "big") + body)

    async def receive(self) -> object:
        """The next message. Raises `LinkBroken`."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            if length > MAX_MESSAGE:
                raise LinkBroken(f"a message of {length} bytes")
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - see the module's words
        except (OSError, EOFError) as error:
            raise LinkBroken("the other end is gone") from error

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
