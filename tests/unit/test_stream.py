"""Whether a stream's media arrives, and who hears of it."""

from relay.core.ident import StreamKey
from relay.core.media import OpusPacket
from relay.core.stream import MEDIA_TIMEOUT, Stream

KEY = StreamKey("app", "room", "user")


class Watcher:
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def on_media_ready(self, now: float) -> None:
        self.heard.append(("ready", now))

    def on_media_gone(self, now: float, last_media: float) -> None:
        self.heard.append(("gone", now, last_media))


def watched() -> tuple[Stream, Watcher]:
    stream, watcher = Stream(KEY), Watcher()
    stream.watch(watcher, 0.0)
    return stream, watcher


def test_media_is_there_from_the_first_packet():
    stream, watcher = watched()
    assert watcher.heard == []
    stream.media_seen(1.0, 1.02)
    stream.media_seen(1.5, 1.52)
    assert watcher.heard == [("ready", 1.02)]
    assert (stream.ready, stream.first_media, stream.last_media) == (True, 1.0, 1.5)


def test_who_comes_late_hears_at_once():
    stream, _ = watched()
    stream.media_seen(1.0, 1.0)
    late = Watcher()
    stream.watch(late, 7.0)
    assert late.heard == [("ready", 7.0)]


def test_a_source_without_packets_counts_as_gone_since_the_last():
    stream, watcher = watched()
    stream.media_seen(1.0, 1.0)
    stream.poll(1.0 + MEDIA_TIMEOUT - 0.01)
    assert stream.ready
    stream.poll(1.0 + MEDIA_TIMEOUT)
    stream.poll(100.0)
    assert watcher.heard[1:] == [("gone", 1.0 + MEDIA_TIMEOUT, 1.0)]


def test_a_short_pause_is_none():
    stream, watcher = watched()
    for now in (1.0, 5.5, 10.0):
        stream.poll(now)
        stream.media_seen(now, now)
    assert watcher.heard == [("ready", 1.0)]


def test_a_publisher_that_leaves_is_gone_at_once_and_since_its_last_packet():
    stream, watcher = watched()
    stream.kinds = frozenset({"audio"})
    stream.on_key_frame_wanted = lambda: None
    stream.media_seen(1.0, 1.0)
    stream.publisher_left(3.0)
    assert watcher.heard[1:] == [("gone", 3.0, 1.0)]
    assert (stream.kinds, stream.on_key_frame_wanted) == (frozenset(), None)
    stream.publisher_left(4.0)
    assert len(watcher.heard) == 2


def test_the_last_word_of_an_old_session_does_not_bring_the_stream_back():
    """A session that has sent nothing for long is asked for its last packet at each tick."""
    stream, watcher = watched()
    stream.media_seen(1.0, 1.0)
    stream.poll(7.0)
    for now in (7.02, 8.0, 30.0):
        stream.media_seen(1.0, now)
    assert not stream.ready
    stream.media_seen(40.0, 40.01)
    assert watcher.heard[2:] == [("ready", 40.01)]
    assert stream.first_media == 40.0


def test_no_word_after_unwatch():
    stream, watcher = watched()
    stream.unwatch(watcher)
    stream.unwatch(watcher)
    stream.media_seen(1.0, 1.0)
    assert watcher.heard == []


def test_a_watcher_may_leave_while_it_is_told():
    stream, other = Stream(KEY), Watcher()

    class Leaving(Watcher):
        def on_media_ready(self, now: float) -> None:
            stream.unwatch(self)

    stream.watch(Leaving(), 0.0)
    stream.watch(other, 0.0)
    stream.media_seen(1.0, 1.0)
    assert other.heard == [("ready", 1.0)]


def test_frames_go_to_every_sink_in_order():
    stream = Stream(KEY)
    got: list[tuple[str, object]] = []
    stream.sinks += [lambda frame: got.append(("a", frame)), lambda frame: got.append(("b", frame))]
    packet = OpusPacket(b"\xfc", 0, 0.0, 0.0)
    stream.deliver(packet)
    assert got == [("a", packet), ("b", packet)]


def test_a_key_frame_is_asked_of_whoever_publishes():
    stream = Stream(KEY)
    stream.request_key_frame()
    asked: list[bool] = []
    stream.on_key_frame_wanted = lambda: asked.append(True)
    stream.request_key_frame()
    assert asked == [True]
