"""A stream made ready for CDNs: its sound to the end, whatever the coder does."""

from itertools import pairwise

import pytest

from relay.core import flv
from relay.core.h264 import DecoderConfiguration, parse_decoder_configuration, split_length_prefixed
from relay.core.ident import StreamKey
from relay.core.media import AccessUnit
from relay.core.stream import Stream
from relay.push.feed import Feed, MediaTag
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, Transcoder
from tests.support.clip import clip_tags
from tests.support.sound import opus, timed

FRAME = AAC_SAMPLES / AAC_RATE
LOOKAHEAD = 3 * FRAME
"""Seconds of sound that the encoder keeps at most: two frames, and one that is not whole."""


class Taker:
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_tag(self, tag: MediaTag) -> None:
        assert tag.kind == flv.AUDIO
        self.times.append(tag.time)


class Seer(Taker):
    def on_tag(self, tag: MediaTag) -> None:
        if tag.kind == flv.VIDEO:
            self.times.append(tag.time)


def coded() -> tuple[DecoderConfiguration, list[bytes]]:
    """Parameter sets and a key picture of the clip."""
    video = [tag for tag in clip_tags() if tag.type == flv.VIDEO]
    record = parse_decoder_configuration(next(tag for tag in video if tag.is_header).body[5:])
    return record, split_length_prefixed(next(tag for tag in video if tag.is_key).body[5:])


def fed() -> tuple[Stream, Feed, Taker]:
    stream, taker = Stream(StreamKey("app", "room", "user")), Taker()
    feed = Feed(stream, Transcoder)
    feed.attach(taker, 0.1)
    return stream, feed, taker


def test_an_audio_only_push_asks_for_no_picture() -> None:
    """Key pictures cost the publisher: nobody would see these."""
    stream, listener, viewer = Stream(StreamKey("app", "room", "user")), Taker(), Seer()
    asked: list[None] = []
    stream.on_key_frame_wanted = lambda: asked.append(None)
    feed = Feed(stream, Transcoder)
    assert feed.attach(listener, 1.0, video=False) == []
    assert not asked
    assert feed.active
    assert not feed.watched
    record, picture = coded()
    stream.deliver(
        AccessUnit([*record.sps, *record.pps, *picture], True, 0, 1.0, 1.0)
    )  # which `listener` would not take
    (tag,) = feed.attach(viewer, 1.02)
    assert tag.key
    stream.deliver(AccessUnit(picture, True, 9_000, 1.1, 1.1))
    assert viewer.times == [1.1]
    feed.detach(viewer)
    assert not feed.watched
    stream.deliver(AccessUnit(picture, True, 18_000, 1.2, 1.2))
    feed.encode(2.0)
    feed.release(2.0)
    assert listener.times
    feed.detach(listener)


def test_sound_that_waits_for_its_batch_is_not_lost_at_the_end() -> None:
    stream, feed, taker = fed()
    for packet in timed(opus("0.5*sin(2*PI*440*t)", 0.6)):
        stream.deliver(packet)
        if packet.time > 0.3 and len(feed._opus) == 4:
            break
        feed.encode(packet.arrival)
        feed.release(packet.arrival)
    assert len(feed._opus) == 4
    feed.detach(taker)
    assert taker.times[-1] + FRAME >= packet.time + 0.02 - LOOKAHEAD


def test_a_coder_that_fails_is_replaced_and_the_sound_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, feed, taker = fed()
    packets = timed(opus("0.5*sin(2*PI*440*t)", 2.0))
    for number, packet in enumerate(packets):
        stream.deliver(packet)
        if number == 50:
            failing = feed._transcoder
            assert failing is not None

            def fail(piece: object) -> list[bytes]:
                raise RuntimeError("no memory")

            monkeypatch.setattr(failing._coder, "encode", fail)
        feed.encode(packet.arrival)
        feed.release(packet.arrival)
    assert feed._transcoder is not failing
    feed.detach(taker)
    assert taker.times[-1] > packets[-1].time - 0.1
    gaps = [after - before for before, after in pairwise(taker.times)]
    assert min(gaps) > 0
    assert max(gaps) < 0.3
    assert sum(gap > FRAME * 1.1 for gap in gaps) <= 1
