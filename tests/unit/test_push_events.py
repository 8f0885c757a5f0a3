"""A task's changes as callbacks: the lives a task may have, and what a receiver is told of each."""

import json
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.core.callback import CallbackEvent
from relay.core.ident import StreamKey, TaskKey
from relay.core.push_events import push_events
from relay.core.push_url import PushUrl
from relay.core.snapshot import TaskSnapshot
from relay.core.task import ENDED, INTERNAL_ERROR, State, StopReason, TaskSpec

START, NOW = 1_700_000_000_000, 1_700_000_060_000
NEW = TaskSnapshot(
    spec=TaskSpec(
        TaskKey("app", "room", "task"),
        StreamKey("app", "room", "user"),
        PushUrl.parse("rtmp://cdn.example/live/very-secret-key"),
    ),
    state=State.WAITING,
    has_pushed=False,
    stop_reason=StopReason.NONE,
    start_time=START,
    end_time=0,
    idle_since=1,
)
PUSHING = replace(NEW, state=State.PUSHING, has_pushed=True, idle_since=None, connects=1)


def ended(task: TaskSnapshot, reason: StopReason, state: State = State.STOPPED) -> TaskSnapshot:
    return replace(task, state=state, stop_reason=reason, end_time=NOW)


def told(*life: TaskSnapshot | None) -> list[tuple[object, ...]]:
    """Of each event its type and, where they are, `TaskState`, `Code` and `FinishTime`."""
    result: list[tuple[object, ...]] = []
    for before, after in pairwise(life):
        assert after is not None
        for event in push_events(before, after, NOW):
            data = json.loads(event.data)
            assert (data["AppId"], data["RoomId"], data["TaskId"], data["Timestamp"]) == ("app", "room", "task", NOW)
            assert isinstance(data["ErrorMessage"], str)
            assert (event.app_id, event.sequence, event.time) == ("app", "app/room/task", NOW)
            state = (data["TaskState"], data["Code"], data["FinishTime"]) if "TaskState" in data else (data["Code"],)
            result.append((str(event.type), *state))
    return result


def test_a_push_from_start_to_stop() -> None:
    connecting = replace(NEW, state=State.CONNECTING, idle_since=None, connects=1)
    publishing = replace(connecting, state=State.PUBLISHING)
    stopping = ended(PUSHING, StopReason.BY_API, State.STOPPING)
    stopped = replace(stopping, state=State.STOPPED)
    assert told(None, NEW, connecting, publishing, PUSHING, stopping, stopped) == [
        ("TranscodeStarted", 0),
        ("TranscodeStateChanged", 3, 0, 0),
        ("TranscodeStateChanged", 1, 0, NOW),
        ("TranscodeStopped", 0),
    ]


def test_a_publisher_that_goes_and_comes_back() -> None:
    assert told(PUSHING, replace(PUSHING, idle_since=1), PUSHING) == [
        ("TranscodeStateChanged", 3, 2, 0),
        ("TranscodeStateChanged", 3, 0, 0),
    ]


def test_a_cdn_that_goes_and_comes_back() -> None:
    lost = replace(PUSHING, state=State.BACKOFF, last_error="closed by the CDN")
    again = replace(lost, state=State.CONNECTING, connects=2)
    back = replace(PUSHING, last_error="closed by the CDN", connects=2)
    assert told(PUSHING, lost, again, back) == [
        ("TranscodeStateChanged", 2, 4, 0),
        ("TranscodeStateChanged", 3, 0, 0),
    ]
    data = json.loads(push_events(PUSHING, lost, NOW)[0].data)
    assert data["ErrorMessage"] == "closed by the CDN"
    assert (data["StartTime"], data["FinishTime"]) == (START, 0)


def test_an_error_of_the_relay_itself() -> None:
    lost = replace(PUSHING, state=State.BACKOFF, last_error=INTERNAL_ERROR)
    back = replace(PUSHING, last_error=INTERNAL_ERROR, connects=2)
    assert told(PUSHING, lost, back) == [
        ("TranscodeStateChanged", 2, 3, 0),
        ("TranscodeStateChanged", 3, 0, 0),
    ]
    assert json.loads(push_events(PUSHING, lost, NOW)[0].data)["ErrorMessage"] == INTERNAL_ERROR


def test_both_gone() -> None:
    lost = replace(PUSHING, state=State.WAITING, idle_since=1, last_error="closed by the CDN")
    assert told(PUSHING, lost) == [("TranscodeStateChanged", 1, 2, 0)]


def test_nobody_ever_publishes() -> None:
    assert told(None, NEW, ended(NEW, StopReason.IDLE)) == [
        ("TranscodeStarted", 0),
        ("TranscodeStateChanged", 1, 2, NOW),
        ("TranscodeStopped", 0),
    ]


def test_a_cdn_that_refuses_for_good() -> None:
    refused = replace(NEW, state=State.BACKOFF, idle_since=None, connects=1, last_error="the CDN refused: no")
    again = replace(refused, state=State.CONNECTING, connects=2)
    failed = ended(again, StopReason.START_FAILED, State.FAILED)
    assert told(None, NEW, refused, again, failed) == [
        ("TranscodeStarted", 0),
        ("TranscodeStateChanged", 1, 4, 0),
        ("TranscodeStateChanged", 1, 4, NOW),
        ("TranscodeStopped", 0),
    ]


def test_a_task_resumed_after_a_restart() -> None:
    resumed = replace(PUSHING, state=State.WAITING, idle_since=1, connects=0)
    connecting = replace(resumed, state=State.CONNECTING, idle_since=None, connects=1)
    assert told(PUSHING, resumed, connecting, PUSHING) == [
        ("TranscodeStateChanged", 1, 2, 0),
        ("TranscodeStateChanged", 2, 0, 0),
        ("TranscodeStateChanged", 3, 0, 0),
    ]


def test_a_name_used_again_is_a_new_task() -> None:
    other = replace(NEW, start_time=NOW)
    assert told(ended(PUSHING, StopReason.BY_API), other) == [("TranscodeStarted", 0)]


LIFE = st.lists(
    st.builds(
        replace,
        st.sampled_from([NEW, PUSHING]),
        state=st.sampled_from([state for state in State if state not in ENDED]),
        idle_since=st.sampled_from([None, 1]),
        last_error=st.sampled_from(["", "the CDN refused: no", INTERNAL_ERROR]),
    ),
    max_size=8,
)


@given(LIFE, st.sampled_from([reason for reason in StopReason if reason is not StopReason.NONE]))
def test_every_life_begins_once_and_ends_once_and_no_state_is_told_twice(
    life: list[TaskSnapshot], reason: StopReason
) -> None:
    last = ended((life or [NEW])[-1], reason)
    events: list[CallbackEvent] = []
    for before, after in pairwise([None, NEW, *life, last, last]):
        assert after is not None
        events += push_events(before, after, NOW)
    types = [str(event.type) for event in events]
    assert types[0] == "TranscodeStarted"
    assert types[-2:] == ["TranscodeStateChanged", "TranscodeStopped"]
    assert set(types[1:-1]) == {"TranscodeStateChanged"}
    states = [json.loads(event.data) for event in events[1:-1]]
    for one, other in pairwise(states):
        assert (one["TaskState"], one["Code"], one["FinishTime"]) != (
            other["TaskState"],
            other["Code"],
            other["FinishTime"],
        )
    assert "very-secret-key" not in "".join(event.data for event in events)
