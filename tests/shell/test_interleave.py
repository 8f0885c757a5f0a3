"""What servers make of the order of a push's tags: SRS moves what is out of it, its players show that."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from relay.core import flv
from relay.core.flv import Tag
from relay.core.ident import StreamKey, TaskKey
from relay.core.media import AccessUnit
from relay.core.push_url import PushUrl
from relay.core.rtmp.amf0 import EcmaArray
from relay.core.rtmp.server import ServerSession
from relay.core.stream import Stream
from relay.core.task import TaskSpec
from relay.push.feed import Feed, MediaTag
from relay.push.interleave import MAX_WAITING, PATIENCE, Interleave
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, AacFrame
from tests.shell.test_run import SparseSound, key_picture
from tests.support.pushing import run_of
from tests.support.virtual import VirtualCdn, VirtualLoop

TICK = 0.02


class SteadySound(SparseSound):
    """Every frame of the silence."""

    def fill(self, until: float) -> list[AacFrame]:
        frames = []
        while self.end < until:
            frames.append(AacFrame(bytes.fromhex("211004608c1c"), self.end))
            self.end += AAC_SAMPLES / AAC_RATE
        return frames


class SrsSession(ServerSession):
    """As SRS 2 to 6 answer `connect`."""

    def accept_connect(self) -> None:
        data = EcmaArray({"version": "3,5,3,888", "srs_sig": "SRS", "srs_server": "SRS/5.0.213(Bee)", "srs_id": "1"})
        information = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "Connection succeeded",
            "objectEncoding": 0.0,
            "data": data,
        }
        properties = {"fmsVer": "FMS/3,5,3,888", "capabilities": 127, "mode": 1}
        self._peer.command(0, "_result", self._transaction, properties, information)


def corrected(tags: list[Tag]) -> list[int]:
    """The timestamps that SRS gives its players (`SrsRtmpJitter::correct`, `time_jitter full`)."""
    last, time, given = 0, -1, []
    for tag in tags:
        step = tag.timestamp - last
        if not -250 <= step <= 250:
            step = 10
        time, last = max(0, time + step), tag.timestamp
        given.append(time)
    return given


@pytest.fixture
def cdn() -> Iterator[VirtualCdn]:
    one = VirtualCdn()
    yield one
    one.socket.close()


def pushed(cdn: VirtualCdn, *, interleave: bool = False) -> list[Tag]:
    """All that is received of ten seconds of a stream of 25 pictures a second, without the metadata."""
    got: list[Tag] = []
    cdn.on_tag = got.append

    async def pushing() -> None:
        loop = asyncio.get_running_loop()
        stream = Stream(StreamKey("app", "room", "user"))
        feed = Feed(stream, SteadySound)  # type: ignore[arg-type]  # the part of it that a feed uses
        spec = TaskSpec(TaskKey("app", "room", "task"), stream.key, PushUrl.parse("rtmp://127.0.0.1/live/key"))
        run = run_of(spec, feed, interleave=interleave)
        stream.kinds = frozenset({"audio", "video"})
        picture = key_picture()
        for count in range(round(10 / TICK)):
            now = loop.time()
            if count % 2 == 0:
                stream.deliver(AccessUnit(picture, True, round(now * 90_000), now, now))
            stream.media_seen(now, now)
            feed.encode(now)
            feed.release(now)
            run.tick(now)
            await asyncio.sleep(TICK)
        run.stop()
        await asyncio.sleep(1)
        assert run.task.ended

    loop = VirtualLoop(cdn)
    loop.run_until_complete(pushing())
    loop.close()
    return [tag for tag in got if tag.type != flv.DATA]


@pytest.mark.parametrize("interleave", [False, True])
def test_an_srs_leaves_the_timestamps_as_they_are(cdn: VirtualCdn, interleave: bool) -> None:
    if not interleave:
        cdn.session = SrsSession
    tags = pushed(cdn, interleave=interleave)
    assert len([tag for tag in tags if tag.type == flv.AUDIO]) > 400
    moved = {given - tag.timestamp for given, tag in zip(corrected(tags), tags, strict=True)}
    assert moved <= {-1, 0}
    assert [tag.timestamp for tag in tags] == sorted(tag.timestamp for tag in tags)
    # Nor is anything lost at the end.
    assert tags[-1].timestamp >= 9_800
    assert len([tag for tag in tags if tag.type == flv.VIDEO and not tag.is_header]) >= 245


def test_to_others_pictures_go_as_they_come(cdn: VirtualCdn) -> None:
    tags = pushed(cdn)
    ahead = max(before.timestamp - tag.timestamp for before, tag in pairwise(tags))
    assert ahead > 300


def test_pictures_do_not_wait_for_sound_that_never_comes() -> None:
    interleave = Interleave()
    times = [count * 0.04 for count in range(100)]
    gone = [
        tag.time for time in times for tag in interleave.push(MediaTag(flv.VIDEO, time, b"", key=False, config=None))
    ]
    assert gone == [time for time in times if times[-1] - time > PATIENCE]
    for _ in range(2 * MAX_WAITING):
        interleave.push(MediaTag(flv.VIDEO, times[-1], b"", key=False, config=None))
    assert len(interleave.rest()) <= MAX_WAITING
    assert interleave.rest() == []
