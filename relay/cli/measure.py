"""Figures about a stream as a CDN received it: what `relay demo` judges by, and the tests against real servers.

Streams are lists of FLV tags, or files that PyAV decodes.
"""

import bisect
import hashlib
import math
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import av

from relay.core import flv
from relay.core.h264 import NalType, nal_type, split_length_prefixed

AAC_LC = 2
"""Audio object type (ISO/IEC 14496-3, table 1.17)."""
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AVC, _AAC = 7, 10
_PAIR = 0.5
"""Seconds: a beep belongs to the nearest flash, and to none that is further."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    object_type: int
    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Gap:
    """No frame between `time` and `time + duration`, seconds."""

    time: float
    duration: float


def read_tags(path: str | os.PathLike[str]) -> list[flv.Tag]:
    """The whole tags of an FLV file; one cut off at the end is left out. Raises `flv.FlvError`, `OSError`."""
    reader = flv.TagReader()
    tags: list[flv.Tag] = []
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            tags += reader.receive(data)
    return tags


def is_picture(tag: flv.Tag) -> bool:
    """It holds a picture of H.264."""
    body = tag.body
    return tag.type == flv.VIDEO and body[0] & 15 == _AVC and body[1:2] == b"\1"


def is_sound(tag: flv.Tag) -> bool:
    """It holds a frame of AAC."""
    body = tag.body
    return tag.type == flv.AUDIO and body[0] >> 4 == _AAC and body[1:2] == b"\1"


def video_frames(tags: Iterable[flv.Tag]) -> list[flv.Tag]:
    """The tags that hold a picture of H.264."""
    return [tag for tag in tags if is_picture(tag)]


def audio_frames(tags: Iterable[flv.Tag]) -> list[flv.Tag]:
    """The tags that hold a frame of AAC."""
    return [tag for tag in tags if is_sound(tag)]


def access_units(tags: Iterable[flv.Tag]) -> list[tuple[str, ...]]:
    """Of each picture, the digests of its VCL NAL units: equal lists mean that no bit of a picture was changed."""
    return [picture_digests(tag) for tag in tags if is_picture(tag)]


def picture_digests(tag: flv.Tag) -> tuple[str, ...]:
    return vcl_digests(split_length_prefixed(tag.body[5:]))


def vcl_digests(nals: Iterable[bytes]) -> tuple[str, ...]:
    """SHA-256 of each NAL unit of types 1 to 5 (ITU-T H.264, table 7-1), in order; half of its digits.

    Processors have instructions for it: 6.3 us for the 8 kB of a picture where BLAKE2b takes 11.1.
    """
    return tuple(hashlib.sha256(nal).hexdigest()[:32] for nal in nals if NalType.SLICE <= nal_type(nal) <= NalType.IDR)


def audio_format(tags: Iterable[flv.Tag]) -> AudioFormat | None:
    """The first AAC sequence header's AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); None where there is none."""
    for tag in tags:
        if tag.type == flv.AUDIO and tag.body[0] >> 4 == _AAC and tag.body[1:2] == b"\0" and len(tag.body) >= 4:
            bits = int.from_bytes(tag.body[2:4], "big")
            index = bits >> 7 & 15
            return AudioFormat(bits >> 11, _RATES[index] if index < len(_RATES) else 0, bits >> 3 & 15)
    return None


def audio_holes(tags: Sequence[flv.Tag], rate: int = 44_100) -> list[Gap]:
    """Where an AAC frame does not begin where the one before it ended, by more than the rounding to milliseconds.

    A negative duration is an overlap.
    """
    return [gap for a, b in pairwise(audio_frames(tags)) if (gap := hole_between(a, b, rate)) is not None]


def hole_between(before: flv.Tag, after: flv.Tag, rate: int) -> Gap | None:
    """The same of two frames of AAC."""
    start = before.timestamp / 1000 + 1024 / rate
    duration = after.timestamp / 1000 - start
    return Gap(start, duration) if abs(duration) > 0.0015 else None


def percentile(values: Iterable[float], percent: float) -> float:
    """Nearest rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def av_offsets(path: str | os.PathLike[str], *, since: float = 0.0) -> list[float]:
    """Seconds from each flash to its beep, positive where the sound is late, by decoding the file (`cli/pattern`).

    A flash counts from its first bright picture's timestamp, a beep from the first sample of its rise. Flashes without
    a beep within half a second are left out, and so are those before `since`, seconds.
    """
    flashes, beeps = [flash for flash in _flashes(path) if flash >= since], _beeps(path)
    offsets = []
    for flash in flashes:
        at = bisect.bisect_left(beeps, flash)
        near = min(beeps[max(0, at - 1) : at + 1], key=lambda beep: abs(beep - flash), default=math.inf)
        if abs(near - flash) <= _PAIR:
            offsets.append(near - flash)
    return offsets


def _flashes(path: str | os.PathLike[str]) -> list[float]:
    lumas: list[tuple[float, float]] = []
    with av.open(path, "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            # One sample in 61 of the luma plane: 61 is prime, so no column of the picture is preferred.
            samples = bytes(frame.planes[0])[::61]
            lumas.append((frame.time or 0.0, sum(samples) / len(samples)))
    values = [luma for _, luma in lumas]
    bright = (min(values, default=0.0) + max(values, default=0.0)) / 2
    return [time for (_, before), (time, luma) in pairwise(lumas) if luma > bright >= before]


def _beeps(path: str | os.PathLike[str]) -> list[float]:
    samples = array("f")
    starts: list[int] = []
    times: list[float] = []
    with av.open(path, "r") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        for decoded in container.decode(stream):
            for frame in resampler.resample(decoded):
                starts.append(len(samples))
                times.append(frame.time or 0.0)
                samples.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
        rate = stream.rate
    if not samples:
        return []
    loud = max(max(samples), -min(samples)) / 4
    block, quiet_needed = rate // 1000, 50
    beeps: list[float] = []
    quiet = quiet_needed
    for start in range(0, len(samples), block):
        part = samples[start : start + block]
        if max(part) < loud and -min(part) < loud:
            quiet += 1
            continue
        if quiet >= quiet_needed:
            first = start + next(index for index, value in enumerate(part) if abs(value) >= loud)
            at = bisect.bisect_right(starts, first) - 1
            beeps.append(times[at] + (first - starts[at]) / rate)
        quiet = 0
    return beeps
