"""The worker that the engine drives: in this process, or as many processes as are asked for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from relay.engine.handle import InlineHandle, WorkerHandle
from relay.engine.link import Hello
from relay.engine.pool import WorkerPool
from relay.engine.process import ProcessHandle
from relay.worker.settings import WorkerSettings
from relay.worker.worker import WorkerEvent

_COMMAND = (sys.executable, "-m", "relay.app.worker_process")


@dataclass(frozen=True, slots=True)
class Workers:
    """How many, and what each is told."""

    settings: WorkerSettings
    count: int = 1
    """1: the worker runs inline, in the server's own process and on its loop."""
    log_level: str = "info"
    log_format: str = "text"

    def make(self, on_event: Callable[[WorkerEvent], None], wall: Callable[[], int]) -> WorkerHandle:
        """`wall` gives milliseconds since 1970."""
        if self.count == 1:
            return InlineHandle(self.settings, on_event)
        return WorkerPool(self.count, self._spawn, on_event, wall)

    def _spawn(
        self,
        number: int,
        on_event: Callable[[WorkerEvent], None],
        on_lost: Callable[[ProcessHandle], None],
    ) -> ProcessHandle:
        return ProcessHandle(_COMMAND, Hello(number, self.settings, self.log_level, self.log_format), on_event, on_lost)
