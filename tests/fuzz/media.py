"""Targets behind reception: parameter sets, and a feed that makes FLV of whatever pictures and sound come."""

import contextlib
import itertools

from relay.core import flv, h264
from relay.core.aac import AudioSpecificConfig, ChannelStream, mid_pair, pair
from relay.core.backlog import Backlog
from relay.core.flv import TagReader
from relay.core.ident import StreamKey
from relay.core.media import AccessUnit, OpusPacket
from relay.core.opus import parse_toc
from relay.core.stream import Stream
from relay.push.feed import Feed, MediaTag
from relay.push.output import Output
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, Transcoder
from tests.fuzz.tape import Tape

MAX_STEPS = 60
_SPS, _PPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c0f1832480"), bytes.fromhex("68cb83cb20")


def parameter_sets(data: bytes) -> None:
    """Each reader on the same bytes: one that refuses them says so by ValueError and keeps none from the next."""
    with contextlib.suppress(ValueError):
        sps = h264.parse_sps(data)
        assert 0 < sps.width <= 16384
        assert 0 < sps.height <= 2 * 16384
        record = h264.decoder_configuration([data], [_PPS])
        assert h264.parse_decoder_configuration(record) == h264.DecoderConfiguration((data,), (_PPS,))
    with contextlib.suppress(ValueError):
        read = h264.parse_decoder_configuration(data)
        assert sum(map(len, (*read.sps, *read.pps))) < len(data)
    for size in (1, 2, 3, 4):
        with contextlib.suppress(ValueError):
            nals = h264.split_length_prefixed(data, size)
            assert h264.split_length_prefixed(h264.length_prefixed(nals)) == nals
    nals = h264.split_annex_b(data)
    assert all(nals)
    with contextlib.suppress(ValueError):
        AudioSpecificConfig.parse(data)
    toc = parse_toc(data)
    assert toc is None or 0 < toc.samples <= 5760


def aac_block(data: bytes) -> None:
    """What passes for a mono encoder's output can be made louder and be joined, and is as long as it ought to be."""
    stream = ChannelStream.parse(data)
    assert ChannelStream.parse(data) == stream
    for steps in (8, 255, -255):
        changed = stream.louder(steps)
        assert changed.gain == max(0, min(stream.gain + steps, 255))
        assert (changed.info, changed.length) == (stream.info, stream.length)
        assert len(pair(stream, changed)) == (8 + 2 * stream.length + 3 + 7) // 8
        both = mid_pair(changed)
        assert both[0] == 0x21
        assert 0 < len(both) - stream.length // 8 <= 20


class _Push:
    """One push: its own clock and backlog, without the connection."""

    def __init__(self, feed: Feed, now: float) -> None:
        self.sounds: list[float] = []
        self.backlog = Backlog()
        self._stamps = {flv.AUDIO: -1, flv.VIDEO: -1}
        self._feed = feed
        head = feed.attach(self, now)
        self._output = Output(
            video=True, audio_config=feed.audio_config, audio_bit_rate=feed.audio_bit_rate, opened=now
        )
        self.now = now
        for tag in head:
            self.on_tag(tag)

    def on_tag(self, tag: MediaTag) -> None:
        if tag.kind == flv.AUDIO:
            self.sounds.append(tag.time)
        if not self._output.admits(tag, self.now, video_expected=True):
            return
        for made in self._output.tags(tag):
            if not made.is_header:
                assert made.timestamp > self._stamps[made.type]
                self._stamps[made.type] = made.timestamp
            self.backlog.push(made)
        assert self.backlog.span <= 11.0

    def write(self) -> None:
        tags = self.backlog.pop(1 << 20)
        read = TagReader().receive(flv.file_header(audio=True, video=True) + b"".join(map(flv.write_tag, tags)))
        assert [tag.body for tag in read] == [tag.body for tag in tags]

    def end(self) -> None:
        self._feed.detach(self)
        # The sound has no hole, whatever came.
        step = AAC_SAMPLES / AAC_RATE
        assert all(abs(after - before - step) < 1e-6 for before, after in itertools.pairwise(self.sounds))


def feed(data: bytes) -> None:
    """A programme of pictures, Opus packets and ticks."""
    tape = Tape(data)
    stream = Stream(StreamKey("app", "room", "user"))
    made = Feed(stream, lambda: Transcoder(coder="fast"))
    now, rtp_time, stamp = 1000.0, 0, 1000.0
    pushes = [_Push(made, now)]
    for _ in range(MAX_STEPS):
        if not tape:
            break
        match tape.number(1) % 8:
            case 0 | 1:
                # Whatever stamps the packets bear, they come in order of time (TrackClock).
                stamp = max(stamp, now + tape.choose((0.0, -0.1, 0.5, -3.0, 3.0)))
                rtp_time += tape.choose((960, 960, 960, 0, -960, 480, 48000, 2**31, -(2**31)))
                stream.deliver(OpusPacket(tape.blob(), rtp_time, stamp, now))
            case 2 | 3:
                key = bool(tape.number(1) & 1)
                sets = tape.choose(([_SPS, _PPS], [], [b"\x67" + tape.take(12), _PPS], [_SPS] * 40 + [_PPS]))
                nals = [*sets, (b"\x65" if key else b"\x41") + tape.blob()]
                stream.deliver(AccessUnit(nals, key, 0, now + tape.choose((0.0, 0.04, -1.0, 2.0)), now))
            case 4 | 5:
                now += tape.choose((0.02, 0.02, 0.06, 0.2))
                made.encode(now)
                made.release(now)
                for push in pushes:
                    push.now = now
            case 6:
                pushes[0].write()
            case _:
                if len(pushes) < 3:
                    pushes.append(_Push(made, now))
                else:
                    pushes.pop().end()
    for push in pushes:
        push.write()
        push.end()
    made.close()
