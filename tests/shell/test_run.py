"""A push task among publishers that come and go and a CDN of every mood, for hours: what Get would say is the truth."""

import asyncio
import random
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from relay.core.h264 import parse_decoder_configuration, split_length_prefixed
from relay.core.ident import StreamKey, TaskKey
from relay.core.media import AccessUnit, OpusPacket
from relay.core.push_url import PushUrl
from relay.core.snapshot import TaskSnapshot, wire_state
from relay.core.stream import MEDIA_TIMEOUT, Stream
from relay.core.task import CONNECT_SPACING, Lease, State, StopReason, TaskSpec
from relay.push.feed import Feed
from relay.push.run import PushRun
from relay.push.transcode import AacFrame
from tests.support.clip import clip_tags
from tests.support.pushing import opened, run_of
from tests.support.thorough import also
from tests.support.virtual import Mood, VirtualCdn, VirtualLoop

TICK = 0.5
LATE = 2.0
"""Seconds that what Get says may be behind."""
CONSENT = 32.0
"""Seconds after which a session that vanished is closed."""


class SparseSound:
    """The transcoder's place: a frame of the same silence for each tick, since six hours of AAC take minutes."""

    config = bytes.fromhex("1210")
    bit_rate = 128_000

    def start(self, time: float) -> None:
        self.end = time

    def push(self, packets: Sequence[OpusPacket]) -> list[AacFrame]:
        return []

    def fill(self, until: float) -> list[AacFrame]:
        if until <= self.end:
            return []
        self.end = until
        return [AacFrame(bytes.fromhex("211004608c1c"), until)]

    def close(self) -> None:
        """Holds nothing."""


def key_picture() -> list[bytes]:
    """A whole IDR access unit of the clip, with its parameter sets."""
    tags = clip_tags()
    header = next(tag for tag in tags if tag.type == 9 and tag.is_header)
    record = parse_decoder_configuration(header.body[5:])
    picture = next(tag for tag in tags if tag.is_key)
    return [*record.sps, *record.pps, *split_length_prefixed(picture.body[5:])]


class World:
    """One user, one CDN, and a task of one name that is started again whenever it has ended."""

    def __init__(self, cdn: VirtualCdn, dice: random.Random) -> None:
        self.cdn = cdn
        self.dice = dice
        self.loop = asyncio.get_running_loop()
        self.stream = Stream(StreamKey("app", "room", "user"))
        self.feed = Feed(self.stream, SparseSound)  # type: ignore[arg-type]  # the part of it that a feed uses
        self.picture = key_picture()
        self.seated = False
        self.sending = False
        self.last_packet: float | None = None
        self.closes_at: float | None = None
        self.ends: list[str] = []
        self.visited: set[tuple[int, int]] = set()
        self.first_connect = 0
        self.begin()

    def begin(self) -> None:
        self.spaced()
        self.first_connect = len(self.cdn.connects)
        self.max_idle = self.dice.choice([10.0, 30.0, 180.0, 600.0])
        self.started = self.loop.time()
        self.published_before = self.cdn.published
        self.cdn.denials = 0
        self.stopped = False
        self.truths: deque[tuple[float, tuple[int, int]]] = deque()
        self.run = PushRun(
            TaskSpec(
                TaskKey("app", "room", "task"),
                self.stream.key,
                PushUrl.parse("rtmp://127.0.0.1/live/key"),
                max_idle_time=self.max_idle,
            ),
            Lease(id=1, generation=1, start_time=round(self.loop.time() * 1000)),
            self.stream,
            self.feed,
            connect=opened,
            clock=self.loop.time,
            wall=lambda: round(self.loop.time() * 1000),
            jitter=self.dice.random,
            on_change=lambda run: None,
        )

    def spaced(self) -> None:
        """No storm: a task's connects are a second apart."""
        connects = self.cdn.connects[self.first_connect :]
        assert all(b - a >= CONNECT_SPACING - 1e-6 for a, b in pairwise(connects))

    # what happens

    def publisher_acts(self) -> float:
        """Something, and the seconds until the next."""
        match self.dice.choice(["join", "join", "leave", "vanish", "pause", "away"]):
            case "join":
                if self.seated:  # the newest session wins
                    self.leave()
                self.seated = self.sending = True
                self.closes_at = None
                self.stream.kinds = frozenset({"audio", "video"})
                return self.dice.uniform(1, 300)
            case "leave":
                self.leave()
            case "vanish":
                self.vanish()
            case "pause" if self.seated and self.sending:
                self.sending = False
                return -self.dice.uniform(0.3, 8)  # and goes on
            case "away":
                self.leave()
                return self.dice.uniform(0.1, 700)
        return self.dice.uniform(0.1, 60)

    def vanish(self) -> None:
        self.sending = False
        if self.seated and self.closes_at is None:
            self.closes_at = self.loop.time() + CONSENT

    def leave(self) -> None:
        if self.seated:
            self.seated = self.sending = False
            self.closes_at = None
            self.stream.publisher_left(self.loop.time())

    def cdn_acts(self) -> float:
        match self.dice.choice(["up", "up", "up", "kill", "drop", "mood"]):
            case "up":
                self.cdn.mood = Mood.UP
                return self.dice.uniform(1, 200)
            case "kill":
                self.cdn.kill()
                return self.dice.uniform(0.5, 60)
            case "drop":
                self.cdn.drop()
            case "mood":
                self.cdn.mood = self.dice.choice(list(Mood))
                self.cdn.drop()
                if self.cdn.mood is Mood.DENIES and self.dice.random() < 0.8:
                    return self.dice.uniform(0.1, 3)
        return self.dice.uniform(0.1, 40)

    # what is true

    def truth(self, now: float) -> tuple[int, int]:
        """`Status` and `PushStreamState`, from what the user, the CDN and the application did."""
        idle_from = self.started if self.last_packet is None else max(self.started, self.last_packet)
        if self.stopped or self.cdn.denials >= 3 or (not self.media(now) and now - idle_from >= self.max_idle):
            return (4, 0) if self.cdn.denials >= 3 else (3, 6)
        if self.cdn.phase == "publishing":
            return 2, 5
        if self.cdn.phase == "connected":
            return 2, 4
        if not self.media(now):
            return 2, 1
        return 2, 3 if self.cdn.published > self.published_before else 2

    def media(self, now: float) -> bool:
        return self.seated and self.last_packet is not None and now - self.last_packet < MEDIA_TIMEOUT

    def compare(self, now: float) -> None:
        snapshot = self.run.snapshot()
        said = wire_state(snapshot.state, snapshot.has_pushed)
        said_now = int(said[0]), int(said[1])
        self.visited.add(said_now)
        self.note(now)
        while len(self.truths) > 1 and self.truths[1][0] < now - LATE:
            self.truths.popleft()
        assert said_now in {truth for _, truth in self.truths}, (now, said_now, list(self.truths), self.cdn.mood)
        if self.run.task.ended:
            self.ends.append(snapshot.stop_reason.value)

    def note(self, now: float) -> None:
        true = self.truth(now)
        if not self.truths or self.truths[-1][1] != true:
            self.truths.append((now, true))

    # time

    def tick(self) -> None:
        now = self.loop.time()
        if self.closes_at is not None and now >= self.closes_at:
            self.leave()
        if self.sending:
            self.stream.deliver(AccessUnit(self.picture, True, round(now * 90000), now, now))
            self.last_packet = now
            self.stream.media_seen(now, now)
        self.stream.poll(now)
        self.feed.encode(now)
        self.feed.release(now)
        self.run.tick(now)

    async def live(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        publisher = cdn = self.loop.time()
        resume: float | None = None
        while (now := self.loop.time()) < end:
            self.note(now)  # what has come about since the last tick may end in this one
            if now >= publisher:
                pause = self.publisher_acts()
                resume = now - pause if pause < 0 else None
                publisher = now + abs(pause)
            if resume is not None and now >= resume:
                self.sending, resume = self.seated, None
            if now >= cdn:
                cdn = now + self.cdn_acts()
            if self.dice.random() < TICK / 1200:
                self.stopped = True
                self.run.stop(StopReason.BY_API)
            self.tick()
            self.compare(now)
            if self.run.task.ended:
                self.begin()
            await asyncio.sleep(TICK)
        if self.run.active:
            self.run.stop()
        for _ in range(20):
            self.tick()
            await asyncio.sleep(TICK)
        self.spaced()


@pytest.fixture
def cdn() -> Iterator[VirtualCdn]:
    one = VirtualCdn()
    yield one
    one.socket.close()


@pytest.mark.parametrize("outage", [3.0, 45.0])
def test_a_cdn_that_comes_back_is_pushed_to_within_two_seconds(cdn: VirtualCdn, outage: float) -> None:
    loop = VirtualLoop(cdn)
    dice = random.Random(5)  # noqa: S311  reproducible chance is what is wanted

    async def outages() -> list[float]:
        world = World(cdn, dice)
        world.seated = world.sending = True
        world.stream.kinds = frozenset({"video"})

        async def until(moment: float) -> None:
            while loop.time() < moment:
                world.tick()
                await asyncio.sleep(0.05)

        waits = []
        for _ in range(12):
            await until(loop.time() + 5)
            assert cdn.phase == "publishing"
            cdn.kill()
            await until(loop.time() + outage + dice.random())
            assert wire_state(world.run.task.state, world.run.task.has_pushed) == (2, 3)
            cdn.mood, back, tags = Mood.UP, loop.time(), cdn.tags
            while cdn.tags < tags + 4:  # metadata, two headers, the key frame
                await until(loop.time() + 0.05)
            waits.append(loop.time() - back)
        world.run.stop()
        await until(loop.time() + 2)
        world.spaced()
        return waits

    waits = loop.run_until_complete(outages())
    loop.close()
    assert max(waits) < 2.0


@pytest.mark.parametrize(("hours", "seed"), [(1, 6), *also((6, 7))])
def test_hours_of_joins_leaves_and_drops(cdn: VirtualCdn, hours: int, seed: int) -> None:
    loop = VirtualLoop(cdn)

    async def lived() -> World:
        world = World(cdn, random.Random(seed))  # noqa: S311  reproducible chance is what is wanted
        await world.live(hours * 3600)
        return world

    world = loop.run_until_complete(lived())
    loop.close()
    assert world.visited == {(2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (3, 6), (4, 0)}
    assert set(world.ends) == {"StopByAPI", "IdleTimeOut", "StartTaskFailed"}
    assert len(world.ends) > 10
    assert cdn.published > 9 * hours
    assert cdn.tags > 1_700 * hours


def test_a_run_that_goes_on_where_another_was_cut_off(cdn: VirtualCdn) -> None:
    """What lies behind the task is told and counts: its start, that it has pushed, and the idle time so far."""

    async def resumed() -> None:
        loop = asyncio.get_running_loop()
        stream = Stream(StreamKey("app", "room", "user"))
        spec = TaskSpec(
            TaskKey("app", "room", "task"), stream.key, PushUrl.parse("rtmp://127.0.0.1/live/key"), max_idle_time=30
        )
        told: list[TaskSnapshot] = []
        feed = Feed(stream, SparseSound)  # type: ignore[arg-type]  # the part of it that a feed uses
        lease = Lease(id=7, generation=3, start_time=5_000, has_pushed=True, idle_for=25.0)
        run = run_of(spec, feed, lease=lease, on_change=lambda run: told.append(run.snapshot()))
        first = run.snapshot()
        assert (first.id, first.generation, first.start_time, first.state) == (7, 3, 5_000, State.WAITING)
        assert first.idle_since == round((loop.time() - 25) * 1000)
        assert first.lease(round(loop.time() * 1000)) == run.lease
        stream.media_seen(loop.time(), loop.time())
        assert wire_state(told[-1].state, told[-1].has_pushed) == (2, 3)
        assert told[-1].idle_since is None
        last_media = loop.time()
        await asyncio.sleep(3)
        stream.publisher_left(loop.time())
        assert (told[-1].state, told[-1].idle_since) == (State.WAITING, round(last_media * 1000))
        await asyncio.sleep(26)
        run.tick(loop.time())
        assert run.active
        await asyncio.sleep(1)
        run.tick(loop.time())
        assert (told[-1].state, told[-1].stop_reason) == (State.STOPPED, StopReason.IDLE)
        assert told[-1].end_time == round(loop.time() * 1000)

    cdn.mood = Mood.GONE
    loop = VirtualLoop(cdn)
    loop.run_until_complete(resumed())
    loop.close()
