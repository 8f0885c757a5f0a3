"""The worker's loop is everybody's: media comes first, and nobody waits for all of it."""

import asyncio

import pytest

from relay.core.ident import StreamKey, TaskKey
from relay.core.push_url import PushUrl
from relay.core.task import Lease, TaskSpec
from relay.push.feed import MediaTag
from relay.worker import worker as module
from relay.worker.settings import WorkerSettings
from relay.worker.worker import Worker
from tests.support.relay import LOOPBACK


class _Taker:
    def on_tag(self, tag: MediaTag) -> None: ...


async def test_between_two_streams_sound_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH", 0.0)
    worker = Worker(WorkerSettings(rtc=LOOPBACK), lambda event: None)
    await worker.start()
    for number in range(3):
        room, user = f"room-{number % 2}", f"user-{number}"
        spec = TaskSpec(
            TaskKey("app", room, user), StreamKey("app", room, user), PushUrl.parse("rtmp://127.0.0.1:9/a/b")
        )
        worker.start_task(spec, Lease(id=number, generation=1, start_time=0))
    loop, turns = asyncio.get_running_loop(), 0
    for place in (place for room in worker._rooms.values() for place in room._places.values()):
        place.feed.attach(_Taker(), loop.time() - 1)  # a second of silence is due
    for room in worker._rooms.values():
        room.receive(loop.time())

    def turn() -> None:
        nonlocal turns, waiting
        turns += 1
        waiting = loop.call_soon(turn)

    waiting = loop.call_soon(turn)
    for _ in worker.encode(loop.time()):
        await asyncio.sleep(0)
    waiting.cancel()
    assert turns == 3
    await worker.close()
