"""The control API over real HTTP: envelope, connections, and what Get says of a task without a publisher."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from relay.api.actions import ALREADY_STARTED, GET, START, STOP, VERSION
from relay.api.routes import MAX_BODY
from tests.support.bodies import GOOD, PUSH_URL, changed
from tests.support.relay import APP, ROOM, running_relay

LARGEST = json.dumps(GOOD).encode().ljust(MAX_BODY)
REQUEST_ID = re.compile(r"\d{14}[0-9A-F]{20}")


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
        assert "65536" in response.json()["ResponseMetadata"]["Error"]["Message"]


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


async def test_a_refusal_that_needs_no_body_comes_after_it() -> None:
    """What is left unread makes the kernel reset a connection that closes, and the client may lose the answer."""
    async with running_relay() as relay:
        host, port = relay.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /?Action=Nothing&Version={VERSION} HTTP/1.1\r\nHost: h\r\n".encode())
        writer.write(b"Connection: close\r\nContent-Length: 400000\r\n\r\n")
        for _ in range(4):
            await writer.drain()
            assert not reader._buffer  # type: ignore[attr-defined]  # nothing has come yet
            writer.write(b"x" * 100_000)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"InvalidActionOrVersion" in answer
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


async def test_the_other_method_is_answered_where_the_parameters_are_there() -> None:
    async with running_relay() as relay:
        await relay.call(START, GOOD)
        response = await relay.call(GET, {"AppId": APP, "RoomId": ROOM, "TaskId": "task"})
        assert response.json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2
        names = {"AppId": APP, "RoomId": ROOM, "TaskId": "task"}
        for method in ("GET", "POST"):  # as clients ask that send an object with every request
            response = await relay.call(GET, {}, method=method, **names)
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
