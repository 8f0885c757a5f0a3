"""Opus in, AAC out, both by the real codecs: what a player hears of loss, pauses, jumps and drift."""

import math
import random
from array import array
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import pytest

from relay.core.media import OpusPacket
from relay.push.transcode import AacFrame, Transcoder
from tests.support.sound import RATE, decode_aac, decode_opus, lag, largest_step, level, opus, timed
from tests.support.thorough import also

FRAME = 1024 / 44_100
Packets = list[OpusPacket]


@cache
def tone_packets() -> tuple[bytes, ...]:
    """1.8 s: 440 Hz on the left, 660 Hz on the right, at half of full scale."""
    return tuple(opus("0.5*sin(2*PI*440*t)|0.5*sin(2*PI*660*t)", 1.8))


def tone(**options: float) -> Packets:
    return timed(tone_packets(), **options)


# The steepest samples of the tones, with 10 % for what two lossy coders add.
LEFT_STEP, RIGHT_STEP = (1.1 * 0.5 * 2 * math.pi * hertz / RATE for hertz in (440, 660))


def run(
    packets: Iterable[OpusPacket], *, until: float | None = None, lag: float | None = None
) -> tuple[Transcoder, list[AacFrame]]:
    """Packets one by one, as ticks give them; with `lag`, silence is filled up to that long before each arrival."""
    transcoder = Transcoder()
    transcoder.start(0.0)
    frames: list[AacFrame] = []
    for packet in packets:
        frames += transcoder.push([packet])
        if lag is not None:
            frames += transcoder.fill(packet.arrival - lag)
    if until is not None:
        frames += transcoder.fill(until)
    assert [round(frame.time / FRAME, 6) for frame in frames] == list(range(len(frames)))
    return transcoder, frames


def hear(transcoder: Transcoder, frames: list[AacFrame]) -> tuple["array[float]", "array[float]"]:
    return decode_aac(transcoder.config, frames)


def assert_no_click(transcoder: Transcoder, frames: list[AacFrame]) -> None:
    # Opus itself starts with a transient: the first 100 ms are the source's affair.
    left, right = hear(transcoder, frames)
    assert largest_step(left[4410:]) < LEFT_STEP
    assert largest_step(right[4410:]) < RIGHT_STEP


def test_config_is_aac_lc_44100_stereo() -> None:
    assert Transcoder().config[:2] == bytes.fromhex("1210")


def test_a_frame_holds_the_sound_of_its_time() -> None:
    packets = opus("0.3*(random(0)-0.5)|0.3*(random(1)-0.5)", 1.2)
    heard = hear(*run(timed(packets), until=1.3))
    for reference, samples in zip(decode_opus(packets), heard, strict=True):
        for at in (0.1, 0.5, 1.0):
            assert abs(lag(reference, samples, at=at)) <= 1


def test_sound_that_begins_later_than_the_timeline_is_at_its_place() -> None:
    packets = opus("0.3*(random(0)-0.5)|0.3*(random(1)-0.5)", 0.6)
    left, _ = hear(*run(timed(packets, start=0.513), until=1.2))
    assert level(left, 0.0, 0.5) < 1e-4
    late = left[round(0.513 * RATE) :]
    assert abs(lag(decode_opus(packets)[0], late, at=0.2)) <= 4


def test_left_and_right_stay_apart() -> None:
    left, right = hear(*run(timed(opus("0.5*sin(2*PI*440*t)|0", 0.6)), until=0.7))
    assert level(left, 0.1, 0.5) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)
    assert level(right, 0.1, 0.5) < 0.005


def test_mono_is_heard_on_both() -> None:
    left, right = hear(*run(timed(opus("0.5*sin(2*PI*440*t)", 0.6)), until=0.7))
    assert level(left, 0.1, 0.5) == pytest.approx(level(right, 0.1, 0.5), rel=0.02)
    assert level(left, 0.1, 0.5) > 0.3


def test_mono_and_stereo_in_one_stream() -> None:
    mono = opus("0.5*sin(2*PI*440*t)", 0.6)
    transcoder, frames = run(timed([*tone_packets()[:30], *mono[:30], *tone_packets()[30:60]]), until=1.9)
    assert transcoder.stats.broken == 0
    left, right = hear(transcoder, frames)
    assert all(level(samples, at, at + 0.1) > 0.3 for samples in (left, right) for at in (0.3, 0.9, 1.5))


@pytest.mark.parametrize("ms", ["2.5", "5", "10", "40", "60"])
def test_any_frame_length(ms: str) -> None:
    packets = opus("0.5*sin(2*PI*440*t)|0.5*sin(2*PI*660*t)", 1.2, frame_ms=ms)
    transcoder, frames = run(timed(packets, ms=float(ms)), until=1.3)
    assert len(frames) * FRAME == pytest.approx(1.25, abs=0.03)
    assert (transcoder.stats.broken, transcoder.stats.late) == (0, 0)
    assert_no_click(transcoder, frames)


@pytest.mark.parametrize("ms", ["2.5", "10", "20", "60"])
def test_packets_that_come_together_sound_as_those_that_come_alone(ms: str) -> None:
    packets = timed(opus("0.5*sin(2*PI*440*t)|0.5*sin(2*PI*660*t)", 1.2, frame_ms=ms), ms=float(ms))
    alone, frames = run(packets)
    together = Transcoder()
    together.start(0.0)
    others = together.push(packets)
    assert [frame.time for frame in others] == [frame.time for frame in frames]
    assert together.stats == alone.stats
    assert hear(together, others) == hear(alone, frames)


def test_what_is_concealed_is_as_long_as_the_last_packets_that_came_together() -> None:
    transcoder = Transcoder()
    transcoder.start(0.0)
    transcoder.push(timed(opus("0.5*sin(2*PI*440*t)", 0.2, frame_ms="20"), ms=20.0))
    shorter = timed(opus("0.5*sin(2*PI*440*t)", 0.7, frame_ms="10"), ms=10.0)
    end = transcoder.end
    following = [packet for packet in shorter if packet.time >= end - 0.001]
    transcoder.push(following)
    transcoder.fill(transcoder.end + 0.011)
    assert transcoder.stats.concealed == pytest.approx(0.01)


def test_a_broken_packet_among_others_is_the_only_one_that_is_lost() -> None:
    packets = tone()
    packets[33] = replace(packets[33], data=packets[33].data[:1] + bytes(1400))
    transcoder = Transcoder()
    transcoder.start(0.0)
    frames = transcoder.push(packets)
    assert (transcoder.stats.packets, transcoder.stats.broken) == (len(packets), 1)
    assert transcoder.stats.concealed == pytest.approx(0.02)
    assert_no_click(transcoder, frames)


@pytest.mark.parametrize("ms", ["2.5", "20", "60"])
def test_a_lost_packet_of_any_length_leaves_the_rest_in_place(ms: str) -> None:
    packets = timed(opus("0.5*sin(2*PI*440*t)|0.5*sin(2*PI*660*t)", 1.2, frame_ms=ms), ms=float(ms))
    lost = len(packets) // 2
    transcoder, frames = run([*packets[:lost], *packets[lost + 1 :]])
    assert transcoder.stats.concealed == pytest.approx(float(ms) / 1000)
    assert transcoder.stats.silence == 0
    assert_no_click(transcoder, frames)
    left, _ = hear(transcoder, frames)
    assert level(left, 0.6, 0.6 + 0.02) > 0.2


@pytest.mark.parametrize("lag", [None, 0.06], ids=["seen by the next packet", "filled while it lasts"])
@pytest.mark.parametrize("lost", [2, 5, 30])
def test_no_click_at_a_gap(lost: int, lag: float | None) -> None:
    packets = tone()
    transcoder, frames = run([*packets[:50], *packets[50 + lost :]], lag=lag)
    assert_no_click(transcoder, frames)
    assert transcoder.stats.concealed + transcoder.stats.silence == pytest.approx(lost * 0.02, abs=0.001)
    assert transcoder.stats.late == 0


@pytest.mark.parametrize("seed", [2, *also(6)])
def test_no_click_while_packets_are_lost_at_random(seed: int) -> None:
    """Tones at which libopus alone has steps of up to 1.75 times the source's after a concealment."""
    rng = random.Random(seed)  # noqa: S311 - a seed makes the test repeatable
    coded = opus("0.5*sin(2*PI*441*t)|0.5*sin(2*PI*630*t)", 4)
    transcoder, frames = run([packet for packet in timed(coded) if rng.random() > 0.05])
    assert transcoder.stats.concealed >= 0.1
    for samples, original in zip(hear(transcoder, frames), decode_opus(coded), strict=True):
        # What is encoded has no step above the source's; the AAC coder adds to it.
        assert largest_step(samples[4410:]) < 1.25 * largest_step(original[4410:])


def test_a_sound_that_begins_after_a_loss_is_not_held_down() -> None:
    packets = timed(opus("0.5*sin(2*PI*440*t)*gt(t,0.5)", 1.2))
    lost = next(index for index, packet in enumerate(packets) if packet.time > 0.475)
    left, _ = hear(*run([*packets[:lost], *packets[lost + 1 :]]))
    assert level(left, 0.0, 0.45) < 0.01
    assert level(left, 0.53, 0.6) == pytest.approx(0.5 / math.sqrt(2), rel=0.1)


def test_a_long_gap_is_silent_and_the_sound_comes_back_in_its_place() -> None:
    packets = tone()
    left, _ = hear(*run([*packets[:50], *packets[70:]]))
    assert level(left, 1.2, 1.35) < 1e-3
    assert level(left, 1.45, 1.6) > 0.3


def test_discontinuous_transmission_is_a_timestamp_gap() -> None:
    packets = tone()
    sent = [packet for index, packet in enumerate(packets) if index < 20 or index >= 80 or index % 20 == 0]
    transcoder, frames = run(sent, until=1.9)
    assert len(frames) * FRAME == pytest.approx(1.83, abs=0.03)
    assert_no_click(transcoder, frames)


def test_fill_alone_is_silence_on_time() -> None:
    transcoder, frames = run([], until=3.0)
    assert 2.9 < len(frames) * FRAME <= 3.0
    assert max(hear(transcoder, frames)[0]) == 0
    assert transcoder.stats.silence == pytest.approx(3.0, abs=0.001)


def test_a_fill_in_small_steps_conceals_before_it_is_silent() -> None:
    transcoder, frames = run(tone()[:50])
    for step in range(1, 60):
        frames += transcoder.fill(1.0 + step * 0.007)
    assert transcoder.stats.concealed == pytest.approx(0.1)
    assert transcoder.stats.silence == pytest.approx(0.313, abs=0.001)
    assert_no_click(transcoder, frames)


def test_fill_does_not_go_back() -> None:
    transcoder, _ = run(tone())
    assert transcoder.fill(0.5) == []
    assert transcoder.fill(-5.0) == []


def test_one_call_fills_ten_seconds_at_most_and_the_next_goes_on() -> None:
    transcoder = Transcoder()
    transcoder.start(0.0)
    counts = [len(transcoder.fill(25.0)) for _ in range(4)]
    assert [round(count * FRAME) for count in counts] == [10, 10, 5, 0]


def test_what_comes_after_its_place_was_filled_is_dropped() -> None:
    transcoder = Transcoder()
    transcoder.start(0.0)
    packets = tone()
    frames = transcoder.push(packets[:50])
    frames += transcoder.fill(1.2)
    frames += transcoder.push(packets[50:])
    assert transcoder.stats.late == pytest.approx(10, abs=1)
    assert [round(frame.time / FRAME, 6) for frame in frames] == list(range(len(frames)))
    assert_no_click(transcoder, frames)


def test_a_duplicate_is_dropped() -> None:
    packets = tone()
    transcoder, frames = run([packet for packet in packets for _ in (0, 1)])
    assert transcoder.stats.late == len(packets)
    assert_no_click(transcoder, frames)


Change = Callable[[OpusPacket], OpusPacket]
JUMPS: dict[str, Change] = {
    "back 100 ms": lambda p: replace(p, rtp_time=p.rtp_time - 4800, time=p.time - 0.1),
    "back 100 ms, not in RTP": lambda p: replace(p, time=p.time - 0.1),
    "on 100 ms, not in RTP": lambda p: replace(p, time=p.time + 0.1),
    "back 30 ms, not in RTP": lambda p: replace(p, time=p.time - 0.03),
    "on 30 ms, not in RTP": lambda p: replace(p, time=p.time + 0.03),
    "back 4 s in RTP alone": lambda p: replace(p, rtp_time=p.rtp_time - 4 * 48_000),
    "another session": lambda p: replace(p, rtp_time=p.rtp_time + 987_654_321),
}


@pytest.mark.parametrize("change", JUMPS.values(), ids=JUMPS.keys())
def test_no_click_and_no_hole_at_a_jump(change: Change) -> None:
    packets = tone()
    transcoder, frames = run([*packets[:60], *map(change, packets[60:])], until=2.0)
    assert len(frames) * FRAME == pytest.approx(1.93, abs=0.03)
    assert_no_click(transcoder, frames)


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\xff", b"\x03\x00"])
def test_a_broken_packet_is_counted_and_concealed(data: bytes) -> None:
    packets = tone()
    packets[60] = replace(packets[60], data=data)
    transcoder, frames = run(packets)
    assert transcoder.stats.broken == 1
    assert transcoder.stats.concealed == pytest.approx(0.02)
    assert_no_click(transcoder, frames)


def test_random_bytes_do_not_stop_the_timeline() -> None:
    rng = random.Random(4)  # noqa: S311 - a seed makes the test repeatable
    packets = [
        replace(packet, data=rng.randbytes(rng.randrange(300))) if packet.rtp_time % 2880 else packet
        for packet in tone()
    ]
    transcoder, frames = run(packets, until=1.9)
    assert transcoder.stats.broken > 0
    assert len(frames) * FRAME == pytest.approx(1.83, abs=0.1)


def test_a_timestamp_far_in_the_future_is_broken_and_moves_nothing() -> None:
    packets = tone()
    packets[60] = replace(packets[60], time=packets[60].time + 3600, rtp_time=packets[60].rtp_time + 3600 * 48_000)
    transcoder, frames = run(packets)
    assert transcoder.stats.broken == 1
    assert len(frames) * FRAME == pytest.approx(1.74, abs=0.03)


@pytest.mark.parametrize("rate", [0.996, 1.004, *also(0.9999, 1.0001)])
def test_drift_is_resampled_away(rate: float) -> None:
    packets = opus("0.5*sin(2*PI*440*t)|0.5*sin(2*PI*660*t)+lt(mod(t,1),0.02)*0.3*(random(0)-0.5)", 4)
    drifting = [replace(packet, time=packet.time * rate, arrival=packet.time * rate) for packet in timed(packets)]
    transcoder, frames = run(drifting)
    assert (transcoder.stats.late, transcoder.stats.concealed, transcoder.stats.silence) == (0, 0, 0)
    left, _ = hear(transcoder, frames)
    assert largest_step(left[4410:]) < LEFT_STEP
    # 200 ms beyond the last packet's end, 200 ms are missing: the sound ends where its time says.
    transcoder.fill(4 * rate + 0.2)
    assert transcoder.stats.concealed + transcoder.stats.silence == pytest.approx(0.2, abs=0.006)
