"""One run: a system under test, so many publishers, the sink; what it costs while all streams flow."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relay.cli.bench import child, report
from relay.cli.bench.accounting import Usage, usage
from relay.cli.bench.arrivals import Arrived
from relay.cli.bench.child import Child, ChildFailed
from relay.cli.bench.report import Costs, Run, Sender
from relay.cli.bench.systems import Candidate, System, SystemFailed, started

_FLOWING = 15.0
"""Seconds that streams get to show their first picture."""
_SETTLE = 2.0
"""Seconds that all streams flow before the span that is measured."""
_GRACE = 1.5
"""Seconds that they flow behind it, so that what was sent within it arrives."""
_CONNECT = 30.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    candidate: Candidate
    sender: Sender
    streams: int
    seconds: float
    loss: float
    """The part of packets that publishers leave out, 0 to 1; retransmissions are sent."""
    clip: Path
    push_url: str | None
    """An RTMP server's, with the application; the streams' names follow. None: the sink of our own."""


class RunFailed(Exception):
    """No figures came of it; for people."""


async def measure(plan: Plan, progress: Progress) -> Run:
    """Raises `RunFailed`."""
    try:
        async with (
            child.running("relay.cli.bench.arrivals", "sink") as sink,
            child.running("relay.cli.bench.publishers", "publishers") as publishers,
        ):
            port = (await sink.ask("open", within=10))["port"]
            base = plan.push_url or f"rtmp://127.0.0.1:{port}/live"
            async with started(plan.candidate, base.rstrip("/") + "/{name}") as system:
                run = await _Measurement(plan, progress, system, sink, publishers).run()
            await sink.ask("close", within=10)
            return run
    except (ChildFailed, SystemFailed) as error:
        raise RunFailed(str(error)) from error


class _Measurement:
    def __init__(self, plan: Plan, progress: Progress, system: System, sink: Child, publishers: Child) -> None:
        self._plan = plan
        self._progress = progress
        self._system = system
        self._sink = sink
        self._publishers = publishers
        self._names = [f"bench-{number}" for number in range(1, plan.streams + 1)]

    async def run(self) -> Run:
        plan = self._plan
        self._progress("connecting")
        spaced = plan.sender == "spaced"
        await self._publishers.ask("open", within=10, clip=str(plan.clip), spaced=spaced, loss=plan.loss)
        for name in self._names:
            url = await self._system.take(name)
            addresses = self._system.addresses
            await self._publishers.ask("connect", within=_CONNECT, name=name, url=url, addresses=addresses)
        if plan.push_url is None:
            await self._all_flow()
        await asyncio.sleep(_SETTLE)
        begin, before, beside_before = time.monotonic(), self._usage(), self._beside()
        phases_before = await self._system.phases()
        end = begin + plan.seconds
        while (left := end - time.monotonic()) > 0:
            self._progress(f"{left:.0f} s left")
            await asyncio.sleep(min(left, 1.0))
            await self._look()
        phases, after, beside, end = await self._system.phases(), self._usage(), self._beside(), time.monotonic()
        stream_seconds = (end - begin) * plan.streams
        await asyncio.sleep(_GRACE)
        arrived = (await self._sink.ask("finish", within=30))["streams"]
        first = (await self._look())["first"]
        sent = (await self._publishers.ask("finish", within=30))["sent"]
        run = Run(
            system=plan.candidate.name,
            sender=plan.sender,
            streams=plan.streams,
            seconds=round(end - begin, 2),
            cpu=_costs(before, after, phases_before, phases, stream_seconds),
            resident_mb=round(after.resident / 1e6, 1),
            processes=after.processes,
            publishers_cpu=round((beside[0] - beside_before[0]) / stream_seconds, 5),
            sink_cpu=round((beside[1] - beside_before[1]) / stream_seconds, 5),
        )
        if plan.push_url is None:
            streams = {name: Arrived(**fields) for name, fields in arrived.items()}
            report.judge(run, sent, streams, begin, end)
            report.judge_first_frames(run, first, streams)
        return run

    def _usage(self) -> Usage:
        try:
            return usage(self._system.pid)
        except ProcessLookupError:
            raise RunFailed(f"{self._plan.candidate.name} ended while it was measured") from None

    def _beside(self) -> tuple[float, float]:
        """CPU seconds of the publishers and of the sink."""
        try:
            return usage(self._publishers.pid).cpu, usage(self._sink.pid).cpu
        except ProcessLookupError:
            raise RunFailed("the publishers or the sink ended while they were measured") from None

    async def _look(self) -> child.Message:
        """`RunFailed` where sending went wrong."""
        look = await self._publishers.ask("look", within=10)
        if look["failure"]:
            raise RunFailed(f"{self._plan.candidate.name}: {look['failure']}")
        return look

    async def _all_flow(self) -> None:
        """Waits until each stream has shown a picture, or long enough; the report tells of those that have not."""
        deadline = time.monotonic() + _FLOWING
        while time.monotonic() < deadline:
            pictures = (await self._sink.ask("look", within=10))["pictures"]
            flowing = sum(pictures.get(name, 0) > 0 for name in self._names)
            self._progress(f"{flowing} of {len(self._names)} streams flow")
            if flowing == len(self._names):
                return
            await self._look()
            await asyncio.sleep(0.25)


def _costs(
    before: Usage, after: Usage, phases_before: dict[str, float] | None, phases: dict[str, float] | None, seconds: float
) -> Costs:
    """`seconds`: stream-seconds."""
    total = (after.cpu - before.cpu) / seconds
    if not phases or not phases_before:
        return Costs(round(total, 5))
    told = ("reception", "sound", "pushing")
    shares = {name: (phases[name] - phases_before.get(name, 0.0)) / seconds for name in told}
    return Costs(
        round(total, 5),
        **{name: round(share, 5) for name, share in shares.items()},
        rest=round(total - sum(shares.values()), 5),
    )
