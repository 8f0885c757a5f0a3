"""WHIP (RFC 9725) as a client meets it: our gateway over HTTP, a small engine of real sessions behind it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from relay.core.ident import StreamKey, StreamType
from relay.gateway.problem import Problem
from relay.gateway.resources import IceServer
from relay.gateway.whip import make_router
from relay.rtc.caster import Caster
from tests.support.eventually import eventually
from tests.support.http import PLAIN
from tests.support.rtc import LOOPBACK, SmallEngine, Ticker
from tests.unit.rtc.offers import offer

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = "application/trickle-ice-sdpfrag"


@contextlib.asynccontextmanager
async def gateway(**options: object) -> AsyncIterator[tuple[httpx.AsyncClient, SmallEngine]]:
    async with Ticker().running() as ticker:
        engine = SmallEngine(ticker, LOOPBACK)
        app = FastAPI()
        app.include_router(make_router(engine, **options))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://relay.test", verify=PLAIN) as client:
            yield client, engine
        await engine.close()


def problem(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    body = json.loads(response.content)
    assert body["status"] == response.status_code
    assert body["title"]
    assert response.headers["access-control-allow-origin"] == "*"
    return body


def test_a_session_from_post_to_delete() -> None:
    async def run() -> None:
        async with gateway() as (client, engine):
            caster = await Caster.create(settings=LOOPBACK)
            engine.ticker.members.append(caster)
            response = await client.post("/whip/app/room/user@1.x?StreamType=1", content=caster.offer(), headers=SDP)
            assert response.status_code == 201
            assert response.headers["content-type"] == "application/sdp"
            location = response.headers["location"]
            assert location == "/whip/app/room/user@1.x/1/s0"
            assert response.headers["etag"].startswith('"')
            assert response.headers["accept-patch"] == FRAGMENT
            assert response.headers["access-control-allow-origin"] == "*"
            exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
            assert {"Location", "ETag", "Link"} <= exposed
            ((key, _),) = engine.sessions
            assert key == StreamKey("app", "room", "user@1.x", StreamType.SCREEN)
            await caster.accept(response.text)
            assert await caster.wait_connected()
            assert (await client.delete(location)).status_code == 200
            await eventually(lambda: caster.closed_reason == "closed by the peer", what="the publisher sees the end")
            await caster.wait_closed()
            assert problem(await client.delete(location))["status"] == 404

    asyncio.run(run())


def test_trickle() -> None:
    async def run() -> None:
        async with gateway() as (client, _):
            caster = await Caster.create(settings=LOOPBACK)
            response = await client.post("/whip/app/room/user", content=caster.offer(candidates=False), headers=SDP)
            location, etag = response.headers["location"], response.headers["etag"]
            headers = {"Content-Type": FRAGMENT, "If-Match": etag}
            fragment = caster.fragment()
            patched = await client.patch(location, content=fragment, headers=headers)
            assert (patched.status_code, patched.content) == (204, b"")
            await caster.accept(response.text)
            assert await caster.wait_connected()

            async def status(content: str = fragment, **changes: str) -> int:
                named = {name.replace("_", "-"): value for name, value in changes.items()}
                answer = await client.patch(location, content=content, headers=headers | named)
                problem(answer)
                if answer.status_code == 415:  # RFC 5789 section 2.2
                    assert answer.headers["accept-patch"] == FRAGMENT
                    assert "accept-post" not in answer.headers
                return answer.status_code

            assert await status(If_Match='"another"') == 412
            assert await status(Content_Type="application/sdp") == 415
            assert await status("nonsense") == 400
            # An ICE restart: other credentials, whichever session runs.
            restart = fragment.replace("a=ice-ufrag:", "a=ice-ufrag:new")
            for whichever in ("*", '"*"'):  # the second is how RFC 9725 and draft-ietf-wish-whep show it
                assert await status(restart, If_Match=whichever) == 422
            assert await status("a" * 70_000) == 413
            missing = await client.patch(location, content=fragment, headers={"Content-Type": FRAGMENT})
            assert problem(missing)["status"] == 428
            unknown = await client.patch(location + "x", content=fragment, headers=headers)
            assert problem(unknown)["status"] == 404
            caster.close()
            await caster.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/whip/a b/room/user", "AppId"),
        ("/whip/app/ro%C3%B6m/user", "RoomId"),
        ("/whip/app/room/" + "u" * 129, "UserId"),
        ("/whip/app/room/user?StreamType=2", "StreamType"),
        ("/whip/app/room/user?StreamType=screen", "StreamType"),
        ("/whip/app/room/user?StreamType=", "StreamType"),
    ],
)
def test_names_are_checked(path: str, words: str) -> None:
    async def run() -> None:
        async with gateway() as (client, _):
            response = await client.post(path, content=offer("cr-basic"), headers=SDP)
            body = problem(response)
            assert body["status"] == 400
            assert words in str(body["detail"])

    asyncio.run(run())


def test_offers_that_are_turned_away() -> None:
    async def run() -> None:
        async with gateway() as (client, engine):

            async def post(content: str | bytes, **headers: str) -> httpx.Response:
                named = SDP | {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.post("/whip/app/room/user", content=content, headers=named)

            refused = problem(await post(offer("firefox-vp8")))
            assert refused["status"] == 406
            assert "H.264" in str(refused["detail"])
            assert problem(await post(offer("twovid")))["status"] == 406
            assert problem(await post("hello"))["status"] == 400
            assert problem(await post(b""))["status"] == 400
            assert problem(await post(b"v=0\r\n\xff\xfe"))["status"] == 400
            assert problem(await post("v=0\r\n" + "a=x\r\n" * 20_000))["status"] == 413
            for content_type in ("application/json", "text/plain", ""):
                answer = await post(offer("cr-basic"), Content_Type=content_type)
                assert problem(answer)["status"] == 415
            assert (await post(offer("cr-basic"), Content_Type="Application/SDP; charset=utf-8")).status_code == 201
            engine.draining = True
            answer = await post(offer("cr-basic"))
            assert problem(answer)["status"] == 503
            assert int(answer.headers["retry-after"]) > 0

    asyncio.run(run())


def test_preflight() -> None:
    async def run() -> None:
        async with gateway() as (client, _):
            endpoint = await client.options(
                "/whip/app/room/user",
                headers={"Origin": "https://page.test", "Access-Control-Request-Method": "POST"},
            )
            assert endpoint.status_code == 204
            assert endpoint.headers["access-control-allow-origin"] == "*"
            assert "POST" in endpoint.headers["access-control-allow-methods"]
            assert endpoint.headers["accept-post"] == "application/sdp"
            allowed = {name.strip().lower() for name in endpoint.headers["access-control-allow-headers"].split(",")}
            assert {"authorization", "content-type", "if-match"} <= allowed
            session = await client.options("/whip/app/room/user/0/any")
            assert {"PATCH", "DELETE"} <= {
                m.strip() for m in session.headers["access-control-allow-methods"].split(",")
            }
            assert session.headers["accept-patch"] == FRAGMENT

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/whip/app/room/user", "/whip/app/room/user/0/id"])
def test_methods(path: str) -> None:
    """RFC 9725 section 4.1: GET is answered, though there is nothing to see."""

    async def run() -> None:
        async with gateway() as (client, _):
            allowed = {m.strip() for m in (await client.options(path)).headers["allow"].split(",")}
            for method in ("GET", "HEAD"):
                answer = await client.request(method, path)
                assert (answer.status_code, answer.content) == (204, b"")
                assert answer.headers["access-control-allow-origin"] == "*"
            for method in {"PUT", "POST", "PATCH", "DELETE"} - allowed:
                answer = await client.request(method, path)
                assert problem(answer)["status"] == 405
                assert {m.strip() for m in answer.headers["allow"].split(",")} == allowed

    asyncio.run(run())


def test_ice_servers_are_told() -> None:
    async def run() -> None:
        servers = (
            IceServer("stun:stun.example.org:3478"),
            IceServer("turn:turn.example.org:3478?transport=udp", "user", "secret"),
        )
        assert "secret" not in repr(servers)
        async with gateway(ice_servers=servers) as (client, _):
            response = await client.post("/whip/app/room/user", content=offer("lib-medooze"), headers=SDP)
            assert response.headers["link"] == (
                '<stun:stun.example.org:3478>; rel="ice-server", '
                '<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="user"; '
                'credential="secret"; credential-type="password"'
            )

    asyncio.run(run())


def test_the_token_is_passed_on() -> None:
    async def run() -> None:
        seen: list[tuple[str | None, StreamKey]] = []

        async def authorize(token: str | None, key: StreamKey) -> None:
            seen.append((token, key))
            if token != "good":  # noqa: S105  a word of this test
                raise Problem(401, "a token is needed", {"WWW-Authenticate": "Bearer"})

        async with gateway(authorize=authorize) as (client, engine):
            path = "/whip/app/room/user"
            answer = await client.post(path, content=offer("cr-basic"), headers=SDP)
            assert problem(answer)["status"] == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            answer = await client.post(path, content=offer("cr-basic"), headers=SDP | {"Authorization": "bearer  good"})
            assert answer.status_code == 201
            assert problem(await client.delete(answer.headers["location"]))["status"] == 401
            assert len(engine.sessions) == 1
            assert [token for token, _ in seen] == [None, "good", None]
            assert {key for _, key in seen} == {StreamKey("app", "room", "user")}

    asyncio.run(run())


async def test_a_client_that_hangs_up_amid_its_offer_is_no_error() -> None:
    """Of the server's, which would log a trace for each."""
    app = FastAPI()
    app.include_router(make_router(SmallEngine(Ticker(), LOOPBACK)))
    messages = [{"type": "http.request", "body": b"v=0", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(message: object) -> None:
        """Nobody hears it."""

    headers = [(b"content-type", b"application/sdp"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/whip/app/room/user", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert messages == []
