"""A full run of `relay serve`, and of those who use it: no secret stands in what any of them say or are called."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.api.actions import GET, START, STOP, VERSION
from relay.core.signature import SignedRequest
from relay.core.token import Privilege, RoomToken, issue
from relay.push.sink import Sink
from tests.support.eventually import eventually
from tests.support.hostile import Behaviour, HostileServer
from tests.support.process import RelayProcess, serving
from tests.support.receiver import PATH as CALLBACK_PATH
from tests.support.receiver import SECRET as CALLBACK_SECRET
from tests.support.receiver import receiving, status
from tests.support.relay import ROOM
from tests.support.signing import Signer

APP = "app123456789012345678901"
SK, OTHER_SK, APP_KEY = "U2lnbmVyIHNlY3JldA==", "T3RoZXIgc2VjcmV0", "appkey5ecret5ecret5ecret"
KEY, QUERY, PASSWORD = "stre4mk3y", "qu3ryt0ken", "passw0rd"
SIGNER = Signer("AKfull", SK)
PAST = 1_600_000_000


def room_token(*, key: str = APP_KEY, expires: int = 0) -> str:
    token = RoomToken(ROOM, "user", 7, PAST, expires, {int(Privilege.PUBLISH): expires})
    return issue(token, app_id=APP, app_key=key)


TOKEN, EXPIRED, FORGED = room_token(), room_token(expires=PAST + 1), room_token(key=APP_KEY[::-1])
SECRETS = [SK, OTHER_SK, APP_KEY, KEY, QUERY, PASSWORD, TOKEN, EXPIRED, FORGED, CALLBACK_SECRET, CALLBACK_PATH]


def push_url(port: int, *, scheme: str = "rtmp", host: str = "127.0.0.1") -> str:
    return f"{scheme}://user:{PASSWORD}@{host}:{port}/live/{KEY}?token={QUERY}"


def body(task: str, url: object, **more: Any) -> bytes:
    return json.dumps(
        {
            "AppId": APP,
            "RoomId": ROOM,
            "TaskId": task,
            "Stream": {"UserId": "user"},
            "PushURL": url,
            "Control": {},
            **more,
        }
    ).encode()


class Run:
    """A relay, and all that was read of it."""

    def __init__(self, served: RelayProcess) -> None:
        self.served = served
        self.read: list[str] = []

    async def call(
        self, action: str, content: bytes, *, signer: Signer = SIGNER, late: float = 0, **headers: str
    ) -> httpx.Response:
        relay = self.served.relay
        query = f"Action={action}&Version={VERSION}"
        named = {"host": relay.url.removeprefix("http://"), "content-type": "application/json"}
        named |= signer.headers(SignedRequest("POST", "/", query, named), content, time.time() - late) | headers
        return self.note(await relay.client.post(f"/?{query}", content=content, headers=named))

    def note(self, response: httpx.Response) -> httpx.Response:
        """An answer's head, and its body where it is an error: Get gives the push URL back, as it must."""
        self.read.append(str(response.headers))
        if response.status_code >= 400:
            self.read.append(response.text)
        return response

    async def state(self, task: str) -> tuple[int, int]:
        response = await self.call(GET, body(task, ""))
        found = response.json()["Result"]["PushSingleStreamToCDNTask"]
        return found["Status"], found["PushStreamState"]

    async def wrong(self) -> None:
        """Requests that are refused, each with a secret in it."""
        url = push_url(9)
        for content in (
            b'{"PushURL": "' + url.encode(),
            body("a", url.replace("rtmp", "http", 1)),
            body("a", url.replace("/live", "")),
            body("a", [url]),
            body("a", {"url": url}),
            body("a", f"{url} "),
            body("a", url * 100),
            body(url, url),
            body("a", url, Stream=url),
            body("a", url, Control={"MaxIdleTime": url}),
            body("a", url, AppId="other"),
            b"x" * 65_537,
        ):
            assert (await self.call(START, content)).status_code in (400, 403)
        assert (await self.call(STOP, body("nobody", url))).status_code == 400
        for signer in (Signer("AKfull", OTHER_SK), Signer("AKnobody", SK)):
            assert (await self.call(START, body("a", url), signer=signer)).status_code == 401
        assert (await self.call(START, body("a", url), late=901)).status_code == 400
        for authorization in (SK, f"Bearer {TOKEN}", f"HMAC-SHA256 Credential={SK}"):
            response = await self.call(START, body("a", url), authorization=authorization)
            assert response.status_code in (400, 401)
        client = self.served.relay.client
        for path, token in (("user", EXPIRED), ("user", FORGED), ("other", TOKEN), ("user", SK), ("user", "")):
            headers = {"content-type": "application/sdp", **({"authorization": f"Bearer {token}"} if token else {})}
            response = self.note(await client.post(f"/whip/{APP}/{ROOM}/{path}", content="v=0", headers=headers))
            assert response.status_code in (401, 403)
        headers = {"content-type": "application/sdp", "authorization": f"Bearer {TOKEN}"}
        response = self.note(await client.post(f"/whip/{APP}/{ROOM}/user", content=f"v=0 {KEY}", headers=headers))
        assert 400 <= response.status_code < 500


@contextlib.asynccontextmanager
async def publisher(url: str, log: Path) -> AsyncIterator[None]:
    """`relay publish` with the token in its environment."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "publish", "clip", url),
            stdout=out,
            stderr=out,
            env={**os.environ, "RELAY_TOKEN": TOKEN},
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def command_lines() -> str:
    """Of every process that there is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


@pytest.mark.parametrize("style", ["text", "json"])
async def test_a_full_run_shows_no_secret(tmp_path: Path, style: str) -> None:
    sink = Sink()
    port = await sink.start()
    talkative = f"no {KEY}?token={QUERY} of user:{PASSWORD} here"
    keys = {"access_keys": f"AKfull:{SK}:{APP},AKother:{OTHER_SK}", "app_keys": f"{APP}:{APP_KEY}"}
    async with (
        receiving() as receiver,
        HostileServer(Behaviour.REFUSE_PUBLISH, code="NetStream.Publish.Denied", description=talkative) as refusing,
        serving(tmp_path, log_level="debug", log_format=style, callbacks=receiver.setting(APP), **keys) as served,
    ):
        receiver.answer = status(500, f"no {CALLBACK_SECRET} of {CALLBACK_PATH} here".encode())
        run = Run(served)
        ports = {"pushed": port, "refused": refusing.port, "down": 9}
        for task, at in ports.items():
            assert (await run.call(START, body(task, push_url(at)))).status_code == 200
        for task, url in (
            ("tls", push_url(port, scheme="rtmps")),
            ("unknown", push_url(port, host="nowhere.invalid")),
        ):
            assert (await run.call(START, body(task, url))).status_code == 200
        await run.wrong()
        async with publisher(f"{served.relay.url}/whip/{APP}/{ROOM}/user", tmp_path / "publisher.log"):

            async def all_said_their_word() -> bool:
                said = served.log.read_text()
                words = ("rtmps://", "connection refused", "cannot be resolved")
                return (
                    await run.state("pushed") == (2, 5)
                    and await run.state("refused") == (4, 0)
                    and all(word in said for word in words)
                )

            await eventually(all_said_their_word, within=30, every=0.2)
            assert sink.streams
            for path in ("/metrics", "/healthz", "/openapi.json"):
                run.read.append((await served.relay.client.get(path)).text)
            run.read.append(command_lines())
            assert receiver.calls
            for task in ("pushed", "down"):
                assert (await run.call(STOP, body(task, ""))).status_code == 200
    await sink.close()
    run.read += [log.read_text(errors="replace") for log in (served.log, tmp_path / "publisher.log")]
    everything = "\n".join(run.read)
    assert "serving" in everything
    assert "/live/***" in everything
    assert "callback failed" in everything
    assert [secret for secret in SECRETS if secret in everything] == []
