"""Chromium as a publisher and as a viewer: a page like the README's, with fake devices."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from playwright.async_api import Page

from tests.support.browser import browser

PAGE = """<!doctype html><meta charset="utf-8"><title>publish</title><script>
async function publish(url, constraints = {audio: true, video: {width: 1280, height: 720, frameRate: 30}},
                       degradationPreference = null) {
  const media = await navigator.mediaDevices.getUserMedia(constraints);
  const pc = new RTCPeerConnection();
  for (const track of media.getTracks()) {
    const {sender} = pc.addTransceiver(track, {direction: "sendonly", streams: [media]});
    if (track.kind === "video" && degradationPreference)
      await sender.setParameters({...sender.getParameters(), degradationPreference});
  }
  await pc.setLocalDescription();
  const response = await fetch(url, {
    method: "POST", headers: {"Content-Type": "application/sdp"}, body: pc.localDescription.sdp});
  if (!response.ok) throw new Error((await response.json()).detail);
  await pc.setRemoteDescription({type: "answer", sdp: await response.text()});
  return {pc, media, session: new URL(response.headers.get("Location"), url)};
}
async function watch(url) {
  const pc = new RTCPeerConnection();
  const media = new MediaStream();
  for (const kind of ["audio", "video"])
    media.addTrack(pc.addTransceiver(kind, {direction: "recvonly"}).receiver.track);
  const video = Object.assign(document.createElement("video"), {srcObject: media, autoplay: true});
  document.body.append(video);
  const offer = await pc.createOffer();
  offer.sdp = offer.sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1");
  await pc.setLocalDescription(offer);
  const response = await fetch(url, {
    method: "POST", headers: {"Content-Type": "application/sdp"}, body: pc.localDescription.sdp});
  if (!response.ok) throw new Error((await response.json()).detail);
  await pc.setRemoteDescription({type: "answer", sdp: await response.text()});
  return {pc, video, session: new URL(response.headers.get("Location"), url)};
}
</script><body>"""

_STATS = """async () => [...(await published.pc.getStats()).values()]
  .filter(s => ["outbound-rtp", "remote-inbound-rtp", "codec"].includes(s.type))"""


class ChromiumPublisher:
    """A tab with the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def publish(self, url: str, constraints: dict[str, Any] | None = None) -> None:
        """Publishes fake devices by WHIP; the page's error, with the relay's sentence, where it is refused."""
        arguments = [url] if constraints is None else [url, constraints]
        await self.page.evaluate("async (args) => { window.published = await publish(...args) }", arguments)

    async def run(self, script: str) -> Any:
        """Evaluates JavaScript; `published` holds `pc`, `media` and `session`."""
        return await self.page.evaluate(script)

    async def stats(self) -> dict[str, dict[str, Any]]:
        """getStats of what is sent, by kind: each `outbound-rtp` with its `codec` and `remote` reports inside."""
        reports = {report["id"]: report for report in await self.page.evaluate(_STATS)}
        sent = {r["kind"]: dict(r) for r in reports.values() if r["type"] == "outbound-rtp"}
        for report in sent.values():
            report["codec"] = reports.get(report.get("codecId"), {})
            report["remote"] = reports.get(report.get("remoteId"), {})
        return sent

    async def second(self) -> "ChromiumPublisher":
        """Another tab with the page open."""
        browser = self.page.context.browser
        assert browser is not None
        page = await browser.new_page()
        await page.goto(self.page.url)
        return ChromiumPublisher(page)

    async def watch(self, url: str) -> None:
        """Plays a stream by WHEP; `watched` holds `pc`, `video` and `session`."""
        await self.page.evaluate("async url => { window.watched = await watch(url) }", url)

    async def leave(self) -> None:
        """`pc.close()`: a goodbye on the wire."""
        await self.page.evaluate("published.pc.close()")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[ChromiumPublisher]:
    """A browser, and in it the page, served from http://localhost on a port of its own."""
    async with _serve_page() as url, browser() as started:
        page = await started.new_page()
        await page.goto(url)
        yield ChromiumPublisher(page)


@contextlib.asynccontextmanager
async def _serve_page() -> AsyncIterator[str]:
    body = PAGE.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/"
