"""The sink's process: the RTMP server that a system under test pushes to, which notes what arrives when."""

import asyncio
from dataclasses import asdict, dataclass, field

from relay.cli.bench.child import Message, serve
from relay.cli.measure import audio_format, hole_between, is_picture, is_sound, picture_digests
from relay.core.flv import Tag
from relay.push.sink import Sink, SinkStream

_RATE = 44_100


@dataclass(slots=True)
class Arrived:
    """One stream as the sink saw it; times are of the monotonic clock."""

    connections: int = 0
    pictures: list[tuple[str, float]] = field(default_factory=list)
    """Each picture's digest, and when it was there."""
    sounds: int = 0
    holes: int = 0
    """In the timestamps of the sound."""


class _Recorder:
    def __init__(self) -> None:
        self.streams: dict[str, Arrived] = {}
        self._last_sound: dict[str, Tag] = {}
        self._rates: dict[str, int] = {}
        self.sink = Sink(on_tag=self._on_tag, on_start=self._on_start)

    def _on_start(self, stream: SinkStream) -> None:
        self.streams.setdefault(stream.key, Arrived()).connections += 1
        self._last_sound.pop(stream.key, None)

    def _on_tag(self, stream: SinkStream, tag: Tag, arrival: float) -> None:
        arrived = self.streams[stream.key]
        if is_picture(tag):
            arrived.pictures.append((".".join(picture_digests(tag)), arrival))
        elif is_sound(tag):
            self._sound(stream.key, arrived, tag)
        elif (format_ := audio_format([tag])) is not None:
            self._rates[stream.key] = format_.rate

    def _sound(self, key: str, arrived: Arrived, tag: Tag) -> None:
        arrived.sounds += 1
        last = self._last_sound.get(key)
        if last is not None:
            arrived.holes += hole_between(last, tag, self._rates.get(key, _RATE)) is not None
        self._last_sound[key] = tag


class _Process:
    recorder: _Recorder

    async def answer(self, message: Message) -> Message:
        match message:
            case {"verb": "open"}:
                self.recorder = _Recorder()
                return {"port": await self.recorder.sink.start("127.0.0.1", 0)}
            case {"verb": "look"}:
                streams = self.recorder.streams
                return {"pictures": {key: len(arrived.pictures) for key, arrived in streams.items()}}
            case {"verb": "finish"}:
                return {"streams": {key: asdict(arrived) for key, arrived in self.recorder.streams.items()}}
            case {"verb": "close"}:
                await self.recorder.sink.close()
                return {}
        raise ValueError(f"not understood: {message.get('verb')}")


if __name__ == "__main__":
    asyncio.run(serve(_Process().answer))
