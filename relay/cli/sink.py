"""`relay sink`: a small RTMP server that tells what arrives."""

import asyncio
import contextlib
import signal
from pathlib import Path

import typer

from relay.cli.measure import audio_format, is_picture
from relay.core import flv, h264
from relay.core.flv import Tag
from relay.push.sink import Sink, SinkStream


class _Arrivals:
    """What came since the last line was printed, by stream."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], list[int]] = {}

    def started(self, stream: SinkStream) -> None:
        typer.echo(f"{stream.app}/{stream.key}: publishing began")
        self._since[stream.app, stream.key] = [0, 0, 0]

    def ended(self, stream: SinkStream) -> None:
        self._since.pop((stream.app, stream.key), None)
        seconds = (stream.ended or stream.started) - stream.started
        where = f", recorded in {stream.path}" if stream.path is not None else ""
        typer.echo(
            f"{stream.app}/{stream.key}: ended after {seconds:.1f} s, {stream.tags} tags, {stream.size} bytes{where}"
        )

    def tag(self, stream: SinkStream, tag: Tag, arrival: float) -> None:
        counts = self._since[stream.app, stream.key]
        counts[0] += is_picture(tag)
        counts[1] += tag.type == flv.AUDIO
        counts[2] += len(tag.body)
        if tag.is_header and tag.type != flv.DATA:
            typer.echo(f"{stream.app}/{stream.key}: {describe_header(tag)}")

    def report(self, seconds: float) -> None:
        for (app, key), counts in self._since.items():
            pictures, sounds, size = counts
            typer.echo(
                f"{app}/{key}: {pictures / seconds:.1f} pictures/s, {sounds / seconds:.1f} audio frames/s, "
                f"{size * 8 / seconds / 1000:.0f} kbit/s"
            )
            counts[:] = [0, 0, 0]


def describe_header(tag: Tag) -> str:
    """A sequence header in words."""
    if tag.type == flv.AUDIO:
        audio = audio_format([tag])
        return f"AAC, {audio.rate} Hz, {audio.channels} channels" if audio is not None else "audio header"
    try:
        size = h264.parse_sps(h264.parse_decoder_configuration(tag.body[5:]).sps[0])
    except (ValueError, IndexError):
        return "video header"
    return f"H.264, {size.width}x{size.height}"


async def run_sink(host: str, port: int, record: Path | None) -> int:
    """Runs until SIGINT or SIGTERM; returns the exit code."""
    arrivals = _Arrivals()
    sink = Sink(on_tag=arrivals.tag, on_start=arrivals.started, on_end=arrivals.ended, directory=record)
    try:
        bound = await sink.start(host, port)
    except OSError as error:
        typer.echo(f"relay: cannot listen on {host}:{port}: {error.strerror}", err=True)
        return 1
    typer.echo(f"taking rtmp://{host}:{bound}/<app>/<key>; Ctrl-C ends it")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), 1.0)
        arrivals.report(1.0)
    await sink.close()
    return 0
