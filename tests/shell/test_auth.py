"""Signed requests over real HTTP: who is let in, who is not and why, and what a key with AppIds may do."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from pydantic import ValidationError

from relay.api.actions import ALREADY_STARTED, GET, START, STOP, VERSION
from relay.api.auth import AccessKeys, Gate
from relay.app.server import wall_clock
from relay.app.settings import Settings
from relay.cli.serve import run_serve
from relay.core.signature import SignedRequest
from tests.support.relay import ROOM, Relay, running_relay
from tests.support.signing import Signer

SECRET, OTHER_SECRET = "VGhlIHNlY3JldA==", "b3RoZXIgc2VjcmV0"
KEYS = f"AKall:{SECRET}, AKone:{OTHER_SECRET}:one|two"
ALL, ONE = Signer("AKall", SECRET), Signer("AKone", OTHER_SECRET)
GATE = Gate(AccessKeys.parse(KEYS), wall_clock)


def body(app: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "AppId": app,
        "RoomId": ROOM,
        "TaskId": "task",
        "Stream": {"UserId": "user"},
        "PushURL": "rtmp://127.0.0.1:9/live/key",
        "Control": {},
        **more,
    }


@dataclass(frozen=True, slots=True)
class Call:
    """A request to be signed, and what somebody does to it afterwards."""

    action: str = START
    method: str = "POST"
    content: bytes = b""
    query: str = ""
    late: float = 0.0
    """Seconds ago that it was signed."""
    alter: Callable[[dict[str, str]], None] = lambda headers: None
    sent_content: bytes | None = None
    sent_query: str = ""
    sent_method: str | None = None

    async def send(self, relay: Relay, signer: Signer) -> httpx.Response:
        query = f"Action={self.action}&Version={VERSION}{self.query}"
        headers = {"host": relay.url.removeprefix("http://"), "content-type": "application/json"}
        request = SignedRequest(self.method, "/", query, headers)
        headers |= signer.headers(request, self.content, time.time() - self.late)
        self.alter(headers)
        content = self.content if self.sent_content is None else self.sent_content
        url = f"{relay.url}/?{query}{self.sent_query}"
        return await relay.client.request(self.sent_method or self.method, url, headers=headers, content=content)


def start(app: str = "one") -> Call:
    return Call(content=json.dumps(body(app)).encode())


def stop(app: str = "one") -> Call:
    return Call(STOP, content=json.dumps(body(app)).encode())


def get(app: str = "one") -> Call:
    return Call(GET, "GET", query=f"&AppId={app}&RoomId={ROOM}&TaskId=task")


def error(response: httpx.Response) -> tuple[int, str, int | None]:
    answer = response.json()
    assert "Result" not in answer
    assert SECRET not in response.text
    found = answer["ResponseMetadata"]["Error"]
    return response.status_code, found["Code"], found.get("CodeN")


async def test_signed_requests_pass() -> None:
    async with running_relay(gate=GATE) as relay:
        assert (await start().send(relay, ALL)).json()["Result"] == "ok"
        assert (await start().send(relay, ONE)).json()["Result"] == ALREADY_STARTED
        assert (await get().send(relay, ONE)).json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2
        head = await replace(get(), method="HEAD").send(relay, ONE)
        assert (head.status_code, head.content) == (200, b"")
        assert (await stop().send(relay, ONE)).json()["Result"] == "ok"


async def test_signed_queries_pass() -> None:
    async with running_relay(gate=GATE) as relay:
        for action, method, parameters, content in (
            (START, "POST", "", json.dumps(body()).encode()),
            (GET, "GET", f"&AppId=one&RoomId={ROOM}&TaskId=task", b""),
            (STOP, "POST", f"&AppId=one&RoomId={ROOM}&TaskId=task", b""),
        ):
            request = SignedRequest(method, "/", f"Action={action}&Version={VERSION}{parameters}", {})
            query = ONE.query(request, time.time())
            response = await relay.client.request(method, f"{relay.url}/?{query}", content=content)
            assert response.status_code == 200, response.text
            altered = await relay.client.request(method, f"{relay.url}/?{query}&UserId=x", content=content)
            assert error(altered) == (401, "SignatureDoesNotMatch", 100010)


async def test_a_body_cannot_overrule_a_signed_query() -> None:
    async with running_relay(gate=GATE) as relay:
        parameters = f"Action={GET}&Version={VERSION}&AppId=one&RoomId={ROOM}&TaskId=task"
        query = ALL.query(SignedRequest("GET", "/", parameters, {}), time.time())
        response = await relay.client.request("GET", f"{relay.url}/?{query}", json=body("two"))
        assert error(response) == (401, "SignatureDoesNotMatch", 100010)


def without(*names: str) -> Callable[[dict[str, str]], None]:
    def alter(headers: dict[str, str]) -> None:
        for name in names:
            del headers[name]

    return alter


def rewritten(old: str, new: str) -> Callable[[dict[str, str]], None]:
    def alter(headers: dict[str, str]) -> None:
        assert old in headers["authorization"]
        headers["authorization"] = headers["authorization"].replace(old, new)

    return alter


STRANGER, FORGER = Signer("AKnobody", SECRET), Signer("AKall", OTHER_SECRET)
REFUSED: list[tuple[Call, Signer, tuple[int, str, int]]] = [
    (replace(start(), alter=without("authorization")), ALL, (401, "MissingAuthenticationToken", 100003)),
    (replace(start(), alter=without("x-date")), ALL, (400, "MissingRequestInfo", 100004)),
    (replace(start(), alter=rewritten("Signature=", "Sig=")), ALL, (401, "MissingSignature", 100005)),
    (replace(start(), late=901), ALL, (400, "InvalidTimestamp", 100006)),
    (replace(start(), late=-903), ALL, (400, "InvalidTimestamp", 100006)),
    (start(), STRANGER, (401, "InvalidAccessKey", 100009)),
    (start(), FORGER, (401, "SignatureDoesNotMatch", 100010)),
    (replace(start(), sent_content=json.dumps(body("two")).encode()), ALL, (401, "SignatureDoesNotMatch", 100010)),
    (replace(start(), sent_content=b""), ALL, (401, "SignatureDoesNotMatch", 100010)),
    (replace(get(), sent_query="&UserId=user"), ALL, (401, "SignatureDoesNotMatch", 100010)),
    (replace(get(), sent_method="POST"), ALL, (401, "SignatureDoesNotMatch", 100010)),
    (replace(start(), alter=rewritten("HMAC-SHA256", "HMAC-MD5")), ALL, (400, "InvalidAuthorization", 100024)),
    (replace(start(), alter=rewritten("/request", "")), ALL, (400, "InvalidCredential", 100025)),
    (replace(start(), alter=rewritten("/rtc/", "/vod/")), ALL, (400, "InvalidCredential", 100025)),
    # Where several things are wrong, the earlier one in the documented order is told.
    (Call("", alter=without("authorization")), ALL, (400, "MissingParameter", 100002)),
    (Call("Nothing", alter=without("authorization")), ALL, (401, "MissingAuthenticationToken", 100003)),
    (Call("Nothing", late=1000), STRANGER, (400, "InvalidTimestamp", 100006)),
    (Call("Nothing"), STRANGER, (404, "InvalidActionOrVersion", 100008)),
    (replace(start("three"), content=b"{"), FORGER, (401, "SignatureDoesNotMatch", 100010)),
    (replace(start(), method="PUT"), ALL, (405, "MethodNotAllowed", 100020)),
]


async def test_what_is_not_signed_well_is_refused() -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_relay(gate=GATE) as relay:
            for call, signer, expected in REFUSED:
                response = await call.send(relay, signer)
                assert error(response) == expected, call
                assert response.headers["X-Tt-Logid"] == response.json()["ResponseMetadata"]["RequestId"]
            message = (await start().send(relay, STRANGER)).json()["ResponseMetadata"]["Error"]["Message"]
            assert message == "The accesskey [AKnobody] included in the request is invalid."
            assert (await get().send(relay, ALL)).status_code == 400  # nothing was started
    assert SECRET not in str(logs)
    assert not [entry for entry in logs if entry["log_level"] == "error"]


async def test_a_body_does_not_make_a_signed_stop_that_of_another_task() -> None:
    async with running_relay(gate=GATE) as relay:
        assert (await start("two").send(relay, ALL)).json()["Result"] == "ok"
        parameters = f"Action={STOP}&Version={VERSION}&AppId=one&RoomId={ROOM}&TaskId=task"
        query = ALL.query(SignedRequest("POST", "/", parameters, {}), time.time())
        response = await relay.client.post(f"{relay.url}/?{query}", json=body("two"))
        assert error(response) == (400, "InvalidParameter.ErrorActiveTaskNotFound", None)
        assert (await get("two").send(relay, ALL)).json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2


async def test_the_hours_of_the_clock_are_the_gates() -> None:
    async with running_relay(gate=Gate(AccessKeys.parse(KEYS), lambda: wall_clock() + 3_600_000)) as relay:
        assert error(await start().send(relay, ALL)) == (400, "InvalidTimestamp", 100006)
        assert (await replace(start(), late=-3600).send(relay, ALL)).json()["Result"] == "ok"


async def test_a_key_sees_starts_and_stops_the_tasks_of_its_applications_only() -> None:
    denied = (403, "AccessDenied.NoPermissionForApp", None)
    async with running_relay(gate=GATE) as relay:
        assert (await start("three").send(relay, ALL)).json()["Result"] == "ok"
        for call in (start("three"), get("three"), stop("three"), start("nobodys"), get("nobodys"), stop("nobodys")):
            response = await call.send(relay, ONE)
            assert error(response) == denied, call
        assert (await get("three").send(relay, ALL)).json()["Result"]["PushSingleStreamToCDNTask"]["Status"] == 2
        for app in ("one", "two"):
            assert (await start(app).send(relay, ONE)).json()["Result"] == "ok"
            assert (await stop(app).send(relay, ONE)).json()["Result"] == "ok"
        assert (await stop("three").send(relay, ALL)).json()["Result"] == "ok"


async def test_health_and_the_description_need_no_signature() -> None:
    async with running_relay(gate=GATE) as relay:
        for path in ("/healthz", "/openapi.json"):
            assert (await relay.client.get(path)).status_code == 200
        assert (await relay.client.options("/")).status_code == 204


def test_access_keys_as_they_are_written() -> None:
    keys = AccessKeys.parse(f"# ours\nAKall:{SECRET}\n\n AKone : {OTHER_SECRET} : one | two ,AKx:y\n")
    assert len(keys) == 3
    one = keys.get("AKone")
    assert one is not None
    assert (one.secret, one.caller.app_ids) == (OTHER_SECRET, frozenset({"one", "two"}))
    everybody = keys.get("AKall")
    assert everybody is not None
    assert everybody.caller.app_ids is None
    assert keys.get("AKnone") is None
    assert repr(keys) == "AccessKeys(AKall, AKone, AKx)"
    assert OTHER_SECRET not in repr(one)


def settings_of(**given: str) -> Settings:
    values: dict[str, Any] = dict(given)
    return Settings(**values)


@pytest.mark.parametrize("entry", ["AK", "AK:", ":sesame", "A K:sesame", "AK:sesame:", "AK:sesame:a|", "AK:sesame:a b"])
def test_what_is_no_access_key(entry: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings_of(access_keys=f"AKgood:word,{entry}")
    assert "entry 2 is not AK:SK" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_key_stands_once() -> None:
    with pytest.raises(ValueError, match=r"entry 2 .* already"):
        AccessKeys.parse("AK:a,AK:b")


def test_settings_hold_keys_and_show_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"AKfile:{OTHER_SECRET}\n")
    settings = settings_of(access_keys=f"AKall:{SECRET}", access_keys_file=str(file))
    assert repr(settings.request_keys) == "AccessKeys(AKall, AKfile)"
    assert SECRET not in repr(settings)
    assert OTHER_SECRET not in repr(settings)
    assert len(settings_of(access_keys=" ", access_keys_file="").request_keys) == 0


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"\xff:\xfe"])
def test_a_file_without_a_key_does_not_open_the_door(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValidationError):
        settings_of(access_keys_file=str(file))


def test_serve_wants_keys_where_everybody_can_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_serve({"host": "0.0.0.0"}) == 2
    assert "push anywhere (RELAY_ACCESS_KEYS is not set)" in capsys.readouterr().err
    assert run_serve({"host": "0.0.0.0", "access_keys": f"AK:{SECRET}"}) == 2
    err = capsys.readouterr().err
    assert "push anywhere" not in err
    assert "publish in any room" in err
    assert SECRET not in err
