"""The picture of a bench: cost and latency against the number of streams, by matplotlib (the extra `bench`)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relay.cli.bench.report import Run

_LINES = {"bursty": "-", "spaced": "--"}
_PHASES = (("reception", "#4477aa"), ("sound", "#ccbb44"), ("pushing", "#228833"), ("rest", "#bbbbbb"))


def draw(runs: Sequence[Run], path: Path) -> None:
    """SVG or PNG, by the name's ending."""
    rcParams["svg.hashsalt"] = "relay bench"  # the same figures give the same file
    rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(12, 4), layout="constrained")
    cost, latency, parts = figure.subplots(1, 3)
    _curves(cost, runs, lambda run: run.cpu.total)
    cost.set(title="Cost", xlabel="streams", ylabel="CPU seconds per stream-second", ylim=(0, None))
    cost.legend(fontsize="small")
    _curves(latency, runs, lambda run: run.latency_ms_p50)
    latency.set(title="Latency of pictures, median", xlabel="streams", ylabel="ms", yscale="log")
    _stack(parts, [run for run in runs if run.cpu.reception is not None])
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _curves(axes: Axes, runs: Sequence[Run], value: Callable[[Run], float | None]) -> None:
    systems = list(dict.fromkeys(run.system for run in runs))
    for system, sender in dict.fromkeys((run.system, run.sender) for run in runs):
        points = [
            (run.streams, y)
            for run in runs
            if (run.system, run.sender) == (system, sender) and (y := value(run)) is not None
        ]
        if points:
            counts, values = zip(*points, strict=True)
            color = f"C{systems.index(system)}"
            axes.plot(counts, values, _LINES[sender], marker="o", color=color, label=f"{system}, {sender}")
    _counts(axes, runs)


def _stack(axes: Axes, runs: Sequence[Run]) -> None:
    """The relay's cost by phase, a bar for each run."""
    labels = [f"{run.streams}\n{run.sender}" for run in runs]
    bottom = [0.0] * len(runs)
    for phase, color in _PHASES:
        heights = [max(getattr(run.cpu, phase), 0.0) for run in runs]
        axes.bar(range(len(runs)), heights, bottom=bottom, color=color, label=phase)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xticks(range(len(runs)), labels, fontsize="small")
    axes.set(title="What the relay spends it on", ylabel="CPU seconds per stream-second")
    if runs:
        axes.legend(fontsize="small")


def _counts(axes: Axes, runs: Sequence[Run]) -> None:
    counts = sorted({run.streams for run in runs})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
