"""The clip of the repository, clips made on the spot, and the live pattern."""

from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from relay.cli.pattern import PatternSource
from relay.cli.source import MAX_BYTES, ClipSource, Item, Picture, Sound, Source, SourceError, builtin_clip
from relay.core.h264 import NalType, nal_type
from relay.core.opus import parse_toc

CLIP = builtin_clip()


def until(source: Source, time: float) -> list[Item]:
    items = []
    for item in source:
        items.append(item)
        if item.time >= time:
            return items
    raise AssertionError("a source has no end")


def pictures(items: list[Item]) -> list[Picture]:
    return [item for item in items if isinstance(item, Picture)]


def sounds(items: list[Item]) -> list[Sound]:
    return [item for item in items if isinstance(item, Sound)]


def make_clip(path: Path, *, video: str | None = "libx264", audio: str | None = "libopus", **options: str) -> Path:
    """One second of grey and of silence."""
    with av.open(path, "w") as container:
        streams = []
        if video:
            stream = container.add_stream(video, rate=30, options={"threads": "1", **options})
            stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
            streams.append(stream)
        if audio:
            sound = container.add_stream(audio, rate=48_000)
            sound.layout = "stereo"
        for index in range(30):
            if video:
                frame = av.VideoFrame(320, 180, "yuv420p")
                for plane in frame.planes:
                    plane.update((bytes(range(251)) * 400)[index * 8 :][: plane.buffer_size])
                frame.pts, frame.time_base = index, Fraction(1, 30)
                container.mux(stream.encode(frame))
            if audio:
                samples = av.AudioFrame("s16" if audio == "libopus" else "fltp", "stereo", 1600)
                for part in samples.planes:
                    part.update(bytes(part.buffer_size))
                samples.sample_rate, samples.pts, samples.time_base = 48_000, index * 1600, Fraction(1, 48_000)
                container.mux(sound.encode(samples))
        if video:
            container.mux(stream.encode(None))
        if audio:
            container.mux(sound.encode(None))
    return path


def test_the_clip_is_what_a_browser_sends() -> None:
    assert CLIP.stat().st_size <= 3_000_000
    source = ClipSource(CLIP)
    assert source.duration == pytest.approx(10.0)
    turn = list(islice(source, 800))
    frames, packets = pictures(turn), sounds(turn)
    assert (len(frames), len(packets)) == (300, 500)
    assert [frame.key for frame in frames] == [index % 60 == 0 for index in range(300)]
    assert 1.8e6 < sum(len(nal) for frame in frames for nal in frame.nals) * 8 / 10 < 2.2e6
    assert 96_000 <= sum(len(packet.data) for packet in packets) * 8 / 10 <= 128_000
    assert {parse_toc(packet.data) for packet in packets} == {(960, 1, 2)}
    assert {nal[:3] for frame in frames for nal in frame.nals if nal_type(nal) == NalType.SPS} == {b"\x67\x42\xc0"}


def test_parameter_sets_come_before_each_idr() -> None:
    for frame in pictures(until(ClipSource(CLIP), 10.0)):
        kinds = [nal_type(nal) for nal in frame.nals]
        if frame.key:
            assert kinds[:2] == [NalType.SPS, NalType.PPS]
            assert NalType.IDR in kinds
        else:
            assert set(kinds) == {NalType.SLICE}


def test_the_clip_repeats_without_a_seam() -> None:
    items = until(ClipSource(CLIP), 30.5)
    assert all(a.time <= b.time for a, b in pairwise(items))
    assert {round(b.time - a.time, 6) for a, b in pairwise(pictures(items))} == {0.033333}
    assert {round(b.time - a.time, 6) for a, b in pairwise(sounds(items))} == {0.02}
    first, third = (pictures(items)[turn * 300 : turn * 300 + 15] for turn in (0, 3))
    assert [frame.nals for frame in first] == [frame.nals for frame in third]
    assert sounds(items)[0].data == sounds(items)[500].data == sounds(items)[1000].data


@pytest.mark.parametrize("taken", [1, 3, 80, 159, 160, 161, 400, 639, 641, 799, 801, 2000])
def test_a_wanted_key_frame_is_the_next_picture_and_the_sound_jumps_with_it(taken: int) -> None:
    turn = list(islice(ClipSource(CLIP), 800))
    clip_time = {(tuple(i.nals) if isinstance(i, Picture) else i.data): i.time for i in turn}
    source = ClipSource(CLIP)
    before = list(islice(source, taken))
    source.skip_to_key()
    after = list(islice(source, 200))
    key, sound = pictures(after)[0], sounds(after)[0]
    assert key.key
    shown = pictures(before)
    assert key.time == pytest.approx(shown[-1].time + 1 / 30 if shown else 0.0, abs=1e-4)
    times = [item.time for item in sounds(before)[-1:] + sounds(after)]
    assert all(0.02 - 1e-6 <= b - a < 0.04 for a, b in pairwise(times))
    assert sum(b - a > 0.0201 for a, b in pairwise(times)) <= 1
    in_clip = (clip_time[sound.data] - clip_time[tuple(key.nals)] + 5) % 10 - 5
    assert sound.time - key.time == pytest.approx(in_clip, abs=1e-6)
    assert all(a.time <= b.time + 1e-6 for a, b in pairwise([*before[-1:], *after]))


def test_key_frames_wanted_again_and_again_do_not_stop_the_clock() -> None:
    source = ClipSource(CLIP)
    last = -1.0
    for _ in range(50):
        source.skip_to_key()
        items = list(islice(source, 4))
        assert pictures(items)[0].key
        assert items[0].time > last
        last = items[-1].time
    assert last < 5


def test_a_clip_may_have_one_track(tmp_path: Path) -> None:
    silent = until(ClipSource(make_clip(tmp_path / "silent.mp4", audio=None, bf="0")), 3.0)
    assert {round(b.time - a.time, 4) for a, b in pairwise(silent)} == {0.0333}
    dark = ClipSource(make_clip(tmp_path / "dark.mkv", video=None))
    dark.skip_to_key()
    assert not pictures(until(dark, 3.0))


def test_a_transport_stream_gives_the_same_pictures(tmp_path: Path) -> None:
    with av.open(CLIP, "r") as clip, av.open(tmp_path / "clip.ts", "w") as copy:
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in clip.streams}
        for packet in clip.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    wanted = [frame.nals for frame in pictures(until(ClipSource(CLIP), 5.0))]
    given = pictures(until(ClipSource(tmp_path / "clip.ts"), 5.0))
    vcl = [[nal for nal in frame.nals if nal_type(nal) in (NalType.SLICE, NalType.IDR)] for frame in given]
    assert vcl[:100] == [[nal for nal in n if nal_type(nal) in (NalType.SLICE, NalType.IDR)] for n in wanted[:100]]


def test_other_codecs_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"video is mpeg4.*ffmpeg -i .*-bf 0.*libopus"):
        ClipSource(make_clip(tmp_path / "old.mp4", video="mpeg4"))
    with pytest.raises(SourceError, match=r"audio is aac.*ffmpeg"):
        ClipSource(make_clip(tmp_path / "aac.mp4", audio="aac", bf="0"))


def test_b_frames_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"B-frames.*ffmpeg"):
        ClipSource(make_clip(tmp_path / "b.mp4", bf="2", **{"x264-params": "b-adapt=0"}))


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a clip")
    huge = tmp_path / "huge.mp4"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse
    for path, reason in ((text, "cannot be read"), (tmp_path / "none.mp4", "cannot be read"), (huge, "512 MiB")):
        with pytest.raises(SourceError, match=reason):
            ClipSource(path)


def test_the_pattern_is_coded_live() -> None:
    source = PatternSource(width=320, height=180, fps=15, bit_rate=300_000, key_interval=1.0)
    items = until(source, 4.0)
    frames = pictures(items)
    assert all(a.time <= b.time for a, b in pairwise(items))
    assert {round(b.time - a.time, 4) for a, b in pairwise(frames)} == {0.0667}
    assert {round(b.time - a.time, 6) for a, b in pairwise(sounds(items))} == {0.02}
    assert [index for index, frame in enumerate(frames) if frame.key] == [0, 15, 30, 45]
    assert all(nal_type(frame.nals[0]) == NalType.SPS for frame in frames if frame.key)
    assert sum(len(nal) for frame in frames for nal in frame.nals) * 8 / 4 == pytest.approx(300_000, rel=0.25)


def test_the_pattern_gives_a_key_frame_when_asked() -> None:
    source = PatternSource(width=320, height=180, fps=15, bit_rate=300_000, key_interval=60.0)
    assert sum(frame.key for frame in pictures(until(source, 2.0))) == 1
    source.skip_to_key()
    keys = [frame.key for frame in pictures(until(source, 2.5))]
    assert any(keys[:2])
    assert sum(keys) == 1
