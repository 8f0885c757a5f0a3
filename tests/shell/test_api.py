"""The control API over real HTTP: envelope, errors, and what Get says of a task without a publisher."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import structlog

from relay.api.actions import ALREADY_STARTED, GET, START, STOP, VERSION
from relay.api.routes import MAX_BODY
from tests.support.relay import APP, ROOM, running_relay

PUSH_URL = "rtmp://127.0.0.1:9/live/secret-key?token=secret-token"

GOOD: dict[str, Any] = {
    "AppId": APP,
    "RoomId": ROOM,
    "TaskId": "task",
    "Stream": {"UserId": "user", "StreamType": 0},
    "PushURL": PUSH_URL,
    "Control": {"MediaType": 0, "MaxIdleTime": 180},
}
LARGEST = json.dumps(GOOD).encode().ljust(MAX_BODY)
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


NOT_ZERO_OR_ONE = [-1, 2, "0", True, 0.5, [], {}, 10**30]
NOT_IDLE_TIMES = [9, 86401, 0, -180, "180", True, 10.5, [], {}, 10**30]
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


def refused(response: httpx.Response, case: object) -> dict[str, Any]:
    """The error of an answer, whose envelope is as it must be."""
    answer = response.json()
    assert "Result" not in answer, case
    metadata = answer["ResponseMetadata"]
    assert REQUEST_ID.fullmatch(metadata["RequestId"])
    assert metadata["RequestId"] == response.headers["X-Tt-Logid"]
    assert "secret" not in response.text
    error: dict[str, Any] = metadata["Error"]
    return error


def test_the_tables_are_long() -> None:
    assert len(BAD_STARTS) + len(BAD_GETS) + 2 * (len(BAD_BODIES) + len(bad_names())) > 200


@pytest.mark.parametrize("action", [START, STOP])
async def test_what_start_and_stop_refuse(action: str) -> None:
    async with running_relay() as relay:
        for body, code, words in [*BAD_BODIES, *bad_names(), *(BAD_STARTS if action == START else [])]:
            response = await relay.call(action, body)
            error = refused(response, body)
            assert (response.status_code, error["Code"]) == (400, code), body
            assert words in error["Message"], (body, error)
            assert "CodeN" not in error
        for body in (changed(TaskId="nobody"), changed(RoomId="other"), changed(AppId="other")):
            error = refused(await relay.call(STOP, body), body)
            assert error["Code"] == "InvalidParameter.ErrorActiveTaskNotFound"


async def test_what_get_refuses() -> None:
    async with running_relay() as relay:
        for query, code, words in BAD_GETS:
            response = await relay.call(GET, method="GET", **query)
            error = refused(response, query)
            assert (response.status_code, error["Code"]) == (400, code), query
            assert words in error["Message"], (query, error)


async def test_gateway_errors() -> None:
    good = {"Action": START, "Version": "2023-11-01"}
    async with running_relay() as relay:
        for method, query, status, code, number in (
            ("POST", {}, 400, "MissingParameter", 100002),
            ("GET", {}, 400, "MissingParameter", 100002),
            ("POST", {"Action": "", "Version": "2023-11-01"}, 400, "MissingParameter", 100002),
            ("POST", {"Version": "2023-11-01"}, 400, "MissingParameter", 100002),
            ("POST", {"Action": START}, 400, "MissingParameter", 100002),
            ("POST", {"Action": START, "Version": ""}, 400, "MissingParameter", 100002),
            ("POST", {"Action": "Nothing", "Version": "2023-11-01"}, 404, "InvalidActionOrVersion", 100008),
            ("POST", {"Action": START.lower(), "Version": "2023-11-01"}, 404, "InvalidActionOrVersion", 100008),
            ("POST", {"Action": "\ud800\x00é", "Version": "2023-11-01"}, 404, "InvalidActionOrVersion", 100008),
            ("POST", {"Action": START, "Version": "2020-12-01"}, 404, "InvalidActionOrVersion", 100008),
            ("POST", {"Action": "StartPushMixedStreamToCDN", "Version": "1"}, 404, "InvalidActionOrVersion", 100008),
            *(
                (method, good, 405, "MethodNotAllowed", 100020)
                for method in ("PUT", "PATCH", "DELETE", "TRACE", "NONE")
            ),
        ):
            raw = "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in query.items())
            response = await relay.client.request(method, f"/?{raw}")
            error = refused(response, query)
            assert (response.status_code, error["Code"], error["CodeN"]) == (status, code, number)
            if status == 405:
                assert response.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
            if not query.get("Action"):
                assert set(response.json()["ResponseMetadata"]) == {"RequestId", "Error"}


async def test_options_tells_the_methods_and_head_is_get_without_a_body() -> None:
    async with running_relay() as relay:
        await relay.call(START, GOOD)
        response = await relay.client.options("/")
        assert (response.status_code, response.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")
        names = {"AppId": APP, "RoomId": ROOM, "TaskId": "task"}
        response = await relay.call(GET, method="HEAD", **names)
        assert (response.status_code, response.content) == (200, b"")
        assert REQUEST_ID.fullmatch(response.headers["X-Tt-Logid"])
        assert (await relay.call(GET, method="HEAD", **{**names, "TaskId": "nobody"})).status_code == 400
        assert (await relay.call(STOP, method="HEAD", **names)).status_code == 405
        assert await relay.states() == (2, 1, "")


async def test_a_chunked_body_and_the_largest_one() -> None:
    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    async with running_relay() as relay:
        for content, result in ((chunks(json.dumps(GOOD).encode()), "ok"), (LARGEST, ALREADY_STARTED)):
            response = await relay.client.post("/", params={"Action": START, "Version": VERSION}, content=content)
            assert response.json()["Result"] == result
        response = await relay.client.post("/", params={"Action": START, "Version": VERSION}, content=LARGEST + b" ")
        assert "65536" in refused(response, "one byte more")["Message"]


async def test_one_connection_serves_many_requests_also_after_a_refusal() -> None:
    async with running_relay() as relay:
        host, port = relay.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for body, status in ((b"{", b"400"), (b"x" * 200_000, b"400"), (json.dumps(GOOD).encode(), b"200")):
            head = f"POST /?Action={START}&Version={VERSION} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.split(b" ")[1] == status
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_leaves_amid_its_body_is_no_error() -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_relay() as relay:
            host, port = relay.url.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"POST /?Action={START}&Version={VERSION} HTTP/1.1\r\nHost: h\r\n".encode())
            writer.write(b"Content-Length: 9\r\n\r\n{")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert (await relay.call(START, GOOD)).json()["Result"] == "ok"
    assert not [entry for entry in logs if entry["log_level"] in ("error", "critical")]


async def test_the_description_tells_of_the_three_actions() -> None:
    async with running_relay() as relay:
        description = (await relay.client.get("/openapi.json")).json()
        operations = description["paths"]["/"]
        assert {
            action
            for operation in operations.values()
            for parameter in operation["parameters"]
            if parameter["name"] == "Action"
            for action in parameter["schema"]["enum"]
        } == {START, STOP, GET}
        assert description["components"]["schemas"]["ControlBody"]["properties"]["MaxIdleTime"]["maximum"] == 86400
        assert "/whip/{app_id}/{room_id}/{user_id}" in description["paths"]


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
