"""What sound costs and what is left of it: `python -m tests.bench.sound [--json] [--picture FILE] [--repeats N]`.

Two tables. The coders: PCM of each programme to AAC, CPU time against likeness to the source. The way of one stream:
Opus, 128 kbit/s in 20 ms packets, to AAC by each coder of the relay, by what each step costs. CPU time is that of the
thread, the least of some runs, in milliseconds for a second of sound; run it on a machine that does nothing else.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from relay.core.media import OpusPacket
from relay.core.opus import RATE, joined
from relay.push.transcode import AAC_RATE, AAC_SAMPLES, CoderName, Transcoder
from relay.push.transcode.codecs import OpusDecoder
from relay.push.transcode.coders import Coder, PlainCoder, make_coder
from relay.push.transcode.pcm import SAMPLE
from tests.support.coding import alike, at_aac_rate, decode, frames
from tests.support.programme import PROGRAMME, Sound
from tests.support.quality import segmental_snr, snr, spectral_distance
from tests.support.sound import timed

SPARE = {"aac_tns": "0", "aac_is": "0", "aac_pns": "0"}
SECONDS = 5
"""Of each programme."""
BATCH = 6
"""Packets of 20 ms that the transcoder decodes as one."""


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    make: Callable[[int], Coder]
    bit_rates: Sequence[int] = (96_000, 128_000, 160_000)


VARIANTS = (
    Variant("lean", lambda rate: make_coder("lean", rate)),
    Variant("paired", lambda rate: make_coder("paired", rate)),
    Variant("twoloop", lambda rate: make_coder("twoloop", rate)),
    Variant("fast", lambda rate: make_coder("fast", rate)),
    Variant("twoloop, no tns, is, pns", lambda rate: PlainCoder({"aac_coder": "twoloop"} | SPARE, rate), (128_000,)),
    Variant("fast, no tns, is, pns", lambda rate: PlainCoder({"aac_coder": "fast"} | SPARE, rate), (128_000,)),
)


@dataclass(frozen=True, slots=True)
class Result:
    coder: str
    kbit: int
    """What was asked for."""
    programme: str
    cpu: float
    """Milliseconds for a second of sound."""
    spent: float
    """kbit/s."""
    snr: float
    segmental: float
    distance: float
    """dB, all three."""


@dataclass(frozen=True, slots=True)
class Way:
    """Milliseconds of CPU time for a second of sound."""

    coder: str
    programme: str
    decoding: float
    resampling: float
    coding: float
    whole: float
    singly: float
    """The whole, packets one by one."""


def measure(run: Callable[[], object], seconds: float, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        begun = time.thread_time()
        run()
        best = min(best, time.thread_time() - begun)
    return 1000 * best / seconds


def coding(variant: Variant, rate: int, name: str, sound: Sound, repeats: int) -> Result:
    units: list[bytes] = []

    def run() -> None:
        coder = variant.make(rate)
        units[:] = [unit for frame in given for unit in coder.encode(frame)]

    coder = variant.make(rate)
    given = frames(coder, sound)
    seconds = sound.shape[1] / AAC_RATE
    cpu = measure(run, seconds, repeats)
    source, heard = alike(sound, decode(coder.config, units))
    spent = sum(map(len, units)) * 8 * AAC_RATE / AAC_SAMPLES / len(units) / 1000
    likeness = (snr(source, heard), segmental_snr(source, heard), spectral_distance(source, heard, rate=AAC_RATE))
    return Result(variant.name, rate // 1000, name, cpu, spent, *likeness)


def as_opus(sound: Sound) -> list[OpusPacket]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "s16"
    encoder.bit_rate, encoder.time_base = 128_000, Fraction(1, RATE)
    samples = (np.clip(sound, -1, 1) * 32767).astype("<i2").T.reshape(1, -1)
    packets = []
    for start in range(0, samples.shape[1] - 1919, 1920):
        piece = np.ascontiguousarray(samples[:, start : start + 1920])
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="stereo")
        frame.sample_rate = RATE
        packets += map(bytes, encoder.encode(frame))
    return timed(packets)


def way(name: CoderName, programme: str, sound: Sound, repeats: int) -> Way:
    packets = as_opus(sound)
    batches = [packets[at : at + BATCH] for at in range(0, len(packets) - BATCH + 1, BATCH)]
    seconds = len(batches) * BATCH * 0.02
    decoded: list[bytes] = []
    resampled: list[list[bytes]] = []

    def decoding() -> None:
        decoder = OpusDecoder()
        try:
            data = [joined([packet.data for packet in batch]) for batch in batches]
        except ValueError:  # one that the encoder made of several frames
            data = [packet.data for packet in packets]
        decoded[:] = [frame for one in data if (frame := decoder.decode(one)) is not None]

    def resampling() -> None:
        resampler = make_coder(name, 128_000).make_resampler()
        resampled[:] = []
        position = 0
        for frame in decoded:
            resampled.append([bytes(plane) for plane in resampler.resample(frame, position)])
            position += len(frame) // SAMPLE

    def coding() -> None:
        coder = make_coder(name, 128_000)
        for frame in resampled:
            coder.encode(frame)

    def whole(rows: Sequence[Sequence[OpusPacket]]) -> Callable[[], None]:
        def run() -> None:
            transcoder = Transcoder(coder=name)
            transcoder.start(0.0)
            for row in rows:
                transcoder.push(row)

        return run

    steps = [measure(step, seconds, repeats) for step in (decoding, resampling, coding)]
    both = [measure(whole(rows), seconds, repeats) for rows in (batches, [[packet] for packet in packets])]
    return Way(name, programme, *steps, *both)


def plain(rows: Sequence[Result | Way]) -> list[dict[str, Any]]:
    """None for what there is not: silence is like nothing."""
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in map(asdict, rows)
    ]


def table(title: str, rows: Sequence[Result | Way], console: Console) -> None:
    made = Table(title=title)
    for index, name in enumerate(asdict(rows[0])):
        made.add_column(name, justify="left" if index == 0 or name == "programme" else "right")
    for row in rows:
        made.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in asdict(row).values()))
    console.print(made)


def picture(results: Sequence[Result], path: Path) -> None:
    """Cost against likeness, for voices and for music; a line is a coder at its bit rates."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    kinds: Mapping[str, Callable[[str], bool]] = {
        "a voice on both sides": lambda name: name in ("voice", "voice 2"),
        "stereo: music, a voice to the left": lambda name: name.startswith(("music", "voice, panned")),
    }
    for place, (title, of_kind) in zip(figure.subplots(1, 2), kinds.items(), strict=True):
        for variant in VARIANTS:
            points = []
            for rate in variant.bit_rates:
                some = [
                    one
                    for one in results
                    if (one.coder, one.kbit) == (variant.name, rate // 1000) and of_kind(one.programme)
                ]
                points.append((statistics.mean(r.cpu for r in some), statistics.mean(r.segmental for r in some)))
            style: dict[str, Any] = {"linewidth": 2.5} if variant.name == "lean" else {"linewidth": 1}
            place.plot(*zip(*points, strict=True), marker="o", label=variant.name, **style)
            for rate, point in zip(variant.bit_rates, points, strict=True):
                place.annotate(f"{rate // 1000}k", point, (4, 4), textcoords="offset points", fontsize=7)
        place.set_title(title, fontsize=10)
        place.set_xscale("log")
        place.xaxis.set_major_formatter("{x:g}")
        place.xaxis.set_minor_formatter("{x:g}")
        place.tick_params(which="both", labelsize=7)
        place.set_xlabel("CPU, milliseconds for a second of sound")
        place.set_ylabel("segmental SNR, dB")
        place.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "relay"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object instead of tables")
    parser.add_argument("--picture", type=Path, help="file for cost against quality: .svg, .png")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the cheapest counts")
    options = parser.parse_args()
    progress = Console(stderr=True)
    results, ways = [], []
    for name, make in PROGRAMME.items():
        progress.print(name)
        sound = make()[:, : SECONDS * RATE]
        coded = at_aac_rate(sound)
        results += [
            coding(variant, rate, name, coded, options.repeats) for variant in VARIANTS for rate in variant.bit_rates
        ]
        ways += [way(coder, name, sound, options.repeats) for coder in get_args(CoderName)]
    results.sort(key=lambda one: [variant.name for variant in VARIANTS].index(one.coder))
    if options.picture:
        picture(results, options.picture)
    if options.json:
        json.dump({"coders": plain(results), "ways": plain(ways)}, sys.stdout, indent=1)
        return
    console = Console()
    table("Coders: cpu in ms/s, spent in kbit/s, the rest in dB", results, console)
    table("The way of a stream, ms/s", ways, console)


if __name__ == "__main__":
    main()
