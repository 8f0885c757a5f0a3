"""How soon Start answers: signed requests on a schedule that waits for no answer, while pushes run.

    python -m tests.bench.start --rate 150 --seconds 20 --pushes 4

Server, sink and publishers are processes of their own. Half of the requests are Starts; each task is stopped a second
later, halfway between two Starts. Latency counts from the moment a request was due, so a late client counts against the
relay.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from relay.api.actions import GET, START, STOP, VERSION
from relay.cli.bench import child
from relay.cli.source import builtin_clip
from relay.core.signature import SignedRequest
from tests.support.eventually import eventually
from tests.support.process import RelayProcess, serving
from tests.support.signing import Signer

APP, ROOM = "app", "room"
SIGNER = Signer("AKbench", "c2VjcmV0IG9mIHRoZSBiZW5jaA==")
LIFE = 1.0
"""Seconds from Start to Stop, about."""


@dataclass(slots=True)
class Client:
    """HTTP/1.1 by hand over kept connections: the client must cost less than what it measures."""

    host: str
    port: int
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def call(self, action: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        content = json.dumps(body).encode()
        query = f"Action={action}&Version={VERSION}"
        headers = {"host": f"{self.host}:{self.port}", "content-type": "application/json"}
        headers |= SIGNER.headers(SignedRequest("POST", "/", query, headers), content, time.time())
        head = [f"POST /?{query} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        head += [f"content-length: {len(content)}", "", ""]
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self.host, self.port)
        reader, writer = connection
        writer.write("\r\n".join(head).encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        content = await reader.readexactly(length)
        self._idle.append(connection)
        return int(answer.split(b" ", 2)[1]), content

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


def body(task: str, push_url: str, user: str) -> dict[str, Any]:
    return {
        "AppId": APP,
        "RoomId": ROOM,
        "TaskId": task,
        "Stream": {"UserId": user},
        "PushURL": push_url,
        "Control": {},
    }


@dataclass(slots=True)
class Load:
    client: Client
    push_url: str
    starts: list[float] = field(default_factory=list)
    """Seconds from when a Start was due to its answer."""
    stops: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    async def run(self, rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        begun, starts = loop.time(), rate / 2
        life = (round(LIFE * starts) + 0.5) / starts
        async with asyncio.TaskGroup() as group:
            for number in range(round(starts * seconds)):
                due = begun + number / starts
                await asyncio.sleep(due - loop.time())
                group.create_task(self._life(f"bench{number}", due, life))

    async def _life(self, task: str, due: float, life: float) -> None:
        # A user of its own, who never comes: the task waits.
        asked = body(task, self.push_url, task)
        await self._call(START, asked, due, self.starts)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(due + life - loop.time())
        await self._call(STOP, asked, due + life, self.stops)

    async def _call(self, action: str, asked: dict[str, Any], due: float, into: list[float]) -> None:
        status, content = await self.client.call(action, asked)
        into.append(asyncio.get_running_loop().time() - due)
        answer = json.loads(content)
        if status != 200:
            self.wrong[answer["ResponseMetadata"]["Error"]["Message"]] += 1
        elif answer["Result"] != "ok":
            self.wrong[answer["Result"]] += 1


async def push(client: Client, publishers: child.Child, served: RelayProcess, base: str, number: int) -> None:
    """Starts a push and its publisher, and waits until it runs."""
    user = f"live{number}"
    await client.call(START, body(user, f"{base}/{user}", user))
    url = served.relay.whip_url(user)
    await publishers.ask("connect", within=30, name=user, url=url, addresses=["127.0.0.1"])

    async def pushing() -> bool:
        _, answer = await client.call(GET, {"AppId": APP, "RoomId": ROOM, "TaskId": user})
        return bool(json.loads(answer)["Result"]["PushSingleStreamToCDNTask"]["PushStreamState"] == 5)

    await eventually(pushing, within=30, every=0.2, what=f"push {number} runs")


def share(seconds: list[float], part: float) -> float:
    """Milliseconds that `part` of them stay within."""
    return 1000 * sorted(seconds)[min(len(seconds) - 1, round(part * len(seconds)))]


async def bench(rate: float, seconds: float, pushes: int, settings: dict[str, str]) -> int:
    keys = {"access_keys": f"{SIGNER.key_id}:{SIGNER.secret}", "start_rate": "0", "stop_rate": "0"}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            child.running("relay.cli.bench.arrivals", "sink") as sink,
            child.running("relay.cli.bench.publishers", "publishers") as publishers,
            serving(Path(folder), **keys, **settings) as served,
        ):
            base = f"rtmp://127.0.0.1:{(await sink.ask('open', within=10))['port']}/live"
            await publishers.ask("open", within=10, clip=str(builtin_clip()), spaced=True, loss=0)
            host, port = served.relay.url.removeprefix("http://").split(":")
            client = Client(host, int(port))
            for number in range(pushes):
                await push(client, publishers, served, base, number)
            load = Load(client, f"{base}/bench")
            await load.run(rate, 2)
            load = Load(client, load.push_url)
            psutil.cpu_percent()
            cpu, begun = served.process.cpu_times(), time.monotonic()
            await load.run(rate, seconds)
            spent, machine = served.process.cpu_times(), psutil.cpu_percent()
            used = (spent.user + spent.system - cpu.user - cpu.system) / (time.monotonic() - begun)
            await client.close()
            await sink.ask("close", within=10)
    for name, found in (("Start", load.starts), ("Stop", load.stops)):
        figures = ", ".join(f"p{part} {share(found, part / 100):.1f}" for part in (50, 95, 99))
        print(f"{name:5} {len(found)} at {rate / 2:g}/s: {figures}, most {1000 * max(found):.1f} ms")  # noqa: T201
    print(f"relay: {100 * used:.0f} % of a core, {pushes} pushes; all of the machine's cores: {machine:.0f} %")  # noqa: T201
    for words, count in load.wrong.most_common(5):
        print(f"{count} refused: {words}")  # noqa: T201
    return 1 if load.wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=150, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--pushes", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of relay serve")
    given = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in given.set)
    return asyncio.run(bench(given.rate, given.seconds, given.pushes, settings))


if __name__ == "__main__":
    sys.exit(main())
