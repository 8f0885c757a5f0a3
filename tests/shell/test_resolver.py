"""Names looked up in threads of their own: bounded, shared, and holding nobody up."""

import asyncio
import socket

import pytest

from relay.core.egress import ANY, PUBLIC, ForbiddenAddress
from relay.net.destinations import CHECK_TIMEOUT, Destinations
from relay.net.resolver import MAX_LOOKUPS, Resolver
from tests.support.eventually import eventually
from tests.support.names import Hanging, Names


async def test_the_system_answers() -> None:
    assert set(await Resolver().addresses("localhost")) <= {"127.0.0.1", "::1"}
    for name in ("nowhere.invalid", "x" * 80, "a..b"):
        with pytest.raises((OSError, ValueError)):
            await Resolver().addresses(name)


async def test_who_asks_for_the_same_name_shares_the_answer() -> None:
    names = Hanging()
    resolver = Resolver(names)
    asked = [asyncio.create_task(resolver.addresses("cdn.example")) for _ in range(50)]
    await eventually(lambda: names.asked)
    names.let_go()
    assert await asyncio.gather(*asked) == [["127.0.0.1"]] * 50
    assert names.asked == ["cdn.example"]
    await resolver.addresses("cdn.example")  # nothing is kept: the next answer may be another
    assert len(names.asked) == 2


async def test_hanging_lookups_are_bounded_and_hold_up_nothing_else() -> None:
    names = Hanging()
    resolver = Resolver(names)
    asked = [asyncio.create_task(resolver.addresses(f"{number}.example")) for number in range(3 * MAX_LOOKUPS)]
    await eventually(lambda: len(names.asked) == MAX_LOOKUPS)
    # asyncio's own threads are free, and who gives up waiting is let go.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 1)
    for task in asked[: 2 * MAX_LOOKUPS]:
        task.cancel()
    await asyncio.wait(asked[: 2 * MAX_LOOKUPS], timeout=1)
    assert all(task.cancelled() for task in asked[: 2 * MAX_LOOKUPS])
    assert len(names.asked) == MAX_LOOKUPS
    names.let_go()
    assert await asyncio.gather(*asked[2 * MAX_LOOKUPS :]) == [["127.0.0.1"]] * MAX_LOOKUPS
    assert len(names.asked) == 2 * MAX_LOOKUPS


async def test_an_address_takes_no_lookup() -> None:
    names = Names({})
    destinations = Destinations(ANY, Resolver(names))
    for host in ("127.0.0.1", "::1", "2130706433", "fe80::1%lo"):
        assert await destinations.addresses(host)
    assert names.asked == []


async def test_a_check_ahead_of_time_waits_for_nobody() -> None:
    names = Hanging()
    destinations = Destinations(PUBLIC, Resolver(names))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await destinations.check("cdn.example")
    assert loop.time() - begun < CHECK_TIMEOUT + 1
    names.let_go()
    with pytest.raises(ForbiddenAddress):
        await destinations.addresses("cdn.example")


async def test_a_check_lets_unknown_names_pass() -> None:
    destinations = Destinations(PUBLIC, Resolver(Names({"empty.example": [[]]})))
    for host in ("unknown.example", "empty.example"):
        await destinations.check(host)
        with pytest.raises(OSError, match=r"."):
            await destinations.addresses(host)
    with pytest.raises(socket.gaierror):
        await destinations.addresses("unknown.example")
