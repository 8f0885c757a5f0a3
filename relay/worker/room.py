"""One room: its publishers, its streams, its push tasks, its viewers, and who closes whom.

A session feeds the stream of its name: a publisher's, or where the worker's streams come from an SFU a subscription's,
which there is while a task wants the stream. A newer session of the same name closes the one before it, and the stream
goes on. A task watches one stream, whether or not anybody publishes it; nothing but Stop, its idle clock or the CDN's
lasting refusal ends it. A viewer's session begins while somebody publishes the stream and outlives that one; the viewer
ends it. A stream is forgotten when it has neither publisher nor task nor viewer, the room when it has no stream.
"""

from collections.abc import Callable, Iterator

import structlog

from relay.core.ident import RoomKey, StreamKey
from relay.core.offer import Answered, NotPublished, PublishElsewhere, UnknownSession
from relay.core.task import INTERNAL_ERROR, Lease, StopReason, TaskSpec
from relay.push.run import PushRun
from relay.worker.place import NOBODY_PUBLISHES, Place, Surroundings

log = structlog.get_logger(__name__)


class Room:
    def __init__(self, key: RoomKey, around: Surroundings) -> None:
        self.key = key
        self._around = around
        self._places: dict[StreamKey, Place] = {}
        self._awake: list[Place] = []
        """In this tick: those whose tasks wait for a publisher are many, and cost next to nothing."""
        self._runs: dict[str, PushRun] = {}
        self._finishing: list[PushRun] = []
        """Stopped, and still saying goodbye to the CDN: their names are free again."""

    @property
    def empty(self) -> bool:
        return not self._places

    @property
    def awake(self) -> bool:
        """There was something to do in the last tick besides waiting for publishers."""
        return bool(self._awake)

    def knows(self, key: StreamKey) -> bool:
        """The stream is published here, or a task waits for it."""
        return key in self._places

    def has_publisher(self, key: StreamKey) -> bool:
        place = self._places.get(key)
        return place is not None and place.session is not None

    @property
    def session_count(self) -> int:
        return sum(place.session_count for place in self._places.values())

    @property
    def viewer_count(self) -> int:
        return sum(place.audience.count for place in self._places.values())

    @property
    def runs(self) -> list[PushRun]:
        """Active ones, and those still saying goodbye."""
        return [*self._runs.values(), *self._finishing]

    @property
    def task_count(self) -> int:
        return len(self._runs)

    # publishers

    async def publish(self, key: StreamKey, offer: str) -> Answered:
        """Answers a WHIP offer; the new session takes the stream's place from an older one. Raises `SessionError`."""
        if self._around.settings.source is not None:
            raise PublishElsewhere("This relay takes its streams from an SFU: publish there.")
        return await self._place(key).publish(offer)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `SessionError`."""
        await self._known(key).trickle(session_id, fragment, etag)

    def unpublish(self, key: StreamKey, session_id: str) -> bool:
        """False: there is no such session."""
        place = self._places.get(key)
        return place is not None and place.unpublish(session_id)

    # viewers

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        """Answers a WHEP offer. Raises `SessionError`."""
        place = self._places.get(key)
        if place is None:
            raise NotPublished(NOBODY_PUBLISHES)
        return await place.watch(offer)

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `SessionError`."""
        await self._known(key).audience.trickle(session_id, fragment, etag)

    def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        """False: there is no such session."""
        place = self._places.get(key)
        return place is not None and place.audience.remove(session_id, "the viewer ended its session")

    # tasks

    def start(self, spec: TaskSpec, lease: Lease) -> None:
        """Begins a run of a task, if it does not run already; one under that name whose lease is over is ended."""
        if (older := self._runs.get(spec.key.task_id)) is not None:
            if (older.lease.id, older.lease.generation) == (lease.id, lease.generation):
                return  # who asks had no answer the first time
            older.stop()
        place = self._place(spec.stream)
        place.subscribe()
        around = self._around
        self._runs[spec.key.task_id] = PushRun(
            spec,
            lease,
            place.stream,
            place.feed,
            connect=around.connect,
            clock=around.clock,
            wall=around.wall,
            jitter=around.jitter,
            on_change=self._run_changed,
            interleave=around.settings.interleave,
            first_timestamp=around.settings.first_timestamp,
        )

    def run(self, task_id: str) -> PushRun | None:
        """The active task of that name."""
        return self._runs.get(task_id)

    def _run_changed(self, run: PushRun) -> None:
        if not run.active and self._runs.get(run.spec.key.task_id) is run:
            del self._runs[run.spec.key.task_id]
            self._finishing.append(run)
        self._around.on_task_change(run)

    # One tick of everything that happens in the room, phase by phase.

    def receive(self, now: float) -> None:
        """Packets in."""
        self._awake = [place for place in self._places.values() if not place.asleep]
        self._each_place(Place.receive, now)

    def deliver(self, now: float) -> None:
        """Frames across: pictures become FLV bodies and queue for the CDNs, sound waits for `encode`."""
        self._each_place(_deliver, now)

    def show(self, now: float) -> None:
        """Frames to viewers, and what those ask for."""
        self._each_place(Place.show, now)

    def encode(self, now: float) -> Iterator[None]:
        """Opus to AAC; gives way before each stream that has some."""
        for place in self._awake:
            if place.feed.due(now):
                yield
                self._step(place, _encode, now)

    def push(self, now: float) -> None:
        """Bytes out, and the deadlines of tasks; what nobody needs any more is forgotten."""
        self._each_place(_release, now)
        for run in self.runs:
            try:
                run.tick(now)
            except Exception:
                log.exception("a push failed", task_id=run.spec.key.task_id)
                run.fail(INTERNAL_ERROR)
        self._sweep()

    def _each_place(self, step: Callable[[Place, float], None], now: float) -> None:
        for place in self._awake:
            self._step(place, step, now)

    @staticmethod
    def _step(place: Place, step: Callable[[Place, float], None], now: float) -> None:
        try:
            step(place, now)
        except Exception:
            # What one stream brings must not cost the others theirs.
            log.exception("a stream failed", **place.stream.key.names())
            place.leave("an internal error")

    def _sweep(self) -> None:
        self._finishing = [run for run in self._finishing if not run.task.ended]
        for place in self._awake:
            if not place.stream.watched:
                place.unsubscribe("no task pushes this stream any more")
                if place.idle:
                    place.forget()
                    del self._places[place.stream.key]

    def close(self, reason: str) -> None:
        """Stops every task and sends every publisher and viewer away; the tasks' goodbyes still need ticks."""
        for run in tuple(self._runs.values()):
            run.stop(StopReason.UNKNOWN)
        for place in self._places.values():
            place.end(reason)

    def _place(self, key: StreamKey) -> Place:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(key, self._around)
        return place

    def _known(self, key: StreamKey) -> Place:
        place = self._places.get(key)
        if place is None:
            raise UnknownSession("There is no such session; it may have ended.")
        return place


def _deliver(place: Place, now: float) -> None:
    place.deliver()


def _encode(place: Place, now: float) -> None:
    place.feed.encode(now)


def _release(place: Place, now: float) -> None:
    place.feed.release(now)
