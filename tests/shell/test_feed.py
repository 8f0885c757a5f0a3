"""A stream made ready for CDNs: its sound to the end, whatever the coder does."""

from itertools import pairwise

import pytest

from relay.core import flv
from relay.core.ident import StreamKey
from relay.core.stream import Stream
from relay.push.feed import Feed, MediaTag
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, Transcoder
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


def fed() -> tuple[Stream, Feed, Taker]:
    stream, taker = Stream(StreamKey("app", "room", "user")), Taker()
    feed = Feed(stream, Transcoder)
    feed.attach(taker, 0.1)
    return stream, feed, taker


def test_sound_that_waits_for_its_batch_is_not_lost_at_the_end() -> None:
    stream, feed, taker = fed()
    for packet in timed(opus("0.5*sin(2*PI*440*t)", 0.6)):
        stream.deliver(packet)
        if packet.time > 0.3 and len(feed._opus) == 4:
            break
        feed.tick(packet.arrival)
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
        feed.tick(packet.arrival)
    assert feed._transcoder is not failing
    feed.detach(taker)
    assert taker.times[-1] > packets[-1].time - 0.1
    gaps = [after - before for before, after in pairwise(taker.times)]
    assert min(gaps) > 0
    assert max(gaps) < 0.3
    assert sum(gap > FRAME * 1.1 for gap in gaps) <= 1
