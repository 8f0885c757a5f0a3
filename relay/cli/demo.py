"""`relay demo`: publisher, relay and CDN in one process, and a verdict on what arrived.

The push is started, asked about and stopped by the real HTTP API; media goes over UDP and RTMP on loopback.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.live import Live

from relay.api.actions import VERSION
from relay.app import logs
from relay.app.server import make_engine, running
from relay.app.workers import Workers
from relay.cli.live import LivePublisher, PublishFailed
from relay.cli.measure import percentile
from relay.cli.source import ClipSource, builtin_clip
from relay.cli.verdict import LIMITS, Arrivals, Verdict, judge_recording, print_verdict
from relay.core.snapshot import TaskSnapshot
from relay.push.sink import Sink
from relay.push.transcode import DEFAULT_CODER, prepare
from relay.rtc.settings import RtcSettings
from relay.worker.settings import WorkerSettings

APP, ROOM, USER, TASK = "demo", "room", "user", "task"
LOOPBACK = RtcSettings(addresses=("127.0.0.1",))
SETTLE = 0.5
"""Seconds for what is under way to arrive before Stop."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    seconds: float
    push_url: str | None
    json: bool


async def run_demo(options: DemoOptions) -> int:
    """Returns the exit code: 0 when everything held."""
    logs.configure("warning", "text")
    prepare(DEFAULT_CODER)
    console = Console(stderr=options.json)
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as folder:
        try:
            verdict = await _Demo(options, Path(folder), console).run()
        except (PublishFailed, httpx.HTTPError, DemoFailed) as error:
            typer.echo(f"relay: {error}", err=True)
            return 1
    if options.json:
        typer.echo(json.dumps({**asdict(verdict), "ok": verdict.good}))
    else:
        print_verdict(verdict)
    return 0 if verdict.good else 1


class DemoFailed(Exception):
    """The control API said what it should not have said."""


class _Demo:
    def __init__(self, options: DemoOptions, folder: Path, console: Console) -> None:
        self._options = options
        self._folder = folder
        self._console = console
        self._arrivals = Arrivals()
        self._engine = make_engine(Workers(WorkerSettings(rtc=LOOPBACK, measure_cpu=True)))

    async def run(self) -> Verdict:
        sink = Sink(on_tag=self._arrivals.on_tag, directory=self._folder)
        port = await sink.start()
        push_url = self._options.push_url or f"rtmp://127.0.0.1:{port}/live/demo"
        try:
            async with running(self._engine) as url, httpx.AsyncClient(base_url=url) as client:
                figures = await self._push(client, url, push_url)
        finally:
            await sink.close()
        return self._judge(figures)

    async def _push(self, client: httpx.AsyncClient, url: str, push_url: str) -> Verdict:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self._call(
            client,
            "StartPushSingleStreamToCDN",
            {
                "Stream": {"UserId": USER, "StreamType": 0},
                "PushURL": push_url,
                "Control": {"MediaType": 0, "MaxIdleTime": 180},
            },
        )
        publisher = LivePublisher(ClipSource(builtin_clip()), settings=LOOPBACK, on_picture=self._arrivals.on_picture)
        await publisher.connect(f"{url}/whip/{APP}/{ROOM}/{USER}")
        cpu, media_cpu, began = time.process_time(), self._engine.stats().tick.total, loop.time()
        playing = asyncio.create_task(publisher.play())
        try:
            await self._watch(playing)
            publisher.stop()
            await playing
            lasted = loop.time() - began
            cpu, media_cpu = time.process_time() - cpu, self._engine.stats().tick.total - media_cpu
            await asyncio.sleep(SETTLE)
            snapshot = await self._snapshot()
            await self._call(client, "StopPushStreamToCDN", {})
            task = await self._task(client)
        finally:
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing
            await publisher.close()
        arrivals = self._arrivals
        verdict = Verdict(
            seconds=round(lasted, 2),
            access_units_in=len(arrivals.order),
            access_units_out=snapshot.video_sent,
            cpu_per_stream_second=round(media_cpu / lasted, 4),
            process_cpu_per_second=round(cpu / lasted, 4),
            status=task["Status"],
            push_stream_state=task["PushStreamState"],
            stop_reason=task["StopReason"],
        )
        if self._options.push_url is not None:
            first = snapshot.first_frame_after
        elif arrivals.first_video is not None:
            first = arrivals.first_video - max(started, began)
        else:
            first = None
        verdict.first_frame_seconds = round(first, 3) if first is not None else None
        return verdict

    async def _watch(self, playing: asyncio.Task[None]) -> None:
        """Shows how it goes until the push has lasted as long as asked for, or the publisher failed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.seconds
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while loop.time() < end and not playing.done():
                snapshot = await self._snapshot()
                latency = percentile(self._arrivals.latencies[-60:], 50) * 1000
                live.update(
                    f"[bold]{snapshot.state.value:10}[/] {end - loop.time():5.1f} s left · "
                    f"{len(self._arrivals.order)} pictures in, {snapshot.video_sent} out, "
                    f"{snapshot.audio_sent} audio frames out, {snapshot.bytes_sent / 1e6:.1f} MB · "
                    f"latency {latency:.0f} ms {snapshot.last_error}"
                )
                await asyncio.sleep(min(0.25, max(0.0, end - loop.time())))

    async def _snapshot(self) -> TaskSnapshot:
        snapshot = await self._engine.find_task(APP, ROOM, task_id=TASK)
        if snapshot is None:
            raise DemoFailed("the task has vanished")
        return snapshot

    async def _call(self, client: httpx.AsyncClient, action: str, body: dict[str, Any]) -> None:
        response = await client.post(
            "/",
            params={"Action": action, "Version": VERSION},
            json={"AppId": APP, "RoomId": ROOM, "TaskId": TASK, **body},
        )
        if response.json().get("Result") != "ok":
            raise DemoFailed(f"{action} was answered {response.status_code}: {response.text}")

    async def _task(self, client: httpx.AsyncClient) -> dict[str, Any]:
        response = await client.get(
            "/",
            params={
                "Action": "GetPushSingleStreamToCDNTask",
                "Version": VERSION,
                "AppId": APP,
                "RoomId": ROOM,
                "TaskId": TASK,
            },
        )
        task: dict[str, Any] = response.json()["Result"]["PushSingleStreamToCDNTask"]
        return task

    def _judge(self, verdict: Verdict) -> Verdict:
        problems = verdict.problems
        if (verdict.status, verdict.push_stream_state, verdict.stop_reason) != (3, 6, "StopByAPI"):
            problems.append("the task did not end as Stop ends one")
        first = verdict.first_frame_seconds
        if first is None:
            problems.append("no picture was pushed")
        elif first > LIMITS["first_frame"]:
            problems.append("the first picture came late")
        if self._options.push_url is None:
            recordings = sorted(self._folder.glob("*.flv"))
            if len(recordings) != 1:
                problems.append(f"the CDN saw {len(recordings)} connections instead of one")
            if recordings:
                judge_recording(verdict, self._arrivals, recordings[0])
        return verdict
