"""The publishers' process: many WHIP sessions that send one coded clip, bursty or spaced, and note when.

bursty: a picture's packets back to back. spaced: evenly over `SPREAD` of the time to the next picture, as libwebrtc's
pacer sends them at 2.5 times the bit rate, in steps of `STEP`. Streams begin at moments of their own within a picture.
"""

import asyncio
import contextlib
import heapq
import random
from dataclasses import dataclass, field
from itertools import count

from relay.cli.bench.child import Message, serve
from relay.cli.live import LivePublisher
from relay.cli.measure import vcl_digests
from relay.cli.source import ClipSource, Picture
from relay.rtc.settings import RtcSettings

SPREAD = 0.4
STEP = 0.001
"""Seconds: packets due within one go out together."""
_FRAME = 1 / 30
_FEEDBACK = 0.02
"""Seconds between looks at what receivers ask for."""
_KEY_PAUSE = 0.3
"""Seconds from one key frame to the next at least, however often one is asked for: as encoders do."""


class _Clip(ClipSource):
    """Key frames come when they are asked for, but not at once after another: as encoders do it."""

    wanted = False

    def skip_to_key(self) -> None:
        self.wanted = True

    def skip_now(self) -> None:
        self.wanted = False
        super().skip_to_key()


@dataclass(slots=True)
class _Stream:
    name: str
    source: _Clip
    publisher: LivePublisher
    lossy: random.Random
    origin: float = 0.0
    last_key: float = float("-inf")
    first_sent: float | None = None
    sent: list[tuple[str, float]] = field(default_factory=list)
    """Each picture's digest, and when its last packet went out."""


class Publishers:
    """All streams of one run; times are of the monotonic clock, which all processes of a machine share."""

    def __init__(self, clip: str, *, spaced: bool, loss: float) -> None:
        self._clip = clip
        self._spaced = spaced
        self._loss = loss
        self._streams: list[_Stream] = []
        self._queue: list[tuple[float, int, _Stream, bytes, str | None]] = []
        """Packets by the time at which they are due; the last of a picture bears its digest."""
        self._order = count()
        self._playing: asyncio.Task[None] | None = None

    async def connect(self, name: str, url: str, addresses: tuple[str, ...] | None) -> None:
        """One more session; it sends from now on."""
        source = _Clip(self._clip)
        publisher = LivePublisher(source, settings=RtcSettings(addresses=addresses))
        stream = _Stream(name, source, publisher, random.Random(len(self._streams)))  # noqa: S311  the same each time
        await publisher.connect(url)
        # No two streams' pictures come at the same moment.
        now, moment = asyncio.get_running_loop().time(), len(self._streams) * 0.618 % 1 * _FRAME
        stream.origin = now + (moment - now) % _FRAME
        self._streams.append(stream)
        if self._playing is None:
            self._playing = asyncio.create_task(self._play())
        self._advance(stream)

    def failure(self) -> str | None:
        """Why sending went wrong."""
        if self._playing is not None and self._playing.done() and not self._playing.cancelled():
            return str(self._playing.exception())
        gone = [s for s in self._streams if s.publisher.caster.closed_reason is not None]
        return f"{gone[0].name}: the session ended: {gone[0].publisher.caster.closed_reason}" if gone else None

    def first_sent(self) -> dict[str, float | None]:
        return {stream.name: stream.first_sent for stream in self._streams}

    async def finish(self) -> dict[str, list[tuple[str, float]]]:
        """Ends all sessions; gives what each stream sent."""
        if self._playing is not None:
            self._playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._playing
        await asyncio.gather(*(stream.publisher.close() for stream in self._streams))
        return {stream.name: stream.sent for stream in self._streams}

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        feedback = loop.time()
        while True:
            now = loop.time()
            while self._queue and self._queue[0][0] <= now + STEP / 2:
                _, _, stream, packet, digest = heapq.heappop(self._queue)
                self._send(stream, packet, digest, loop.time())
            if now >= feedback:
                feedback = now + _FEEDBACK
                for stream in self._streams:
                    stream.publisher.caster.tick(now)
            due = min(self._queue[0][0] if self._queue else feedback, feedback)
            await asyncio.sleep(max(due - loop.time(), 0.0))

    def _send(self, stream: _Stream, packet: bytes, digest: str | None, now: float) -> None:
        if stream.first_sent is None:
            stream.first_sent = now
        if not self._loss or stream.lossy.random() >= self._loss:
            stream.publisher.caster.send_packet(packet)
        if digest is not None:
            stream.sent.append((digest, now))
            self._advance(stream)

    def _advance(self, stream: _Stream) -> None:
        """Queues the stream's packets up to the end of its next picture."""
        caster = stream.publisher.caster
        if stream.source.wanted and stream.sent and stream.sent[-1][1] >= stream.origin + stream.last_key + _KEY_PAUSE:
            stream.source.skip_now()
        for item in stream.source:
            due = stream.origin + item.time
            if not isinstance(item, Picture):
                for packet in caster.packetize_opus(item.data, item.time):
                    self._push(due, stream, packet, None)
                continue
            if item.key:
                stream.last_key = item.time
            packets = caster.packetize_access_unit(item.nals, item.time)
            reports = [packet for packet in packets if 191 < packet[1] < 224]
            for report in reports:
                packets.remove(report)
                self._push(due, stream, report, None)
            gap = SPREAD * _FRAME / len(packets) if self._spaced else 0.0
            for index, packet in enumerate(packets[:-1]):
                self._push(due + index * gap, stream, packet, None)
            self._push(due + (len(packets) - 1) * gap, stream, packets[-1], ".".join(vcl_digests(item.nals)))
            return

    def _push(self, due: float, stream: _Stream, packet: bytes, digest: str | None) -> None:
        heapq.heappush(self._queue, (due, next(self._order), stream, packet, digest))


class _Process:
    publishers: Publishers

    async def answer(self, message: Message) -> Message:
        match message:
            case {"verb": "open", "clip": clip, "spaced": spaced, "loss": loss}:
                self.publishers = Publishers(clip, spaced=spaced, loss=loss)
                return {}
            case {"verb": "connect", "name": name, "url": url, "addresses": addresses}:
                await self.publishers.connect(name, url, tuple(addresses) if addresses else None)
                return {}
            case {"verb": "look"}:
                return {"first": self.publishers.first_sent(), "failure": self.publishers.failure()}
            case {"verb": "finish"}:
                return {"sent": await self.publishers.finish()}
        raise ValueError(f"not understood: {message.get('verb')}")


if __name__ == "__main__":
    asyncio.run(serve(_Process().answer))
