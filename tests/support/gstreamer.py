"""GStreamer as a publisher: webrtcbin in a process of its own, from Debian's packages."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

PYTHON = "/usr/bin/python3"
PACKAGES = [
    "python3-gi",
    "gir1.2-gst-plugins-bad-1.0",
    "gstreamer1.0-nice",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
]
SOUND = (
    "audiotestsrc is-live=true wave=ticks ! audioconvert ! opusenc ! rtpopuspay pt=111 ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111"
)
_SCRIPT = Path(__file__).with_name("gstreamer_whip.py")
_PROBE = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import GstWebRTC"


def install() -> None:
    """Debian's packages, where they are missing; needs root or sudo."""
    probes = [[PYTHON, "-c", _PROBE], *(["gst-inspect-1.0", "--exists", name] for name in ("nicesrc", "x264enc"))]
    with contextlib.suppress(FileNotFoundError):
        if all(subprocess.run(probe, capture_output=True).returncode == 0 for probe in probes):
            return
    root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
    subprocess.run([*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=True)


@contextlib.asynccontextmanager
async def gstreamer(url: str, video: str, audio: str = SOUND) -> AsyncIterator[asyncio.subprocess.Process]:
    """Publishes `video` and `audio`, pipelines that end in RTP, for as long as the context lasts."""
    install()
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
