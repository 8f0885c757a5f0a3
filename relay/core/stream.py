"""One published stream: its fan-out to sinks, whether media arrives, and the one upward word "key frame wanted"."""

from collections.abc import Callable
from typing import Protocol

from relay.core.head import Head
from relay.core.ident import StreamKey
from relay.core.media import Frame

MEDIA_TIMEOUT = 5.0
"""Seconds without a packet after which the source counts as gone, whatever ICE says (media contract, section 1)."""


class MediaWatcher(Protocol):
    """Who is told whether a stream's media arrives."""

    def on_media_ready(self, now: float) -> None: ...
    def on_media_gone(self, now: float, last_media: float) -> None: ...


class Stream:
    """One user's stream. It outlives its publishers: a newer session takes the place of the one before it."""

    __slots__ = (
        "_ready",
        "_watchers",
        "first_media",
        "head",
        "key",
        "kinds",
        "last_media",
        "on_key_frame_wanted",
        "sinks",
    )

    def __init__(self, key: StreamKey) -> None:
        self.key = key
        self.sinks: list[Callable[[Frame], None]] = []
        """Where frames go: plain calls, in order; none may block."""
        self.head = Head()
        """Of this publisher, up to the frame that the sinks are given."""
        self._watchers: list[MediaWatcher] = []
        self.kinds: frozenset[str] = frozenset()
        """Of "audio" and "video", what the publisher negotiated; empty while there is none."""
        self.first_media: float | None = None
        """When the media that now arrives began."""
        self.last_media: float | None = None
        self.on_key_frame_wanted: Callable[[], None] | None = None
        self._ready = False

    @property
    def ready(self) -> bool:
        """Media of it arrives."""
        return self._ready

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    def watch(self, watcher: MediaWatcher, now: float) -> None:
        """Tells `watcher` of every change from now on; at once if media already arrives."""
        self._watchers.append(watcher)
        if self._ready:
            watcher.on_media_ready(now)

    def unwatch(self, watcher: MediaWatcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def deliver(self, frame: Frame) -> None:
        self.head.push(frame)
        for sink in self.sinks:
            sink(frame)

    def request_key_frame(self) -> None:
        if self.on_key_frame_wanted is not None:
            self.on_key_frame_wanted()

    def close(self) -> None:
        """It is forgotten: what it held is given back now, not when the collector finds it."""
        self.sinks.clear()
        self.head.clear()

    def media_seen(self, at: float, now: float) -> None:
        """A packet of the stream came at `at`."""
        if self.last_media is None or at > self.last_media:
            self.last_media = at
        if not self._ready and now - self.last_media < MEDIA_TIMEOUT:
            self._ready = True
            self.first_media = at
            for watcher in tuple(self._watchers):
                watcher.on_media_ready(now)

    def publisher_left(self, now: float) -> None:
        self.kinds = frozenset()
        self.on_key_frame_wanted = None
        self.head.clear()
        self._gone(now)

    def poll(self, now: float) -> None:
        if self._ready and self.last_media is not None and now - self.last_media >= MEDIA_TIMEOUT:
            self._gone(now)

    def _gone(self, now: float) -> None:
        if not self._ready:
            return
        self._ready = False
        last_media = self.last_media if self.last_media is not None else now
        for watcher in tuple(self._watchers):
            watcher.on_media_gone(now, last_media)
