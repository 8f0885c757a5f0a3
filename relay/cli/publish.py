"""`relay publish`: a clip or a generated pattern into a WHIP endpoint."""

import asyncio
import contextlib
import re
import signal
from dataclasses import dataclass

import typer

from relay.cli.live import LivePublisher, PublishFailed
from relay.cli.pattern import PatternSource
from relay.cli.source import ClipSource, Source, SourceError, builtin_clip
from relay.rtc.settings import RtcSettings


@dataclass(frozen=True, slots=True)
class PublishOptions:
    source: str
    whip_url: str
    seconds: float | None
    token: str | None
    size: str
    fps: int
    bitrate: int
    """kbit/s."""


def open_source(options: PublishOptions) -> Source:
    """Raises `SourceError`."""
    if options.source == "pattern":
        size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", options.size)
        if size is None:
            raise SourceError(f"--size {options.size}: write width and height, as in 1280x720")
        width, height = int(size[1]), int(size[2])
        return PatternSource(width=width, height=height, fps=options.fps, bit_rate=options.bitrate * 1000)
    return ClipSource(builtin_clip() if options.source == "clip" else options.source)


async def run_publish(options: PublishOptions) -> int:
    """Returns the exit code: 0 at the end, 1 where it could not publish, 2 for a source that cannot be sent."""
    try:
        source = open_source(options)
    except SourceError as error:
        typer.echo(f"relay: {error}", err=True)
        return 2
    publisher = LivePublisher(source, settings=RtcSettings())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, publisher.stop)
    try:
        await publisher.connect(options.whip_url, options.token)
        typer.echo(f"publishing {options.source} to {options.whip_url}; Ctrl-C ends it", err=True)
        progress = asyncio.create_task(_report(publisher))
        try:
            await publisher.play(options.seconds)
        finally:
            progress.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await progress
            await publisher.close()
    except PublishFailed as error:
        typer.echo(f"relay: {error}", err=True)
        return 1
    typer.echo(f"sent {publisher.pictures} pictures in {publisher.packets} packets", err=True)
    return 0


async def _report(publisher: LivePublisher) -> None:
    while True:
        await asyncio.sleep(5)
        typer.echo(f"  {publisher.pictures} pictures, {publisher.packets} packets", err=True)
