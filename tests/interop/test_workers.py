"""Worker processes: rooms are spread over them, and one that is killed costs the others nothing."""

import contextlib
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import psutil
import pytest

from relay.api.actions import ALREADY_STARTED
from relay.cli.live import PublishFailed
from relay.cli.measure import access_units, audio_frames, audio_holes
from relay.cli.source import ClipSource, builtin_clip
from relay.core.flv import Tag
from relay.core.ident import StreamKey, TaskKey
from relay.core.push_url import PushUrl
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, State, TaskSpec
from relay.engine.link import Hello
from relay.engine.pool import WorkerPool
from relay.engine.process import ProcessHandle, WorkerLost
from relay.push.sink import Sink, SinkStream
from relay.worker.settings import WorkerSettings
from relay.worker.worker import WorkerEvent
from tests.support.eventually import eventually
from tests.support.publishing import User
from tests.support.relay import LOOPBACK, InlineRelay, Relay, running_relay
from tests.support.timestamps import is_monotonic

ROOMS = ("one", "two", "three", "four")


def workers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "relay.app.worker_process" in child.cmdline()
    ]


class Cdn:
    """Tags by stream key, as our sink sees them."""

    def __init__(self) -> None:
        self.sink = Sink(on_tag=self._on_tag, on_start=self._on_start)
        self.starts: dict[str, int] = {}
        self.tags: dict[str, list[Tag]] = {}
        self.port = 0

    def _on_start(self, stream: SinkStream) -> None:
        self.starts[stream.key] = self.starts.get(stream.key, 0) + 1
        self.tags[stream.key] = []

    def _on_tag(self, stream: SinkStream, tag: Tag, arrival: float) -> None:
        self.tags[stream.key].append(tag)

    @property
    def on(self) -> set[str]:
        return {key for _, key in self.sink.streams}


@contextlib.asynccontextmanager
async def four_pushes() -> AsyncIterator[tuple[InlineRelay, Cdn, dict[str, User]]]:
    """A relay of two workers, and in each of four rooms a user whose stream is pushed."""
    cdn = Cdn()
    port = cdn.port = await cdn.sink.start()
    users: dict[str, User] = {}
    try:
        async with running_relay(workers=2) as relay:
            for room in ROOMS:
                assert await relay.start(f"rtmp://127.0.0.1:{port}/live/{room}", room=room) == "ok"
                users[room] = await join(relay, room)
            for room in ROOMS:
                await pushing(relay, room)
            yield relay, cdn, users
            for user in users.values():
                if user.live.caster.closed_reason is None:
                    await user.leave()
                else:
                    await user.pause()
    finally:
        await cdn.sink.close()


async def join(relay: Relay, room: str) -> User:
    user = User(ClipSource(builtin_clip()))
    await user.join(relay.whip_url(room=room))
    return user


async def rejoin(relay: Relay, room: str) -> User:
    """As publishers do: where the relay is not ready, again."""

    async def joined() -> User | None:
        with contextlib.suppress(PublishFailed):
            return await join(relay, room)
        return None

    return await eventually(joined, within=30, every=0.2, what="the publisher is let in again")


async def pushing(relay: Relay, room: str) -> None:
    async def is_pushing() -> bool:
        return (await relay.states(room=room))[:2] == (2, 5)

    await eventually(is_pushing, what=f"room {room} is pushed")


def digests(user: User, tags: list[Tag]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """What was sent from the first picture on that arrived, and what arrived."""
    arrived = access_units(tags)
    first = user.sent.index(arrived[0])
    return user.sent[first : first + len(arrived)], arrived


async def test_a_killed_worker_costs_the_other_nothing_and_its_tasks_push_again() -> None:
    async with four_pushes() as (relay, cdn, users):

        async def counted() -> bool:
            stats = relay.engine.stats()
            return stats.publishers == 4 and len(stats.rooms) == 4

        await eventually(counted, what="both workers' figures together")
        sent_before = relay.engine.stats().bytes_sent
        victim, survivor = workers()
        victim.kill()
        await eventually(lambda: len(cdn.on) == 2, what="the CDN sees two streams end")
        kept, lost = sorted(cdn.on), sorted(set(ROOMS) - cdn.on)
        for room in lost:
            assert (await relay.states(room=room))[:2] == (2, 1), "Get tells that nothing is pushed"
        stopped = lost.pop()
        assert (await relay.stop(room=stopped)).status_code == 200, "also while nothing runs it"
        assert await relay.states(room=stopped) == (3, 6, "StopByAPI")
        await users[stopped].vanish()
        port = cdn.port
        assert await relay.start(f"rtmp://127.0.0.1:{port}/live/other", room=lost[0], task="other") == "ok"
        assert (await relay.start(f"rtmp://127.0.0.1:{port}/live/other", room=lost[0], task="other")) == ALREADY_STARTED
        # A room that nobody knew yet takes no other's place.
        assert await relay.start(f"rtmp://127.0.0.1:{port}/live/five", room="five") == "ok"
        for room in lost:
            await users[room].vanish()
            users[room] = await rejoin(relay, room)
        for room in lost:
            await pushing(relay, room)
            assert cdn.starts[room] == 2
        await eventually(lambda: "other" in cdn.on, what="a task begun meanwhile is pushed, too")
        assert survivor in workers()
        assert len(workers()) == 2
        await eventually(
            lambda: relay.engine.stats().bytes_sent > sent_before, what="what was counted is not forgotten"
        )
        for room in kept:
            assert cdn.starts[room] == 1
            await users[room].pause()
            sent = len(users[room].sent)

            def all_there(room: str = room, sent: int = sent) -> bool:
                tags = cdn.tags[room]
                units = access_units(tags)
                return bool(units) and users[room].sent[sent - 1] == units[-1]

            await eventually(all_there, what="the last picture arrives")
            expected, arrived = digests(users[room], cdn.tags[room])
            assert arrived == expected, "every picture, byte for byte"
            assert not audio_holes(cdn.tags[room])
            assert is_monotonic(audio_frames(cdn.tags[room]))
        assert await relay.states(room=stopped) == (3, 6, "StopByAPI")
        for room in (*kept, *lost, "five"):
            assert (await relay.stop(room=room)).status_code == 200
        assert (await relay.stop("other", room=lost[0])).status_code == 200


NOWHERE = PushUrl.parse("rtmp://127.0.0.1:9/live/key")


class Pool:
    """Two processes, of which `hung` is stopped in its tracks; and what it tells."""

    def __init__(self, silence: float) -> None:
        self.silence = silence
        self.told: list[WorkerEvent] = []
        self.hear: Callable[[WorkerEvent], None]
        """As if a process had said so."""
        self.pool = WorkerPool(2, self._spawn, self.told.append, lambda: 1_700_000_000_000)

    def _spawn(
        self, number: int, on_event: Callable[[WorkerEvent], None], on_lost: Callable[[ProcessHandle], None]
    ) -> ProcessHandle:
        hello = Hello(number, WorkerSettings(rtc=LOOPBACK), "info", "text")
        self.hear = on_event
        command = [sys.executable, "-m", "relay.app.worker_process"]
        return ProcessHandle(command, hello, on_event, on_lost, silence=self.silence)

    async def start(self, room: str, task: int) -> TaskKey:
        """A task of that id, alone in its room."""
        key = TaskKey("app", room, "task")
        await self.pool.start_task(TaskSpec(key, StreamKey("app", room, "user"), NOWHERE), Lease(task, 1, 0))
        return key

    @staticmethod
    async def has(handle: ProcessHandle, key: TaskKey) -> bool:
        return await handle.snapshot(key) is not None

    async def runs(self, key: TaskKey) -> bool:
        """Some process says so."""
        return await self.pool.snapshot(key) is not None

    def ended(self, task: int) -> bool:
        return any(isinstance(event, TaskSnapshot) and event.id == task and event.ended for event in self.told)


@contextlib.asynccontextmanager
async def one_hung(silence: float) -> AsyncIterator[tuple[Pool, psutil.Process, TaskKey, TaskKey]]:
    """With a task in the process that hangs, and one in the other."""
    pool = Pool(silence)
    await pool.pool.start()
    try:
        hanging, well = await pool.start("one", 1), await pool.start("two", 2)
        assert await pool.runs(hanging)
        assert await pool.runs(well)
        pid = pool.pool.handles[0].pid
        assert pid is not None
        process = psutil.Process(pid)
        process.suspend()
        yield pool, process, hanging, well
    finally:
        await pool.pool.close()


async def test_orders_for_a_hung_worker_hold_up_no_others_and_are_carried_out_when_it_goes_on() -> None:
    async with one_hung(silence=20.0) as (pool, process, hanging, well):
        # In the way the engine gives them: one after the other.
        assert await pool.pool.stop_task(hanging, 1)
        await pool.start("one", 3)
        assert await pool.pool.stop_task(well, 2)
        assert not await pool.runs(well)
        assert process.status() == psutil.STATUS_STOPPED
        assert not pool.ended(1)
        process.resume()
        assert await pool.runs(hanging)
        await eventually(lambda: pool.ended(1), what="what was stopped has ended")
        assert await pool.runs(hanging), "what was begun after it runs"
        assert pool.pool.handles[0].pid == process.pid


async def test_a_hung_worker_is_replaced_by_one_that_carries_out_its_orders() -> None:
    async with one_hung(silence=2.5) as (pool, process, hanging, _):
        other = TaskKey("app", "one", "other")
        spec = TaskSpec(other, StreamKey("app", "one", "user"), NOWHERE)
        assert await pool.pool.stop_task(hanging, 1)
        await pool.pool.start_task(spec, Lease(3, 1, 0))
        await eventually(lambda: not process.is_running(), within=15, what="the hung process is ended")

        async def begun() -> bool:
            with contextlib.suppress(WorkerLost):
                return pool.pool.handles[0].pid is not None and await pool.pool.handles[0].snapshot(other) is not None
            return False

        await eventually(begun, within=15, what="the next one has begun it")
        assert pool.ended(1)
        assert await pool.pool.handles[0].snapshot(hanging) is None


async def test_what_a_task_said_last_does_not_lose_the_next_one_of_its_name() -> None:
    pool = Pool(silence=20.0)
    await pool.pool.start()
    try:
        key = await pool.start("one", 1)
        last = await pool.pool.snapshot(key)
        assert last is not None
        # Stopped at another server, its name is free at once; its process hears of that, and of the next, in order.
        await pool.start("one", 2)
        pool.hear(last)
        pool.hear(replace(last, state=State.STOPPED, end_time=1))
        (pid,) = [handle.pid for handle in pool.pool.handles if await pool.has(handle, key)]
        psutil.Process(pid).kill()
        await eventually(lambda: all(handle.pid not in (pid, None) for handle in pool.pool.handles), within=15)

        async def begun() -> bool:
            with contextlib.suppress(WorkerLost):
                run = await pool.pool.snapshot(key)
                return run is not None and run.id == 2
            return False

        await eventually(begun, within=15, what="the process that takes the place of the killed one has begun it")
    finally:
        await pool.pool.close()


def no_worker() -> ProcessHandle:
    """Of a program that ends at once."""
    hello = Hello(0, WorkerSettings(rtc=LOOPBACK), "info", "text")
    return ProcessHandle([sys.executable, "-c", "pass"], hello, lambda event: None, lambda handle: None)


async def test_a_worker_for_which_there_is_no_descriptor_is_tried_again_later() -> None:
    handle = no_worker()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(WorkerLost, match="Too many open files"):
            await handle.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_program_that_is_no_worker_is_told() -> None:
    handle = no_worker()
    with pytest.raises(WorkerLost, match="did not start"):
        await handle.start()
