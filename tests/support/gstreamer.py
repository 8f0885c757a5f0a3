"""GStreamer as a publisher: webrtcbin in a process of its own, from Debian's packages."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.debian import need

PYTHON = "/usr/bin/python3"
SOUND = (
    "audiotestsrc is-live=true wave=ticks ! audioconvert ! opusenc ! rtpopuspay pt=111 ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111"
)
_SCRIPT = Path(__file__).with_name("gstreamer_whip.py")


@contextlib.asynccontextmanager
async def gstreamer(url: str, video: str, audio: str = SOUND) -> AsyncIterator[asyncio.subprocess.Process]:
    """Publishes `video` and `audio`, pipelines that end in RTP, for as long as the context lasts."""
    need("gstreamer")
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        "-P",  # its neighbours here have names of the standard library
        str(_SCRIPT),
        url,
        video,
        audio,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        yield process
        assert process.returncode is None, "GStreamer ended by itself"
    finally:
        process.stdin.close()
        try:
            _, errors = await asyncio.wait_for(process.communicate(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
        else:
            sys.stderr.write(errors.decode())
