"""One room: its publishers, its streams, its push tasks, its viewers, and who closes whom.

A session feeds the stream of its name: a publisher's, or where the worker's streams come from an SFU a subscription's,
which there is while a task wants the stream. A newer session of the same name closes the one before it, and the stream
goes on. A task watches one stream, whether or not anybody publishes it; nothing but Stop, its idle clock or the CDN's
lasting refusal ends it. A viewer's session begins while somebody publishes the stream and outlives that one; the viewer
ends it. A stream is forgotten when it has neither publisher nor task nor viewer, the room when it has no stream.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import structlog

from relay.core.ident import RoomKey, StreamKey
from relay.core.media import Frame
from relay.core.offer import Answered, NotPublished, PublishElsewhere, StaleSession, UnknownSession
from relay.core.presence import LeaveReason, PublisherChange, PublisherJoined, PublisherLeft
from relay.core.stream import Stream
from relay.core.task import Lease, StopReason, TaskSpec
from relay.push.feed import Feed
from relay.push.run import Connect, PushRun
from relay.push.transcode import Transcoder
from relay.rtc.publisher import PublisherSession
from relay.rtc.receiving import ReceivingSession
from relay.rtc.transport import CLOSED_BY_PEER
from relay.worker.audience import Audience
from relay.worker.settings import WorkerSettings
from relay.worker.subscription import Closing, SubscriptionRun

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every room of a worker shares."""

    settings: WorkerSettings
    connect: Connect
    clock: Callable[[], float]
    """Monotonic seconds."""
    wall: Callable[[], int]
    """Milliseconds since 1970."""
    jitter: Callable[[], float]
    on_task_change: Callable[[PushRun], None]
    on_publisher_change: Callable[[PublisherChange], None]
    retire: Callable[[Closing], None]
    """Takes what is closing, until nothing is left of it."""
    whep: httpx.AsyncClient | None
    """For subscriptions, where `settings.source` says so."""


class _Place:
    """A stream with the session that it comes from, the feed that packs it, and those who watch it."""

    __slots__ = ("answering", "audience", "feed", "frames", "session", "session_id", "stream", "subscription", "told")

    def __init__(self, stream: Stream, feed: Feed, audience: Audience) -> None:
        self.stream = stream
        self.feed = feed
        self.audience = audience
        self.session: ReceivingSession | None = None
        self.session_id = ""
        """A publisher's."""
        self.subscription: SubscriptionRun | None = None
        self.answering = 0
        """Offers being answered for this stream: it must not be forgotten meanwhile."""
        self.told = ""
        """The id of the session whose joining has been told; empty: the stream counts as not published."""
        self.frames: list[Frame] = []
        """Received, and not delivered yet."""

    def deliver(self) -> None:
        frames = self.frames.copy()
        self.frames.clear()
        for frame in frames:
            self.stream.deliver(frame)


class Room:
    def __init__(self, key: RoomKey, around: Surroundings) -> None:
        self.key = key
        self._around = around
        self._places: dict[StreamKey, _Place] = {}
        self._runs: dict[str, PushRun] = {}
        self._finishing: list[PushRun] = []
        """Stopped, and still saying goodbye to the CDN: their names are free again."""

    @property
    def empty(self) -> bool:
        return not self._places

    def knows(self, key: StreamKey) -> bool:
        """The stream is published here, or a task waits for it."""
        return key in self._places

    @property
    def session_count(self) -> int:
        return sum((place.session is not None) + place.answering for place in self._places.values())

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
        """Answers a WHIP offer; the new session takes the stream's place from an older one. Raises `PublishError`."""
        if self._around.settings.source is not None:
            raise PublishElsewhere("This relay takes its streams from an SFU: publish there.")
        session_id = secrets.token_urlsafe(16)
        place = self._place(key)
        place.answering += 1
        try:
            session, answer = await PublisherSession.answer(offer, settings=self._around.settings.rtc)
        finally:
            place.answering -= 1
        self._seat(place, session)
        place.session_id = session_id
        session.on_closed = lambda reason: self._session_closed(place, session_id, reason)
        log.info("publisher joined", **key.names(), kinds=sorted(session.kinds))
        return Answered(session_id, answer, session.etag)

    async def trickle(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `PublishError`."""
        place = self._place_of(key, session_id)
        session = place.session if place is not None else None
        if not isinstance(session, PublisherSession):
            raise UnknownSession("There is no such publishing session; it may have ended.")
        if etag not in (None, session.etag):
            raise StaleSession("If-Match names another ICE session than the one that runs.")
        await session.trickle(fragment)

    def unpublish(self, key: StreamKey, session_id: str) -> bool:
        """False: there is no such session."""
        place = self._place_of(key, session_id)
        if place is None:
            return False
        self._leave(place, "the publisher ended its session", LeaveReason.USER_LEFT)
        return True

    def _place_of(self, key: StreamKey, session_id: str) -> "_Place | None":
        place = self._places.get(key)
        if place is None or place.session is None or not secrets.compare_digest(place.session_id, session_id):
            return None
        return place

    def _session_closed(self, place: "_Place", session_id: str, reason: str) -> None:
        if place.session_id == session_id:
            self._leave(
                place, reason, LeaveReason.USER_LEFT if reason == CLOSED_BY_PEER else LeaveReason.CONNECTION_LOST
            )

    # sessions, wherever they come from

    def _seat(self, place: _Place, session: ReceivingSession) -> None:
        """From now on the stream is what `session` brings."""
        if place.session is not None:
            self._detach(place, "a newer session publishes this stream")
        place.session = session
        place.stream.kinds = session.kinds
        session.on_frame = place.frames.append
        place.stream.on_key_frame_wanted = lambda: session.request_key_frame(self._around.clock())

    def _joined(self, place: _Place, session: ReceivingSession) -> None:
        place.told = place.session_id
        key, kinds = place.stream.key, frozenset(session.kinds)
        self._around.on_publisher_change(PublisherJoined(key, kinds, self._around.wall()))

    def _leave(self, place: _Place, reason: str, why: LeaveReason = LeaveReason.CONNECTION_LOST) -> None:
        self._detach(place, reason)
        if place.told:
            place.told = ""
            self._around.on_publisher_change(PublisherLeft(place.stream.key, why, self._around.wall()))

    def _detach(self, place: _Place, reason: str) -> None:
        session, place.session = place.session, None
        if session is None:
            return
        log.info("publisher left", **place.stream.key.names(), reason=reason)
        place.deliver()
        session.close(reason)
        self._around.retire(session)
        place.stream.publisher_left(self._around.clock())
        place.audience.publisher_left()

    # viewers

    async def subscribe(self, key: StreamKey, offer: str) -> Answered:
        """Answers a WHEP offer. Raises `PublishError`."""
        place = self._places.get(key)
        if place is None or not place.stream.kinds:
            raise NotPublished("Nobody publishes this stream now: try again when somebody does.")
        return await place.audience.add(offer)

    async def trickle_viewer(self, key: StreamKey, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `PublishError`."""
        place = self._places.get(key)
        if place is None:
            raise UnknownSession("There is no such viewer's session; it may have ended.")
        await place.audience.trickle(session_id, fragment, etag)

    def unsubscribe(self, key: StreamKey, session_id: str) -> bool:
        """False: there is no such session."""
        place = self._places.get(key)
        return place is not None and place.audience.remove(session_id, "the viewer ended its session")

    # tasks

    def start(self, spec: TaskSpec, lease: Lease) -> None:
        """Begins a run of a task; an older one under that name, whose lease is over, is ended."""
        if (older := self._runs.get(spec.key.task_id)) is not None:
            older.stop()
        place = self._place(spec.stream)
        self._subscribe(place)
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

    def _subscribe(self, place: _Place) -> None:
        """Where streams come from an SFU: the one subscription of all tasks that push this one."""
        around, settings = self._around, self._around.settings
        if place.subscription is not None or settings.source is None or around.whep is None:
            return
        place.subscription = SubscriptionRun(
            place.stream.key,
            take=lambda session: self._seat(place, session),
            leave=lambda reason: self._leave(place, reason),
            source=settings.source,
            client=around.whep,
            settings=settings.rtc,
            clock=around.clock,
            jitter=around.jitter,
            retire=around.retire,
        )

    def _unsubscribe(self, place: _Place, reason: str) -> None:
        """Nothing sends the stream any more, and nobody asks for it."""
        subscription, place.subscription = place.subscription, None
        if subscription is not None:
            subscription.close()
        self._leave(place, reason)

    # One tick of everything that happens in the room, phase by phase.

    def receive(self, now: float) -> None:
        """Packets in."""
        self._each_place(self._receive, now)

    def deliver(self, now: float) -> None:
        """Frames across: pictures become FLV bodies and queue for the CDNs, sound waits for `encode`."""
        self._each_place(_deliver, now)

    def show(self, now: float) -> None:
        """Frames to viewers, and what those ask for."""
        self._each_place(_show, now)

    def encode(self, now: float) -> None:
        """Opus to AAC."""
        self._each_place(_encode, now)

    def push(self, now: float) -> None:
        """Bytes out, and the deadlines of tasks; what nobody needs any more is forgotten."""
        self._each_place(_release, now)
        for run in self.runs:
            try:
                run.tick(now)
            except Exception:
                log.exception("a push failed", task_id=run.spec.key.task_id)
                run.fail("an internal error")
        self._sweep()

    def _each_place(self, step: Callable[[_Place, float], None], now: float) -> None:
        for place in tuple(self._places.values()):
            try:
                step(place, now)
            except Exception:
                # What one stream brings must not cost the others theirs.
                log.exception("a stream failed", **place.stream.key.names())
                self._leave(place, "an internal error")

    def _receive(self, place: _Place, now: float) -> None:
        if place.subscription is not None:
            place.subscription.tick(now)
        stream, session = place.stream, place.session
        if session is not None:
            session.key_frames_wanted = place.feed.active
            session.tick(now)
            if session.connected and place.told != place.session_id:
                self._joined(place, session)
            if (last_media := session.last_media) is not None:
                stream.media_seen(last_media, now)
        stream.poll(now)

    def _sweep(self) -> None:
        self._finishing = [run for run in self._finishing if not run.task.ended]
        wanted = {run.spec.stream for run in self.runs}
        for key, place in tuple(self._places.items()):
            if place.subscription is not None and key not in wanted:
                self._unsubscribe(place, "no task pushes this stream any more")
            if place.session is None and not place.answering and not place.audience.count and key not in wanted:
                place.stream.close()
                place.feed.close()
                del self._places[key]

    def close(self, reason: str) -> None:
        """Stops every task and sends every publisher and viewer away; the tasks' goodbyes still need ticks."""
        for run in tuple(self._runs.values()):
            run.stop(StopReason.UNKNOWN)
        for place in self._places.values():
            self._unsubscribe(place, reason)
            place.audience.close(reason)

    def _place(self, key: StreamKey) -> _Place:
        place = self._places.get(key)
        if place is None:
            stream = Stream(key)
            audience = Audience(stream, self._around.settings.rtc, self._around.retire)
            place = self._places[key] = _Place(stream, Feed(stream, self._make_transcoder), audience)
        return place

    def _make_transcoder(self) -> Transcoder:
        settings = self._around.settings
        return Transcoder(coder=settings.audio_coder, bit_rate=settings.audio_bit_rate)


def _deliver(place: _Place, now: float) -> None:
    place.deliver()


def _show(place: _Place, now: float) -> None:
    place.audience.tick(now)


def _encode(place: _Place, now: float) -> None:
    place.feed.encode(now)


def _release(place: _Place, now: float) -> None:
    place.feed.release(now)
