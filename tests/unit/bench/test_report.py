"""Figures out of what was sent and what arrived."""

import json
from dataclasses import asdict, replace

import pytest

from relay.cli.bench.arrivals import Arrived
from relay.cli.bench.command import summarise
from relay.cli.bench.report import Costs, Run, judge, judge_first_frames, match

CLIP = [f"picture-{number}" for number in range(10)]
SENT = [(CLIP[index % 10], 100.0 + index) for index in range(30)]
"""Three turns of a clip of ten pictures, one a second."""


def arrive(indices: list[int], latency: float = 0.25) -> list[tuple[str, float]]:
    return [(SENT[index][0], SENT[index][1] + latency) for index in indices]


def run(**changes: object) -> Run:
    made = Run(system="relay", sender="bursty", streams=1, seconds=10, cpu=Costs(0.1), resident_mb=100, processes=1)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_everything_arrives() -> None:
    matched = match(SENT, arrive(list(range(30))), 110.0, 120.0)
    assert (matched.sent, matched.lost, matched.changed) == (10, 0, 0)
    assert matched.latencies == [0.25] * 10


def test_a_push_that_begins_later_has_lost_nothing_that_came_after() -> None:
    matched = match(SENT, arrive(list(range(12, 30))), 113.0, 130.0)
    assert (matched.sent, matched.lost, matched.changed) == (17, 0, 0)
    assert set(matched.latencies) == {0.25}


def test_lost_pictures_are_counted_although_the_clip_shows_them_again() -> None:
    kept = [index for index in range(30) if index not in (13, 14, 22)]
    matched = match(SENT, arrive(kept), 100.0, 130.0)
    assert (matched.sent, matched.lost, matched.changed) == (30, 3, 0)


def test_a_changed_picture_is_lost_and_told() -> None:
    arrived = arrive(list(range(30)))
    arrived[15] = ("something else", arrived[15][1])
    matched = match(SENT, arrived, 100.0, 130.0)
    assert (matched.lost, matched.changed) == (1, 1)


def test_pictures_out_of_order_are_told() -> None:
    assert match(SENT, arrive([0, 1, 3, 2, 4]), 100.0, 105.0).changed == 1


def test_a_good_run() -> None:
    made = run()
    streams = {"a": Arrived(1, arrive(list(range(30)), 0.02), sounds=400)}
    judge(made, {"a": SENT}, streams, 110.0, 120.0)
    judge_first_frames(made, {"a": 100.0}, streams)
    assert made.good
    assert (made.sent, made.lost, made.latency_ms_p50, made.latency_ms_p99) == (10, 0, 20.0, 20.0)
    assert made.first_frame_ms == 20.0


@pytest.mark.parametrize(
    ("arrived", "problem"),
    [
        (Arrived(1, arrive([0, 1, 2], 0.02), sounds=9), "7 of 10 pictures were lost"),
        (Arrived(1, arrive(list(range(10)), 0.02), sounds=9, holes=2), "2 holes in the sound"),
        (Arrived(1, arrive(list(range(10)), 0.02)), "no sound"),
        (Arrived(1, arrive(list(range(10)), 0.9), sounds=9), "pictures came late: 900 ms at p95"),
        (Arrived(2, arrive(list(range(10)), 0.02), sounds=9), "a came by 2 connections"),
        (Arrived(1, [], sounds=9), "1 streams never showed a picture"),
        (Arrived(1, arrive([3, 4], 0.02), sounds=9), "a first picture came late: 3020 ms"),
    ],
)
def test_what_is_wrong_is_said(arrived: Arrived, problem: str) -> None:
    made = run()
    judge(made, {"a": SENT[:10]}, {"a": arrived}, 100.0, 110.0)
    judge_first_frames(made, {"a": 100.0}, {"a": arrived})
    assert problem in made.problems
    assert not made.good


RUNS = [
    run(streams=1, cpu=Costs(0.04, 0.01, 0.02, 0.005, 0.005), resident_mb=100, latency_ms_p50=10.0),
    run(streams=4, cpu=Costs(0.02, 0.005, 0.01, 0.003, 0.002), resident_mb=103, latency_ms_p50=11.0),
    run(streams=8, cpu=Costs(0.02, 0.005, 0.01, 0.003, 0.002), resident_mb=107, problems=["bad"]),
    run(system="other", streams=4, cpu=Costs(0.05), resident_mb=200, latency_ms_p50=70.0),
]


def test_summary() -> None:
    ours, other = summarise(RUNS)
    assert (ours.system, ours.largest_good, ours.megabytes_per_stream, ours.cost_ratio) == ("relay", 4, 1.0, {})
    assert (other.largest_good, other.megabytes_per_stream, other.cost_ratio) == (4, None, {"4": 0.4})


def test_runs_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(asdict(RUNS[0])))["cpu"]["sound"] == 0.02
