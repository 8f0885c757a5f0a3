"""`relay serve` as a process of its own, as users run it."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.support.eventually import eventually
from tests.support.http import PLAIN
from tests.support.relay import Relay


@dataclass(slots=True)
class RelayProcess:
    relay: Relay
    process: psutil.Process
    log: Path
    killed: bool = False

    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self.killed = True
        self.process.kill()
        await eventually(lambda: not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE)

    def counts(self) -> int:
        """Threads and file descriptors together."""
        return self.process.num_threads() + self.process.num_fds()

    def resident(self) -> int:
        """Bytes of memory that are the process's own."""
        return int(self.process.memory_full_info().uss)


def free_port() -> int:
    """For one that has to come back at the same address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncIterator[RelayProcess]:
    """Runs it on loopback until the block ends, then ends it by SIGTERM and expects exit 0, unless it was killed."""
    log = folder / "relay.log"
    environment = {
        **os.environ,
        "RELAY_PORT": "0",
        "RELAY_ADDRESSES": "127.0.0.1",
        "RELAY_GET_RATE": "0",  # tests ask again and again until something has come true
        "RELAY_DATABASE_URL": f"sqlite:///{folder}/relay.db",
        **{f"RELAY_{name.upper()}": value for name, value in settings.items()},
    }
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "relay", "serve"], stdout=out, stderr=out, env=environment)
    try:
        url = await eventually(lambda: _url(log, process), within=20, what="relay serve listens")
        async with httpx.AsyncClient(base_url=url, timeout=10, verify=PLAIN) as client:
            served = RelayProcess(Relay(url, client), psutil.Process(process.pid), log)
            yield served
        process.terminate()
        code = await asyncio.to_thread(process.wait, 10)
        assert code == (-signal.SIGKILL if served.killed else 0), log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _url(log: Path, process: subprocess.Popen[bytes]) -> str | None:
    """The base URL, once the log tells it."""
    assert process.poll() is None, log.read_text()
    found = re.search(r"""url(?:=|": ")(http://[\d.:]+)""", log.read_text())
    return found[1] if found else None
