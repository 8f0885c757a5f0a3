"""`relay bench`: the runs one after another, progress meanwhile, the table or the JSON at the end."""

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from os import cpu_count
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from relay import __version__
from relay.app import logs
from relay.cli.bench import systems
from relay.cli.bench.floor import floor
from relay.cli.bench.measurement import Plan, RunFailed, measure
from relay.cli.bench.report import Run, Sender
from relay.cli.bench.systems import Candidate
from relay.cli.source import ClipSource, SourceError, builtin_clip
from relay.push.transcode import DEFAULT_CODER, prepare

RELAY = Candidate("relay")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    streams: str
    seconds: float
    sender: str
    loss: float
    """Per cent."""
    clip: Path | None
    push_url: str | None
    peers: Sequence[str]
    json: bool
    picture: Path | None


async def run_bench(options: BenchOptions) -> int:
    """Returns the exit code: 0 where every run of the relay was good, 1 where not, 2 for options that cannot be."""
    logs.configure("warning", "text")
    console = Console(stderr=True)
    prepare(DEFAULT_CODER)
    try:
        plans = _plans(options, console)
        if options.picture is not None:
            from relay.cli.bench.picture import draw  # the extra `bench` brings what it draws with
    except (ValueError, SourceError) as error:
        typer.echo(f"relay: {error}", err=True)
        return 2
    except ImportError:
        typer.echo("relay: --picture draws with matplotlib: pip install '.[bench]'", err=True)
        return 2
    runs: list[Run] = []
    failures: list[str] = []
    for number, plan in enumerate(plans, 1):
        title = f"{plan.candidate.name}, {plan.sender}, {plan.streams} streams ({number} of {len(plans)})"
        with console.status(title) as status:
            try:
                run = await measure(plan, _progress(status, title))
            except RunFailed as error:
                failures.append(f"{title}: {error}")
                console.print(f"[red]{failures[-1]}")
                continue
        runs.append(run)
        console.print(f"{title}: {run.cpu.total:.4f} CPU s per stream-second{_remark(run)}")
    summary = summarise(runs)
    alone = floor(options.clip or builtin_clip())
    if options.picture is not None:
        draw(runs, options.picture)
    if options.json:
        typer.echo(json.dumps(_document(options, runs, failures, summary, alone), indent=1))
    else:
        _print(runs, summary, alone)
    ours = [run for run in runs if run.system == RELAY.name]
    return 0 if ours and all(run.good for run in ours) and not failures else 1


def _progress(status: Status, title: str) -> "_Say":
    return _Say(status, title)


@dataclass(frozen=True, slots=True)
class _Say:
    status: Status
    title: str

    def __call__(self, words: str) -> None:
        self.status.update(f"{self.title}: {words}")


def _remark(run: Run) -> str:
    if run.problems:
        return f" · [yellow]{'; '.join(run.problems)}"
    return "" if run.latency_ms_p50 is None else f" · {run.latency_ms_p50:.1f} / {run.latency_ms_p95:.1f} ms"


def _plans(options: BenchOptions, console: Console) -> list[Plan]:
    """Raises `ValueError`, `SourceError`."""
    counts = _counts(options.streams)
    if options.sender not in ("bursty", "spaced", "both"):
        raise ValueError("--sender: bursty, spaced or both")
    senders: tuple[Sender, ...] = ("bursty", "spaced")
    if options.sender != "both":
        senders = tuple(sender for sender in senders if sender == options.sender)
    if options.push_url is not None and not options.push_url.startswith("rtmp"):
        raise ValueError("--push-url: an RTMP server and its application, as in rtmp://127.0.0.1/live")
    clip = options.clip or builtin_clip()
    ClipSource(clip)  # what cannot be sent is told before anything runs
    candidates = [RELAY, *_peers(options.peers, console)]
    return [
        Plan(candidate, sender, count, options.seconds, options.loss / 100, clip, options.push_url)
        for sender in senders
        for count in counts
        for candidate in candidates  # next to each other in time: what else the machine does is the same for all
    ]


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(word) for word in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 1 or counts[-1] > 256:
        raise ValueError("--streams: numbers from 1 to 256, comma-separated")
    return counts


def _peers(words: Sequence[str], console: Console) -> list[Candidate]:
    """Those named; where none is, those that are installed."""
    if words:
        return [systems.candidate(word) for word in words if word != "none"]
    found = []
    for name, packages in systems.PACKAGES.items():
        if systems.is_installed(name):
            found.append(systems.candidate(name))
        else:
            console.print(f"{name} is not installed and left out (on Debian: apt install {packages})", highlight=False)
    return found


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one system with one sender."""

    system: str
    sender: Sender
    largest_good: int
    """The largest number of streams up to which every run was good; 0: none was."""
    megabytes_per_stream: float | None
    """Resident memory of each further stream, between the least and the largest number."""
    cost_ratio: dict[str, float]
    """The relay's CPU time over this system's, by number of streams."""


def summarise(runs: Sequence[Run]) -> list[Summary]:
    groups: dict[tuple[str, Sender], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.system, run.sender), []).append(run)
    return [
        Summary(
            system,
            sender,
            _largest_good(group),
            _slope(group),
            {
                str(run.streams): round(ours.cpu.total / run.cpu.total, 3)
                for run in group
                for ours in groups.get((RELAY.name, sender), ())
                if system != RELAY.name and ours.streams == run.streams and run.cpu.total
            },
        )
        for (system, sender), group in groups.items()
    ]


def _largest_good(group: Iterable[Run]) -> int:
    largest = 0
    for run in sorted(group, key=lambda run: run.streams):
        if not run.good:
            break
        largest = run.streams
    return largest


def _slope(group: Sequence[Run]) -> float | None:
    least, most = min(group, key=lambda run: run.streams), max(group, key=lambda run: run.streams)
    if least.streams == most.streams:
        return None
    return round((most.resident_mb - least.resident_mb) / (most.streams - least.streams), 2)


def _document(
    options: BenchOptions,
    runs: Sequence[Run],
    failures: Sequence[str],
    summary: Sequence[Summary],
    alone: dict[str, float],
) -> dict[str, Any]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}, {cpu_count()} CPUs",
        "seconds": options.seconds,
        "loss_percent": options.loss,
        "runs": [{**asdict(run), "good": run.good} for run in runs],
        "failures": list(failures),
        "summary": [asdict(line) for line in summary],
        "floor": alone,
    }


def _print(runs: Sequence[Run], summary: Sequence[Summary], alone: dict[str, float]) -> None:
    table = Table(title="CPU seconds per stream-second; milliseconds; megabytes")
    for heading in ("system", "sender", "N", "CPU", "reception", "sound", "pushing", "rest"):
        table.add_column(heading, justify="left" if heading in ("system", "sender") else "right")
    for heading in ("first", "p50", "p95", "p99", "lost", "holes", "RSS"):
        table.add_column(heading, justify="right")
    for run in runs:
        cpu = run.cpu
        costs = [_figure(value, 4) for value in (cpu.total, cpu.reception, cpu.sound, cpu.pushing, cpu.rest)]
        times = (run.first_frame_ms, run.latency_ms_p50, run.latency_ms_p95, run.latency_ms_p99)
        marks = [_figure(value, 1) for value in times]
        table.add_row(
            *(run.system, run.sender, str(run.streams), *costs, *marks),
            *(str(run.lost + run.changed), str(run.holes), f"{run.resident_mb:.0f}"),
        )
    Console(width=140).print(table)
    for line in summary:
        words = [f"{line.system}, {line.sender}: good up to {line.largest_good} streams"]
        if line.megabytes_per_stream is not None:
            words.append(f"{line.megabytes_per_stream:.1f} MB for each further stream")
        words += [f"the relay costs {ratio:.2f} of it at {count}" for count, ratio in line.cost_ratio.items()]
        typer.echo("; ".join(words))
    typer.echo("alone, on this machine: " + ", ".join(f"{name} {cost:.4f}" for name, cost in alone.items()))


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
