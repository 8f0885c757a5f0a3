"""How often each access key may ask: over real HTTP, signed and not."""

import asyncio

import httpx

from relay.api.actions import GET, START, STOP
from relay.api.rates import RateLimits
from relay.app.settings import Settings
from tests.shell.test_auth import ALL, GATE, ONE, OTHER_SECRET, SECRET, Call, error, get, start, stop
from tests.support.bodies import changed
from tests.support.eventually import eventually
from tests.support.relay import APP, ROOM, Relay, running_relay
from tests.support.signing import Signer

FEW = 3
LIMITED = (429, "FlowLimitExceeded", 100018)


async def until_limited(relay: Relay, call: Call, signer: Signer) -> int:
    """How many requests were answered before one was too many."""
    for count in range(10 * FEW):
        response = await call.send(relay, signer)
        if response.status_code == 429:
            assert error(response) == LIMITED
            assert response.headers["Retry-After"] == "1"
            message = response.json()["ResponseMetadata"]["Error"]["Message"]
            assert message == f"More than {FEW} {call.action} requests a second: wait 1 s before the next."
            return count
    raise AssertionError("no limit")


async def test_each_key_and_each_action_has_its_own_limit() -> None:
    rates = RateLimits({START: FEW, STOP: FEW, GET: FEW})
    async with running_relay(gate=GATE, rates=rates) as relay:
        for call in (start(), stop(), get()):
            for signer in (ALL, ONE):
                assert await until_limited(relay, call, signer) >= FEW
        # It is over by itself, as Retry-After says.
        response = await eventually(lambda: answered(relay, get(), ONE), within=5)
        assert response.status_code in (200, 400)


async def answered(relay: Relay, call: Call, signer: Signer) -> httpx.Response | None:
    response = await call.send(relay, signer)
    return None if response.status_code == 429 else response


async def test_refused_requests_use_up_nothing() -> None:
    """Neither those of strangers who name the key, nor those that are one too many."""
    forger = Signer("AKall", OTHER_SECRET)
    async with running_relay(gate=GATE, rates=RateLimits({START: FEW})) as relay:
        for _ in range(5 * FEW):
            assert (await start().send(relay, forger)).status_code == 401
        assert await until_limited(relay, start(), ALL) >= FEW


async def test_without_keys_all_callers_are_one() -> None:
    async with running_relay(rates=RateLimits({START: FEW})) as relay:
        starts = [relay.call(START, changed(TaskId=f"{number}")) for number in range(10 * FEW)]
        codes = [response.status_code for response in await asyncio.gather(*starts)]
        assert codes.count(429) >= 10 * FEW - 3 * FEW
        assert set(codes) == {200, 429}
        names = {"AppId": APP, "RoomId": ROOM, "TaskId": "task"}
        for _ in range(10 * FEW):
            assert (await relay.call(GET, method="GET", **names)).status_code != 429  # there is no limit for it here


async def test_what_is_wrong_with_a_request_comes_before_its_limit() -> None:
    async with running_relay(gate=GATE, rates=RateLimits({START: FEW})) as relay:
        await until_limited(relay, start(), ALL)
        assert error(await start().send(relay, Signer("AKnobody", SECRET)))[1] == "InvalidAccessKey"
        assert error(await Call("Nothing").send(relay, ALL))[1] == "InvalidActionOrVersion"


def test_the_settings_say_how_often() -> None:
    assert repr(list(Settings().rates._items.values())) == "[150 per 1 second, 150 per 1 second, 60 per 1 second]"
    assert not Settings(start_rate=0, stop_rate=0, get_rate=0).rates._items
