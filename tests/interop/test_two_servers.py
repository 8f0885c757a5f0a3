"""Two relays on one PostgreSQL: a name has one task, whoever is asked, and a task outlives its server."""

import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path

from relay.api.actions import ALREADY_STARTED
from relay.cli.pattern import PatternSource
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.postgres import PASSWORD, postgres
from tests.support.process import RelayProcess, serving
from tests.support.publishing import publishing


def camera() -> PatternSource:
    return PatternSource(width=320, height=180, fps=15, bit_rate=300_000)


async def pushes(server: RelayProcess) -> bool:
    return 'relay_tasks{state="pushing"} 1.0' in (await server.relay.client.get("/metrics")).text


async def test_fifty_starts_at_two_servers_and_what_follows(cdn: Nginx, tmp_path: Path) -> None:
    with postgres() as database:
        async with contextlib.AsyncExitStack() as stack:
            servers = []
            for name in ("one", "two"):
                folder = tmp_path / name
                folder.mkdir()
                servers.append(stack.enter_async_context(serving(folder, database_url=database)))
            one, two = await asyncio.gather(*servers)  # migrating at once, too
            for server in (one, two):
                # One user, at both: the task's server has it, whichever that is.
                await stack.enter_async_context(publishing(server.relay, source=camera()))
            answers = await asyncio.gather(
                *(server.relay.start(cdn.push_url("fifty")) for server in (one, two) for _ in range(25))
            )
            assert Counter(answers) == {"ok": 1, ALREADY_STARTED: 49}

            async def owner() -> RelayProcess | None:
                found = [server for server in (one, two) if await pushes(server)]
                return found[0] if found else None

            first = await eventually(owner, what="one of them pushes")
            assert first is not None
            other = two if first is one else one
            assert await first.relay.get() == await other.relay.get()
            assert cdn.calls("fifty") == ["publish"]

            # Stopped at the one that does not run it.
            assert (await other.relay.stop()).status_code == 200
            assert await other.relay.states() == (3, 6, "StopByAPI") == await first.relay.states()
            await eventually(lambda: cdn.calls("fifty") == ["publish", "publish_done"], within=3)
            assert (await first.relay.stop()).status_code == 400

            # Started again; its server is killed, and the other takes it over.
            assert await first.relay.start(cdn.push_url("again")) == "ok"
            await eventually(lambda: pushes(first))
            before = await other.relay.get()
            await first.kill()
            killed = time.monotonic()
            await eventually(lambda: cdn.calls("again") == ["publish", "publish_done", "publish"], within=8)
            assert time.monotonic() - killed < 6
            await eventually(lambda: pushes(other))
            after = await other.relay.get()
            assert after == before
            assert (await other.relay.stop()).status_code == 200
            for server in (one, two):
                assert PASSWORD not in server.log.read_text()
