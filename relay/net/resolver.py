"""Name look-ups by the system's resolver, in threads of their own.

A look-up that hangs holds a thread for as long as the system lets it; asyncio's executor has few, and others need them.
"""

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable

LookUp = Callable[[str], list[str]]
"""A host's IP addresses, best first. It may block; `OSError` or `ValueError` where the name stands for nothing."""

MAX_LOOKUPS = 16
"""Names looked up at once; further ones wait."""


def look_up(host: str) -> list[str]:
    """As the system resolves names: hosts file, DNS and what else it is told to ask."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Looks names up for one event loop; callers that ask for the same name at once share the answer."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._slots = asyncio.Semaphore(MAX_LOOKUPS)
        self._running: dict[str, asyncio.Future[list[str] | Exception]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The host's addresses. Raises what the look-up raises; cancelling gives up waiting, not the look-up."""
        running = self._running.get(host)
        if running is None:
            await self._slots.acquire()
            running = self._running.get(host)
            if running is None:
                running = self._begin(host)
            else:
                self._slots.release()
        answer = await asyncio.shield(running)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _begin(self, host: str) -> asyncio.Future[list[str] | Exception]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str] | Exception] = loop.create_future()
        self._running[host] = future

        def done(answer: list[str] | Exception) -> None:
            del self._running[host]
            self._slots.release()
            if not future.done():
                future.set_result(answer)

        def work() -> None:
            answer: list[str] | Exception
            try:
                answer = self._look_up(host)
            except Exception as error:
                answer = error
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(done, answer)

        try:
            # A daemon: one that hangs must not hold up the end of the process.
            threading.Thread(target=work, name="look-up", daemon=True).start()
        except RuntimeError:
            done(OSError(errno.EAGAIN, "no thread for a look-up"))
        return future
