"""A relay that is killed, or ended, while it pushes: its next start goes on with what had not ended."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.cli.live import PublishFailed
from relay.cli.pattern import PatternSource
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.process import free_port, serving
from tests.support.publishing import User
from tests.support.relay import Relay

NAMES = ("one", "two", "three")


@dataclass(frozen=True, slots=True)
class Said:
    """What Get said of a task."""

    name: str
    asked: float
    """Seconds of the monotonic clock, before the question; `answered` after it."""
    answered: float
    task: dict[str, Any]


class Watch:
    """Asks for every task again and again, whether or not a relay is there."""

    def __init__(self, relay: Relay, names: tuple[str, ...]) -> None:
        self.said: list[Said] = []
        self._relay = relay
        self._names = names

    async def run(self) -> None:
        await eventually(self._ask, within=math.inf, every=0.05)

    async def _ask(self) -> None:
        for name in self._names:
            asked = time.monotonic()
            with contextlib.suppress(httpx.TransportError):
                task = await self._relay.get(name)
                self.said.append(Said(name, asked, time.monotonic(), task))


@contextlib.asynccontextmanager
async def watching(relay: Relay, names: tuple[str, ...]) -> AsyncIterator[list[Said]]:
    watch = Watch(relay, names)
    running = asyncio.create_task(watch.run())
    try:
        yield watch.said
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


def camera() -> PatternSource:
    return PatternSource(width=320, height=180, fps=15, bit_rate=300_000)


async def come_back(relay: Relay) -> User:
    """Tries to publish again until that succeeds."""

    async def joined() -> User | None:
        user = User(camera())
        try:
            await user.join(relay.whip_url())
        except PublishFailed:
            return None
        return user

    return await eventually(joined, within=30, every=0.1, what="the publisher is back") or User(camera())


async def test_three_pushes_go_on_after_a_kill_and_the_idle_clock_has_gone_on(cdn: Nginx, tmp_path: Path) -> None:
    settings = {"port": str(free_port()), "database_url": f"sqlite:///{tmp_path}/relay.db"}
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(serving(folders[0], **settings))
        relay = Relay(first.relay.url, await stack.enter_async_context(httpx.AsyncClient(base_url=first.relay.url)))
        users = [User(camera()), User(camera())]
        for user, name in zip(users, ("user", "gone"), strict=True):
            await user.join(relay.whip_url(name))
        for name in NAMES:
            await relay.start(cdn.push_url(name), task=name)
        await relay.start(cdn.push_url("idle"), task="idle", user="gone", max_idle_time=10)
        for name in (*NAMES, "idle"):
            await eventually(lambda name=name: states(relay, name, (2, 5)))
        begun = {name: (await relay.get(name))["StartTime"] for name in (*NAMES, "idle")}

        said = await stack.enter_async_context(watching(relay, NAMES))
        await eventually(lambda: len(said) > 6)
        await first.kill()
        killed, killed_at = time.monotonic(), time.time() * 1000
        for user in users:
            await user.vanish()
        asked_before = len(said)
        returning = asyncio.create_task(come_back(relay))
        second = await stack.enter_async_context(serving(folders[1], **settings))
        up_at = time.time() * 1000
        assert second.relay.url == relay.url
        back = await returning
        returned = time.monotonic()
        for name in NAMES:
            await eventually(lambda name=name: states(relay, name, (2, 5)), within=returned + 5 - time.monotonic())
            assert cdn.calls(name) == ["publish", "publish_done", "publish"]
        await eventually(lambda: said[-1].task["PushStreamState"] == 5)

        # Get never lied: it pushed when it was said to, and nothing else has changed.
        again = {name: next(event.time for event in cdn.events[::-1] if event.name == name) for name in NAMES}
        for one in said:
            assert (one.task["Status"], one.task["StopReason"], one.task["EndTime"]) == (2, "", 0)
            assert one.task["StartTime"] == begun[one.name]
            assert one.task["PushURL"] == cdn.push_url(one.name)
            if one.task["PushStreamState"] == 5:
                assert one.asked <= killed or one.answered >= again[one.name]
        assert len(said) > asked_before

        # Nobody came back for this one: it ends when it would have ended with the relay there all the time.
        await eventually(lambda: states(relay, "idle", (3, 6)), within=15)
        idle = await relay.get("idle")
        assert idle["StopReason"] == "IdleTimeOut"
        assert idle["StartTime"] == begun["idle"]
        assert killed_at + 8_500 <= idle["EndTime"] <= max(killed_at + 11_500, up_at + 1_000)
        assert cdn.calls("idle") == ["publish", "publish_done"]

        for name in NAMES:
            await relay.stop(name)
        await back.leave()


async def states(relay: Relay, name: str, wanted: tuple[int, int]) -> bool:
    return (await relay.states(name))[:2] == wanted


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_restart_in_good_order(tmp_path: Path, stopped: bool) -> None:
    """What had been stopped stays so; what had not waits for its publisher."""
    settings = {"database_url": f"sqlite:///{tmp_path}/relay.db"}
    async with serving(tmp_path, **settings) as first:
        await first.relay.start("rtmp://127.0.0.1:9/live/key", max_idle_time=600)
        if stopped:
            await first.relay.stop()
        before = await first.relay.get()
    async with serving(tmp_path, **settings) as second:
        assert await second.relay.get() == before
        assert (await second.relay.stop()).status_code == (400 if stopped else 200)
