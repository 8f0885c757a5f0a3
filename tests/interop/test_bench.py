"""`relay bench` as users run it, for a moment; its children; and its picture, drawn by matplotlib."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relay.cli.bench.child import ChildFailed, running
from relay.cli.bench.picture import draw
from relay.cli.main import cli
from relay.cli.source import builtin_clip
from tests.interop.test_cli import relay_command
from tests.unit.bench.test_report import RUNS


async def test_a_short_run_measures_the_relay(tmp_path: Path) -> None:
    picture = tmp_path / "bench.svg"
    code, out, err = await relay_command(
        *("bench", "--streams", "1", "--seconds", "3", "--sender", "spaced", "--peer", "none"),
        *("--json", "--picture", str(picture)),
    )
    assert code == 0, out + err
    told = json.loads(out)
    (run,) = told["runs"]
    assert (run["system"], run["sender"], run["streams"], run["good"]) == ("relay", "spaced", 1, True)
    assert 80 <= run["sent"] <= 100
    assert (run["lost"], run["changed"], run["holes"]) == (0, 0, 0)
    assert run["sounds"] > 100
    assert 0 < run["latency_ms_p50"] <= run["latency_ms_p95"] <= run["latency_ms_p99"]
    assert run["first_frame_ms"] > 0
    cpu = run["cpu"]
    phases = cpu["reception"] + cpu["sound"] + cpu["pushing"]
    assert 0 < phases < cpu["total"]
    assert abs(phases + cpu["rest"] - cpu["total"]) < 1e-4
    assert run["resident_mb"] > 20
    assert 0 < run["publishers_cpu"] < 1
    assert 0 < run["sink_cpu"] < 1
    assert [line["largest_good"] for line in told["summary"]] == [1]
    assert all(0 < told["floor"][part] < 1 for part in ("sound", "srtp", "udp", "tcp"))
    assert "reception" in picture.read_text()
    assert "CPU s per stream-second" in err


def test_what_cannot_be_measured_is_told_before_anything_runs() -> None:
    for arguments, word in (
        (("--streams", "0"), "--streams"),
        (("--sender", "slow"), "--sender"),
        (("--peer", "nobody"), "--peer"),
        (("--push-url", "http://x/"), "--push-url"),
    ):
        result = CliRunner().invoke(cli, ["bench", *arguments])
        assert result.exit_code == 2
        assert word in result.stderr


def test_the_picture_shows_each_system_and_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    draw(RUNS, tmp_path / "one.svg")
    draw(RUNS, tmp_path / "two.svg")
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn == (tmp_path / "two.svg").read_text()
    for words in ("relay, bursty", "other, bursty", "reception"):
        assert f">{words}</text>" in drawn
    draw(RUNS, tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


async def test_a_child_tells_what_went_wrong() -> None:
    async with running("relay.cli.bench.publishers", "publishers") as child:
        with pytest.raises(ChildFailed, match="the publishers: ValueError: not understood: sing"):
            await child.ask("sing", within=20)
        with pytest.raises(ChildFailed, match=r"no-such-clip\.mp4"):
            await child.ask("open", within=20, clip="no-such-clip.mp4", spaced=False, loss=0.0)
        await child.ask("open", within=20, clip=str(builtin_clip()), spaced=False, loss=0.0)
        with pytest.raises(ChildFailed, match="cannot be reached"):
            await child.ask("connect", within=20, name="a", url="http://127.0.0.1:9/", addresses=["127.0.0.1"])
