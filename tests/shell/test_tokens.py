"""Who may publish: room tokens over real HTTP, and the settings and commands around them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from relay.app.server import make_engine, running
from relay.app.settings import Settings
from relay.app.workers import Workers
from relay.cli.live import LivePublisher, PublishFailed
from relay.cli.main import cli
from relay.cli.serve import run_serve
from relay.cli.source import ClipSource, builtin_clip
from relay.core.token import RoomToken, issue, verify
from relay.gateway.app_keys import AppKeys
from relay.gateway.resources import FRAGMENT_TYPE, OFFER_TYPE
from relay.worker.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.http import PLAIN
from tests.support.relay import LOOPBACK
from tests.support.sql import InMemory
from tests.unit.rtc.offers import offer

APP, APP_KEY = "0123456789abcdef01234567", "sekret-of-the-app"
KEYS = AppKeys({APP: APP_KEY, "other": "sekret-of-the-other"})
PATH = f"/whip/{APP}/room/user"
SDP = {"Content-Type": OFFER_TYPE}


def token(
    room: str = "room",
    user: str = "user",
    *,
    expires: int = 0,
    privileges: dict[int, int] | None = None,
    app_id: str = APP,
    app_key: str = APP_KEY,
) -> str:
    granted = {0: 0} if privileges is None else privileges
    return issue(RoomToken(room, user, 7, 1, expires, granted), app_id=app_id, app_key=app_key)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@contextlib.asynccontextmanager
async def relay(room_keys: AppKeys | None = KEYS) -> AsyncIterator[httpx.AsyncClient]:
    engine = make_engine(Workers(WorkerSettings(rtc=LOOPBACK)), InMemory())
    async with (
        running(engine, room_keys=room_keys) as url,
        httpx.AsyncClient(base_url=url, timeout=10, verify=PLAIN) as client,
    ):
        yield client


PAST = int(time.time()) - 10
REFUSED: dict[str, tuple[dict[str, str], int, str]] = {
    "no token": ({}, 401, "needs a room token"),
    "another scheme": ({"Authorization": "Basic dXNlcjpwdw=="}, 401, "needs a room token"),
    "an empty token": ({"Authorization": "Bearer"}, 401, "needs a room token"),
    "not a token": (bearer("hello"), 401, "AccessToken"),
    "not ASCII": ({"Authorization": "Bearer 001é"}, 401, "AppId"),
    "another app's": (bearer(token(app_id="other", app_key="sekret-of-the-other")), 401, "another AppId"),
    "another key's": (bearer(token(app_key="guessed")), 401, "signature"),
    "expired": (bearer(token(expires=PAST)), 401, "expired"),
    "another room's": (bearer(token(room="room2")), 403, "another room"),
    "another user's": (bearer(token(user="user2")), 403, "another user"),
    "a star for a room": (bearer(token(room="*")), 403, "another room"),
    "for subscribers": (bearer(token(privileges={4: 0})), 403, "publish privilege"),
    "publish expired": (bearer(token(privileges={0: PAST, 4: 0})), 403, "privilege has expired"),
}


def assert_problem(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["www-authenticate"].startswith("Bearer")
    detail = response.json()["detail"]
    assert words in detail
    assert ":" in detail, "the reason, and the remedy"
    assert "sekret" not in response.text


def wire(headers: dict[str, str]) -> httpx.Headers:
    return httpx.Headers(headers, encoding="utf-8")


async def test_every_refusal_for_every_request() -> None:
    async with relay() as client:
        made = await client.post(PATH, content=offer("cr-basic"), headers=SDP | bearer(token()))
        assert made.status_code == 201, made.text
        session = made.headers["location"]
        trickling = {"Content-Type": FRAGMENT_TYPE, "If-Match": made.headers["etag"]}
        for given, status, words in REFUSED.values():
            posted = await client.post(PATH, content=offer("cr-basic"), headers=wire(SDP | given))
            assert_problem(posted, status, words)
            assert_problem(await client.patch(session, content="", headers=wire(trickling | given)), status, words)
            assert_problem(await client.delete(session, headers=wire(given)), status, words)
        assert (await client.delete(session, headers=bearer(token()))).status_code == 200


async def test_an_app_without_a_key() -> None:
    async with relay() as client:
        posted = await client.post("/whip/unknown/room/user", content=offer("cr-basic"), headers=SDP | bearer(token()))
        assert_problem(posted, 401, "RELAY_APP_KEYS")


async def test_what_needs_no_token() -> None:
    async with relay() as client:
        assert (await client.options(PATH)).status_code == 204
        assert (await client.get(PATH)).status_code == 204
        assert (await client.get("/healthz")).status_code == 200
    async with relay(None) as client:
        posted = await client.post(PATH, content=offer("cr-basic"), headers=SDP)
        assert posted.status_code == 201
        assert (await client.delete(posted.headers["location"])).status_code == 200


async def test_a_live_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `relay publish` does it, with a token of `relay token`."""
    monkeypatch.setenv("RELAY_APP_KEYS", f"{APP}:{APP_KEY}")
    issued = CliRunner().invoke(cli, ["token", APP, "room", "user", "--seconds", "60"])
    assert issued.exit_code == 0, issued.output
    async with relay() as client:
        url = f"{client.base_url}{PATH}"
        refused = LivePublisher(ClipSource(builtin_clip()), settings=LOOPBACK)
        with pytest.raises(PublishFailed, match="401: Publishing needs a room token"):
            await refused.connect(url)
        await refused.close()
        publisher = LivePublisher(ClipSource(builtin_clip()), settings=LOOPBACK)
        await publisher.connect(url, issued.stdout.strip())

        async def published() -> bool:
            return "\nrelay_publishers 1.0\n" in (await client.get("/metrics")).text

        playing = asyncio.create_task(publisher.play())
        await eventually(lambda: publisher.pictures > 5, what="pictures are sent")
        assert await published()
        publisher.stop()
        await playing
        await publisher.close()
        assert not await published(), "DELETE was let in"


def run_token(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["token", *arguments])
    return result.exit_code, result.stdout.strip(), result.stderr


def test_the_token_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RELAY_APP_KEYS", raising=False)
    code, out, error = run_token("app", "room", "user")
    assert (code, out) == (2, "")
    assert "--app-key-file" in error
    file = tmp_path / "keys"
    file.write_text("# of the staging console\n\napp:k:ey, other : sekret \n")
    code, out, error = run_token("app", "room", "user", "--app-key-file", str(file))
    assert (code, error) == (0, "")
    now = time.time()
    said = verify(out, app_id="app", app_key="k:ey", now=now)
    assert (said.room_id, said.user_id) == ("room", "user")
    assert now - 10 < said.issued <= now
    assert said.expires == said.issued + 3600
    assert dict(said.privileges) == dict.fromkeys(range(4), said.expires)
    monkeypatch.setenv("RELAY_APP_KEYS", "app:another")
    monkeypatch.setenv("RELAY_APP_KEYS_FILE", str(file))
    choice = ("--seconds", "0", "--privileges", "subscribe, DATA")
    code, out, error = run_token("other", "room", "user", *choice)
    assert (code, error) == (0, "")
    said = verify(out, app_id="other", app_key="sekret", now=now)
    assert (said.expires, dict(said.privileges)) == (0, {3: 0, 4: 0})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a b", "room", "user"), "APP must match"),
        (("app", "*", "user"), "ROOM must match"),
        (("app", "room", "u" * 129), "USER must match"),
        (("app", "room", "user", "--privileges", "all"), "publish, audio, video, data, subscribe"),
        (("app", "room", "user", "--seconds", "4294967296"), "range"),
        (("app", "room", "user", "--app-key-file", "/nowhere"), "cannot be read"),
    ],
)
def test_tokens_that_cannot_be(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str) -> None:
    monkeypatch.setenv("RELAY_APP_KEYS", "app:sekret")
    code, out, error = run_token(*arguments)
    assert (code, out) == (2, "")
    assert words in error
    assert "sekret" not in error


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("app", "entry 1"),
        ("app:", "entry 1"),
        (":sekret", "entry 1"),
        ("app:sekret,sekret", "entry 2"),
        ("a b:sekret", "entry 1"),
        ("app:sekret,app:sekret2", "entry 2 names"),
        (",", "no AppId:AppKey"),
    ],
)
def test_keys_that_cannot_be(tmp_path: Path, given: str, words: str) -> None:
    file = tmp_path / "keys"
    file.write_text(given)
    for settings in ({"app_keys": given}, {"app_keys_file": str(file)}):
        with pytest.raises(ValidationError) as caught:
            Settings(**settings)
        assert words in str(caught.value)
        assert "sekret" not in str(caught.value)


def test_key_files_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"app:\xff")
    for path, words in ((file, "not UTF-8"), (tmp_path, "directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(ValidationError, match=words):
            Settings(app_keys_file=str(path))


def test_keys_stay_out_of_sight() -> None:
    settings = Settings(app_keys="app:sekret, b:sekret2", app_keys_file="")
    assert settings.room_keys.get("b") == "sekret2"
    assert "sekret" not in f"{settings!r} {settings} {settings.room_keys!r}"
    assert not Settings(app_keys=" ").room_keys


def test_the_stun_server_is_told_to_publishers() -> None:
    assert Settings().ice_servers == ()
    told = [Settings(stun_server=given).ice_servers[0].url for given in ("stun.example.org:3478", "[2001:db8::1]:3478")]
    assert told == ["stun:stun.example.org:3478", "stun:[2001:db8::1]:3478"]


def test_open_rooms_are_refused_beyond_loopback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_serve({"host": "0.0.0.0", "port": 0}) == 2
    assert "publish in any room" in capsys.readouterr().err
