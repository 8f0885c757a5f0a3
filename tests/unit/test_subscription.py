"""When an SFU is asked for a stream, over virtual time: each answer, silence, and sessions that come and go."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.core.subscription import (
    ABSENT_MOST,
    ASKING_LIMIT,
    BUSY_STEPS,
    DENIED_STEPS,
    MOST_RETRY_AFTER,
    PROOF,
    SILENCE,
    SILENT_STEPS,
    SPACING,
    Effect,
    Outcome,
    State,
    Subscription,
    outcome_of,
)

ASK, SEAT, DROP = Effect.ASK, Effect.SEAT, Effect.DROP


def asked(started: float = 0.0) -> Subscription:
    one = Subscription(started)
    assert one.poll(started) == (ASK,)
    return one


def live(now: float = 1.0) -> Subscription:
    """Its first packet came at `now`."""
    one = asked(now - 0.2)
    assert one.connected(now - 0.1) == (SEAT,)
    assert one.media(now) == ()
    assert one.state is State.LIVE
    return one


def pauses(one: Subscription, outcome: Outcome, count: int, took: float = 0.01, **said: float) -> list[float]:
    """Seconds between refusals and the attempts that follow, for so many refusals in a row."""
    found = []
    now = one._asked or 0.0
    for _ in range(count):
        now += took
        one.refused(outcome, "no", now, **said)
        found.append(one.deadline() - now)
        now = one.deadline()
        assert one.poll(now - 1e-6) == ()
        assert one.poll(now) == (ASK,)
    return found


def test_every_status_has_its_meaning() -> None:
    for status in (200, *range(202, 600)):
        outcome = outcome_of(status)
        if status in (404, 409, 410):
            assert outcome is Outcome.ABSENT
        elif status >= 500 or status in (408, 425, 429):
            assert outcome is Outcome.BUSY
        else:
            assert outcome is Outcome.DENIED
        one = asked()
        one.refused(outcome, f"answered {status}", 0.1)
        assert one.state is State.WAITING
        assert one.last_error == f"answered {status}"
        assert SPACING <= one.deadline() <= DENIED_STEPS[0] + 0.1


def test_a_stream_that_is_not_there_is_asked_for_soon_and_later_less_often() -> None:
    found = pauses(asked(), Outcome.ABSENT, 300)
    assert all(pause == pytest.approx(SPACING, abs=0.02) for pause in found[:50])
    assert all(b >= a - 0.02 for a, b in pairwise(found))
    assert found[-1] == ABSENT_MOST


def test_a_server_that_is_gone_is_asked_for_at_the_same_pace_for_ever() -> None:
    assert pauses(asked(), Outcome.UNREACHABLE, 500) == pytest.approx([SPACING] * 500)


def test_a_server_that_takes_its_time_to_fail_is_not_asked_back_to_back() -> None:
    assert pauses(asked(), Outcome.UNREACHABLE, 3, took=10.0) == pytest.approx([SPACING] * 3)


@pytest.mark.parametrize(
    ("outcome", "steps"),
    [(Outcome.BUSY, BUSY_STEPS), (Outcome.UNCONNECTED, BUSY_STEPS), (Outcome.DENIED, DENIED_STEPS)],
)
def test_back_off(outcome: Outcome, steps: tuple[float, ...]) -> None:
    assert pauses(asked(), outcome, len(steps) + 2) == pytest.approx([*steps, steps[-1], steps[-1]])


def test_media_ends_the_back_off() -> None:
    one = asked()
    pauses(one, Outcome.BUSY, 4)
    now = one.deadline()
    one.connected(now - ASKING_LIMIT + 0.1)
    one.media(now)
    one.lost("gone", now + 10)
    assert one.poll(now + 10) == (ASK,)
    one.refused(Outcome.BUSY, "no", now + 10.1)
    assert one.deadline() == pytest.approx(now + 10.1 + BUSY_STEPS[0])


@pytest.mark.parametrize("outcome", list(Outcome))
def test_retry_after_is_kept_within_reason(outcome: Outcome) -> None:
    assert pauses(asked(), outcome, 1, retry_after=37.0)[0] == pytest.approx(37.0)
    assert pauses(asked(), outcome, 1, retry_after=1e9)[0] == pytest.approx(MOST_RETRY_AFTER)
    assert pauses(asked(), outcome, 1, retry_after=0.0) == pauses(asked(), outcome, 1)


def test_jitter_lengthens_by_up_to_a_half() -> None:
    one = Subscription(0.0, lambda: 1.0)
    one.poll(0.0)
    one.refused(Outcome.BUSY, "no", 0.1)
    assert one.deadline() == pytest.approx(0.1 + 1.5 * BUSY_STEPS[0])


def test_nobody_publishes_a_stream_that_the_server_gives_all_the_same() -> None:
    """201 and silence: asked for again, each new session in place of the one before it."""
    one = asked()
    assert one.connected(0.1) == (SEAT,)
    now, gaps = 0.1, []
    for _ in range(6):
        gaps.append(one.deadline() - now)
        now = one.deadline()
        effects = one.poll(now)
        assert effects == ((ASK,) if len(gaps) == 1 else (DROP, ASK))  # never more than two sessions at once
        now += 0.1
        assert one.connected(now) == ()
        assert one.trial
    assert gaps == pytest.approx([*SILENT_STEPS, *[SILENT_STEPS[-1]] * 3])
    assert one.media(now + 1, trial=True) == ()
    assert one.media(now + 2, trial=True) == (SEAT,)
    assert one.state is State.LIVE


def test_the_last_pictures_of_a_stream_that_has_ended_are_no_sign_of_life() -> None:
    """Each newcomer is sent them, and nothing else: the stream stays silent, and is asked for less and less."""
    one, gaps = live(1.0), []
    now = one.deadline()
    assert one.poll(now) == (ASK,)
    for _ in range(5):
        assert one.connected(now + 0.1) == ()
        for step in range(10):
            assert one.media(now + 0.1 + step / 100, trial=True) == ()
        gaps.append(one.deadline() - now - 0.1)
        now = one.deadline()
        assert one.poll(now) == (DROP, ASK)
    assert one.last_media == 1.0
    assert gaps == pytest.approx([*SILENT_STEPS, SILENT_STEPS[-1], SILENT_STEPS[-1]])
    one.connected(now + 0.1)
    assert one.media(now + 0.1, trial=True) == ()
    assert one.media(now + 0.1 + PROOF, trial=True) == (SEAT,)


def test_silence_tries_another_and_the_old_one_may_still_win() -> None:
    one = live(1.0)
    one.media(9.0)
    assert one.deadline() == 9.0 + SILENCE
    assert one.poll(11.0) == (ASK,)
    assert one.connected(11.1) == ()
    assert one.media(12.0) == (DROP,)  # it is back where it was
    assert (one.state, one.seated, one.trial) == (State.LIVE, True, False)


def test_silence_tries_another_and_the_new_one_may_win() -> None:
    one = live(1.0)
    assert one.poll(3.0) == (ASK,)
    assert one.connected(3.1) == ()
    assert one.media(3.2, trial=True) == ()
    assert one.media(3.7, trial=True) == (SEAT,)
    assert (one.state, one.seated, one.trial) == (State.LIVE, True, False)


def test_media_comes_back_while_the_attempt_is_under_way() -> None:
    one = live(1.0)
    assert one.poll(3.0) == (ASK,)
    assert one.media(3.1) == (DROP,)
    assert one.connected(3.2) == (DROP,)  # it had been answered already
    one.refused(Outcome.BUSY, "no", 3.3)
    assert one.state is State.LIVE
    assert one.last_error == ""


def test_a_server_that_says_goodbye_is_asked_at_once() -> None:
    one = live(5.0)
    one.lost("closed by the peer", 6.0)
    assert not one.seated
    assert one.poll(6.0) == (ASK,)
    one.refused(Outcome.UNREACHABLE, "refused", 6.0)
    assert one.deadline() == pytest.approx(6.0 + SPACING)


def test_a_server_that_lets_in_and_throws_out_is_asked_less_and_less() -> None:
    one, now, gaps = asked(), 0.0, []
    for _ in range(6):
        assert one.connected(now + 0.1) == (SEAT,)
        one.lost("closed by the peer", now + 0.2)
        gaps.append(one.deadline() - now - 0.2)
        now = one.deadline()
        assert one.poll(now) == (ASK,)
    assert gaps[0] == pytest.approx(BUSY_STEPS[0])
    assert gaps[-1] == pytest.approx(SILENT_STEPS[-1], abs=0.2)


def test_the_silent_one_is_lost_while_another_is_on_trial() -> None:
    one = live(1.0)
    one.poll(3.0)
    one.connected(3.1)
    one.lost("expired", 3.5)
    assert (one.seated, one.trial) == (False, True)
    assert one.media(3.6, trial=True) == ()
    assert one.media(4.2, trial=True) == (SEAT,)
    assert (one.seated, one.trial) == (True, False)
    one = live(1.0)
    one.poll(3.0)
    one.connected(3.1)
    one.lost("expired", 3.5, trial=True)
    assert (one.seated, one.trial) == (True, False)


def test_an_attempt_that_never_ends_is_ended() -> None:
    one = asked()
    assert one.poll(ASKING_LIMIT) == (DROP,)
    assert one.state is State.WAITING
    assert one.connected(ASKING_LIMIT + 0.1) == (DROP,)


class Shell(RuleBasedStateMachine):
    """Any server there may be: sessions are counted as the shell would hold them."""

    @initialize(jitter=st.floats(0, 1))
    def begin(self, jitter: float) -> None:
        self.now = 100.0
        self.one = Subscription(self.now, lambda: jitter)
        self.seat = self.newcomer = self.attempt = False
        self.asked_at: list[float] = []
        self.act(self.one.poll(self.now))

    def act(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if effect is ASK:
                assert not self.attempt
                assert not self.newcomer
                self.attempt = True
                self.asked_at.append(self.now)
            elif effect is SEAT:
                assert self.newcomer
                self.seat, self.newcomer = True, False
            else:
                assert self.attempt or self.newcomer
                self.attempt = self.newcomer = False

    @rule(seconds=st.floats(0, 50))
    def time_passes(self, seconds: float) -> None:
        """As the worker's ticks do: nothing is polled long after it is due."""
        end = self.now + seconds
        while self.one.deadline() <= end:
            self.now = max(self.now, self.one.deadline())
            self.act(self.one.poll(self.now))
        self.now = end

    @precondition(lambda self: self.attempt)
    @rule()
    def connects(self) -> None:
        self.attempt, self.newcomer = False, True
        self.act(self.one.connected(self.now))

    @precondition(lambda self: self.attempt)
    @rule(outcome=st.sampled_from(Outcome), retry_after=st.none() | st.floats(0, 1000))
    def is_refused(self, outcome: Outcome, retry_after: float | None) -> None:
        self.attempt = False
        self.one.refused(outcome, "no", self.now, retry_after=retry_after)

    @precondition(lambda self: self.seat)
    @rule()
    def media_comes(self) -> None:
        self.now += 0.001
        self.act(self.one.media(self.now))
        assert self.one.state is State.LIVE

    @precondition(lambda self: self.newcomer)
    @rule()
    def media_comes_to_the_newcomer(self) -> None:
        self.now += 0.001
        self.act(self.one.media(self.now, trial=True))
        assert self.one.state is (State.LIVE if self.seat and not self.newcomer else State.WAITING)

    @precondition(lambda self: self.seat)
    @rule()
    def is_lost(self) -> None:
        self.seat = False
        self.one.lost("gone", self.now)

    @precondition(lambda self: self.newcomer)
    @rule()
    def the_newcomer_is_lost(self) -> None:
        self.newcomer = False
        self.one.lost("gone", self.now, trial=True)

    @invariant()
    def it_knows_what_there_is(self) -> None:
        assert (self.one.seated, self.one.trial) == (self.seat, self.newcomer)
        assert (self.one.state is State.ASKING) == self.attempt
        assert not (self.attempt and self.newcomer)

    @invariant()
    def it_never_stops_asking_nor_asks_too_often(self) -> None:
        assert self.one.deadline() <= self.now + 1.5 * MOST_RETRY_AFTER
        assert all(b - a >= SPACING - 1e-9 for a, b in pairwise(self.asked_at))


TestAnyServer = Shell.TestCase
TestAnyServer.settings = settings(stateful_step_count=40)
