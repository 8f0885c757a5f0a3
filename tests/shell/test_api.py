"""The control API over real HTTP: envelope, errors, and what Get says of a task without a publisher."""

import re
from typing import Any

import pytest

from relay.api.actions import ALREADY_STARTED
from tests.support.relay import APP, ROOM, running_relay

START = "StartPushSingleStreamToCDN"
STOP = "StopPushStreamToCDN"
GET = "GetPushSingleStreamToCDNTask"
PUSH_URL = "rtmp://127.0.0.1:9/live/secret-key?token=secret-token"

GOOD: dict[str, Any] = {
    "AppId": APP,
    "RoomId": ROOM,
    "TaskId": "task",
    "Stream": {"UserId": "user", "StreamType": 0},
    "PushURL": PUSH_URL,
    "Control": {"MediaType": 0, "MaxIdleTime": 180},
}
REQUEST_ID = re.compile(r"\d{14}[0-9A-F]{20}")


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


async def test_a_task_starts_once_stops_once_and_is_remembered() -> None:
    async with running_relay() as relay:
        response = await relay.call(START, GOOD)
        answer = response.json()
        assert answer["Result"] == "ok"
        metadata = answer["ResponseMetadata"]
        assert REQUEST_ID.fullmatch(metadata.pop("RequestId"))
        assert metadata == {"Action": START, "Version": "2023-11-01", "Service": "rtc", "Region": "cn-north-1"}
        assert REQUEST_ID.fullmatch(response.headers["X-Tt-Logid"])

        assert (await relay.call(START, GOOD)).json()["Result"] == ALREADY_STARTED
        task = await relay.get()
        assert task.pop("StartTime") > 1_600_000_000_000
        assert task == {
            "EndTime": 0,
            "Status": 2,
            "StopReason": "",
            "PushStreamState": 1,
            "Stream": {"UserId": "user", "StreamType": 0},
            "PushURL": PUSH_URL,
            "Control": {"MediaType": 0, "MaxIdleTime": 180},
        }
        assert (await relay.stop()).json()["Result"] == "ok"
        again = await relay.stop()
        assert again.status_code == 400
        assert again.json()["ResponseMetadata"]["Error"]["Code"] == "InvalidParameter.ErrorActiveTaskNotFound"
        ended = await relay.get()
        assert (ended["Status"], ended["PushStreamState"], ended["StopReason"]) == (3, 6, "StopByAPI")
        assert ended["EndTime"] >= ended["StartTime"]
        assert (await relay.call(START, GOOD)).json()["Result"] == "ok"
        assert await relay.states() == (2, 1, "")


async def test_the_same_task_id_lives_in_another_room() -> None:
    async with running_relay() as relay:
        assert (await relay.call(START, GOOD)).json()["Result"] == "ok"
        assert (await relay.call(START, changed(RoomId="other"))).json()["Result"] == "ok"
        assert (await relay.stop()).json()["Result"] == "ok"
        assert await relay.states(room="other") == (2, 1, "")


async def test_get_finds_by_user_and_the_active_task_first() -> None:
    async with running_relay() as relay:
        for name in ("one", "two"):
            await relay.start(PUSH_URL, task=name)
        await relay.stop("two")
        response = await relay.call(GET, method="GET", AppId=APP, RoomId=ROOM, UserId="user")
        assert response.json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2
        response = await relay.call(GET, method="GET", AppId=APP, RoomId=ROOM, UserId="user", TaskId="two")
        assert response.json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 3
        response = await relay.call(GET, method="GET", AppId=APP, RoomId=ROOM, UserId="stranger", TaskId="two")
        assert response.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        changed(Control={}),
        changed(Control__MediaType=None, Control__MaxIdleTime=None),
        changed(Stream__StreamType=...),
        changed(BusinessId="b", Unknown=1),
        changed(Control__MaxIdleTime=10),
        changed(Control__MaxIdleTime=86400),
        changed(TaskId="a" * 128),
        changed(TaskId="A-z_0.9@"),
        dict(reversed(GOOD.items())),
    ],
)
async def test_what_start_takes(body: dict[str, Any]) -> None:
    async with running_relay() as relay:
        assert (await relay.call(START, body)).json()["Result"] == "ok"


BAD_STARTS: list[tuple[object, str, str]] = [
    (b"", "InvalidParameter.BodyIsEmpty", "empty"),
    (b"  \n", "InvalidParameter.BodyIsEmpty", "empty"),
    (b"{", "InvalidParameter.Unmarshal", "JSON"),
    (b"[1]", "InvalidParameter.Unmarshal", "JSON"),
    (b"\xff\xfe{}", "InvalidParameter.Unmarshal", "JSON"),
    (b"[" * 30_000, "InvalidParameter.Unmarshal", "JSON"),
    (b" " * 70_000, "InvalidParameter", "65536"),
    ({}, "MissingParameter.NoAppId", "AppId"),
    (changed(AppId=...), "MissingParameter.NoAppId", "AppId"),
    (changed(AppId=""), "MissingParameter.NoAppId", "AppId"),
    (changed(AppId=None), "MissingParameter.NoAppId", "AppId"),
    (changed(AppId=5), "InvalidParameter.IllegalAppId", "AppId"),
    (changed(AppId="a b"), "InvalidParameter.IllegalAppId", "AppId"),
    (changed(AppId="a" * 129), "InvalidParameter.IllegalAppId", "AppId"),
    (changed(AppId="a\n"), "InvalidParameter.IllegalAppId", "AppId"),
    (changed(RoomId=...), "MissingParameter.NoRoomId", "RoomId"),
    (changed(RoomId="é"), "InvalidParameter.IllegalRoomID", "RoomId"),
    (changed(TaskId=...), "InvalidParameter", "TaskId is missing"),
    (changed(TaskId="/"), "InvalidParameter", "TaskId"),
    (changed(BusinessId="/"), "InvalidParameter", "BusinessId"),
    (changed(Stream=...), "InvalidParameter", "Stream is missing"),
    (changed(Stream="user"), "InvalidParameter", "Stream"),
    (changed(Stream__UserId=...), "MissingParameter.NoUserId", "UserId"),
    (changed(Stream__UserId="a b"), "InvalidParameter", "Stream.UserId"),
    (changed(Stream__StreamType=2), "InvalidParameter", "Stream.StreamType must be an integer: 0"),
    (changed(Stream__StreamType="0"), "InvalidParameter", "Stream.StreamType"),
    (changed(Stream__StreamType=True), "InvalidParameter", "Stream.StreamType"),
    (changed(Control=...), "InvalidParameter", "Control is missing"),
    (changed(Control=[]), "InvalidParameter", "Control"),
    (changed(Control__MediaType=2), "InvalidParameter", "Control.MediaType"),
    (changed(Control__MediaType=0.5), "InvalidParameter", "Control.MediaType"),
    (changed(Control__MaxIdleTime=9), "InvalidParameter", "from 10 to 86400"),
    (changed(Control__MaxIdleTime=86401), "InvalidParameter", "from 10 to 86400"),
    (changed(Control__MaxIdleTime="180"), "InvalidParameter", "Control.MaxIdleTime"),
    (changed(PushURL=...), "InvalidParameter", "PushURL is missing"),
    (changed(PushURL=7), "InvalidParameter", "PushURL"),
    (changed(PushURL="http://host/live/key"), "InvalidParameter.InvalidRtmpAddress", "rtmp://"),
    (changed(PushURL="rtmp://host/live"), "InvalidParameter.InvalidRtmpAddress", "stream key"),
    (changed(PushURL="rtmp:///live/key"), "InvalidParameter.InvalidRtmpAddress", "host"),
    (changed(PushURL="rtmp://host:99999/live/key"), "InvalidParameter.InvalidRtmpAddress", "port"),
    (changed(PushURL="rtmp://host/live/se cret"), "InvalidParameter.InvalidRtmpAddress", "space"),
]


async def test_what_start_refuses() -> None:
    async with running_relay() as relay:
        for body, code, words in BAD_STARTS:
            response = await relay.call(START, body)
            answer = response.json()
            error = answer["ResponseMetadata"]["Error"]
            assert (response.status_code, error["Code"]) == (400, code), body
            assert words in error["Message"], (body, error)
            assert "Result" not in answer
            assert "CodeN" not in error
            assert "secret" not in response.text


async def test_what_get_refuses() -> None:
    async with running_relay() as relay:
        for query, code in (
            ({}, "MissingParameter.NoAppId"),
            ({"AppId": APP}, "MissingParameter.NoRoomId"),
            ({"AppId": APP, "RoomId": ROOM}, "InvalidParameter"),
            ({"AppId": APP, "RoomId": ROOM, "TaskId": "a b"}, "InvalidParameter"),
            ({"AppId": APP, "RoomId": ROOM, "TaskId": "nobody"}, "InvalidParameter.ErrorActiveTaskNotFound"),
        ):
            response = await relay.call(GET, method="GET", **query)
            assert response.status_code == 400
            assert response.json()["ResponseMetadata"]["Error"]["Code"] == code, query


async def test_gateway_errors() -> None:
    async with running_relay() as relay:
        for method, query, status, code, number in (
            ("POST", {}, 400, "MissingParameter", 100002),
            ("POST", {"Action": START}, 400, "MissingParameter", 100002),
            ("POST", {"Action": "Nothing", "Version": "2023-11-01"}, 404, "InvalidActionOrVersion", 100008),
            ("POST", {"Action": START, "Version": "2020-12-01"}, 404, "InvalidActionOrVersion", 100008),
            ("PUT", {"Action": START, "Version": "2023-11-01"}, 405, "MethodNotAllowed", 100020),
        ):
            response = await relay.client.request(method, "/", params=query)
            answer = response.json()
            error = answer["ResponseMetadata"]["Error"]
            assert (response.status_code, error["Code"], error["CodeN"]) == (status, code, number)
            assert "Result" not in answer
            if "Action" not in query:
                assert set(answer["ResponseMetadata"]) == {"RequestId", "Error"}


async def test_mixed_streams_are_refused_in_words() -> None:
    async with running_relay() as relay:
        response = await relay.call("StartPushMixedStreamToCDN", GOOD)
        assert response.status_code == 400
        assert "StartPushSingleStreamToCDN" in response.json()["ResponseMetadata"]["Error"]["Message"]


async def test_the_other_method_is_answered_where_the_parameters_are_there() -> None:
    async with running_relay() as relay:
        await relay.call(START, GOOD)
        response = await relay.call(GET, {"AppId": APP, "RoomId": ROOM, "TaskId": "task"})
        assert response.json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2
        response = await relay.call(STOP, method="GET", AppId=APP, RoomId=ROOM, TaskId="task")
        assert response.json()["Result"] == "ok"


async def test_health_and_metrics() -> None:
    async with running_relay() as relay:
        await relay.call(START, GOOD)
        assert (await relay.client.get("/healthz")).json()["status"] == "ok"
        metrics = (await relay.client.get("/metrics")).text
        assert 'relay_tasks{state="waiting"} 1.0' in metrics
        assert "secret" not in metrics
