"""WHEP (draft-ietf-wish-whep) as a client meets it: over real HTTP, with a relay behind it."""

import contextlib
import json
import time
from collections.abc import AsyncIterator

import httpx

from relay.app.server import make_engine, running
from relay.app.workers import Workers
from relay.core.token import RoomToken, issue
from relay.gateway.app_keys import AppKeys
from relay.gateway.resources import FRAGMENT_TYPE, OFFER_TYPE
from relay.rtc import sdp
from relay.worker.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.http import PLAIN
from tests.support.numbered import numbered
from tests.support.relay import LOOPBACK
from tests.support.rtc import open_things
from tests.support.sql import InMemory
from tests.support.viewing import viewing, write_offer
from tests.unit.rtc.offers import LOCAL, offer, without

SDP = {"Content-Type": OFFER_TYPE}
WHIP, WHEP = "/whip/app/room/user", "/whep/app/room/user"
APP_KEY = "sekret-of-the-app"


@contextlib.asynccontextmanager
async def relay(room_keys: AppKeys | None = None, **settings: int) -> AsyncIterator[httpx.AsyncClient]:
    engine = make_engine(Workers(WorkerSettings(rtc=LOOPBACK, **settings)), InMemory())
    async with (
        running(engine, room_keys=room_keys) as url,
        httpx.AsyncClient(base_url=url, timeout=10, verify=PLAIN) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def published(**settings: int) -> AsyncIterator[httpx.AsyncClient]:
    """The stream is published, though no media comes."""
    async with relay(**settings) as client:
        assert (await client.post(WHIP, content=offer("cr-basic"), headers=SDP)).status_code == 201
        yield client


def problem(response: httpx.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["access-control-allow-origin"] == "*"
    body = json.loads(response.content)
    assert body["status"] == status
    for word in words:
        assert word in body["detail"]


async def test_a_session_from_post_to_delete() -> None:
    async with relay() as client, numbered(client, WHIP + "?StreamType=1"):
        before = open_things()
        async with viewing(client, WHEP + "?StreamType=1") as viewer:
            assert viewer.location.startswith(WHEP + "/1/")
            assert viewer.etag.startswith('"')
            await eventually(lambda: viewer.pictures and viewer.sounds, what="media")
            assert "\nrelay_viewers 1.0\n" in (await client.get("/metrics")).text
            problem(await client.delete(WHIP + viewer.location.removeprefix(WHEP)), 404)
            assert (await client.delete(viewer.location)).status_code == 200
            await eventually(lambda: viewer.closed, what="the end is told")
            assert viewer.closed == ["closed by the peer"]
            assert set(viewer.byes) == set(viewer.ssrcs.values())
            problem(await client.delete(viewer.location), 404)
        assert "\nrelay_viewers 0.0\n" in (await client.get("/metrics")).text
        await eventually(lambda: open_things() <= before, what="its sockets are gone")


async def test_the_answer() -> None:
    async with published() as client:
        response = await client.post(WHEP, content=write_offer(LOCAL), headers=SDP)
        assert response.status_code == 201
        assert response.headers["content-type"] == OFFER_TYPE
        assert response.headers["accept-patch"] == FRAGMENT_TYPE
        assert response.headers["access-control-allow-origin"] == "*"
        exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
        assert {"Location", "ETag", "Link", "Retry-After"} <= exposed
        assert {section.direction for section in sdp.parse_session(response.text).media} == {"sendonly"}


async def test_a_session_id_in_other_letters_is_unknown() -> None:
    async with published() as client:
        assert (await client.delete(f"{WHIP}/caf%C3%A9")).status_code == 404


async def test_trickle() -> None:
    async with relay() as client, numbered(client, WHIP), viewing(client, WHEP, trickle=True) as viewer:
        await eventually(lambda: viewer.pictures, what="pictures")
        headers = {"Content-Type": FRAGMENT_TYPE, "If-Match": viewer.etag}
        fragment = f"a=ice-ufrag:{viewer.local.ufrag}\r\n"
        for content, given, status in (
            (fragment, {"If-Match": '"another"'}, 412),
            (fragment, {"Content-Type": OFFER_TYPE}, 415),
            ("nonsense", {}, 400),
            (fragment.replace(":", ":new"), {"If-Match": "*"}, 422),
        ):
            problem(await client.patch(viewer.location, content=content, headers=headers | given), status)
        problem(await client.patch(viewer.location, content=fragment, headers={"Content-Type": FRAGMENT_TYPE}), 428)
        problem(await client.patch(viewer.location + "x", content=fragment, headers=headers), 404)
        problem(await client.patch("/whep/app/room/nobody/0/x", content=fragment, headers=headers), 404)


async def test_nobody_publishes() -> None:
    async with relay() as client:
        for path in (WHEP, "/whep/app/another/user"):
            response = await client.post(path, content=write_offer(LOCAL), headers=SDP)
            problem(response, 409, "Nobody publishes", "again")
            assert int(response.headers["retry-after"]) > 0
        async with numbered(client, WHIP):
            problem(await client.post(WHEP + "?StreamType=1", content=write_offer(LOCAL), headers=SDP), 409)
            assert (await client.post(WHEP, content=write_offer(LOCAL), headers=SDP)).status_code == 201


GOOD = write_offer(LOCAL)
BAD_OFFERS: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("not SDP", b"hello", {}, 400, "not SDP"),
    ("nothing", b"", {}, 400, "v=0"),
    ("not UTF-8", b"v=0\r\n\xff\xfe", {}, 400, "UTF-8"),
    ("no fingerprint", without(GOOD, "a=fingerprint").encode(), {}, 400, "fingerprint"),
    ("to publish", offer("cr-basic").encode(), {}, 406, "/whip/"),
    ("no H.264", GOOD.replace("H264", "VP8").encode(), {}, 406, "H.264"),
    ("no Opus", GOOD.replace("opus", "PCMU").encode(), {}, 406, "Opus"),
    ("too long", ("v=0\r\n" + "a=x\r\n" * 20_000).encode(), {}, 413, "longer"),
    ("JSON", GOOD.encode(), {"Content-Type": "application/json"}, 415, "application/sdp"),
    ("no type", GOOD.encode(), {"Content-Type": ""}, 415, "application/sdp"),
]


async def test_offers_that_are_turned_away() -> None:
    async with published() as client:
        for name, content, headers, status, words in BAD_OFFERS:
            response = await client.post(WHEP, content=content, headers=SDP | headers)
            assert response.status_code == status, name
            problem(response, status, words)
        for path, words in (
            ("/whep/a b/room/user", "AppId"),
            ("/whep/app/room/" + "u" * 129, "UserId"),
            (WHEP + "?StreamType=2", "StreamType"),
        ):
            problem(await client.post(path, content=GOOD, headers=SDP), 400, words)
        assert "\nrelay_viewers 0.0\n" in (await client.get("/metrics")).text


async def test_methods() -> None:
    async with relay() as client:
        for path, allowed in ((WHEP, "GET, HEAD, POST, OPTIONS"), (WHEP + "/0/x", "GET, HEAD, PATCH, DELETE, OPTIONS")):
            preflight = await client.options(path, headers={"Origin": "https://page.test"})
            assert (preflight.status_code, preflight.headers["allow"]) == (204, allowed)
            assert preflight.headers["access-control-allow-methods"] == allowed
            for method in ("GET", "HEAD"):
                read = await client.request(method, path)
                assert (read.status_code, read.content) == (204, b"")
            for method in {"PUT", "POST", "PATCH", "DELETE"} - set(allowed.split(", ")):
                refused = await client.request(method, path)
                problem(refused, 405, "WHEP")
                assert refused.headers["allow"] == allowed


async def test_no_more_viewers_than_there_may_be() -> None:
    async with published(max_viewers=2) as client:
        first, _ = [await client.post(WHEP, content=GOOD, headers=SDP) for _ in range(2)]
        refused = await client.post(WHEP, content=GOOD, headers=SDP)
        problem(refused, 503, "2 viewers")
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.delete(first.headers["location"])).status_code == 200
        assert (await client.post(WHEP, content=GOOD, headers=SDP)).status_code == 201


def bearer(
    room: str = "room", user: str = "viewer", *, expires: int = 0, privileges: dict[int, int], key: str = APP_KEY
) -> dict[str, str]:
    token = issue(RoomToken(room, user, 7, 1, expires, privileges), app_id="app", app_key=key)
    return {"Authorization": f"Bearer {token}"}


PAST = int(time.time()) - 10
REFUSED: dict[str, tuple[dict[str, str], int, str]] = {
    "no token": ({}, 401, "Watching needs a room token"),
    "forged": (bearer(privileges={4: 0}, key="guessed"), 401, "signature"),
    "expired": (bearer(privileges={4: 0}, expires=PAST), 401, "expired"),
    "another room's": (bearer("room2", privileges={4: 0}), 403, "another room"),
    "a publisher's": (bearer(user="user", privileges={0: 0}), 403, "subscribe privilege (4)"),
    "subscribe expired": (bearer(privileges={0: 0, 4: PAST}), 403, "subscribe privilege has expired"),
}


async def test_tokens() -> None:
    """Whoever may watch in the room watches everybody's streams; a token to publish is none to watch."""
    async with relay(AppKeys({"app": APP_KEY})) as client:
        publisher = bearer(user="user", privileges={0: 0})
        made = await client.post(WHIP, content=offer("cr-basic"), headers=SDP | publisher)
        assert made.status_code == 201
        viewer = bearer(privileges={4: 0})
        watched = await client.post(WHEP, content=GOOD, headers=SDP | viewer)
        assert watched.status_code == 201
        session = watched.headers["location"]
        for name, (headers, status, words) in REFUSED.items():
            for response in (
                await client.post(WHEP, content=GOOD, headers=SDP | headers),
                await client.patch(session, content="", headers={"Content-Type": FRAGMENT_TYPE} | headers),
                await client.delete(session, headers=headers),
            ):
                assert response.status_code == status, name
                problem(response, status, words)
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert "sekret" not in response.text
        problem(await client.post(WHIP, content=offer("cr-basic"), headers=SDP | viewer), 403, "another user")
        assert (await client.delete(session, headers=viewer)).status_code == 200
        assert (await client.options(WHEP)).status_code == 204
