"""Publishers join and leave, pushes start and stop, again and again: nothing is left of them."""

import asyncio
import contextlib
from pathlib import Path

import pytest
import structlog

from relay.push.sink import Sink
from tests.support.eventually import eventually
from tests.support.process import RelayProcess, serving
from tests.support.publishing import publishing

log = structlog.get_logger(__name__)

SETTLED = 100
"""Cycles before memory is measured. It settles late: of 800, each hundred up to the 400th took 0.5 to 0.7 MB, and each
from there on 0.2 MB at most."""
CYCLES = 248
AT_ONCE = 4
DATABASE = 2 * 4
"""Threads and descriptors of the ledger's connections beside the writer's, which are opened when they are needed: for
each a thread, the file and its two journals."""


async def cycle(served: RelayProcess, port: int, number: int, *, vanishes: bool) -> None:
    """One user comes, is pushed, and goes: `vanishes`, without a word."""
    relay, user, task = served.relay, f"user{number}", f"task{number}"
    await relay.start(f"rtmp://127.0.0.1:{port}/live/{task}", task=task, user=user)
    async with publishing(relay, user) as one:

        async def pushing() -> bool:
            return (await relay.states(task))[:2] == (2, 5)

        await eventually(pushing)
        await relay.stop(task)
        if vanishes:
            await one.vanish()


@pytest.mark.timeout(400)
async def test_two_hundred_cycles_leave_nothing(tmp_path: Path) -> None:
    sink = Sink()
    port = await sink.start()
    try:
        async with serving(tmp_path) as served:
            fresh = served.counts() + DATABASE

            async def cycles(first: int, last: int) -> int:
                # Those who vanish are noticed when their ICE consent runs out, half a minute later: they come early.
                vanishing = set(range(first, first + (last - first) // 4, 2))
                for number in range(first, last, AT_ONCE):
                    some = range(number, number + AT_ONCE)
                    await asyncio.gather(*(cycle(served, port, n, vanishes=n in vanishing) for n in some))
                with contextlib.suppress(AssertionError):
                    await eventually(lambda: served.counts() <= fresh, within=90)
                assert served.counts() <= fresh, "threads and descriptors"
                return served.resident()

            settled = await cycles(0, SETTLED)
            grown = await cycles(SETTLED, CYCLES) - settled
            log.info("soak", settled=settled, grown=grown, unit="bytes")
            assert grown < 4 * 1024 * 1024
            assert "Traceback" not in served.log.read_text()
    finally:
        await sink.close()
