"""The inside of a worker process: a worker on the process's one loop, moved by what comes over the link."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable

import structlog

from relay.core.offer import SessionError
from relay.engine.handle import CALLS, InlineHandle
from relay.engine.link import Answer, Beat, Call, Happened, Hello, Link, LinkBroken, Ready
from relay.worker.worker import WorkerFull

log = structlog.get_logger(__name__)

BEAT = 1.0
"""Seconds from one word of life to the next."""


def run(descriptor: int, configure_logs: Callable[[str, str], None]) -> None:
    """Serves the link on `descriptor` until its other end closes it, or is gone."""
    with socket.socket(fileno=descriptor) as sock:
        asyncio.run(_serve(sock, configure_logs))


async def _serve(sock: socket.socket, configure_logs: Callable[[str, str], None]) -> None:
    loop = asyncio.get_running_loop()
    # The server ends us, in order, by closing the link: a terminal's Ctrl-C reaches both and must not come between.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: None)
    link = await Link.over(sock)
    try:
        hello = await link.receive()
    except LinkBroken:
        return
    if not isinstance(hello, Hello):
        raise TypeError(f"expected Hello, got {type(hello).__name__}")
    configure_logs(hello.log_level, hello.log_format)
    structlog.contextvars.bind_contextvars(worker=hello.number)
    await _Child(hello, link).run()


class _Child:
    def __init__(self, hello: Hello, link: Link) -> None:
        self._link = link
        self._handle = InlineHandle(hello.settings, lambda event: link.send(Happened(event)))
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await self._handle.start()
        gc.collect()
        gc.freeze()
        beating = asyncio.create_task(self._beat())
        self._link.send(Ready())
        try:
            while True:
                message = await self._link.receive()
                if isinstance(message, Call):
                    call = asyncio.create_task(self._answer(message))
                    self._calls.add(call)
                    call.add_done_callback(self._calls.discard)
        except LinkBroken:
            log.debug("the server closed the link")
        finally:
            beating.cancel()
            await self._handle.close()
            for call in self._calls:
                call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
            await self._link.close()

    async def _answer(self, call: Call) -> None:
        try:
            if call.method not in CALLS:
                raise ValueError(f"no such call: {call.method}")
            result = await getattr(self._handle, call.method)(*call.arguments)
        except (SessionError, WorkerFull) as refusal:
            self._link.send(Answer(call.id, error=refusal))
        except Exception as error:
            log.exception("a call failed", method=call.method)
            self._link.send(Answer(call.id, error=RuntimeError(f"{call.method} failed: {type(error).__name__}")))
        else:
            self._link.send(Answer(call.id, result))

    async def _beat(self) -> None:
        while True:
            self._link.send(Beat(self._handle.stats()))
            await asyncio.sleep(BEAT)
