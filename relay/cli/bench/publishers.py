"""The publishers' process: many WHIP sessions that send one coded clip, bursty or spaced, and note when.

bursty: a picture's packets back to back. spaced: evenly over `SPREAD` of the time to the next picture, as libwebrtc's
pacer sends them at 2.5 times the bit rate. Streams begin at moments of their own within a picture.

It leaves the machine to the system under test as far as it can: what a stream has to send within one `STEP` goes out
together, by one system call, the clip is cut into payloads once, and the little that receivers say is read by the loop.
What is on the wire is each stream's own: SSRCs, numbers, times, keys, reports, and retransmissions of what its receiver
misses.
"""

import asyncio
import copy
import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from relay.cli.bench.child import Message, serve
from relay.cli.live import LivePublisher
from relay.cli.measure import vcl_digests
from relay.cli.source import ClipSource, Picture
from relay.core.rtp.h264_payload import packetize
from relay.core.rtp.sender import MAX_PAYLOAD
from relay.rtc.settings import RtcSettings

SPREAD = 0.4
STEP = 0.005
"""Seconds: the least time between bursts of libwebrtc's pacer (kDefaultMinPacketLimit of pacing_controller.cc; its
newer versions let it send 40 ms' worth at once, kDefaultBurstInterval: a picture's packets back to back)."""
_FRAME = 1 / 30
_FEEDBACK = 4
"""Steps between looks at what receivers ask for."""
_KEY_PAUSE = 0.3
"""Seconds from one key frame to the next at least, however often one is asked for: as encoders do."""


@cache
def _packed(nals: tuple[bytes, ...]) -> tuple[list[bytes], str]:
    """A picture's RTP payloads and its digest: the same in all streams and at each turn of the clip."""
    return packetize(nals, MAX_PAYLOAD), ".".join(vcl_digests(nals))


@cache
def _spaced(count: int) -> list[tuple[int, int]]:
    """When so many packets go, over `SPREAD` of a picture: steps after the first, and how many have gone by then."""
    gap = SPREAD * _FRAME / STEP / count
    return [(step, max(group) + 1) for step, group in groupby(range(count), lambda index: round(index * gap))]


class _Clip(ClipSource):
    """Key frames come when they are asked for, but not at once after another: as encoders do it."""

    wanted = False

    def skip_to_key(self) -> None:
        self.wanted = True

    def skip_now(self) -> None:
        self.wanted = False
        super().skip_to_key()


@dataclass(slots=True, eq=False)
class _Stream:
    name: str
    source: _Clip
    publisher: LivePublisher
    lossy: random.Random
    origin: float = 0.0
    picture: str = ""
    """The digest of the one under way."""
    last_step: int = 0
    """At which its last packet goes."""
    last_key: float = float("-inf")
    first_sent: float | None = None
    sent: list[tuple[str, float]] = field(default_factory=list)
    """Each picture's digest, and when its last packet went out."""


class Publishers:
    """All streams of one run; times are of the monotonic clock, which all processes of a machine share."""

    def __init__(self, clip: str, *, spaced: bool, loss: float) -> None:
        """Raises `SourceError`."""
        self._clip = _Clip(clip)
        self._spaced = spaced
        self._loss = loss
        self._streams: list[_Stream] = []
        self._loop = asyncio.get_running_loop()
        self._due: defaultdict[int, dict[_Stream, list[bytes]]] = defaultdict(dict)
        """Packets of the streams, by the step at which they are due."""
        self._next = round(self._loop.time() / STEP)
        """The first step that has not been taken."""
        self._timer = self._loop.call_soon(self._play)
        self._failure: Exception | None = None

    async def connect(self, name: str, url: str, addresses: tuple[str, ...] | None) -> None:
        """One more session; it sends from now on."""
        source = copy.copy(self._clip)  # which nobody plays: from its start, and in memory once
        publisher = LivePublisher(source, settings=RtcSettings(addresses=addresses, reader="hook"))
        stream = _Stream(name, source, publisher, random.Random(len(self._streams)))  # noqa: S311  the same each time
        await publisher.connect(url)
        # No two streams' pictures come at the same moment.
        now, moment = self._loop.time(), len(self._streams) * 0.618 % 1 * _FRAME
        stream.origin = now + (moment - now) % _FRAME
        self._streams.append(stream)
        self._advance(stream)

    def failure(self) -> str | None:
        """Why sending went wrong."""
        if self._failure is not None:
            return str(self._failure)
        gone = [s for s in self._streams if s.publisher.caster.closed_reason is not None]
        return f"{gone[0].name}: the session ended: {gone[0].publisher.caster.closed_reason}" if gone else None

    def first_sent(self) -> dict[str, float | None]:
        return {stream.name: stream.first_sent for stream in self._streams}

    async def finish(self) -> dict[str, list[tuple[str, float]]]:
        """Ends all sessions; gives what each stream sent."""
        self._timer.cancel()
        await asyncio.gather(*(stream.publisher.close() for stream in self._streams))
        return {stream.name: stream.sent for stream in self._streams}

    def _play(self) -> None:
        """Takes the steps that are due, and comes again when there is one with something to do."""
        try:
            now = self._loop.time()
            while self._next * STEP <= now + STEP / 10:
                step, self._next = self._next, self._next + 1
                if due := self._due.pop(step, None):
                    for stream, packets in due.items():
                        self._send(stream, packets, step)
                if step % _FEEDBACK == 0:
                    for stream in self._streams:
                        stream.publisher.caster.tick(now)
        except Exception as error:  # whatever it is, `failure` is to tell it
            self._failure = error
            return
        step = self._next
        while step % _FEEDBACK and step not in self._due:
            step += 1
        self._timer = self._loop.call_at(step * STEP, self._play)

    def _send(self, stream: _Stream, packets: list[bytes], step: int) -> None:
        whole = step == stream.last_step
        if whole or stream.first_sent is None:
            now = self._loop.time()
            if stream.first_sent is None:
                stream.first_sent = now
            if whole:
                stream.sent.append((stream.picture, now))
        if self._loss:
            packets = [packet for packet in packets if stream.lossy.random() >= self._loss]
        stream.publisher.caster.send_packets(packets)
        if whole:
            self._advance(stream)

    def _advance(self, stream: _Stream) -> None:
        """Puts down the stream's packets up to the end of its next picture."""
        caster = stream.publisher.caster
        if stream.source.wanted and stream.sent and stream.sent[-1][1] >= stream.origin + stream.last_key + _KEY_PAUSE:
            stream.source.skip_now()
        for item in stream.source:
            # What is due by now, as sound among a picture's packets is, goes with the next step.
            step = max(round((stream.origin + item.time) / STEP), self._next)
            if not isinstance(item, Picture):
                self._put(step, stream, caster.packetize_opus(item.data, item.time))
                continue
            if item.key:
                stream.last_key = item.time
            payloads, stream.picture = _packed(tuple(item.nals))
            packets = caster.packetize_payloads(payloads, item.time)
            count, begin = len(payloads), 0
            if packets[count:]:  # a report
                self._put(step, stream, packets[count:])
            for later, end in _spaced(count) if self._spaced else [(0, count)]:
                stream.last_step = step + later
                self._put(stream.last_step, stream, packets[begin:end])
                begin = end
            return

    def _put(self, step: int, stream: _Stream, packets: list[bytes]) -> None:
        due = self._due[step]
        if stream in due:
            due[stream] += packets
        else:
            due[stream] = packets


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
