"""The task's state machine: its table, its idle clock, and a random walk against a model of the world around it."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.core.ident import StreamKey, TaskKey
from relay.core.push_url import PushUrl
from relay.core.snapshot import PushStreamState, Status, wire_state
from relay.core.task import (
    BACKOFF_STEPS,
    CONNECT_SPACING,
    ENDED,
    TIME_LIMITS,
    TRANSITIONS,
    UNREACHABLE_PAUSE,
    Effect,
    Event,
    PushTask,
    State,
    StopReason,
    TaskSpec,
)

CONNECTION_STANDS = frozenset({State.CONNECTING, State.PUBLISHING, State.PUSHING, State.STOPPING})


def make_spec(max_idle_time: float = 180.0) -> TaskSpec:
    return TaskSpec(
        TaskKey("app", "room", "task"),
        StreamKey("app", "room", "user"),
        PushUrl.parse("rtmp://127.0.0.1/live/key"),
        max_idle_time=max_idle_time,
    )


def make_task(max_idle_time: float = 180.0, started: float = 0.0) -> PushTask:
    return PushTask(make_spec(max_idle_time), started)


def pushing(max_idle_time: float = 180.0) -> PushTask:
    task = make_task(max_idle_time)
    assert task.media_ready(1.0) == (Effect.CONNECT,)
    task.connected(1.1)
    assert task.publish_started(1.2) == (Effect.START_MEDIA,)
    return task


def test_every_state_has_a_way_out() -> None:
    for state, row in TRANSITIONS.items():
        if state in ENDED:
            assert not row
        else:
            assert Event.STOP in row or Event.TIMED_OUT in row
            assert state in TIME_LIMITS or Event.STOP in row


def test_every_connect_leads_from_a_state_without_connection() -> None:
    for state, row in TRANSITIONS.items():
        for target, effects in row.values():
            if Effect.CONNECT in effects:
                assert state not in CONNECTION_STANDS
                assert target is State.CONNECTING


def test_waits_without_a_connection_until_media_comes() -> None:
    task = make_task()
    assert task.poll(100.0) == ()
    assert wire_state(task.state, task.has_pushed) == (Status.RUNNING, PushStreamState.NOT_PUSHING)
    assert task.media_ready(100.0) == (Effect.CONNECT,)


def test_stop_while_pushing_says_goodbye() -> None:
    task = pushing()
    assert task.stop(5.0) == (Effect.STOP_MEDIA, Effect.FINISH)
    assert wire_state(task.state, task.has_pushed) == (Status.ENDED, PushStreamState.STOPPED)
    task.finished(5.5)
    assert (task.state, task.stop_reason) == (State.STOPPED, StopReason.BY_API)


def test_a_goodbye_nobody_answers_ends() -> None:
    task = pushing()
    task.stop(5.0)
    deadline = task.deadline()
    assert deadline is not None
    assert task.poll(deadline) == (Effect.ABORT,)
    assert task.state is State.STOPPED


@pytest.mark.parametrize("limit", [10.0, 180.0, 86400.0])
def test_idle_end_counts_from_the_last_packet(limit: float) -> None:
    task = pushing(limit)
    task.media_gone(50.0 + 5.0, last_media=50.0)
    assert task.deadline() == 50.0 + limit
    assert task.poll(50.0 + limit - 0.001) == ()
    assert task.poll(50.0 + limit) == (Effect.STOP_MEDIA, Effect.FINISH)
    assert task.stop_reason is StopReason.IDLE


@pytest.mark.parametrize("limit", [10.0, 180.0, 86400.0])
def test_idle_end_counts_from_the_start_when_nobody_comes(limit: float) -> None:
    task = make_task(limit, started=7.0)
    assert task.deadline() == 7.0 + limit
    task.poll(7.0 + limit)
    assert (task.state, task.stop_reason) == (State.STOPPED, StopReason.IDLE)


def test_trouble_at_the_cdn_is_not_idleness() -> None:
    task = make_task(10.0)
    task.media_ready(1.0)
    now = 1.0
    for _ in range(50):
        task.lost("connection refused", now)
        deadline = task.deadline()
        assert deadline is not None
        now = deadline
        assert task.poll(now) == (Effect.CONNECT,)
    assert now > 100
    assert not task.ended


def lose(task: PushTask, now: float) -> float:
    """The connection is lost; gives when the next begins, which is awaited."""
    task.lost("reset", now)
    deadline = task.deadline()
    assert deadline is not None
    task.poll(deadline)
    return deadline


def test_back_off_grows_and_starts_over_after_a_push() -> None:
    task = make_task()
    task.media_ready(0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        now += 2.0  # each try lasts longer than the spacing of connects
        deadline = lose(task, now)
        pauses.append(round(deadline - now, 6))
        now = deadline
    assert pauses == [*BACKOFF_STEPS, BACKOFF_STEPS[-1], BACKOFF_STEPS[-1]]
    task.connected(now)
    task.publish_started(now)
    task.lost("reset", now + 5)
    assert task.deadline() == now + 5 + BACKOFF_STEPS[0]


def test_a_server_that_takes_the_stream_and_drops_it_is_spared_too() -> None:
    """So do CDNs where a stream is banned, its account's limit is reached or its codec not wanted."""
    task = make_task()
    task.media_ready(0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        task.connected(now + 0.5)
        task.publish_started(now + 1.0)
        now += 1.2
        deadline = lose(task, now)
        pauses.append(round(deadline - now, 6))
        now = deadline
    assert pauses == [*BACKOFF_STEPS, BACKOFF_STEPS[-1], BACKOFF_STEPS[-1]]


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_server_that_is_down_is_met_soon_after_its_return(jitter: float) -> None:
    task = PushTask(make_spec(), 0.0, lambda: jitter)
    task.media_ready(0.0)
    now, connects = 0.0, [0.0]
    while now < 45:
        task.lost("connection refused", now + 0.001, unreachable=True)
        deadline = task.deadline()
        assert deadline is not None
        now = deadline
        assert task.poll(now) == (Effect.CONNECT,)
        connects.append(now)
    pauses = [later - earlier for earlier, later in pairwise(connects)]
    assert min(pauses) >= CONNECT_SPACING
    assert max(pauses) <= max(CONNECT_SPACING, UNREACHABLE_PAUSE * 1.5) + 0.01
    # It is there again, and still holds the old stream: what it says is waited on from the first step.
    task.connected(now)
    task.lost("the CDN refused: NetStream.Publish.BadName Already publishing", now + 2)
    assert task.deadline() == now + 2 + BACKOFF_STEPS[0] * (1 + jitter / 2)


def test_a_refusal_is_not_taken_for_a_server_that_is_down() -> None:
    task = make_task()
    task.media_ready(0.0)
    task.lost("connection refused", 0.0, unreachable=True)
    task.poll(1.0)
    for now, step in ((3.0, BACKOFF_STEPS[0]), (6.0, BACKOFF_STEPS[1])):
        task.lost("reset", now)
        assert task.deadline() == now + step
        task.poll(now + step)


def test_the_same_permanent_refusal_three_times_fails() -> None:
    task = make_task()
    now = 0.0
    task.media_ready(now)
    for _ in range(2):
        task.rejected("NetStream.Publish.Denied", "no", now)
        assert task.state is State.BACKOFF
        deadline = task.deadline()
        assert deadline is not None
        now = deadline
        task.poll(now)
    assert task.rejected("NetStream.Publish.Denied", "no", now) == (Effect.ABORT,)
    assert (task.state, task.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert wire_state(task.state, task.has_pushed) == (Status.FAILED, PushStreamState.UNKNOWN)


def test_different_refusals_do_not_add_up() -> None:
    task = make_task()
    now = 0.0
    task.media_ready(now)
    for code in "ABABABAB":
        task.rejected(code, "no", now)
        assert task.state is State.BACKOFF
        deadline = task.deadline()
        assert deadline is not None
        now = deadline
        task.poll(now)


def test_a_publisher_that_comes_and_goes_does_not_shorten_the_back_off() -> None:
    task = make_task()
    task.media_ready(0.0)
    for now in (2.0, 4.0, 8.0):
        task.lost("reset", now)
        deadline = task.deadline()
        assert deadline is not None
        task.media_gone(now + 0.01, now)
        assert wire_state(task.state, task.has_pushed) == (Status.RUNNING, PushStreamState.NOT_PUSHING)
        assert task.media_ready(now + 0.02) == ()
        assert wire_state(task.state, task.has_pushed) == (Status.RUNNING, PushStreamState.CONNECTING)
        assert task.deadline() == deadline
        assert task.poll(deadline) == (Effect.CONNECT,)


def test_a_connection_lost_while_nobody_publishes_is_not_sought_again() -> None:
    task = pushing()
    task.media_gone(10.0, last_media=5.0)
    assert task.lost("reset", 11.0) == (Effect.STOP_MEDIA,)
    assert task.state is State.WAITING
    assert task.deadline() == 5.0 + 180.0
    assert task.media_ready(20.0) == (Effect.CONNECT,)


def test_a_publisher_that_comes_and_goes_makes_no_storm_of_connects() -> None:
    task = make_task()
    now, connects = 0.0, []
    for _ in range(200):
        if Effect.CONNECT in task.media_ready(now):
            connects.append(now)
        task.media_gone(now + 0.01, now)
        now += 0.05
        if Effect.CONNECT in task.poll(now):
            connects.append(now)
    assert all(later - earlier >= CONNECT_SPACING for earlier, later in pairwise(connects))


class RandomWalk(RuleBasedStateMachine):
    """The task among publishers that come and go and a CDN of every mood, in virtual time."""

    @initialize(limit=st.sampled_from([10.0, 12.5, 180.0]), jitter=st.floats(0, 1))
    def begin(self, limit: float, jitter: float) -> None:
        self.now = 1000.0
        self.task = PushTask(make_spec(limit), self.now, jitter=lambda: jitter)
        self.limit = limit
        self.connection = "none"
        self.media = False
        self.idle_from: float | None = self.now
        self.last_connect: float | None = None
        self.stopped_by: StopReason | None = None
        self.feeding = False

    def apply(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Effect.CONNECT:
                    assert self.connection == "none", "a second connection"
                    assert self.last_connect is None or self.now - self.last_connect >= CONNECT_SPACING - 1e-9
                    self.connection, self.last_connect = "opening", self.now
                case Effect.START_MEDIA:
                    assert self.connection == "published"
                    assert not self.feeding
                    self.feeding = True
                case Effect.STOP_MEDIA:
                    assert self.feeding
                    self.feeding = False
                case Effect.FINISH:
                    assert self.connection != "none"
                    self.connection = "finishing"
                case Effect.ABORT:
                    self.connection = "none"

    def settle(self, reason: StopReason) -> None:
        if self.stopped_by is None and not self.task.ended:
            self.stopped_by = reason

    @rule(step=st.floats(0.001, 30.0))
    def time_passes(self, step: float) -> None:
        target = self.now + step
        while (deadline := self.task.deadline()) is not None and deadline <= target and not self.task.ended:
            self.now = max(self.now, deadline)
            idle_due = self.idle_from is not None and self.now >= self.idle_from + self.limit
            was_active = self.task.state not in (State.STOPPING, *ENDED)
            self.apply(self.task.poll(self.now))
            if idle_due and was_active:
                assert self.task.stop_reason is StopReason.IDLE, "idle, and not ended"
                self.stopped_by = StopReason.IDLE
        self.now = target

    @rule()
    def media_comes(self) -> None:
        if not self.media:
            self.media, self.idle_from = True, None
            self.apply(self.task.media_ready(self.now))

    @rule(noticed_after=st.floats(0.0, 5.0))
    def media_goes(self, noticed_after: float) -> None:
        if self.media:
            self.media, self.idle_from = False, self.now
            last = self.now
            self.now += noticed_after
            self.apply(self.task.media_gone(self.now, last))

    @precondition(lambda self: self.connection == "opening")
    @rule()
    def cdn_accepts(self) -> None:
        self.connection = "connected"
        self.apply(self.task.connected(self.now))

    @precondition(lambda self: self.connection == "connected")
    @rule()
    def cdn_lets_publish(self) -> None:
        self.connection = "published"
        self.apply(self.task.publish_started(self.now))

    @precondition(lambda self: self.connection != "none")
    @rule(unreachable=st.booleans())
    def cdn_is_lost(self, unreachable: bool) -> None:
        self.connection = "none"
        self.apply(self.task.lost("reset", self.now, unreachable=unreachable))

    @precondition(lambda self: self.connection in ("opening", "connected"))
    @rule(code=st.sampled_from(["A", "B"]))
    def cdn_rejects(self, code: str) -> None:
        self.connection = "none"
        self.apply(self.task.rejected(code, "no", self.now))

    @precondition(lambda self: self.connection == "finishing")
    @rule()
    def goodbye_is_done(self) -> None:
        self.connection = "none"
        self.apply(self.task.finished(self.now))

    @rule()
    def somebody_stops_it(self) -> None:
        if self.task.state in (State.STOPPING, *ENDED):
            self.apply(self.task.stop(self.now))
            return
        self.stopped_by = StopReason.BY_API
        self.apply(self.task.stop(self.now))
        assert self.task.state in (State.STOPPING, State.STOPPED)

    @invariant()
    def connection_and_state_agree(self) -> None:
        if not hasattr(self, "task"):
            return
        assert (self.connection != "none") == (self.task.state in CONNECTION_STANDS)
        assert self.feeding == (self.task.state is State.PUSHING)

    @invariant()
    def nothing_is_stuck(self) -> None:
        if not hasattr(self, "task") or self.task.ended:
            return
        # PUSHING with media needs no deadline: the connection and the stream speak up by themselves.
        assert self.task.deadline() is not None or self.task.state is State.PUSHING

    @invariant()
    def it_ends_for_a_reason(self) -> None:
        if not hasattr(self, "task"):
            return
        if self.task.state is State.STOPPED:
            assert self.task.stop_reason is self.stopped_by
        if self.task.state not in (State.STOPPING, *ENDED) and self.idle_from is not None:
            assert self.now < self.idle_from + self.limit + 5.0


TestRandomWalk = RandomWalk.TestCase
TestRandomWalk.settings = settings(stateful_step_count=60)
