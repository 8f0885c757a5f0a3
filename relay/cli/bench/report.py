"""The figures of a run, worked out from what was sent, what arrived and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from relay.cli.bench.arrivals import Arrived
from relay.cli.measure import percentile

Sender = Literal["bursty", "spaced"]
Sent = Sequence[tuple[str, float]]
"""Digests of pictures, each with the time at which it was sent or arrived."""
FIRST_FRAME, LATENCY = 1.0, 0.1
"""Seconds that a good run may take: for the first picture of each stream, and for 95 % of all pictures."""


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds per stream-second."""

    total: float
    reception: float | None = None
    sound: float | None = None
    pushing: float | None = None
    rest: float | None = None
    """The event loop, ICE, HTTP, timers: the process's time that none of the phases took."""


@dataclass(slots=True)
class Run:
    """One system with one number of streams. Times in milliseconds unless the name says otherwise."""

    system: str
    sender: Sender
    streams: int
    seconds: float
    """Of the measured span."""
    cpu: Costs
    resident_mb: float
    processes: int
    publishers_cpu: float = 0.0
    """Seconds per stream-second, beside the system's: what the load itself takes of the machine."""
    sink_cpu: float = 0.0
    sent: int = 0
    """Pictures of all streams within the span."""
    lost: int = 0
    changed: int = 0
    """Pictures that arrived and are none of those that were sent, or came out of order."""
    sounds: int = 0
    holes: int = 0
    first_frame_ms: float | None = None
    """From a stream's first packet to its first picture at the sink, the median of all streams."""
    first_frame_ms_max: float | None = None
    latency_ms_p50: float | None = None
    """From a picture's last packet sent to the picture at the sink."""
    latency_ms_p95: float | None = None
    latency_ms_p99: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class Matched:
    """One stream's pictures, sent and arrived."""

    sent: int
    lost: int
    changed: int
    latencies: list[float]
    """Seconds."""


def match(sent: Sent, arrived: Sent, begin: float, end: float) -> Matched:
    """Pairs what was sent from `begin` to `end` with what arrived, in order. The clip repeats, so digests do, too: a
    picture is the first of its digest that was sent after the one before it."""
    places: dict[str, list[int]] = {}
    for index, (digest, _) in enumerate(sent):
        places.setdefault(digest, []).append(index)
    matched: dict[int, float] = {}
    changed, after = 0, -1
    for digest, arrival in arrived:
        candidates = [i for i in places.get(digest, ()) if i > after and sent[i][1] <= arrival]
        if not candidates:
            changed += 1
            continue
        # Nothing has arrived so far: the stream begins somewhere, and not a turn of the clip ago.
        after = candidates[0] if matched else candidates[-1]
        matched[after] = arrival - sent[after][1]
    span = [index for index, (_, time) in enumerate(sent) if begin <= time < end]
    latencies = [matched[index] for index in span if index in matched]
    return Matched(len(span), len(span) - len(latencies), changed, latencies)


def judge(run: Run, sent: Mapping[str, Sent], arrived: Mapping[str, Arrived], begin: float, end: float) -> None:
    """Fills in what came of the pictures sent from `begin` to `end`, and what is wrong."""
    latencies: list[float] = []
    for name, pictures in sent.items():
        stream = arrived.get(name, Arrived())
        matched = match(pictures, stream.pictures, begin, end)
        run.sent += matched.sent
        run.lost += matched.lost
        run.changed += matched.changed
        run.sounds += stream.sounds
        run.holes += stream.holes
        latencies += matched.latencies
        if stream.connections > 1:
            run.problems.append(f"{name} came by {stream.connections} connections")
    if latencies:
        run.latency_ms_p50, run.latency_ms_p95, run.latency_ms_p99 = (
            round(percentile(latencies, percent) * 1000, 1) for percent in (50, 95, 99)
        )
        if percentile(latencies, 95) > LATENCY:
            run.problems.append(f"pictures came late: {run.latency_ms_p95:.0f} ms at p95")
    if run.lost:
        run.problems.append(f"{run.lost} of {run.sent} pictures were lost")
    if run.changed:
        run.problems.append(f"{run.changed} pictures were changed")
    if run.holes or not run.sounds:
        run.problems.append(f"{run.holes} holes in the sound" if run.sounds else "no sound")


def judge_first_frames(run: Run, first_sent: Mapping[str, float], arrived: Mapping[str, Arrived]) -> None:
    firsts = [
        arrived[name].pictures[0][1] - time
        for name, time in first_sent.items()
        if name in arrived and arrived[name].pictures
    ]
    if firsts:
        run.first_frame_ms = round(median(firsts) * 1000, 1)
        run.first_frame_ms_max = round(max(firsts) * 1000, 1)
    if len(firsts) < len(first_sent):
        run.problems.append(f"{len(first_sent) - len(firsts)} streams never showed a picture")
    elif max(firsts) > FIRST_FRAME:
        run.problems.append(f"a first picture came late: {run.first_frame_ms_max:.0f} ms")
