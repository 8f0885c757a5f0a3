"""What `relay demo` says of a push: figures of what was sent, what arrived, and whether all of it is good."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import typer

from relay.cli.measure import (
    AAC_LC,
    access_units,
    audio_format,
    audio_holes,
    av_offsets,
    is_picture,
    percentile,
    picture_digests,
    read_tags,
    vcl_digests,
)
from relay.cli.source import Picture
from relay.core.flv import Tag
from relay.push.sink import SinkStream

LIMITS = {"first_frame": 1.0, "latency_p50": 0.060, "av_offset_p95": 0.080}
"""Seconds that the verdict allows."""


@dataclass(slots=True)
class Arrivals:
    """What was sent and what the sink saw, by the loop's clock."""

    sent: dict[tuple[str, ...], float] = field(default_factory=dict)
    """Digests of each picture's VCL NAL units to the time it was last sent."""
    order: list[tuple[str, ...]] = field(default_factory=list)
    first_video: float | None = None
    latencies: list[float] = field(default_factory=list)
    received: int = 0

    def on_picture(self, picture: Picture) -> None:
        digests = vcl_digests(picture.nals)
        now = asyncio.get_running_loop().time()
        self.sent[digests] = now
        self.order.append(digests)

    def on_tag(self, stream: SinkStream, tag: Tag, arrival: float) -> None:
        if not is_picture(tag):
            return
        self.received += 1
        if self.first_video is None:
            self.first_video = arrival
        sent = self.sent.get(picture_digests(tag))
        if sent is not None:
            self.latencies.append(arrival - sent)


@dataclass(slots=True)
class Verdict:
    """The demo's figures. Times in seconds, latencies and offsets in milliseconds."""

    seconds: float
    access_units_in: int
    """Sent by the publisher, from the first that the push carried on."""
    access_units_out: int
    access_units_lost: int | None = None
    nal_identical: bool | None = None
    audio_codec: str | None = None
    audio_sample_rate: int | None = None
    audio_channels: int | None = None
    audio_holes: int | None = None
    first_frame_seconds: float | None = None
    """From the later of Start and the first packet to the first picture at the CDN."""
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    av_offset_ms_p95: float | None = None
    """Absolute, between flashes and beeps."""
    cpu_per_stream_second: float = 0.0
    """Of the relay's media work: reception, sound, packaging, writing."""
    process_cpu_per_second: float = 0.0
    """Of everything in this process: publisher, HTTP and sink too."""
    status: int = 0
    push_stream_state: int = 0
    stop_reason: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.problems


def judge_recording(verdict: Verdict, arrivals: Arrivals, path: Path) -> None:
    """Fills in what the CDN's recording tells, and what is wrong with it."""
    problems = verdict.problems
    tags = read_tags(path)
    received = access_units(tags)
    # The push begins with a key frame, a moment after the publisher: what was sent before is not its to carry.
    begin = arrivals.order.index(received[0]) if received and received[0] in arrivals.order else 0
    expected = arrivals.order[begin:]
    verdict.access_units_in, verdict.access_units_out = len(expected), len(received)
    verdict.access_units_lost = len(expected) - sum(unit in arrivals.sent for unit in received)
    verdict.nal_identical = received == expected
    if not verdict.nal_identical:
        problems.append("pictures were lost or changed")
    audio = audio_format(tags)
    if audio is not None:
        verdict.audio_codec = "AAC-LC" if audio.object_type == AAC_LC else f"AAC object type {audio.object_type}"
        verdict.audio_sample_rate, verdict.audio_channels = audio.rate, audio.channels
    if (verdict.audio_codec, verdict.audio_sample_rate, verdict.audio_channels) != ("AAC-LC", 44100, 2):
        problems.append("the sound is not AAC-LC, 44100 Hz, stereo")
    verdict.audio_holes = len(audio_holes(tags))
    if verdict.audio_holes:
        problems.append("the sound has holes")
    verdict.latency_ms_p50 = round(percentile(arrivals.latencies, 50) * 1000, 1)
    verdict.latency_ms_p95 = round(percentile(arrivals.latencies, 95) * 1000, 1)
    if not verdict.latency_ms_p50 <= LIMITS["latency_p50"] * 1000:
        problems.append("the latency is high")
    offsets = [abs(offset) for offset in av_offsets(path)]
    if offsets:
        verdict.av_offset_ms_p95 = round(percentile(offsets, 95) * 1000, 1)
    if not offsets or percentile(offsets, 95) > LIMITS["av_offset_p95"]:
        problems.append("picture and sound are out of sync")


def print_verdict(verdict: Verdict) -> None:
    """For people."""

    def row(name: str, value: object, remark: str = "") -> None:
        typer.echo(f"{name:36}{'not measured' if value is None else value!s:14}{remark}".rstrip())

    units = (verdict.access_units_in, verdict.access_units_out, verdict.access_units_lost)
    row("pictures in / out / lost", " / ".join(map(str, units)))
    row("every VCL NAL unit byte-identical", verdict.nal_identical)
    row("sound", f"{verdict.audio_codec}, {verdict.audio_sample_rate} Hz, {verdict.audio_channels} channels")
    row("holes in the sound", verdict.audio_holes)
    row("first picture", verdict.first_frame_seconds, "s, after the later of Start and the first packet")
    row("latency p50 / p95", f"{verdict.latency_ms_p50} / {verdict.latency_ms_p95}", "ms, publisher to CDN")
    row("|A-V| p95", verdict.av_offset_ms_p95, "ms, flash against beep")
    row("CPU per stream-second", verdict.cpu_per_stream_second, "s, the relay's media work")
    row("CPU of this process", verdict.process_cpu_per_second, "s a second, publisher and sink too")
    row("task", f"Status {verdict.status}, PushStreamState {verdict.push_stream_state}, {verdict.stop_reason}")
    typer.echo("on air: everything arrived" if verdict.good else "not good: " + "; ".join(verdict.problems))
