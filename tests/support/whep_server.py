"""A WHEP server that is not ours: GStreamer's webrtcbin behind a small HTTP face, a process of its own."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from relay.cli.measure import vcl_digests
from relay.core.h264 import split_annex_b
from tests.support.gstreamer import PYTHON

BALL = (
    "videotestsrc is-live=true pattern=ball flip=true ! video/x-raw,width=320,height=180,framerate=50/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=50 bitrate=400 ! "
    "video/x-h264,profile=constrained-baseline,stream-format=byte-stream"
)
"""A ground that turns from black to white, or back, every 50 frames."""
TICKS = (
    "audiotestsrc is-live=true wave=ticks freq=1000 sine-periods-per-tick=100 tick-interval=1000000000 ! "
    "audioconvert ! opusenc"
)
"""A beep at each whole second."""
_SCRIPT = Path(__file__).with_name("gstreamer_whep.py")


@dataclass
class WhepServer:
    """`requests`: a line for each that was answered, as in `POST /whep/room/user 201`."""

    port: int
    folder: Path
    process: asyncio.subprocess.Process
    requests: list[str] = field(default_factory=list)

    @property
    def template(self) -> str:
        return f"http://127.0.0.1:{self.port}/whep/{{RoomId}}/{{UserId}}"

    def say(self, word: str) -> None:
        """`absent`, `409`, `present`, `silent` or `heard`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    def asked(self, status: int | None = None) -> int:
        """How often a stream was asked for, with that answer."""
        posts = [line for line in self.requests if line.startswith("POST ")]
        return len(posts) if status is None else sum(line.endswith(f" {status}") for line in posts)

    def coded(self, session: int) -> list[str]:
        """Digests of the VCL NAL units that were coded for a session, in order."""
        return list(vcl_digests(split_annex_b((self.folder / f"{session}.h264").read_bytes())))

    async def kill(self) -> None:
        """Nobody is told."""
        self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def whep_server(
    folder: Path, *, port: int = 0, mode: Literal["answer", "offer"] = "answer", state: str = "present"
) -> AsyncIterator[WhepServer]:
    """Serves any stream, each session a fresh one, until the block ends. It wants `need("gstreamer")` beforehand."""
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        "-P",  # its neighbours here have names of the standard library
        *(str(_SCRIPT), str(port), mode, f"{folder}/%d.h264", BALL, TICKS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    reading = None
    try:
        server = WhepServer(int(await process.stdout.readline()), folder, process)
        server.say(state)
        reading = asyncio.create_task(_read(process.stdout, server.requests))
        yield server
    finally:
        process.stdin.close()
        if process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()
        if reading is not None:
            await reading
        assert process.stderr is not None
        sys.stderr.write((await process.stderr.read()).decode())


async def _read(lines: asyncio.StreamReader, into: list[str]) -> None:
    while line := (await lines.readline()).decode().strip():
        into.append(line)
