"""The run of one push task: drives one `core.task`, events in, effects out, and writes the stream to the CDN.

The run owns its connection and nothing else.
"""

from collections.abc import Callable

from relay.core import flv
from relay.core.backlog import Backlog
from relay.core.flv import Tag
from relay.core.push_url import PushUrl
from relay.core.rtmp.publisher import Connected, PublishStarted, Refused
from relay.core.snapshot import TaskSnapshot
from relay.core.stream import Stream
from relay.core.task import Effect, Lease, MediaType, PushTask, State, StopReason, TaskSpec
from relay.push.connection import Connection, Event, Listener, Lost
from relay.push.feed import Feed, MediaTag
from relay.push.interleave import Interleave
from relay.push.output import Output

Connect = Callable[[PushUrl, Listener], Connection]
"""Begins a connection at once and tells its listener, later, what becomes of it."""

QUEUE_LIMIT = 1.5
"""Seconds of video in the backlog. What the connection holds comes on top, some 0.5 s at 1 Mbit/s: 2 s together."""
DRAIN = 16 * 1024
"""Bytes taken from the backlog at once, between looks whether the connection takes more."""


class PushRun:
    """One task on its way. `clock` gives the monotonic seconds of every `now`; `wall` milliseconds since 1970."""

    def __init__(
        self,
        spec: TaskSpec,
        lease: Lease,
        stream: Stream,
        feed: Feed,
        *,
        connect: Connect,
        clock: Callable[[], float],
        wall: Callable[[], int],
        jitter: Callable[[], float],
        on_change: Callable[["PushRun"], None],
        interleave: bool = False,
        first_timestamp: int = 0,
    ) -> None:
        now = clock()
        self.spec = spec
        self.lease = lease
        self.task = PushTask(spec, now, jitter, has_pushed=lease.has_pushed)
        self.task.idle_since = now - lease.idle_for
        self._stream = stream
        self._feed = feed
        self._connect = connect
        self._clock = clock
        self._wall = wall
        self._on_change = on_change
        self._always_interleave = interleave
        self._first_timestamp = first_timestamp
        self._end_time = 0
        self._connection: Connection | None = None
        self._authorized: PushUrl | None = None
        """What the next connection is for, where the last one was asked for a password."""
        self._output: Output | None = None
        self._interleave: Interleave | None = None
        """Where the CDN wants it."""
        self._backlog = Backlog(limit=QUEUE_LIMIT)
        self._dropped = 0
        self._video_sent = 0
        self._audio_sent = 0
        self._bytes_sent = 0
        self._first_frame_after: float | None = None
        self._told = self._news
        self._deadline = self.task.deadline()
        """As it stands since something last happened to the task: most ticks find nothing but that."""
        stream.watch(self, now)

    # words from above

    @property
    def active(self) -> bool:
        """The task's name is taken: it neither ended nor is about to."""
        return self.task.state not in (State.STOPPING, State.STOPPED, State.FAILED)

    def stop(self, reason: StopReason = StopReason.BY_API) -> None:
        now = self._clock()
        self._act(self.task.stop(now, reason), now)

    def fail(self, reason: str) -> None:
        """An internal error: the connection is dropped, and tried again like any other loss."""
        connection = self._connection
        self._forget_connection()
        if connection is not None:
            connection.abort()
        now = self._clock()
        self._act(self.task.lost(reason, now), now)

    def tick(self, now: float) -> None:
        """Deadlines, and all that was queued since the last tick in one write."""
        if self._deadline is not None and now >= self._deadline:
            self._act(self.task.poll(now), now)
        connection = self._connection
        if connection is not None:
            self._drain()
            connection.poll(now)

    def snapshot(self) -> TaskSnapshot:
        task, lease = self.task, self.lease
        idle = task.idle_since
        return TaskSnapshot(
            spec=self.spec,
            state=task.state,
            has_pushed=task.has_pushed,
            stop_reason=task.stop_reason,
            start_time=lease.start_time,
            end_time=self._end_time,
            connects=task.connects,
            last_error=task.last_error,
            video_sent=self._video_sent,
            audio_sent=self._audio_sent,
            dropped=self._dropped + self._backlog.dropped_video + self._backlog.dropped_audio,
            bytes_sent=self._bytes_sent + (self._connection.bytes_written if self._connection is not None else 0),
            first_frame_after=self._first_frame_after,
            id=lease.id,
            generation=lease.generation,
            idle_since=None if idle is None else self._wall() - round((self._clock() - idle) * 1000),
        )

    # words from the stream

    def on_media_ready(self, now: float) -> None:
        self._act(self.task.media_ready(now), now)

    def on_media_gone(self, now: float, last_media: float) -> None:
        self._act(self.task.media_gone(now, last_media), now)

    def on_tag(self, tag: MediaTag) -> None:
        """A frame from the feed, while the CDN takes media."""
        if self._interleave is None:
            self._queue(tag)
            return
        for ready in self._interleave.push(tag):
            self._queue(ready)

    def _queue(self, tag: MediaTag) -> None:
        output = self._output
        if output is None or not output.admits(tag, self._clock(), video_expected=self._video_expected):
            return
        for piece in output.tags(tag):
            self._backlog.push(piece)
        if output.video and self._backlog.key_frame_wanted and tag.kind == flv.VIDEO:
            self._stream.request_key_frame()

    @property
    def _video_expected(self) -> bool:
        kinds = self._stream.kinds
        return "video" in kinds or not kinds

    # words from the connection

    def _on_event(self, connection: Connection, event: Event) -> None:
        if connection is not self._connection:
            return  # the last words of one that is given up already
        now = self._clock()
        match event:
            case Connected(interleaved):
                self._interleave = Interleave() if interleaved or self._always_interleave else None
                effects = self.task.connected(now)
            case PublishStarted():
                effects = self.task.publish_started(now)
            case Refused(code, description, permanent):
                self._forget_connection()
                self._authorized = event.authorized
                reason = f"the CDN refused: {code} {description}".rstrip()
                effects = self.task.rejected(code, reason, now) if permanent else self.task.lost(reason, now)
            case Lost(reason, unreachable, forbidden):
                self._forget_connection()
                if self.task.state is State.STOPPING:
                    effects = self.task.finished(now)
                elif forbidden:
                    effects = self.task.rejected("forbidden", reason, now)
                else:
                    effects = self.task.lost(reason, now, unreachable=unreachable)
        self._act(effects, now)

    # effects

    def _act(self, effects: tuple[Effect, ...], now: float) -> None:
        for effect in effects:
            match effect:
                case Effect.CONNECT:
                    self._begin_connection()
                case Effect.START_MEDIA:
                    video = self.spec.media_type is MediaType.AUDIO_AND_VIDEO
                    head = self._feed.attach(self, now, video=video)
                    self._output = Output(
                        video=video,
                        audio_config=self._feed.audio_config,
                        audio_bit_rate=self._feed.audio_bit_rate,
                        opened=now,
                        first_timestamp=self._first_timestamp,
                    )
                    for tag in head:
                        self.on_tag(tag)
                case Effect.STOP_MEDIA:
                    self._feed.detach(self)
                    for tag in self._interleave.rest() if self._interleave is not None else ():
                        self._queue(tag)
                    self._end_output(flush=self.task.state is State.STOPPING)
                case Effect.FINISH:
                    if self._connection is not None:
                        self._connection.finish()
                case Effect.ABORT:
                    connection = self._connection
                    self._forget_connection()
                    if connection is not None:
                        connection.abort()
        self._deadline = self.task.deadline()
        self._tell()

    def _begin_connection(self) -> None:
        listener = _Ear(self._on_event)
        url, self._authorized = self._authorized or self.spec.push_url, None
        listener.connection = self._connection = self._connect(url, listener)

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._bytes_sent += self._connection.bytes_written
            self._connection = None

    @property
    def _news(self) -> tuple[State, str, bool]:
        """What others are told of when it changes."""
        return self.task.state, self.task.last_error, self.task.idle_since is None

    def _tell(self) -> None:
        news = self._news
        if news == self._told:
            return
        self._told = news
        if not self.active and not self._end_time:
            self._end_time = self._wall()
        if self.task.ended:
            self._stream.unwatch(self)
        self._on_change(self)

    # sending

    def _drain(self) -> None:
        connection = self._connection
        if connection is None or self._output is None:
            return
        while self._backlog and connection.writable:
            tags = self._backlog.pop(DRAIN)
            self._send(connection, tags)
            connection.flush()

    def _end_output(self, *, flush: bool) -> None:
        if flush and self._connection is not None:
            self._send(self._connection, self._backlog.pop_all())
        self._output = None
        self._dropped += self._backlog.dropped_video + self._backlog.dropped_audio
        self._backlog = Backlog(limit=QUEUE_LIMIT)

    def _send(self, connection: Connection, tags: list[Tag]) -> None:
        for tag in tags:
            connection.send(tag.type, tag.timestamp, tag.body)
            if tag.is_header:
                continue
            if tag.type == flv.VIDEO:
                self._video_sent += 1
            else:
                self._audio_sent += 1
            if self._first_frame_after is None:
                now = self._clock()
                first_media = self._stream.first_media
                self._first_frame_after = now - max(self.task.started, now if first_media is None else first_media)


class _Ear:
    """A connection's listener that says which connection speaks."""

    __slots__ = ("_tell", "connection")

    def __init__(self, tell: Callable[[Connection, Event], None]) -> None:
        self._tell = tell
        self.connection: Connection | None = None

    def on_event(self, event: Event) -> None:
        if self.connection is not None:
            self._tell(self.connection, event)
