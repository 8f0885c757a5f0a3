"""Every way in which a request of the control API can be wrong, and the error that says so."""

import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from relay.api.actions import GET, START, STOP
from tests.support.bodies import BAD_BODIES, BAD_GETS, BAD_STARTS, GOOD, bad_names, changed
from tests.support.relay import running_relay

REQUEST_ID = re.compile(r"\d{14}[0-9A-F]{20}")


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
                for method in ("PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
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


async def test_mixed_streams_are_refused_in_words() -> None:
    async with running_relay() as relay:
        response = await relay.call("StartPushMixedStreamToCDN", GOOD)
        assert response.status_code == 400
        assert "StartPushSingleStreamToCDN" in response.json()["ResponseMetadata"]["Error"]["Message"]
