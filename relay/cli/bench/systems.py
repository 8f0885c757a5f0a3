"""What is measured: the relay itself, or another command that speaks the adapter's few words.

An adapter is a program that takes streams by WHIP and pushes each to an RTMP server. Its environment says where to, in
`BENCH_PUSH_URL`, with `{name}` for the stream's name; it prints one line of JSON once it takes offers,
`{"whip": "http://…/{name}"}`, and ends on SIGTERM. What it and its descendants use is what the system costs.
"""

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from relay.api.actions import VERSION
from relay.cli.bench.child import STOP_TIME

_START_TIME = 20.0
_PATIENCE, _PAUSE = 20.0, 1.0
"""Seconds for which a Start that came too early is repeated, and between two."""
_OURS = ("RELAY_HOST", "RELAY_PORT", "RELAY_ACCESS_KEYS", "RELAY_ACCESS_KEYS_FILE", "RELAY_APP_KEYS")
"""Settings that the bench makes itself, whatever the environment says."""


class SystemFailed(Exception):
    """The system under test did not start, or refused a stream; for people."""


class System(Protocol):
    """One that runs."""

    pid: int
    """Of the process whose descendants are all that belongs to it."""
    addresses: tuple[str, ...] | None
    """Where publishers send from; None: all that they have."""

    async def take(self, name: str) -> str:
        """Makes the stream of this name go to the sink; gives the URL to publish at."""

    async def phases(self) -> dict[str, float] | None:
        """CPU seconds so far by phase, where the system tells."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that can be run. `command` None: the relay."""

    name: str
    command: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()


def _root() -> str:
    return str(Path(__file__).parents[3])


GSTREAMER = Candidate(
    "gstreamer",
    ("/usr/bin/python3", "-m", "relay.cli.bench.peers.gstreamer"),
    (("PYTHONPATH", _root()), ("PYTHONDONTWRITEBYTECODE", "1")),
)
JANUS = Candidate("janus", (sys.executable, "-m", "relay.cli.bench.peers.janus"))
_PROBES = {
    "gstreamer": "gst-inspect-1.0 nicesrc && gst-inspect-1.0 voaacenc && "
    "gst-inspect-1.0 rtmp2sink && /usr/bin/python3 -c "
    "\"import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstWebRTC', '1.0')\"",
    "janus": "command -v janus && command -v ffmpeg",
}
PACKAGES = {
    "gstreamer": "gstreamer1.0-tools gstreamer1.0-nice gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "python3-gi gir1.2-gst-plugins-bad-1.0",
    "janus": "janus ffmpeg",
}
"""Debian's, of the peers known here."""


def is_installed(name: str) -> bool:
    shell = shutil.which("sh") or "sh"
    return subprocess.run([shell, "-c", _PROBES[name]], capture_output=True).returncode == 0  # noqa: S603  our words


def candidate(word: str) -> Candidate:
    """`gstreamer`, `janus`, or NAME=COMMAND. `ValueError`."""
    name, separator, command = word.partition("=")
    if separator:
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,30}", name) or not command.strip():
            raise ValueError(f"--peer {word}: write NAME=COMMAND, the name of letters, digits, and . _ -")
        return Candidate(name, tuple(shlex.split(command)))
    known = {"gstreamer": GSTREAMER, "janus": JANUS}
    if name not in known:
        raise ValueError(f"--peer {word}: known are {', '.join(known)}; another one is NAME=COMMAND")
    if not is_installed(name):
        raise ValueError(f"--peer {name}: not installed; on Debian: apt install {PACKAGES[name]}")
    return known[name]


@contextlib.asynccontextmanager
async def started(candidate: Candidate, push_url: str) -> AsyncIterator[System]:
    """Runs it until the block ends. `push_url` has `{name}` in it. Raises `SystemFailed`."""
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment.update(candidate.environment)
    if candidate.command is None:
        command: tuple[str, ...] = (sys.executable, "-m", "relay", "serve")
        environment |= {
            "RELAY_PORT": "0",
            "RELAY_ADDRESSES": "127.0.0.1",
            "RELAY_DATABASE_URL": "sqlite://",
            "RELAY_LOG_FORMAT": "json",
            "RELAY_LOG_LEVEL": "info",
            "RELAY_MEASURE_CPU": "true",
        }
        pipes = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.PIPE}
    else:
        command = candidate.command
        environment["BENCH_PUSH_URL"] = push_url
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.DEVNULL}
    try:
        # A group of its own, so that nothing is left where it has to be killed.
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            start_new_session=True,
            **pipes,  # type: ignore[arg-type]
        )
    except OSError as error:
        raise SystemFailed(f"{candidate.name}: {command[0]}: {error.strerror}") from error
    output = process.stderr if candidate.command is None else process.stdout
    assert output is not None  # noqa: S101  a pipe
    reading: asyncio.Task[None] | None = None
    try:
        base = await _first_url(candidate, output)
        reading = asyncio.create_task(_drain(output))  # a full pipe would hold it up
        async with httpx.AsyncClient(base_url=base if candidate.command is None else "", timeout=10) as client:
            yield (_Relay(process.pid, client, push_url) if candidate.command is None else _Adapted(process.pid, base))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIME)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if reading is not None:
            await reading


async def _first_url(candidate: Candidate, output: asyncio.StreamReader) -> str:
    """Where it takes offers: the first line of its output that tells."""
    last = ""
    try:
        async with asyncio.timeout(_START_TIME):
            while line := (await output.readline()).decode(errors="replace"):
                last = line.strip() or last
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    if candidate.command is not None and "whip" in told:
                        return str(told["whip"])
                    if candidate.command is None and told.get("event") == "serving":
                        return str(told["url"])
    except TimeoutError:
        raise SystemFailed(f"{candidate.name}: takes no offers after {_START_TIME:g} s: {last}") from None
    raise SystemFailed(f"{candidate.name}: ended at once: {last}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(1 << 16):
        pass


class _Relay:
    """`relay serve`."""

    def __init__(self, pid: int, client: httpx.AsyncClient, push_url: str) -> None:
        self.pid = pid
        self.addresses: tuple[str, ...] | None = ("127.0.0.1",)
        self._client = client
        self._push_url = push_url

    async def take(self, name: str) -> str:
        """Asks again where the relay says so: while streams join, they may take more of it than when they run."""
        deadline = time.monotonic() + _PATIENCE
        while (response := await self._start(name)).status_code == httpx.codes.TOO_MANY_REQUESTS:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_PAUSE)
        if response.json().get("Result") != "ok":
            raise SystemFailed(f"relay: Start was answered {response.status_code}: {response.text}")
        return f"{self._client.base_url}/whip/bench/{name}/{name}"

    async def _start(self, name: str) -> httpx.Response:
        return await self._client.post(
            "/",
            params={"Action": "StartPushSingleStreamToCDN", "Version": VERSION},
            json={
                "AppId": "bench",
                "RoomId": name,
                "TaskId": name,
                "Stream": {"UserId": name},
                "PushURL": self._push_url.format(name=name),
                "Control": {},
            },
        )

    async def phases(self) -> dict[str, float] | None:
        text = (await self._client.get("/metrics")).text
        return {
            sample.labels["phase"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "relay_media_seconds_total"
        }


class _Adapted:
    """Another program behind its adapter."""

    def __init__(self, pid: int, whip_url: str) -> None:
        self.pid = pid
        self.addresses: tuple[str, ...] | None = None
        self._whip_url = whip_url

    async def take(self, name: str) -> str:
        return self._whip_url.format(name=name)

    async def phases(self) -> dict[str, float] | None:
        return None
