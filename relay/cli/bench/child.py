"""A child process that is told one JSON object a line, and answers each with one."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

STOP_TIME = 10.0
"""Seconds a child gets to end by itself."""
_LINE = 64 * 1024 * 1024  # bytes: the sink's answer holds every arrival
Message = dict[str, Any]


class ChildFailed(Exception):
    """It said why, or ended without a word."""


class Child:
    """The parent's end: made by `running`."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        assert process.stdin is not None  # noqa: S101  both are pipes
        assert process.stdout is not None  # noqa: S101
        self._in, self._out = process.stdin, process.stdout
        self._name = name
        self.pid = process.pid

    async def ask(self, verb: str, *, within: float, **arguments: Any) -> Message:
        """`ChildFailed` where it answers with an error, or not within so many seconds."""
        self._in.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(within):
                await self._in.drain()
                line = await self._out.readline()
        except TimeoutError:
            raise ChildFailed(f"the {self._name} did not answer to {verb} within {within:g} s") from None
        except ConnectionError:
            line = b""
        if not line:
            raise ChildFailed(f"the {self._name} ended")
        answer: Message = json.loads(line)
        if "error" in answer:
            raise ChildFailed(f"the {self._name}: {answer['error']}")
        return answer


@contextlib.asynccontextmanager
async def running(module: str, name: str) -> AsyncIterator[Child]:
    """A Python module of ours as a child, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    try:
        yield Child(process, name)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Waits for its end, and brings it about where it does not come."""
    try:
        await asyncio.wait_for(process.wait(), STOP_TIME)
    except TimeoutError:
        process.kill()
        await process.wait()


async def serve(answer: Callable[[Message], Coroutine[Any, Any, Message]]) -> None:
    """The child's end: answers until its standard input ends."""
    reader = asyncio.StreamReader(limit=_LINE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            said = await answer(json.loads(line))
        except Exception as error:  # whatever it is, the parent is to tell it
            said = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    transport.close()
