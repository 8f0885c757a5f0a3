"""A worker process is killed while streams run: what the others lose, and how soon its tasks push again.

    python -m tests.bench.kill --streams 16

Server, sink and publishers are processes of their own; the publishers of the killed worker's rooms publish again at
once, each until it is let in. Exits with 1 where a stream of the other worker lost a picture, came by a second
connection or has a hole in its sound, or where one of the killed worker's was not pushed again within `LIMIT` of its
publisher's return.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import psutil

from relay.cli.bench import child
from relay.cli.bench.arrivals import Arrived
from relay.cli.bench.report import match
from relay.cli.source import builtin_clip
from tests.support.eventually import eventually
from tests.support.process import RelayProcess, serving

LIMIT = 5.0
"""Seconds."""
SETTLE = 3.0
"""Seconds that all streams flow before the kill, and again behind it."""


class Bench:
    def __init__(self, served: RelayProcess, sink: child.Child, publishers: child.Child, names: list[str]) -> None:
        self._served = served
        self._sink = sink
        self._publishers = publishers
        self._names = names

    async def pictures(self) -> dict[str, int]:
        """That have arrived so far."""
        found: dict[str, int] = (await self._sink.ask("look", within=10))["pictures"]
        return {name: found.get(name, 0) for name in self._names}

    async def publish(self, name: str, session: str) -> None:
        url = self._served.relay.whip_url(name, room=name)
        await self._publishers.ask("connect", within=30, name=session, url=url, addresses=["127.0.0.1"])

    async def flow(self, names: list[str], seconds: float) -> list[str]:
        """Those of which something has arrived within so many seconds."""
        before = await self.pictures()
        await asyncio.sleep(seconds)
        after = await self.pictures()
        return [name for name in names if after[name] > before[name]]

    async def again(self, name: str) -> tuple[float, float]:
        """Publishes until it is let in; seconds since then until the stream is pushed, and since the first attempt."""
        begun = time.monotonic()

        async def joined() -> bool:
            with contextlib.suppress(child.ChildFailed):
                await self.publish(name, f"{name}-again")
                return True
            return False

        await eventually(joined, within=30, every=0.1, what=f"{name} is let in again")
        returned, before = time.monotonic(), (await self.pictures())[name]

        async def pushed() -> bool:
            return (await self.pictures())[name] > before

        await eventually(pushed, within=30, every=0.02, what=f"{name} is pushed again")
        return time.monotonic() - returned, time.monotonic() - begun


async def bench(streams: int) -> int:
    names = [f"stream{number}" for number in range(streams)]
    with tempfile.TemporaryDirectory() as folder:
        async with (
            child.running("relay.cli.bench.arrivals", "sink") as sink,
            child.running("relay.cli.bench.publishers", "publishers") as publishers,
            serving(Path(folder), workers="2") as served,
        ):
            port = (await sink.ask("open", within=10))["port"]
            await publishers.ask("open", within=10, clip=str(builtin_clip()), spaced=True, loss=0)
            bench = Bench(served, sink, publishers, names)
            for name in names:
                await served.relay.start(f"rtmp://127.0.0.1:{port}/live/{name}", task=name, room=name, user=name)
                await bench.publish(name, name)

            async def all_flow() -> bool:
                return len(await bench.flow(names, 0.5)) == streams

            await eventually(all_flow, within=30, what="all streams flow")
            begin = time.monotonic()
            await asyncio.sleep(SETTLE)
            workers = [one for one in served.process.children() if "relay.app.worker_process" in one.cmdline()]
            workers[0].kill()
            kept = await bench.flow(names, 1.0)
            lost = [name for name in names if name not in kept]
            returns = [await bench.again(name) for name in lost]
            await asyncio.sleep(SETTLE)
            end, cpu = time.monotonic(), psutil.cpu_percent(1.0)
            arrived = {
                name: Arrived(**fields) for name, fields in (await sink.ask("finish", within=30))["streams"].items()
            }
            sent = (await publishers.ask("finish", within=30))["sent"]
            await sink.ask("close", within=10)
    matched = [match(sent[name], arrived[name].pictures, begin, end) for name in kept]
    missing, holes = sum(one.lost + one.changed for one in matched), sum(arrived[name].holes for name in kept)
    again = sum(arrived[name].connections > 1 for name in kept)
    slowest = max((seconds for seconds, _ in returns), default=0.0)
    attempt = max((seconds for _, seconds in returns), default=0.0)
    of = sum(one.sent for one in matched)
    for line in (
        f"{streams} streams on two workers, {len(lost)} of them on the one killed; the machine at {cpu:.0f} %",
        f"the others: {missing} of {of} pictures lost or changed, {holes} holes, {again} reconnected",
        f"pushed again {slowest:.2f} s after the publisher's return, {attempt:.2f} s after its first attempt, at most",
    ):
        print(line)  # noqa: T201
    return 0 if lost and kept and not (missing or holes or again) and slowest <= LIMIT else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=16)
    return asyncio.run(bench(parser.parse_args().streams))


if __name__ == "__main__":
    sys.exit(main())
