"""When a worker's work is done: in a tick, then the sound in stretches between which others have their turn.

The loop's timers call it, and go on doing so whatever happens in it. A coroutine that slept between ticks would cost a
future and a turn of the loop more each time, 0.1 ms, which is what ten packets cost.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Protocol

import structlog

from relay.core.load import Load, LoadMeter, tick_length

log = structlog.get_logger(__name__)


class Work(Protocol):
    """What is done on the loop's thread; `now` is on the loop's clock."""

    @property
    def awake(self) -> bool:
        """There is somebody who would notice a late tick."""

    def tick(self, now: float) -> None: ...

    def encode(self, now: float) -> Iterator[None]:
        """What may take longer; gives way to others whenever it yields."""


class Ticks:
    """Runs `work` from `start` to `stop`."""

    def __init__(self, work: Work, *, shortest: float, longest: float) -> None:
        """Seconds from one tick to the next: `shortest` with little to do, `longest` under load."""
        self._work = work
        self._shortest = shortest
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._planned = self._began = self._loop.time()
        self._meter = LoadMeter(self._planned, time.thread_time())
        self._encoding: Iterator[None] = iter(())
        self._next: asyncio.Handle | None = None

    @property
    def load(self) -> Load:
        return self._meter.load

    def start(self) -> None:
        self._next = self._loop.call_soon(self._begin)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        now = self._began = self._loop.time()
        self._meter.tick(now, time.thread_time(), now - self._planned)
        try:
            self._work.tick(now)
        except Exception:
            log.exception("a tick failed")
        self._encoding = self._work.encode(now)
        self._go_on()

    def _go_on(self) -> None:
        try:
            for _ in self._encoding:
                self._next = self._loop.call_soon(self._go_on)
                return
        except Exception:
            log.exception("a tick's coding failed")
        awake = self._work.awake
        pause = tick_length(self._shortest, self._longest, self._meter.cpu_share) if awake else self._longest
        # Ticks that were missed are not made up for: the next one takes what has come meanwhile.
        self._planned = max(self._planned + pause, self._began)
        self._next = self._loop.call_at(self._planned, self._begin)
