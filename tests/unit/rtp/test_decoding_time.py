"""DTS of pictures with B-frames: by rule for any order, and for real x264 streams against FFmpeg's FLV muxer."""

import io
from fractions import Fraction
from itertools import pairwise

import av
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core import flv, h264
from relay.core.media import AccessUnit
from relay.core.rtp.decoding_time import DecodingTimes
from relay.core.rtp.reception import Reception
from relay.core.rtp.sender import RtpSender
from tests.support.coded import FPS, HEIGHT, TICK, WIDTH, Coded, coded, decode
from tests.support.thorough import also
from tests.unit.rtp.network import VIDEO, reception, video_sender

NOW = 100.0
HIGH = {"profile": "high", "preset": "veryfast", "threads": "1"}
SHAPES = {
    "none": {"bf": "0"},
    "two": {"bf": "2", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=none"},
    "pyramid": {"bf": "3", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=normal"},
    "sixteen": {"bf": "16", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=normal"},
    "adaptive": {"bf": "5", "x264-params": "b-adapt=2:b-pyramid=strict:rc-lookahead=20"},
}


def x264(shape: str, count: int = 90) -> list[Coded]:
    return coded("libx264", count, HIGH | SHAPES[shape])


def nals_of(unit: Coded) -> list[bytes]:
    return h264.split_annex_b(unit.data)


def without_vui(nals: list[bytes]) -> list[bytes]:
    """With a sequence parameter set that does not tell its depth."""
    return [_cut_vui(nal) if h264.nal_type(nal) == h264.NalType.SPS else nal for nal in nals]


def _cut_vui(sps: bytes) -> bytes:
    bits = "".join(f"{byte:08b}" for byte in sps.replace(b"\0\0\3", b"\0\0"))
    for end in range(len(bits) - 1, 40, -1):
        # The VUI's flag is the last bit before it: set to 0, then the stop bit.
        cut = bits[:end] + "01"
        candidate = int(cut.ljust((len(cut) + 7) // 8 * 8, "0"), 2).to_bytes((len(cut) + 7) // 8, "big")
        try:
            parsed = h264.parse_sps(candidate)
        except ValueError:
            continue
        known = h264.parse_sps(sps)
        if (parsed.width, parsed.height) == (known.width, known.height) and parsed.max_num_reorder_frames is None:
            shortest = candidate
    return shortest


def receive(units: list[tuple[list[bytes], int]], receiver: Reception, sender: RtpSender) -> list[AccessUnit]:
    received: list[AccessUnit] = []
    for index, (nals, pts) in enumerate(units):
        now = NOW + index / FPS
        for packet in sender.send_access_unit(nals, pts, now):
            received += [frame for frame in receiver.receive_rtp(packet, now) if isinstance(frame, AccessUnit)]
    return received


def muxed(units: list[AccessUnit]) -> bytes:
    """What a CDN gets."""
    sps, pps = ([nal for nal in units[0].parts if h264.nal_type(nal) == kind] for kind in (7, 8))
    tags = [flv.Tag(flv.VIDEO, 0, flv.avc_sequence_header(h264.decoder_configuration(sps, pps)))]
    for unit in units:
        at = round((unit.time - units[0].time) * 1000)
        body = flv.video_body(
            h264.length_prefixed(unit.parts), key=unit.key, composition=round(unit.composition * 1000)
        )
        tags.append(flv.Tag(flv.VIDEO, at, body))
    return flv.file_header(audio=False, video=True) + b"".join(map(flv.write_tag, tags))


@pytest.mark.parametrize("shape", SHAPES)
def test_real_streams_decode_and_show_every_picture_in_time(shape: str) -> None:
    units = x264(shape)
    receiver = reception(VIDEO)
    received = receive([(nals_of(unit), unit.pts) for unit in units], receiver, video_sender())
    assert len(received) == len(units)
    assert receiver.stats.tracks[0].reordered == (shape != "none")
    assert all(a.time < b.time for a, b in pairwise(received))
    assert all(unit.composition >= 0 for unit in received)
    first = received[0]
    shown = [unit.time + unit.composition - first.time - first.composition for unit in received]
    assert shown == pytest.approx([(unit.pts - units[0].pts) / 90000 for unit in units], abs=0.001)
    # Without B-frames nothing changes: shown when decoded.
    assert any(unit.composition for unit in received) == (shape != "none")
    picture = decode(muxed(received))
    assert picture.size == (WIDTH, HEIGHT)
    assert len(picture.times) == len(units)
    assert all(abs(b - a - 1 / FPS) < 0.0025 for a, b in pairwise(picture.times))


@pytest.mark.parametrize("shape", ["two", "pyramid", "sixteen"])
def test_tags_are_those_of_ffmpegs_muxer(shape: str) -> None:
    """Same composition times, and DTS one constant apart, as where x264 tells its own DTS."""
    units = x264(shape)
    file = io.BytesIO()
    milliseconds = Fraction(1, 1000)
    with av.open(file, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as output:
        stream = output.add_stream("libx264", rate=FPS, options=HIGH | SHAPES[shape])
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = milliseconds
        for unit in units:
            packet = av.Packet(unit.data)
            packet.stream, packet.is_keyframe, packet.time_base = stream, unit.key, milliseconds
            packet.pts, packet.dts = round(unit.pts / 90), round(unit.dts / 90)
            output.mux(packet)
    theirs = [tag for tag in flv.TagReader().receive(file.getvalue()) if tag.type == flv.VIDEO and tag.body[1] == 1]
    received = receive([(nals_of(unit), unit.pts) for unit in units], reception(VIDEO), video_sender())
    ours = [tag for tag in flv.TagReader().receive(muxed(received)) if not tag.is_header]
    assert len(ours) == len(theirs)
    shifts = {a.timestamp - b.timestamp for a, b in zip(ours, theirs, strict=True)}
    assert max(shifts) - min(shifts) <= 2  # rounding to milliseconds
    for a, b in zip(ours, theirs, strict=True):
        assert abs(int.from_bytes(a.body[2:5], "big") - int.from_bytes(b.body[2:5], "big")) <= 1


@pytest.mark.parametrize("shape", ["pyramid", *also("two", "sixteen")])
def test_a_depth_that_the_stream_does_not_tell_is_learned_within_a_few_gops(shape: str) -> None:
    """Until it is known, pictures up to the next IDR picture are left out; nothing wrong is ever sent."""
    units = x264(shape, 240)
    receiver = reception(VIDEO)
    received = receive([(without_vui(nals_of(unit)), unit.pts) for unit in units], receiver, video_sender())
    assert receiver.stats.tracks[0].reordered
    assert all(a.time < b.time for a, b in pairwise(received))
    assert all(unit.composition >= 0 for unit in received)
    picture = decode(muxed(received))
    # Without being told, FFmpeg's decoder has to guess the depth as well, and may show the first B-frames late.
    assert len(set(picture.times)) == len(received)
    keys = [index for index, unit in enumerate(units) if unit.key]
    last_gops = [unit.pts for unit in units[keys[-3] :]]
    assert [unit.rtp_time - received[-1].rtp_time for unit in received[-len(last_gops) :]] == [
        pts - units[-1].pts for pts in last_gops
    ]


def test_while_the_order_is_lost_a_key_frame_is_asked_for() -> None:
    units = x264("two")
    receiver = reception(VIDEO)
    receive([(without_vui(nals_of(unit)), unit.pts) for unit in units[:4]], receiver, video_sender())
    assert receiver.stats.tracks[0].dropped > 0
    assert receiver.stats.tracks[0].plis == 0
    receiver.feedback(NOW + 2)
    assert receiver.stats.tracks[0].plis == 1


def test_b_frames_do_not_move_the_clock() -> None:
    """What a picture waited in the encoder is not the network's delay."""
    received = receive([(nals_of(unit), unit.pts) for unit in x264("sixteen")], reception(VIDEO), video_sender())
    offsets = [unit.time + unit.composition - unit.rtp_time / 90000 for unit in received]
    assert max(offsets) - min(offsets) < 0.001


@pytest.mark.parametrize("late", [1.3, -1.3])
def test_where_the_arrivals_jump_pictures_are_left_out_rather_than_shown_out_of_order(late: float) -> None:
    """As GStreamer's do: its first pictures come late, all at once."""
    units = x264("pyramid", 240)
    receiver, sender = reception(VIDEO), video_sender()
    received: list[AccessUnit] = []
    for index, unit in enumerate(units):
        now = NOW + index / FPS + (late if (index < 20) == (late > 0) else 0) + max(0.0, -late)
        for packet in sender.send_access_unit(nals_of(unit), unit.pts, now):
            received += [frame for frame in receiver.receive_rtp(packet, now) if isinstance(frame, AccessUnit)]
    picture = decode(muxed(received))
    assert len(picture.times) == len(received) > 120
    assert all(a < b for a, b in pairwise(picture.times))
    assert received[-1].rtp_time - received[0].rtp_time == units[-1].pts


def test_after_a_loss_dts_stay_near_their_pictures() -> None:
    units = x264("pyramid", 240)
    keys = [index for index, unit in enumerate(units) if unit.key]
    sent = units[: keys[1]] + units[keys[5] :]
    received = receive([(nals_of(unit), unit.pts) for unit in sent], reception(VIDEO), video_sender())
    assert all(a.time < b.time for a, b in pairwise(received))
    assert max(unit.composition for unit in received) < 0.2


@st.composite
def orders(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A depth, and PTS in a decoding order of at most that depth, an IDR picture first."""
    depth = draw(st.integers(0, 16))
    times = [0]
    for _ in range(draw(st.integers(1, 60))):
        times.append(times[-1] + draw(st.integers(90, 90_000)))
    waiting, order, held = times[1:], [0], 0
    while waiting:
        # How many of those before it in output order are still to be decoded is bounded by what may overtake them.
        ahead = draw(st.integers(0, min(depth - held, len(waiting) - 1)))
        if ahead:
            held += 1
            order.append(waiting.pop(ahead))
        else:
            shown = waiting.pop(0)
            order.append(shown)
            held = sum(1 for time in order if waiting and time > waiting[0])
    return depth, order


@given(orders())
@example((13, [0, 144_001, 90, 180, 270, 360, 54_001]))
def test_any_order_within_the_depth_has_dts(case: tuple[int, list[int]]) -> None:
    depth, order = case
    times = DecodingTimes()
    got = [times.begin(order[0], depth), *(times.next(pts) for pts in order[1:])]
    spans = max(order) - min(order)
    if None in got:
        # Only where B-frames, and the DTS before the first of them, span what is taken for a jump of the clock.
        assert spans + depth * 3000 > 180_000
        got = got[: got.index(None)]
    decoded = [dts for dts in got if dts is not None]
    assert all(a < b for a, b in pairwise(decoded))
    assert all(dts <= pts for dts, pts in zip(decoded, order, strict=False))


@given(st.lists(st.tuples(st.booleans(), st.integers(-400_000, 400_000)), max_size=80), st.none() | st.integers(0, 16))
def test_whatever_comes_dts_rise_between_jumps(pictures: list[tuple[bool, int]], depth: int | None) -> None:
    times, last, at = DecodingTimes(), None, 0
    waiting_for_key = True
    for key, step in pictures:
        at += step
        if waiting_for_key and not key:
            continue
        dts = times.begin(at, depth) if key else times.next(at)
        waiting_for_key = dts is None
        if dts is None:
            continue
        assert dts <= at
        if last is not None and (not key or at > last):
            assert dts > last or (dts == last and times.depth == 0)
        last = dts
        assert times.depth <= 16


def test_two_pictures_of_one_timestamp_are_no_b_frames() -> None:
    times = DecodingTimes()
    assert [times.begin(0, None), times.next(TICK), times.next(TICK), times.next(2 * TICK)] == [0, TICK, TICK, 2 * TICK]
    assert (times.contradicted, times.reordered, times.depth) == (False, False, 0)


def test_a_picture_back_in_time_is_left_out_and_the_next_idr_starts_anew() -> None:
    times = DecodingTimes()
    assert [times.begin(900_000, 0), times.next(900_000 + TICK), times.next(0)] == [900_000, 900_000 + TICK, None]
    assert not times.contradicted
    assert times.begin(TICK, 0) == TICK
