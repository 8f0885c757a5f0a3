"""Video of any codec, coded by the encoders in PyAV's wheel, and FFmpeg's decoder as a judge."""

import functools
import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import av

from relay.cli.pattern import pictures
from relay.core.flv import VIDEO, TagReader

WIDTH, HEIGHT, FPS = 160, 120, 30
TICK = 90000 // FPS


@dataclass(frozen=True, slots=True)
class Coded:
    """One access unit as the encoder gave it; times in units of 90 kHz."""

    data: bytes
    key: bool
    pts: int
    dts: int


def coded(
    encoder: str,
    count: int,
    options: Mapping[str, str],
    *,
    gop: int = 30,
    width: int = WIDTH,
    height: int = HEIGHT,
    pix_fmt: str = "yuv420p",
) -> list[Coded]:
    """`count` pictures in decoding order, a key frame each `gop`."""
    return list(_coded(encoder, count, tuple(options.items()), gop, width, height, pix_fmt))


@functools.cache
def _coded(
    encoder: str, count: int, options: tuple[tuple[str, str], ...], gop: int, width: int, height: int, pix_fmt: str
) -> tuple[Coded, ...]:
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = width, height, pix_fmt
    context.time_base, context.framerate = Fraction(1, 90000), Fraction(FPS)
    context.gop_size = gop
    context.thread_count = 1
    context.options = dict(options)
    packets = []
    try:
        for index, frame in enumerate(islice(pictures(width, height, FPS), count)):
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = index * TICK, Fraction(1, 90000)
            packets += context.encode(frame)
        packets += context.encode(None)
    finally:
        # SVT-AV1, as root, gives whoever calls it real-time priority. All that a test starts later would have it too,
        # and two processes that wait for each other so take both cores for good.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return tuple(Coded(bytes(p), p.is_keyframe, p.pts, p.dts) for p in packets if p.size)


@dataclass(frozen=True, slots=True)
class Decoded:
    codec: str
    times: list[float]
    """Seconds of each picture, in the order of output."""
    size: tuple[int, int]
    """Of the last one."""


def decode(flv: bytes) -> Decoded:
    """Demuxes and decodes the video of an FLV file, strictly: an error of any kind raises."""
    if b"\x90vp08" in flv[:1000]:
        return _decode(_ivf(flv), "ivf")  # FFmpeg 8 has VP8 in no FLV
    return _decode(flv, "flv")


def _decode(file: bytes, form: str) -> Decoded:
    with av.open(io.BytesIO(file), "r", format=form) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        times: list[float] = []
        size = (0, 0)
        for frame in container.decode(stream):
            assert not frame.is_corrupt
            times.append(frame.time or 0.0)
            size = frame.width, frame.height
        return Decoded(stream.codec_context.codec.canonical_name, times, size)


def _ivf(flv: bytes) -> bytes:
    """The VP8 frames of an FLV file, with their times in milliseconds."""
    parts = [struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", 0, 0, 1000, 1, 0, 0)]
    for tag in TagReader().receive(flv):
        if tag.type == VIDEO and tag.body[:1] in (b"\x91", b"\xa1"):
            assert tag.body[1:5] == b"vp08"
            parts.append(struct.pack("<IQ", len(tag.body) - 5, tag.timestamp) + tag.body[5:])
    return b"".join(parts)
