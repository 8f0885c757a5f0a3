"""Debian's Chromium, driven by playwright, whose own browsers are never downloaded."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.support.debian import need

EXECUTABLE = Path(__file__).with_suffix(".sh")
ARGUMENTS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
CLOSE = 20.0
"""Seconds that a browser gets to close, and playwright's driver after it."""


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """With fake devices; its processes are gone at the end, however it took its leave."""
    need("chromium")
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "pid"
        async with async_playwright() as playwright:
            try:
                started = await playwright.chromium.launch(
                    executable_path=EXECUTABLE,
                    headless=True,
                    args=ARGUMENTS,
                    env={**os.environ, "BROWSER_PID": str(note)},
                )
                yield started
                async with asyncio.timeout(CLOSE):
                    await started.close()
            finally:
                _kill(note)


def _kill(note: Path) -> None:
    """The process group that playwright gave the browser, where something of it is left."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.killpg(int(note.read_text()), signal.SIGKILL)
