"""One stream of a room: the session that it comes from, those who push it, those who watch it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from relay.core.ident import StreamKey
from relay.core.media import Frame
from relay.core.offer import Answered, NotPublished, NotTakingWork, StaleSession, UnknownSession
from relay.core.presence import LeaveReason, PublisherChange, PublisherJoined, PublisherLeft
from relay.core.stream import Stream
from relay.push.feed import Feed
from relay.push.run import Connect, PushRun
from relay.push.transcode import Transcoder, TranscodeStats
from relay.rtc.publisher import PublisherSession
from relay.rtc.receiving import ReceivingSession
from relay.rtc.transport import CLOSED_BY_PEER
from relay.rtc.whep import WhepClient
from relay.worker.audience import ENDS, Audience
from relay.worker.settings import WorkerSettings
from relay.worker.subscription import Closing, SubscriptionRun

log = structlog.get_logger(__name__)

NOBODY_PUBLISHES = "Nobody publishes this stream now: try again when somebody does."


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
    whep: WhepClient | None
    """For subscriptions, where `settings.source` says so."""
    sound: TranscodeStats = field(default_factory=TranscodeStats)
    """Of all transcoders together, those that are gone, too."""


class Place:
    """Where a stream is, whether or not anybody sends it."""

    def __init__(self, key: StreamKey, around: Surroundings) -> None:
        self.stream = Stream(key)
        self.feed = Feed(self.stream, self._make_transcoder)
        self.audience = Audience(self.stream, around.settings.rtc, around.retire)
        self.session: ReceivingSession | None = None
        self._around = around
        self._log = log.bind(**key.names())
        self._session_id = ""
        """A publisher's."""
        self._subscription: SubscriptionRun | None = None
        self._ended = False
        """The worker closes: nobody is let in any more."""
        self._answering = 0
        """Offers being answered for this stream: it must not be forgotten meanwhile."""
        self._told = ""
        """The id of the session whose joining has been told; empty: the stream counts as not published."""
        self._frames: list[Frame] = []
        """Received, and not delivered yet."""

    @property
    def session_count(self) -> int:
        """Publishers, one whose offer is being answered included."""
        return (self.session is not None) + self._answering

    @property
    def idle(self) -> bool:
        """Nobody sends it and nobody watches it."""
        return not self.session_count and not self.audience.count

    def _make_transcoder(self) -> Transcoder:
        settings = self._around.settings
        transcoder = Transcoder(coder=settings.audio_coder, bit_rate=settings.audio_bit_rate)
        transcoder.stats = self._around.sound
        return transcoder

    # its publisher

    async def publish(self, offer: str) -> Answered:
        """Answers a WHIP offer; the new session takes the place of an older one. Raises `SessionError`."""
        session_id = secrets.token_urlsafe(16)
        self._answering += 1
        try:
            session, answer = await PublisherSession.answer(offer, settings=self._around.settings.rtc)
        finally:
            self._answering -= 1
        if self._ended:
            session.close(ENDS)
            self._around.retire(session)
            raise NotTakingWork(ENDS)
        self._seat(session)
        self._session_id = session_id
        session.on_closed = lambda reason: self._session_closed(session_id, reason)
        self._log.info("publisher joined", kinds=sorted(session.kinds))
        return Answered(session_id, answer, session.etag)

    async def trickle(self, session_id: str, fragment: str, etag: str | None) -> None:
        """Takes candidates from an SDP fragment. Raises `SessionError`."""
        session = self.session
        if not isinstance(session, PublisherSession) or not self._is_seated(session_id):
            raise UnknownSession("There is no such publishing session; it may have ended.")
        if etag not in (None, session.etag):
            raise StaleSession("If-Match names another ICE session than the one that runs.")
        await session.trickle(fragment)

    def unpublish(self, session_id: str) -> bool:
        """False: there is no such session."""
        if self.session is None or not self._is_seated(session_id):
            return False
        self.leave("the publisher ended its session", LeaveReason.USER_LEFT)
        return True

    def _is_seated(self, session_id: str) -> bool:
        return secrets.compare_digest(self._session_id.encode(), session_id.encode())

    def _session_closed(self, session_id: str, reason: str) -> None:
        if self.session is not None and self._session_id == session_id:
            self.leave(reason, LeaveReason.USER_LEFT if reason == CLOSED_BY_PEER else LeaveReason.CONNECTION_LOST)

    # its session, wherever that comes from

    def _seat(self, session: ReceivingSession) -> None:
        """From now on the stream is what `session` brings."""
        if self.session is not None:
            self._detach("a newer session publishes this stream")
        self.session = session
        self.stream.kinds = session.kinds
        session.on_frame = self._frames.append
        self.stream.on_key_frame_wanted = session.request_key_frame

    def _joined(self, session: ReceivingSession) -> None:
        self._told = self._session_id
        kinds = frozenset(session.kinds)
        self._around.on_publisher_change(PublisherJoined(self.stream.key, kinds, self._around.wall()))

    def leave(self, reason: str, why: LeaveReason = LeaveReason.CONNECTION_LOST) -> None:
        """Ends the session, if there is one; who pushes or watches the stream stays."""
        self._detach(reason)
        if self._told:
            self._told = ""
            self._around.on_publisher_change(PublisherLeft(self.stream.key, why, self._around.wall()))

    def _detach(self, reason: str) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        self._log.info("publisher left", reason=reason)
        self.deliver()
        session.close(reason)
        self._around.retire(session)
        self.stream.publisher_left(self._around.clock())
        self.audience.publisher_left()

    def subscribe(self) -> None:
        """Where streams come from an SFU: the one subscription of all tasks that push this one."""
        around, settings = self._around, self._around.settings
        if self._subscription is not None or settings.source is None or around.whep is None:
            return
        self._subscription = SubscriptionRun(
            self.stream.key,
            take=self._seat,
            leave=self.leave,
            source=settings.source,
            client=around.whep,
            settings=settings.rtc,
            clock=around.clock,
            jitter=around.jitter,
            retire=around.retire,
        )

    def unsubscribe(self, reason: str) -> None:
        """No task pushes it any more: where it comes by a subscription, that ends."""
        if self._subscription is not None:
            self._end_subscription(reason)

    def _end_subscription(self, reason: str) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()
        self.leave(reason)

    # those who watch it

    async def watch(self, offer: str) -> Answered:
        """Answers a WHEP offer. Raises `SessionError`."""
        if not self.stream.kinds:
            raise NotPublished(NOBODY_PUBLISHES)
        return await self.audience.add(offer)

    # a tick

    @property
    def asleep(self) -> bool:
        """Nothing but tasks that wait for a publisher: there is nothing to do."""
        return self.stream.watched and self.idle and self._subscription is None and not self.feed.active

    def receive(self, now: float) -> None:
        """Packets in."""
        if self._subscription is not None:
            self._subscription.tick(now)
        stream, session = self.stream, self.session
        if session is not None:
            session.key_frames_wanted = self.feed.watched
            session.tick(now)
            if session.connected and self._told != self._session_id:
                self._joined(session)
            if (last_media := session.last_media) is not None:
                stream.media_seen(last_media, now)
        stream.poll(now)

    def deliver(self) -> None:
        """Frames across."""
        frames = self._frames.copy()
        self._frames.clear()
        for frame in frames:
            self.stream.deliver(frame)

    def show(self, now: float) -> None:
        """Frames to viewers, and what those ask for. It never costs the publisher."""
        try:
            self.audience.tick(now)
        except Exception:
            self._log.exception("viewers failed")
            self.audience.close("an internal error")

    def end(self, reason: str) -> None:
        """Sends publisher and viewers away, and ends the subscription."""
        self._ended = True
        self._end_subscription(reason)
        self.audience.end(reason)

    def forget(self) -> None:
        """What is held for the stream is given back now, not when the collector finds it."""
        self.stream.close()
        self.feed.close()
