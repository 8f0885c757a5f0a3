"""Known streams through the measuring: FLV written by our own core from the clip, and by FFmpeg's muxer."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import pytest

from relay.cli import measure
from relay.cli.pattern import PatternSource
from relay.cli.source import ClipSource, Picture, Source, builtin_clip
from relay.core import flv, h264
from relay.core.media import OpusPacket
from relay.push.transcode import Transcoder
from tests.support.thorough import also
from tests.support.timestamps import gaps, is_monotonic

CLIP = builtin_clip()


def as_flv(source: Source, seconds: float, *, sound_late: float = 0.0) -> list[flv.Tag]:
    """The source pushed as the relay pushes it, without a network: pictures untouched, the sound through the coder."""
    transcoder = Transcoder()
    transcoder.start(0.0)
    tags = [flv.Tag(flv.AUDIO, 0, flv.aac_sequence_header(transcoder.config))]
    for item in source:
        if item.time > seconds:
            break
        milliseconds = round(item.time * 1000)
        if not isinstance(item, Picture):
            time = item.time + sound_late
            aac = transcoder.push([OpusPacket(item.data, round(item.time * 48_000), time, time)])
            tags += [flv.Tag(flv.AUDIO, round(frame.time * 1000), flv.aac_body(frame.data)) for frame in aac]
            continue
        if item.key:
            sps, pps = item.nals[:2]
            record = h264.decoder_configuration([sps], [pps])
            tags.append(flv.Tag(flv.VIDEO, milliseconds, flv.avc_sequence_header(record)))
        body = flv.video_body(h264.length_prefixed(item.nals), key=item.key)
        tags.append(flv.Tag(flv.VIDEO, milliseconds, body))
    return sorted(tags, key=lambda tag: tag.timestamp)


def write(path: Path, tags: list[flv.Tag]) -> Path:
    path.write_bytes(flv.file_header(audio=True, video=True) + b"".join(map(flv.write_tag, tags)))
    return path


@cache
def clip_tags() -> list[flv.Tag]:
    return as_flv(ClipSource(CLIP), 3.4)


def test_tags_are_read_back(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.flv", clip_tags())
    assert measure.read_tags(path) == clip_tags()
    path.write_bytes(path.read_bytes()[:-20])
    assert measure.read_tags(path) == clip_tags()[:-1]


def test_no_bit_of_a_picture_is_changed() -> None:
    pictures = [item for item, _ in zip(ClipSource(CLIP), range(400), strict=False) if isinstance(item, Picture)]
    sent = [measure.vcl_digests(picture.nals) for picture in pictures][:90]
    assert measure.access_units(clip_tags())[:90] == sent
    assert len(set(sent)) == 90
    frame = next(tag for tag in clip_tags() if tag.is_key)
    damaged = replace(frame, body=frame.body[:-1] + bytes((frame.body[-1] ^ 1,)))
    assert measure.access_units([damaged]) != measure.access_units([frame])


def test_the_sound_is_aac_lc_44100_stereo() -> None:
    assert measure.audio_format(clip_tags()) == measure.AudioFormat(measure.AAC_LC, 44_100, 2)
    assert measure.audio_format(measure.video_frames(clip_tags())) is None


def test_the_format_that_ffmpeg_writes_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "other.flv"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=22_050)
        stream.layout = "mono"
        for _ in range(20):
            frame = av.AudioFrame("fltp", "mono", 1024)
            frame.sample_rate = 22_050
            frame.planes[0].update(bytes(4096))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    tags = measure.read_tags(path)
    assert measure.audio_format(tags) == measure.AudioFormat(measure.AAC_LC, 22_050, 1)
    assert measure.audio_holes(tags[2:], 22_050) == []


def test_holes_in_the_sound_are_found() -> None:
    tags = clip_tags()
    assert measure.audio_holes(tags) == []
    sound = measure.audio_frames(tags)
    (hole,) = measure.audio_holes(sound[:50] + sound[53:])
    assert hole.duration == pytest.approx(3 * 1024 / 44_100, abs=0.0015)
    assert hole.time == pytest.approx(50 * 1024 / 44_100, abs=0.0015)
    (overlap,) = measure.audio_holes(sound[:50] + [replace(tag, timestamp=tag.timestamp - 10) for tag in sound[50:]])
    assert overlap.duration == pytest.approx(-0.01, abs=0.0015)


def test_freezes_of_the_picture_are_found() -> None:
    pictures = measure.video_frames(clip_tags())
    assert gaps(pictures, 0.05) == []
    (freeze,) = gaps(pictures[:30] + pictures[45:], 0.05)
    assert freeze.duration == pytest.approx(16 / 30, abs=0.002)


def test_order() -> None:
    tags = clip_tags()
    assert is_monotonic(tags)
    assert not is_monotonic([*tags, tags[0]])


def test_percentile() -> None:
    assert measure.percentile(range(1, 101), 95) == 95
    assert measure.percentile([3.0, 1.0], 100) == 3.0
    assert measure.percentile([3.0, 1.0], 0) == 1.0
    assert math.isnan(measure.percentile([], 50))


def test_the_clip_is_in_sync_through_the_transcoder(tmp_path: Path) -> None:
    offsets = measure.av_offsets(write(tmp_path / "clip.flv", clip_tags()))
    assert len(offsets) == 3
    assert max(map(abs, offsets)) < 0.005


@pytest.mark.parametrize("late", [0.2, *also(-0.1)])
def test_sound_out_of_sync_is_measured(tmp_path: Path, late: float) -> None:
    source = PatternSource(width=320, height=180, fps=30, bit_rate=300_000)
    offsets = measure.av_offsets(write(tmp_path / "late.flv", as_flv(source, 3.4, sound_late=late)))
    assert offsets == pytest.approx([late] * 3, abs=0.005)
