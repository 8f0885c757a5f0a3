"""mpegts.js in Chromium: what a viewer's browser makes of an FLV file."""

import asyncio
import contextlib
import functools
import http.server
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.browser import browser
from tests.support.debian import need

PACKAGE = "mpegts.js@1.8.2"
_PAGE = """<!doctype html><meta charset="utf-8"><title>play</title><script src="mpegts.js"></script>
<video id="video" muted></video><script>
const video = document.getElementById("video");
const errors = [], sizes = [];
video.addEventListener("error", () => errors.push(String(video.error && video.error.message)));
video.addEventListener("resize", () => sizes.push([video.videoWidth, video.videoHeight]));
function play(rate) {
  const player = mpegts.createPlayer({type: "flv", isLive: false, url: "clip.flv"}, {enableWorker: false});
  player.on(mpegts.Events.ERROR, (...what) => errors.push(JSON.stringify(what)));
  player.attachMediaElement(video);
  player.load();
  video.playbackRate = rate;
  return player.play();
}
</script>"""


def fetch(folder: Path) -> Path:
    """mpegts.js from the npm registry."""
    subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, timeout=60, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("mpegts.js-*.tgz"))) as package:
        script = package.extractfile("package/dist/mpegts.js")
        assert script is not None
        target = folder / "mpegts.js"
        target.write_bytes(script.read())
    return target


@contextlib.contextmanager
def _serve(folder: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def play(clip: Path, folder: Path, *, rate: float = 2.0, timeout: float = 60) -> dict[str, Any]:  # noqa: ASYNC109  handed on to playwright
    """Plays the FLV file to its end; gives `errors`, the `sizes` that were shown, and the `time` it came to."""
    need("npm")
    await asyncio.to_thread(fetch, folder)
    (folder / "index.html").write_text(_PAGE)
    shutil.copy(clip, folder / "clip.flv")
    with _serve(folder) as url:
        async with browser() as started:
            page = await started.new_page()
            await page.goto(url)
            await page.evaluate("rate => play(rate)", rate)
            await page.wait_for_function("video.ended || errors.length", timeout=timeout * 1000)
            played: dict[str, Any] = await page.evaluate("({errors, sizes, time: video.currentTime})")
            return played
