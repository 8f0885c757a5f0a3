"""A TURN server between a publisher and the relay, where nothing else lets them through."""

import dataclasses
from collections.abc import Iterator

import pytest

from relay.core.egress import ANY
from relay.core.whep_source import Endpoint
from relay.net.destinations import Destinations
from relay.rtc import fragment, sdp, subscriber
from relay.rtc.caster import Caster
from relay.rtc.publisher import PublisherSession
from relay.rtc.settings import TurnServer
from relay.rtc.transport import Transport
from relay.rtc.whep import SubscribeError, WhepClient
from tests.support.eventually import eventually
from tests.support.http import Request, Response, serving
from tests.support.rtc import LOOPBACK, Received, Ticker, nothing_more, open_things, picture, sound
from tests.support.turn import RELAYED, coturn, firewall
from tests.support.whep_answers import ONE_EACH


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnServer]:
    with coturn(tmp_path_factory.mktemp("turn")) as server:
        yield server


@pytest.mark.parametrize("reader", ["hook", "batch"])
async def test_media_comes_through_it(turn: TurnServer, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(LOOPBACK, turn_server=turn, reader=reader)
    reached = firewall(monkeypatch)
    caster = await Caster.create(settings=LOOPBACK)
    session, answer = await PublisherSession.answer(caster.offer(), settings=settings)
    received = Received(session)
    relayed = [candidate for candidate in sdp.parse(answer).candidates() if candidate.type == "relay"]
    assert [candidate.port in RELAYED for candidate in relayed] == [True]
    assert "sekret" not in answer
    async with Ticker().running() as ticker:
        ticker.members += [caster, session]
        await caster.accept(answer)
        assert await caster.wait_connected(), caster.closed_reason
        await eventually(lambda: session.connected, what="connected")
        pictures, sounds = [picture(i, key=i == 0) for i in range(20)], [sound(i) for i in range(20)]
        for i in range(20):
            # coturn's sockets hold less than all at once.
            await eventually(lambda i=i: len(received.sounds) > i - 4, every=0.005, what="sound under way")
            caster.send_access_unit(pictures[i], i / 30)
            caster.send_opus(sounds[i], i / 50)
        await eventually(lambda: (len(received.pictures), len(received.sounds)) == (20, 20), what="all frames")
        assert [p.parts for p in received.pictures] == pictures
        # Feedback goes the same way back.
        count = caster.key_frames_asked
        session.request_key_frame()
        await eventually(lambda: caster.key_frames_asked > count, what="PLI")
        assert reached
        caster.close()
        session.close("over")
        await caster.wait_closed()
        await session.wait_closed()


async def test_a_server_that_says_no_or_nothing_costs_nothing_but_the_candidate(turn: TurnServer) -> None:
    before = open_things()
    for server in (dataclasses.replace(turn, username="nobody"), dataclasses.replace(turn, port=1)):
        transport = Transport(dataclasses.replace(LOOPBACK, turn_server=server), offering=True)
        local = await transport.gather(0.5)
        assert [" typ host" in candidate for candidate in local.candidates] == [True]
        assert "sekret" not in repr(server)
        transport.close("over")
        await transport.wait_closed()
    await eventually(lambda: nothing_more(before), what="nothing left open")


async def test_what_comes_late_is_told_late(turn: TurnServer) -> None:
    transport = Transport(dataclasses.replace(LOOPBACK, turn_server=turn), offering=True)
    local = await transport.gather(0.0)
    assert len(local.candidates) == 1
    assert not transport.gathered
    (late,) = await transport.late_candidates(5.0)
    assert " typ relay" in late
    assert transport.gathered
    transport.close("over")
    await transport.wait_closed()


async def test_a_subscription_trickles_what_comes_late(turn: TurnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "PATIENCE", 0.0)
    requests: list[Request] = []

    async def answer(request: Request) -> Response:
        requests.append(request)
        headers = {"content-type": "application/sdp", "location": "/1", "etag": '"tag"'}
        return Response(201 if request.method == "POST" else 204, headers, ONE_EACH.encode())

    settings = dataclasses.replace(LOOPBACK, turn_server=turn, connect_timeout=1.0)
    client = WhepClient(Destinations(ANY))
    async with serving(answer) as url:
        with pytest.raises(SubscribeError, match="no ICE path"):
            await subscriber.SubscriberSession.subscribe(client, Endpoint(url, {}), settings=settings)
        await client.close()
    offered, trickled, ended = requests
    assert b"typ relay" not in offered.body
    assert b"a=end-of-candidates" not in offered.body
    assert (trickled.method, trickled.headers["if-match"]) == ("PATCH", '"tag"')
    assert b"typ relay" in trickled.body
    assert fragment.parse_fragment(trickled.body.decode()).ufrag in offered.body.decode()
    assert ended.method == "DELETE"
