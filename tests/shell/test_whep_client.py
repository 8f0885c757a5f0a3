"""The HTTP of our WHEP player against servers of every kind of answer, over real sockets."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

import pytest

from relay.core.egress import ANY, PUBLIC, EgressPolicy
from relay.core.subscription import Outcome, outcome_of
from relay.core.whep_source import Endpoint
from relay.net.destinations import Destinations
from relay.rtc import sdp, whep
from relay.rtc.subscriber import SubscriberSession
from relay.rtc.whep import Resource, SubscribeError, WhepClient
from tests.support.eventually import eventually
from tests.support.http import Request, Response, serving
from tests.support.rtc import LOOPBACK, nothing_more, open_things
from tests.support.whep_answers import ALL_OF_THEM, ONE_EACH

SDP = {"content-type": "application/sdp"}
SECRETS = {"Authorization": "Bearer sekret", "X-Key": "sekret2"}


@dataclasses.dataclass
class Face:
    """A server that gives the same answers whoever asks, and a client for it."""

    url: str
    client: WhepClient
    requests: list[Request]

    def endpoint(self, path: str = "/whep/room/user?key=sekret3") -> Endpoint:
        return Endpoint(self.url + path, SECRETS)


@contextlib.asynccontextmanager
async def closing_client(egress: EgressPolicy = ANY) -> AsyncIterator[WhepClient]:
    client = WhepClient(Destinations(egress))
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def face(answer: Callable[[Request], Response], egress: EgressPolicy = ANY) -> AsyncIterator[Face]:
    requests: list[Request] = []

    async def answered(request: Request) -> Response:
        requests.append(request)
        return answer(request)

    async with serving(answered) as url, closing_client(egress) as client:
        yield Face(url, client, requests)


async def refused(server: Face) -> SubscribeError:
    with pytest.raises(SubscribeError) as caught:
        await server.client.post_offer(server.endpoint(), "v=0 offer")
    assert "sekret" not in caught.value.detail
    return caught.value


async def test_an_answer_with_its_resource() -> None:
    headers = {**SDP, "location": "../sessions/1", "etag": '"tag"'}
    async with face(lambda request: Response(201, headers, ONE_EACH.encode())) as server:
        answered = await server.client.post_offer(server.endpoint(), "v=0 offer")
        assert (answered.sdp, answered.counter_offer) == (ONE_EACH, False)
        assert answered.resource is not None
        await answered.resource.trickle("a=ice-ufrag:x")
        await answered.resource.answer("v=0 answer")
        await answered.resource.delete()
        asked, trickled, patched, deleted = server.requests
    assert (asked.method, asked.target, asked.body) == ("POST", "/whep/room/user?key=sekret3", b"v=0 offer")
    assert asked.headers["content-type"] == "application/sdp"
    for request in server.requests:
        assert request.headers["authorization"] == "Bearer sekret"
        assert request.headers["x-key"] == "sekret2"
    assert trickled.target == patched.target == deleted.target == "/whep/sessions/1"
    assert trickled.headers["content-type"] == "application/trickle-ice-sdpfrag"
    assert trickled.headers["if-match"] == patched.headers["if-match"] == '"tag"'
    assert (patched.headers["content-type"], patched.body) == ("application/sdp", b"v=0 answer")
    assert (deleted.method, deleted.body) == ("DELETE", b"")


async def test_a_resource_that_cannot_be() -> None:
    async with face(lambda request: Response(201, {**SDP, "location": "http://[::1"}, b"v=0")) as server:
        assert (await server.client.post_offer(server.endpoint(), "v=0 offer")).resource is None


async def test_a_counter_offer() -> None:
    headers = {**SDP, "location": "/sessions/1"}
    async with face(lambda request: Response(406, headers, ONE_EACH.encode())) as server:
        answered = await server.client.post_offer(server.endpoint(), "v=0 offer")
        assert answered.counter_offer


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 405, 406, 409, 410, 415, 422, 429, 500, 502, 503])
async def test_every_other_answer(status: int) -> None:
    async with face(lambda request: Response(status, {"retry-after": "7"}, b"sekret: no")) as server:
        error = await refused(server)
    assert error.outcome is outcome_of(status)
    assert error.retry_after == (None if status == 200 else 7.0)
    assert str(status) in error.detail


@pytest.mark.parametrize("said", ["", "-1", "1.5", "Fri, 31 Dec 1999 23:59:59 GMT", "9" * 30, "\u0664"])
async def test_a_retry_after_that_is_no_number_of_seconds(said: str) -> None:
    async with face(lambda request: Response(503, {"retry-after": said}, b"")) as server:
        assert (await refused(server)).retry_after is None


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with face(lambda request: Response(201, SDP, b"v=0" + bytes(1024 * 1024))) as server:
        error = await refused(server)
    assert error.outcome is Outcome.DENIED
    assert "more than" in error.detail


async def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whep, "EXCHANGE_TIMEOUT", 0.1)
    silent = asyncio.Event()

    async def answer(request: Request) -> Response:
        await silent.wait()
        raise ConnectionError

    async with serving(answer) as url, closing_client() as client:
        with pytest.raises(SubscribeError, match="in time") as caught:
            await client.post_offer(Endpoint(url, {}), "v=0")
        silent.set()
    assert caught.value.outcome is Outcome.UNREACHABLE


async def test_a_server_that_says_nothing_to_many_keeps_nobody_from_another() -> None:
    hanging = 0
    over = asyncio.Event()

    async def hang(request: Request) -> Response:
        nonlocal hanging
        hanging += 1
        await over.wait()
        return Response(404, {}, b"")

    async with serving(hang) as silent, face(lambda request: Response(201, SDP, ONE_EACH.encode())) as server:
        lost = [asyncio.create_task(server.client.post_offer(Endpoint(silent, {}), "v=0")) for _ in range(120)]
        await eventually(lambda: hanging == 120, what="all are asked")
        assert (await server.client.post_offer(server.endpoint(), "v=0")).sdp == ONE_EACH
        over.set()
        await asyncio.wait(lost)
        assert {type(attempt.exception()) for attempt in lost} == {SubscribeError}


async def test_what_a_server_sets_for_one_stream_is_not_shown_for_another() -> None:
    """Cookies: they would tie sessions together, and could be any number."""
    async with face(lambda request: Response(201, {**SDP, "set-cookie": "session=1"}, b"v=0")) as server:
        for _ in range(2):
            await server.client.post_offer(server.endpoint(), "v=0")
        assert ["cookie" in request.headers for request in server.requests] == [False, False]


async def test_nobody_there() -> None:
    async with face(lambda request: Response(201, SDP, b"v=0")) as server:
        url = server.url
    async with closing_client() as client:
        for place in (url, "http://no-such-host.invalid/x"):
            with pytest.raises(SubscribeError) as caught:
                await client.post_offer(Endpoint(place, SECRETS), "v=0")
            assert caught.value.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_followed_with_the_offer(status: int) -> None:
    def answer(request: Request) -> Response:
        if request.target.startswith("/whep"):
            return Response(status, {"location": "/elsewhere?a=b"}, b"")
        return Response(201, {**SDP, "location": "1"}, ONE_EACH.encode())

    async with face(answer) as server:
        answered = await server.client.post_offer(server.endpoint(), "v=0 offer")
        assert answered.resource is not None
        await answered.resource.delete()
    first, second, third = server.requests
    assert (second.method, second.target, second.body) == ("POST", "/elsewhere?a=b", first.body)
    assert second.headers["authorization"] == "Bearer sekret"
    assert (third.method, third.target) == ("DELETE", "/1")


async def test_another_origin_is_not_shown_the_token() -> None:
    async with face(lambda request: Response(201, {**SDP, "location": "/1"}, ONE_EACH.encode())) as other:
        moved = Response(307, {"location": f"{other.url}/whep"}, b"")
        async with face(lambda request: moved) as server:
            answered = await server.client.post_offer(server.endpoint(), "v=0 offer")
            assert answered.resource is not None
            await answered.resource.delete()
    assert [request.method for request in other.requests] == ["POST", "DELETE"]
    assert "sekret" not in repr([(request.headers, request.target) for request in other.requests])


@pytest.mark.parametrize("status", [307, 201])
async def test_where_the_egress_policy_lets_nobody_go_nobody_is_sent(status: int) -> None:
    """Neither by a redirect nor by a session's URL."""
    async with face(lambda request: Response(500, {}, b"")) as other:
        sent = Response(status, {**SDP, "location": f"{other.url}/1"}, ONE_EACH.encode())
        async with face(lambda request: sent, PUBLIC) as server:
            if status == 307:
                error = await refused(server)
                assert error.outcome is Outcome.DENIED
                assert "RELAY_EGRESS" in error.detail
            else:
                answered = await server.client.post_offer(server.endpoint(), "v=0 offer")
                assert answered.resource is not None
                await answered.resource.delete()
    assert len(server.requests) == 1
    assert other.requests == []


async def test_a_name_elsewhere_is_looked_up_once() -> None:
    """What was looked at is what is connected to; the server is told the name."""
    async with face(lambda request: Response(404, {}, b"")) as other:
        port = other.url.rpartition(":")[2]
        moved = Response(307, {"location": f"http://localhost:{port}/there"}, b"")
        async with face(lambda request: moved) as server:
            assert (await refused(server)).outcome is Outcome.ABSENT
    assert [(request.target, request.headers["host"]) for request in other.requests] == [
        ("/there", f"localhost:{port}")
    ]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/whep/again", "more than 5 times"),
        ("ftp://h/x", "from http to ftp"),
        ("javascript:0", "URL that is none"),
    ],
)
async def test_redirects_that_lead_nowhere(location: str, told: str) -> None:
    async with face(lambda request: Response(307, {"location": location}, b"")) as server:
        error = await refused(server)
    assert error.outcome is Outcome.DENIED
    assert told in error.detail
    assert len(server.requests) == (6 if "again" in location else 1)


async def test_a_server_that_is_gone_at_the_end_is_no_trouble() -> None:
    async with face(lambda request: Response(500, {}, b"")) as server:
        await Resource(server.client, server.endpoint(), server.url + "/1", "").delete()
        with pytest.raises(SubscribeError):
            await Resource(server.client, server.endpoint(), server.url + "/1", "").trickle("a=x")
    async with closing_client() as client:
        await Resource(client, server.endpoint(), server.url + "/1", "").delete()


@pytest.mark.parametrize(
    ("body", "outcome", "told"),
    [
        (ONE_EACH, Outcome.UNCONNECTED, "not connected within 0.2 s"),
        (ALL_OF_THEM, Outcome.UNCONNECTED, "not connected within 0.2 s"),
        (ONE_EACH.replace("sendonly", "inactive"), Outcome.DENIED, "neither H.264 nor Opus"),
        (ONE_EACH.replace("a=setup:passive", ""), Outcome.DENIED, "a=setup"),
    ],
)
async def test_what_comes_to_nothing_is_given_up_and_the_server_told(body: str, outcome: Outcome, told: str) -> None:
    settings = dataclasses.replace(LOOPBACK, connect_timeout=0.2)
    async with face(lambda request: Response(201, {**SDP, "location": "/1"}, body.encode())) as server:
        before = open_things()
        with pytest.raises(SubscribeError, match=told) as caught:
            await SubscriberSession.subscribe(server.client, server.endpoint(), settings=settings)
        assert caught.value.outcome is outcome
        assert [request.method for request in server.requests] == ["POST", "DELETE"]
        await eventually(lambda: nothing_more(before), what="nothing left open")


async def test_of_a_counter_offer_with_two_cameras_the_first_is_taken() -> None:
    """As the example of draft-ietf-wish-whep has it, with a data channel beside them."""
    video = ONE_EACH[ONE_EACH.index("m=video") :]
    more = video.replace("a=mid:1", "a=mid:2") + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n"
    body = (ONE_EACH + more).replace("BUNDLE 0 1", "BUNDLE 0 1 2 3").replace("setup:passive", "setup:actpass")

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(406, {**SDP, "location": "/1"}, body.encode())
        return Response(204, {}, b"")

    settings = dataclasses.replace(LOOPBACK, connect_timeout=0.2)
    async with face(answer) as server:
        with pytest.raises(SubscribeError, match="not connected"):
            await SubscriberSession.subscribe(server.client, server.endpoint(), settings=settings)
        assert [request.method for request in server.requests] == ["POST", "PATCH", "DELETE"]
        answered = sdp.parse_session(server.requests[1].body.decode())
    assert answered.bundle() == ("0", "1")
    assert [(part.kind, part.port > 0) for part in answered.media] == [
        ("audio", True),
        ("video", True),
        ("video", False),
        ("application", False),
    ]
    assert answered.media[1].direction == "recvonly"


async def test_an_attempt_that_is_cancelled_leaves_nothing() -> None:
    async with face(lambda request: Response(201, {**SDP, "location": "/1"}, ONE_EACH.encode())) as server:
        before = open_things()
        attempt = asyncio.create_task(SubscriberSession.subscribe(server.client, server.endpoint(), settings=LOOPBACK))
        await eventually(lambda: server.requests, what="the offer")
        attempt.cancel()
        await asyncio.wait([attempt])
        assert attempt.cancelled()
        await eventually(lambda: nothing_more(before), what="nothing left open")
