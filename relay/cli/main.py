"""The `relay` command: serve, publish, token, sink, demo, bench. Each imports what it needs, and no more."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from relay import __version__

cli = typer.Typer(
    name="relay",
    help="Takes a user's live WebRTC stream out of a room and pushes it to a CDN over RTMP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"relay {__version__}")
        raise typer.Exit


@cli.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address of the HTTP server. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port of the HTTP server. [default: 8080]")] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Take unsigned requests on an address that is not loopback.")
    ] = None,
    udp_ports: Annotated[str | None, typer.Option(help="UDP ports for media, as in 40000-40100.")] = None,
    advertised_address: Annotated[str | None, typer.Option(help="Public IP address for media.")] = None,
    workers: Annotated[str | None, typer.Option(help="Processes for media; auto: one per core. [default: 1]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
) -> None:
    """Run the relay: control API and WHIP on one HTTP port. Each setting is an environment variable too: RELAY_PORT."""
    from relay.cli.serve import run_serve

    given = {
        "host": host,
        "port": port,
        "insecure": insecure,
        "udp_ports": udp_ports,
        "advertised_address": advertised_address,
        "workers": workers,
        "log_level": log_level,
        "log_format": log_format,
    }
    raise typer.Exit(run_serve({name: value for name, value in given.items() if value is not None}))


@cli.command()
def publish(
    source: Annotated[str, typer.Argument(help="A clip with H.264 and Opus, `clip` (the built-in one) or `pattern`.")],
    whip_url: Annotated[str, typer.Argument(help="http://host:8080/whip/{AppId}/{RoomId}/{UserId}")],
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long; else on Ctrl-C.")] = None,
    token: Annotated[str | None, typer.Option(envvar="RELAY_TOKEN", help="Bearer token.")] = None,
    size: Annotated[str, typer.Option(help="Of the pattern.")] = "1280x720",
    fps: Annotated[int, typer.Option(min=1, max=120, help="Of the pattern.")] = 30,
    bitrate: Annotated[int, typer.Option(min=100, max=50_000, help="Of the pattern's video, kbit/s.")] = 2000,
) -> None:
    """Publish a clip without re-encoding, again and again, or a generated pattern with beeps and flashes."""
    from relay.cli.publish import PublishOptions, run_publish

    options = PublishOptions(source, whip_url, seconds=seconds, token=token, size=size, fps=fps, bitrate=bitrate)
    raise typer.Exit(asyncio.run(run_publish(options)))


@cli.command()
def token(
    app_id: Annotated[str, typer.Argument(metavar="APP", help="AppId; its AppKey comes from RELAY_APP_KEYS.")],
    room_id: Annotated[str, typer.Argument(metavar="ROOM", help="RoomId.")],
    user_id: Annotated[str, typer.Argument(metavar="USER", help="UserId.")],
    seconds: Annotated[int, typer.Option(min=0, help="How long it is valid; 0: for ever.")] = 3600,
    privileges: Annotated[
        str, typer.Option(help="Some of publish, audio, video, data, subscribe, comma-separated.")
    ] = "publish",
    app_key_file: Annotated[
        Path | None, typer.Option(help="A file of AppId:AppKey lines, instead of RELAY_APP_KEYS.")
    ] = None,
) -> None:
    """Issue a room token, as an application server does for its users, and print it."""
    from relay.cli.token import TokenOptions, run_token

    raise typer.Exit(run_token(TokenOptions(app_id, room_id, user_id, seconds, privileges, app_key_file)))


@cli.command()
def sink(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 1935,
    record: Annotated[Path | None, typer.Option(help="Folder for an FLV file of each stream.")] = None,
) -> None:
    """Run a small RTMP server that prints what arrives, and records it as FLV where asked."""
    from relay.cli.sink import run_sink

    if record is not None:
        record.mkdir(parents=True, exist_ok=True)
    raise typer.Exit(asyncio.run(run_sink(host, port, record)))


@cli.command()
def demo(
    seconds: Annotated[float, typer.Option(min=3, max=3600, help="Length of the push.")] = 10,
    push_url: Annotated[str | None, typer.Option(help="Push to this RTMP URL instead of the built-in sink.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the figures.")] = False,
) -> None:
    """Publisher, relay and CDN in one process: push for some seconds, and say whether everything arrived."""
    from relay.cli.demo import DemoOptions, run_demo

    raise typer.Exit(asyncio.run(run_demo(DemoOptions(seconds=seconds, push_url=push_url, json=json))))


@cli.command()
def bench(
    streams: Annotated[str, typer.Option(help="Numbers of streams, one run each.")] = "1,4,8",
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Length of what is measured in each run.")] = 15,
    sender: Annotated[str, typer.Option(help="bursty, spaced or both: how a picture's packets are sent.")] = "both",
    loss: Annotated[float, typer.Option(min=0, max=50, help="Per cent of packets that publishers leave out.")] = 0,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="gstreamer, janus, NAME=COMMAND, or none; repeat it. [default: those that are installed]"),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(help="What is sent: H.264 and Opus. [default: the built-in clip]")
    ] = None,
    push_url: Annotated[
        str | None, typer.Option(help="Push to this RTMP server, as in rtmp://127.0.0.1/live, and measure cost alone.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw cost and latency against N: .svg or .png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all figures.")] = False,
) -> None:
    """Measure what the relay costs for each stream, and how late its pictures are, beside its peers."""
    from relay.cli.bench.command import BenchOptions, run_bench

    options = BenchOptions(
        streams=streams,
        seconds=seconds,
        sender=sender,
        loss=loss,
        clip=clip,
        push_url=push_url,
        peers=peer or [],
        json=json,
        picture=picture,
    )
    raise typer.Exit(asyncio.run(run_bench(options)))


def main() -> None:
    cli()
