"""One process's worker: its rooms by name, moved on by one tick.

All media work of the process is done in its ticks: there is no task per stream, no callback per packet and nothing that
a packet awaits, so a stream costs what its packets cost and no wake-up of its own.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator

import structlog

from relay.core.ident import RoomKey, StreamKey, TaskKey
from relay.core.load import Load
from relay.core.offer import Answered, NotTakingWork
from relay.core.presence import PublisherChange
from relay.core.snapshot import TaskSnapshot
from relay.core.task import Lease, TaskSpec
from relay.net.destinations import Destinations
from relay.push.connection import Connection
from relay.push.run import PushRun
from relay.push.transcode import Transcoder
from relay.rtc import recvmmsg
from relay.rtc.whep import WhepClient
from relay.worker.phases import PhaseClock
from relay.worker.place import Surroundings
from relay.worker.room import Room
from relay.worker.settings import WorkerSettings
from relay.worker.stats import WorkerStats
from relay.worker.subscription import Closing
from relay.worker.ticks import Ticks

log = structlog.get_logger(__name__)

CLOSE_TIME = 2.0
"""Seconds that tasks get to say goodbye to their CDNs when the worker closes."""
STRETCH = 0.002
"""Seconds, of the tick or of coding, after which the loop serves others before the next stream's sound."""

WorkerEvent = TaskSnapshot | PublisherChange
"""All that a worker tells unasked: a task whose state, last error or idleness has changed; a publisher come or gone."""


class WorkerFull(Exception):
    """The worker runs as many tasks as it may, or has no room for more: of time, or since it is to end."""


class Worker:
    """Rooms of one process. `on_event` hears what happens in them, inside the tick: it may not block."""

    def __init__(self, settings: WorkerSettings, on_event: Callable[[WorkerEvent], None]) -> None:
        self.settings = settings
        self._phases = PhaseClock(time.thread_time if settings.measure_cpu else time.perf_counter)
        self._draining = False
        self._ended_bytes = 0
        """Sent by tasks that have ended."""
        self._rooms: dict[RoomKey, Room] = {}
        self._on_event = on_event
        self._ticks: Ticks | None = None
        self._empty = asyncio.Event()
        self._goodbyes: set[asyncio.Task[None]] = set()
        """Sessions that are closing."""
        self._whep: WhepClient | None = None

    # life

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        destinations = Destinations(self.settings.egress)
        if self.settings.source is not None:
            self._whep = WhepClient(destinations)
        self._around = Surroundings(
            settings=self.settings,
            connect=lambda url, listener: Connection.open(
                url, listener, destinations=destinations, fourccs=self.settings.fourccs
            ),
            clock=loop.time,
            wall=lambda: time.time_ns() // 1_000_000,
            jitter=random.random,
            on_task_change=self._task_changed,
            on_publisher_change=self._on_event,
            retire=self._retire,
            whep=self._whep,
        )
        # What is made once in a process, now: the first stream would hold up the loop for it.
        recvmmsg.available()
        Transcoder(coder=self.settings.audio_coder, bit_rate=self.settings.audio_bit_rate).close()
        self._ticks = Ticks(self, shortest=self.settings.shortest_tick, longest=self.settings.longest_tick)
        self._ticks.start()

    async def close(self) -> None:
        """Stops every task politely, sends publishers and viewers away, and ends the ticks."""
        for room in self._rooms.values():
            room.close("the relay is shutting down")
        self._empty.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIME):
                await self._empty.wait()
        if self._goodbyes:
            await asyncio.wait(self._goodbyes, timeout=CLOSE_TIME)
        if self._ticks is not None:
            self._ticks.stop()
        if self._whep is not None:
            await self._whep.close()

    def drain(self) -> None:
        """From now on nobody new is let in; what runs goes on."""
        self._draining = True

    def _refusal(self) -> str:
        """Why there is no room for more, for the one who asks; empty where there is."""
        if self._draining:
            return "this relay is about to end and takes no new work; try another, or again later"
        if reason := self._load.too_much(self.settings.max_cpu_share):
            return f"this relay has as much to do as it can: {reason}; try again later"
        return ""

    # its work, which `ticks` calls for

    @property
    def awake(self) -> bool:
        """There is a stream that flows, or that somebody watches."""
        return any(room.awake for room in self._rooms.values())

    def tick(self, now: float) -> None:
        rooms, phases = tuple(self._rooms.values()), self._phases
        phases.begin()
        for room in rooms:
            room.receive(now)
        phases.received()
        for room in rooms:
            room.deliver(now)
            room.push(now)
            if room.empty:
                del self._rooms[room.key]
        phases.pushed()
        for room in rooms:
            room.show(now)
        phases.shown()
        if not self._rooms:
            self._empty.set()

    def encode(self, now: float) -> Iterator[None]:
        """Sound, last, as it takes longest and its results are not due yet: pictures do not wait for it. Nor does
        whatever else the loop serves wait for the sound of all streams: this yields after each `STRETCH`."""
        clock, phases = self._around.clock, self._phases
        phases.begin()
        until = now + STRETCH
        for room in tuple(self._rooms.values()):
            for _ in room.encode(now):
                if clock() >= until:
                    phases.encoded()
                    yield
                    phases.begin()
                    until = clock() + STRETCH
        phases.encoded()

    # publishers

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        """Answers a WHIP offer. Raises `SessionError`."""
        room = self._rooms.get(key.room)
        # A publisher that comes back belongs to what runs: turned away, it would end a push.
        if (room is None or not room.knows(key)) and (refusal := self._refusal()):
            raise NotTakingWork(refusal)
        others = sum(other.session_count for other in self._rooms.values())
        if room is not None and room.has_publisher(key):
            others -= 1  # it takes that one's place
        if others >= self.settings.max_sessions:
            raise NotTakingWork(f"this relay takes {self.settings.max_sessions} publishers at once; try again later")
        return await self._room(key.room).publish(key, offer)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `SessionError`."""
        await self._room(key.room).trickle(key, session_id, fragment, etag)

    def unpublish(self, key: StreamKey, session_id: str) -> bool:
        """False: there is no such session."""
        room = self._rooms.get(key.room)
        return room is not None and room.unpublish(key, session_id)

    # viewers

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        """Answers a WHEP offer. Raises `SessionError`."""
        if refusal := self._refusal():
            raise NotTakingWork(refusal)
        viewers = sum(room.viewer_count for room in self._rooms.values())
        if viewers >= self.settings.max_viewers:
            raise NotTakingWork(f"this relay takes {self.settings.max_viewers} viewers at once; try again later")
        return await self._room(key.room).subscribe(key, offer)

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `SessionError`."""
        await self._room(key.room).trickle_viewer(key, session_id, fragment, etag)

    def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        """False: there is no such session."""
        room = self._rooms.get(key.room)
        return room is not None and room.unsubscribe(key, session_id)

    # tasks

    def admit(self, spec: TaskSpec, pending: int) -> None:
        """Raises `WorkerFull` where there is no room for one more task beside `pending` ones about to start."""
        if refusal := self._refusal():
            raise WorkerFull(refusal)
        tasks = sum(room.task_count for room in self._rooms.values())
        if tasks + pending >= self.settings.max_tasks:
            raise WorkerFull(f"this relay runs {self.settings.max_tasks} tasks at once; try again later")

    def start_task(self, spec: TaskSpec, lease: Lease) -> None:
        """Begins a run of a task, the only one of its name."""
        self._room(spec.key.room).start(spec, lease)

    def stop_task(self, key: TaskKey, task: int | None = None) -> bool:
        """False: no active task of that name, or, where `task` is given, of that `Lease.id`."""
        run = self._run_of(key)
        if run is None or task not in (None, run.lease.id):
            return False
        run.stop()
        return True

    def snapshot(self, key: TaskKey) -> TaskSnapshot | None:
        """The active task of that name as it stands."""
        run = self._run_of(key)
        return run.snapshot() if run is not None else None

    def stats(self) -> WorkerStats:
        runs = [run for room in self._rooms.values() for run in room.runs]
        snapshots = [snapshot for run in runs if not (snapshot := run.snapshot()).ended]
        return WorkerStats(
            publishers=sum(room.session_count for room in self._rooms.values()),
            viewers=sum(room.viewer_count for room in self._rooms.values()),
            tasks=dict(Counter(snapshot.state for snapshot in snapshots)),
            bytes_sent=self._ended_bytes + sum(snapshot.bytes_sent for snapshot in snapshots),
            concealed=self._around.sound.concealed,
            silence=self._around.sound.silence,
            tick=self._phases.times,
            load=self._load,
            rooms=frozenset(self._rooms),
        )

    @property
    def _load(self) -> Load:
        return self._ticks.load if self._ticks is not None else Load()

    def _run_of(self, key: TaskKey) -> PushRun | None:
        room = self._rooms.get(key.room)
        return room.run(key.task_id) if room is not None else None

    def _room(self, key: RoomKey) -> Room:
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(key, self._around)
        return room

    def _retire(self, closing: Closing) -> None:
        goodbye = asyncio.create_task(closing.wait_closed())
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)

    def _task_changed(self, run: PushRun) -> None:
        snapshot = run.snapshot()
        if snapshot.ended:
            self._ended_bytes += snapshot.bytes_sent
        log.info(
            "task",
            app_id=snapshot.spec.key.app_id,
            room_id=snapshot.spec.key.room_id,
            task_id=snapshot.spec.key.task_id,
            state=snapshot.state.value,
            push_url=str(snapshot.spec.push_url),
            connects=snapshot.connects,
            dropped=snapshot.dropped,
            error=snapshot.last_error,
        )
        self._on_event(snapshot)
