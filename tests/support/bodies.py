"""Bodies and queries of the control API: a good one, and every way in which one can be wrong."""

from typing import Any

from tests.support.relay import APP, ROOM

PUSH_URL = "rtmp://127.0.0.1:9/live/secret-key?token=secret-token"

GOOD: dict[str, Any] = {
    "AppId": APP,
    "RoomId": ROOM,
    "TaskId": "task",
    "Stream": {"UserId": "user", "StreamType": 0},
    "PushURL": PUSH_URL,
    "Control": {"MediaType": 0, "MaxIdleTime": 180},
}


def changed(**fields: Any) -> dict[str, Any]:
    """The good body with other values; `...` leaves a field out; `Stream__UserId` is one of an inner object."""
    body: dict[str, Any] = {name: dict(value) if isinstance(value, dict) else value for name, value in GOOD.items()}
    for name, value in fields.items():
        *outer, last = name.split("__")
        target = body[outer[0]] if outer else body
        if value is ...:
            del target[last]
        else:
            target[last] = value
    return body


NOT_IDENTS: list[Any] = [5, 0, True, 1.5, [], ["a"], {}, {"a": 1}, "a b", "a\n", "/", "é", "a" * 129, " "]
UNSET: list[Any] = [..., "", None]
MISSING = {"AppId": "MissingParameter.NoAppId", "RoomId": "MissingParameter.NoRoomId", "TaskId": "InvalidParameter"}
ILLEGAL = {
    "AppId": "InvalidParameter.IllegalAppId",
    "RoomId": "InvalidParameter.IllegalRoomID",
    "TaskId": "InvalidParameter",
}
NOT_JSON = "InvalidParameter.Unmarshal"
BAD_BODIES: list[tuple[object, str, str]] = [
    (None, "InvalidParameter.BodyIsEmpty", "empty"),
    (b"", "InvalidParameter.BodyIsEmpty", "empty"),
    (b"  \n", "InvalidParameter.BodyIsEmpty", "empty"),
    (b"{", NOT_JSON, "JSON"),
    (b"AppId=app&RoomId=room", NOT_JSON, "JSON"),
    (b"[1]", NOT_JSON, "JSON"),
    (b"null", NOT_JSON, "JSON"),
    (b'"text"', NOT_JSON, "JSON"),
    (b"\xff\xfe{}", NOT_JSON, "JSON"),
    (b"[" * 30_000, NOT_JSON, "JSON"),
    (b'{"AppId":' + b"9" * 5000 + b"}", NOT_JSON, "JSON"),
    (b" " * 65_537, "InvalidParameter", "65536"),
    (b"x" * 3_000_000, "InvalidParameter", "65536"),
    ({}, "MissingParameter.NoAppId", "AppId"),
]


def each(field: str, values: list[Any], code: str, words: str) -> list[tuple[object, str, str]]:
    """A row for each wrong value of one field."""
    return [(changed(**{field: value}), code, words) for value in values]


def bad_names() -> list[tuple[object, str, str]]:
    """Every way in which the three names of a task can be wrong, in a body of Start or Stop."""
    table: list[tuple[object, str, str]] = []
    for name in ("AppId", "RoomId", "TaskId"):
        table += each(name, UNSET, MISSING[name], f"{name} is missing")
        table += each(name, NOT_IDENTS, ILLEGAL[name], f"{name} must be 1 to 128")
    return table


NOT_ZERO_OR_ONE = [-1, 2, "", "0", True, 0.5, [], {}, 10**30]
NOT_IDLE_TIMES = [9, 86401, 0, -180, "", "180", True, 10.5, [], {}, 10**30]
BAD = "InvalidParameter"
BAD_STARTS: list[tuple[object, str, str]] = [
    *each("BusinessId", NOT_IDENTS, BAD, "BusinessId must be 1 to 128"),
    *each("Stream", UNSET, BAD, "Stream is missing"),
    *each("Stream", ["user", 1, [], True], BAD, "Stream must be an object"),
    *each("Stream", [{}], "MissingParameter.NoUserId", "UserId"),
    *each("Stream__UserId", UNSET, "MissingParameter.NoUserId", "UserId"),
    *each("Stream__UserId", NOT_IDENTS, BAD, "Stream.UserId must be 1 to 128"),
    *each("Stream__StreamType", NOT_ZERO_OR_ONE, BAD, "Stream.StreamType must be an integer: 0"),
    *each("Control", UNSET, BAD, "Control is missing"),
    *each("Control", [[], "a", 0, False], BAD, "Control must be an object"),
    *each("Control__MediaType", NOT_ZERO_OR_ONE, BAD, "Control.MediaType must be an integer: 0"),
    *each("Control__MaxIdleTime", NOT_IDLE_TIMES, BAD, "Control.MaxIdleTime must be an integer from 10 to 86400"),
    *each("PushURL", UNSET, BAD, "PushURL is missing"),
    *each("PushURL", [7, True, [], {}], BAD, "PushURL must be a string"),
    *(
        (changed(PushURL=url), "InvalidParameter.InvalidRtmpAddress", words)
        for url, words in (
            ("http://host/live/secret", "rtmp://"),
            ("secret", "rtmp://"),
            ("rtmp://host/live", "stream key"),
            ("rtmp://host/live/", "stream key"),
            ("rtmp:///live/secret", "host"),
            ("rtmp://host:0/live/secret", "port"),
            ("rtmp://host:99999/live/secret", "port"),
            ("rtmp://ho[st/live/secret", "host"),
            ("rtmp://host/live/se cret", "space"),
            ("rtmp://host/live/secret\n", "space"),
            (f"rtmp://host/live/secret{'x' * 2048}", "longer than 2048"),
        )
    ),
]
BAD_GETS: list[tuple[dict[str, str], str, str]] = [
    ({}, "MissingParameter.NoAppId", "AppId"),
    ({"AppId": ""}, "MissingParameter.NoAppId", "AppId"),
    ({"RoomId": ROOM, "TaskId": "task"}, "MissingParameter.NoAppId", "AppId"),
    ({"AppId": "a b"}, "InvalidParameter.IllegalAppId", "AppId"),
    ({"AppId": "a" * 129}, "InvalidParameter.IllegalAppId", "AppId"),
    ({"AppId": APP, "TaskId": "task"}, "MissingParameter.NoRoomId", "RoomId"),
    ({"AppId": APP, "RoomId": "", "TaskId": "task"}, "MissingParameter.NoRoomId", "RoomId"),
    ({"AppId": APP, "RoomId": "é", "TaskId": "task"}, "InvalidParameter.IllegalRoomID", "RoomId"),
    ({"AppId": APP, "RoomId": "a" * 129, "TaskId": "task"}, "InvalidParameter.IllegalRoomID", "RoomId"),
    ({"AppId": APP, "RoomId": ROOM}, "InvalidParameter", "TaskId is missing"),
    ({"AppId": APP, "RoomId": ROOM, "TaskId": "", "UserId": ""}, "InvalidParameter", "TaskId is missing"),
    ({"AppId": APP, "RoomId": ROOM, "TaskId": "a b"}, "InvalidParameter", "TaskId must be"),
    ({"AppId": APP, "RoomId": ROOM, "TaskId": "a" * 129}, "InvalidParameter", "TaskId must be"),
    ({"AppId": APP, "RoomId": ROOM, "UserId": "/"}, "InvalidParameter", "UserId must be"),
    ({"AppId": APP, "RoomId": ROOM, "TaskId": "nobody"}, "InvalidParameter.ErrorActiveTaskNotFound", "72 hours"),
    ({"AppId": APP, "RoomId": ROOM, "UserId": "nobody"}, "InvalidParameter.ErrorActiveTaskNotFound", "72 hours"),
]
