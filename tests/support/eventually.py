"""Waiting for what must come true, without a sleep in a test's own words."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    check: Callable[[], T | Awaitable[T]], *, within: float = 10.0, every: float = 0.02, what: str = ""
) -> T:
    """Calls `check` until it gives something true, and returns that; it may be a coroutine function.

    `AssertionError` with `what` and the last value when `within` seconds have passed.
    """
    deadline = time.monotonic() + within
    while True:
        value = check()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what or check!r}; last value: {value!r}")
        await asyncio.sleep(every)


async def wait(seconds: float) -> None:
    """Media goes on for so long, in real time: for what is looked at afterwards in all that came."""
    await asyncio.sleep(seconds)


def eventually_sync(check: Callable[[], T], *, within: float = 10.0, every: float = 0.02, what: str = "") -> T:
    """`eventually` for tests that run no event loop."""
    deadline = time.monotonic() + within
    while not (value := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what or check!r}; last value: {value!r}")
        threading.Event().wait(every)
    return value
