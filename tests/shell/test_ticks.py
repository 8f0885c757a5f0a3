"""What a worker's load says of ticks that take long, and of a loop that is kept from them: in virtual time."""

import asyncio
from collections.abc import Iterator

import pytest

from relay.core.ident import StreamKey, TaskKey
from relay.core.load import MAX_LAG, SETTLE, Load
from relay.core.offer import NotTakingWork
from relay.core.push_url import PushUrl
from relay.core.task import Lease, TaskSpec
from relay.worker.settings import WorkerSettings
from relay.worker.worker import Worker
from tests.support.virtual import VirtualCdn, VirtualLoop

SETTINGS = WorkerSettings(shortest_tick=0.02, longest_tick=0.02)


class Toiling(Worker):
    """A worker whose every tick takes `took` seconds."""

    took = 0.0

    def tick(self, now: float) -> None:
        super().tick(now)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.toil(self.took)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    cdn = VirtualCdn()
    loop = VirtualLoop(cdn)
    yield loop
    loop.close()
    cdn.socket.close()


async def worked(took: float, seconds: float = 30.0) -> Load:
    worker = Toiling(SETTINGS, lambda event: None)
    worker.took = took
    await worker.start()
    await asyncio.sleep(seconds)
    load = worker.stats().load
    if load.lag > MAX_LAG:
        with pytest.raises(NotTakingWork, match="ms late"):
            await worker.publish(StreamKey("app", "room", "user"), "no offer")
    await worker.close()
    return load


def test_ticks_that_take_longer_than_they_are_apart_are_late(loop: VirtualLoop) -> None:
    load = loop.run_until_complete(worked(0.3))
    assert load.lag == pytest.approx(0.3, abs=0.03)
    assert load.overruns > 90


@pytest.mark.parametrize("took", [0.0, 0.015])
def test_ticks_that_end_before_the_next_are_on_time(loop: VirtualLoop, took: float) -> None:
    load = loop.run_until_complete(worked(took))
    assert load.lag == pytest.approx(0.0, abs=1e-6)
    assert load.overruns == 0


def test_what_keeps_the_loop_once_counts_once(loop: VirtualLoop) -> None:
    async def kept() -> Load:
        worker = Worker(SETTINGS, lambda event: None)
        await worker.start()
        await asyncio.sleep(2 * SETTLE)
        loop.toil(0.5)
        await asyncio.sleep(0.1)
        load = worker.stats().load
        await worker.close()
        return load

    load = loop.run_until_complete(kept())
    assert load.overruns == 1
    assert 0.0 < load.lag < MAX_LAG


class Counting(Worker):
    ticks = 0

    def tick(self, now: float) -> None:
        self.ticks += 1
        super().tick(now)


@pytest.mark.parametrize("waiting", [0, 3])
def test_ticks_are_as_long_as_they_get_while_all_tasks_wait_for_publishers(loop: VirtualLoop, waiting: int) -> None:
    async def counted() -> int:
        worker = Counting(WorkerSettings(shortest_tick=0.01, longest_tick=0.04), lambda event: None)
        await worker.start()
        for number in range(waiting):
            task = TaskKey("app", "room", f"task-{number}")
            spec = TaskSpec(task, StreamKey("app", "room", "user"), PushUrl.parse("rtmp://127.0.0.1:9/a/b"))
            worker.start_task(spec, Lease(id=number, generation=1, start_time=0))
        await asyncio.sleep(10)
        ticks = worker.ticks
        await worker.close()
        return ticks

    assert loop.run_until_complete(counted()) == pytest.approx(250, abs=10)


class Failing(Counting):
    """The third tick fails, and so does what the fifth has to encode."""

    def tick(self, now: float) -> None:
        super().tick(now)
        if self.ticks == 3:
            raise RuntimeError("one of its streams")

    def encode(self, now: float) -> Iterator[None]:
        yield
        if self.ticks == 5:
            raise RuntimeError("one of its streams")


def test_a_tick_that_fails_is_not_the_last(loop: VirtualLoop) -> None:
    async def counted() -> int:
        worker = Failing(SETTINGS, lambda event: None)
        await worker.start()
        await asyncio.sleep(1.0)
        ticks = worker.ticks
        await worker.close()
        return ticks

    assert loop.run_until_complete(counted()) == pytest.approx(50, abs=3)
