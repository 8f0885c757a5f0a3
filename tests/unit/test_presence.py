"""Publishers that come and go as a room's callbacks."""

import json

from hypothesis import given
from hypothesis import strategies as st

from relay.core.ident import StreamKey, StreamType
from relay.core.presence import LeaveReason, PublisherChange, PublisherJoined, PublisherLeft, changed, room_events

ALICE = StreamKey("app", "room", "alice")
SCREEN = StreamKey("app", "room", "alice", StreamType.SCREEN)
BOB = StreamKey("app", "room", "bob")
BOTH = frozenset({"audio", "video"})


def joined(stream: StreamKey, *kinds: str) -> PublisherJoined:
    return PublisherJoined(stream, frozenset(kinds), at=1000)


def left(stream: StreamKey, reason: LeaveReason = LeaveReason.USER_LEFT) -> PublisherLeft:
    return PublisherLeft(stream, reason, at=2000)


def told(*changes: PublisherChange) -> list[str]:
    """Type, user and reason of each event."""
    presence: dict[StreamKey, frozenset[str]] = {}
    result = []
    for change in changes:
        for event in room_events(presence, change):
            data = json.loads(event.data)
            assert (data["RoomId"], data["Timestamp"], event.time) == ("room", change.at, change.at)
            assert (event.app_id, event.sequence) == ("app", "app/room")
            if "UserId" in data:
                assert "DeviceType" in data
            result.append(" ".join(filter(None, (str(event.type), data.get("UserId"), data.get("Reason")))))
        presence = dict(changed(presence, change))
    return result


def test_one_user_from_the_first_to_the_last() -> None:
    assert told(joined(ALICE, "audio", "video"), left(ALICE)) == [
        "RoomCreate",
        "UserJoinRoom alice",
        "UserAudioStreamStart alice",
        "UserVideoStreamStart alice",
        "UserAudioStreamStop alice LeaveRoom",
        "UserVideoStreamStop alice LeaveRoom",
        "UserLeaveRoom alice userLeave",
        "RoomDestroy",
    ]


def test_a_screen_beside_the_camera() -> None:
    assert told(
        joined(ALICE, "audio"), joined(SCREEN, "audio", "video"), left(SCREEN), left(ALICE, LeaveReason.CONNECTION_LOST)
    ) == [
        "RoomCreate",
        "UserJoinRoom alice",
        "UserAudioStreamStart alice",
        "UserScreenAudioStreamStart alice",
        "UserScreenVideoStreamStart alice",
        "UserScreenAudioStreamStop alice StreamStop",
        "UserScreenVideoStreamStop alice StreamStop",
        "UserAudioStreamStop alice LeaveRoom",
        "UserLeaveRoom alice connectionLost",
        "RoomDestroy",
    ]


def test_two_users_one_room() -> None:
    assert told(joined(ALICE, "audio"), joined(BOB, "video"), left(ALICE), left(BOB)) == [
        "RoomCreate",
        "UserJoinRoom alice",
        "UserAudioStreamStart alice",
        "UserJoinRoom bob",
        "UserVideoStreamStart bob",
        "UserAudioStreamStop alice LeaveRoom",
        "UserLeaveRoom alice userLeave",
        "UserVideoStreamStop bob LeaveRoom",
        "UserLeaveRoom bob userLeave",
        "RoomDestroy",
    ]


def test_a_newer_session_tells_only_what_is_different() -> None:
    first = joined(ALICE, "audio", "video")
    assert told(first, joined(ALICE, "audio", "video")) == told(first)
    assert told(first, joined(ALICE, "audio"))[-1] == "UserVideoStreamStop alice StreamStop"


def test_whoever_is_not_there_does_not_leave() -> None:
    assert told(left(ALICE)) == []


STREAMS = st.sampled_from([ALICE, SCREEN, BOB])
CHANGES = st.one_of(
    st.builds(PublisherJoined, STREAMS, st.frozensets(st.sampled_from(sorted(BOTH)), min_size=1), st.just(1000)),
    st.builds(PublisherLeft, STREAMS, st.sampled_from(LeaveReason), st.just(2000)),
)


@given(st.lists(CHANGES, max_size=20))
def test_starts_and_stops_alternate(changes: list[PublisherChange]) -> None:
    """For each thing that begins and ends, and nothing is there once everybody has left."""
    everybody_leaves = [left(stream) for stream in (ALICE, SCREEN, BOB)]
    open_things: set[str] = set()
    for line in told(*changes, *everybody_leaves):
        event, user = [*line.split(" "), ""][:2]
        if event.startswith(("RoomCreate", "UserJoin")) or event.endswith("Start"):
            thing = user + event.replace("Start", "").replace("Create", "").replace("Join", "")
            assert thing not in open_things
            open_things.add(thing)
        else:
            thing = user + event.replace("Stop", "").replace("Destroy", "").replace("Leave", "")
            open_things.remove(thing)
    assert not open_things
