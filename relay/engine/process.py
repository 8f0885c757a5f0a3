"""A worker in a process of its own, as the fleet sees it."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from relay.core.ident import StreamKey, TaskKey
from relay.core.offer import Answered, NotTakingWork
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, TaskSpec
from relay.engine.link import Answer, Beat, Call, Happened, Hello, Link, LinkBroken, Ready
from relay.worker.stats import WorkerStats
from relay.worker.worker import WorkerEvent

log = structlog.get_logger(__name__)

START_TIMEOUT = 20.0
"""Seconds that a process may take until it is ready: it imports FFmpeg's and OpenSSL's bindings."""
CALL_TIMEOUT = 15.0
"""Seconds for an answer that takes its time: ICE candidates are gathered, names are looked up."""
PROMPT_TIMEOUT = 3.0
"""Seconds for an answer that a worker has at hand. What was asked for may be done all the same, when it comes to it."""
SILENCE = 10.0
"""Seconds without a word of life after which a process counts as hung, and is ended."""
CLOSE_TIMEOUT = 6.0
"""Seconds to say goodbye to CDNs and publishers; then it is ended."""


class WorkerLost(NotTakingWork):
    """The worker process ended, or was ended, before it answered."""


class ProcessHandle:
    """Implements `engine.handle.WorkerHandle`.

    `command` starts the process, given the number of the link's descriptor as its last argument. `on_lost` is called
    once when the process is gone without having been closed.
    """

    def __init__(
        self,
        command: Sequence[str],
        hello: Hello,
        on_event: Callable[[WorkerEvent], None],
        on_lost: Callable[["ProcessHandle"], None],
        *,
        silence: float = SILENCE,
    ) -> None:
        self.number = hello.number
        self._command = command
        self._hello = hello
        self._on_event = on_event
        self._on_lost = on_lost
        self._silence = silence
        self._ids = itertools.count()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._stats = WorkerStats()
        self._process: asyncio.subprocess.Process | None = None
        self._link: Link | None = None
        self._listening: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        """Of the process that runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when the process takes calls. Raises `WorkerLost` where it does not come to that."""
        try:
            self._link = await Link.over(await self._spawn())
        except OSError as error:
            raise WorkerLost(f"a worker process could not be started: {error.strerror}") from None
        self._link.send(self._hello)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not isinstance(await self._link.receive(), Ready):
                    pass
        except (LinkBroken, TimeoutError):
            await self._end()
            raise WorkerLost("a worker process did not start; see the log") from None
        self._listening = asyncio.create_task(self._listen(self._link))

    async def close(self) -> None:
        """Lets the process say its goodbyes, and ends it where that takes too long."""
        self._closing = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await self._end(grace=CLOSE_TIMEOUT)

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        answered: Answered = await self._call("publish", key, offer)
        return answered

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self._call("trickle", key, session_id, fragment, etag)

    async def unpublish(self, key: StreamKey, session_id: str) -> bool:
        return bool(await self._prompt("unpublish", key, session_id))

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        answered: Answered = await self._call("subscribe", key, offer)
        return answered

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        await self._call("trickle_viewer", key, session_id, fragment, etag)

    async def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        return bool(await self._prompt("unsubscribe", key, session_id))

    async def admit(self, spec: TaskSpec, pending: int) -> None:
        await self._prompt("admit", spec, pending)

    async def start_task(self, spec: TaskSpec, lease: Lease) -> None:
        await self._call("start_task", spec, lease)

    async def stop_task(self, key: TaskKey, task: int | None = None) -> bool:
        return bool(await self._prompt("stop_task", key, task))

    async def snapshot(self, key: TaskKey) -> TaskSnapshot | None:
        snapshot: TaskSnapshot | None = await self._prompt("snapshot", key)
        return snapshot

    async def drain(self) -> None:
        await self._prompt("drain")

    def stats(self) -> WorkerStats:
        """Not older than two words of life."""
        return self._stats

    # inside

    async def _spawn(self) -> socket.socket:
        """Starts the process; gives this end of the link. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
        except OSError:
            ours.close()
            raise
        return ours

    async def _prompt(self, method: str, *arguments: Any) -> Any:
        return await self._call(method, *arguments, limit=PROMPT_TIMEOUT)

    async def _call(self, method: str, *arguments: Any, limit: float = CALL_TIMEOUT) -> Any:
        if self._link is None or self._listening is None or self._listening.done():
            raise WorkerLost("the worker of this room is starting again; try again in a moment")
        call = Call(next(self._ids), method, arguments)
        answer = self._pending[call.id] = asyncio.get_running_loop().create_future()
        self._link.send(call)
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise WorkerLost("the worker of this room does not answer; try again in a moment") from None
        finally:
            del self._pending[call.id]

    async def _listen(self, link: Link) -> None:
        reason = "it hangs"
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    message = await link.receive()
                match message:
                    case Answer(number, result, error):
                        self._answered(number, result, error)
                    case Beat(stats):
                        self._stats = stats
                    case Happened(event):
                        self._on_event(event)
        except LinkBroken as broken:
            reason = str(broken)
        except TimeoutError:
            pass
        except Exception:
            log.exception("what a worker process told could not be taken", worker=self.number)
            reason = "it is not understood"
        if self._closing:
            return
        await self._end()
        status = self._process.returncode if self._process is not None else None
        log.error("a worker process is lost", worker=self.number, reason=reason, exit_status=status)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(WorkerLost("the worker of this room ended; try again in a moment"))
        self._on_lost(self)

    def _answered(self, number: int, result: Any, error: Exception | None) -> None:
        answer = self._pending.get(number)
        if answer is None or answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    async def _end(self, grace: float = 0.0) -> None:
        """Closes the link, which the process takes for its end, and ends it by force after `grace` seconds."""
        if self._link is not None:
            await self._link.close()
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
