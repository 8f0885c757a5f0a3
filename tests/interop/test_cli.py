"""The commands as users run them, each in a process of its own."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from relay.cli.measure import audio_holes, read_tags, video_frames
from tests.support.eventually import eventually
from tests.support.nginx import Nginx
from tests.support.process import serving


async def relay_command(*arguments: str) -> tuple[int, str, str]:
    """Runs it to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def relay_sink(folder: Path) -> AsyncIterator[str]:
    """`relay sink --record`; yields its base URL and expects exit 0 after SIGINT."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "relay", "sink", "--port", "0", "--record", str(folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        words = (await process.stdout.readline()).decode()
        yield next(word for word in words.split() if word.startswith("rtmp://")).partition("/<app>")[0]
        process.send_signal(signal.SIGINT)
        said = (await process.stdout.read()).decode()
        assert await process.wait() == 0
        assert "H.264, 1280x720" in said
        assert "AAC, 44100 Hz, 2 channels" in said
        assert "recorded in" in said
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_demo_says_that_everything_arrived() -> None:
    code, out, err = await relay_command("demo", "--seconds", "5", "--json")
    verdict = json.loads(out)
    assert (code, verdict["problems"]) == (0, []), err
    assert verdict["ok"]
    assert verdict["nal_identical"]
    assert verdict["access_units_lost"] == 0
    assert verdict["access_units_out"] > 140
    audio = (verdict["audio_codec"], verdict["audio_sample_rate"], verdict["audio_channels"])
    assert audio == ("AAC-LC", 44100, 2)
    assert (verdict["status"], verdict["push_stream_state"], verdict["stop_reason"]) == (3, 6, "StopByAPI")


async def test_the_demo_pushes_to_a_server_of_yours(cdn: Nginx) -> None:
    code, out, err = await relay_command("demo", "--seconds", "4", "--push-url", cdn.push_url("demo"))
    assert code == 0, out + err
    await eventually(lambda: "publish_done" in cdn.calls("demo"))
    assert len(video_frames(read_tags(cdn.recording("demo")))) > 110


async def test_the_demo_fails_where_nobody_takes_the_push() -> None:
    code, out, _ = await relay_command("demo", "--seconds", "3", "--push-url", "rtmp://127.0.0.1:9/live/key")
    assert code == 1
    assert "no picture was pushed" in out


async def test_serve_publish_and_sink_work_together(tmp_path: Path) -> None:
    async with relay_sink(tmp_path) as base, serving(tmp_path) as served:
        await served.relay.start(f"{base}/live/together")
        code, _, err = await relay_command("publish", "clip", served.relay.whip_url(), "--seconds", "4")
        assert code == 0, err
        await served.relay.stop()
        await eventually(lambda: (tmp_path / "together.flv").exists())
    tags = read_tags(tmp_path / "together.flv")
    assert len(video_frames(tags)) > 100
    assert audio_holes(tags) == []


async def test_publish_says_what_is_wrong() -> None:
    code, _, err = await relay_command("publish", "/nowhere.mp4", "http://127.0.0.1:9/whip/a/r/u")
    assert (code, "/nowhere.mp4: cannot be read" in err) == (2, True), err
    code, _, err = await relay_command("publish", "clip", "http://127.0.0.1:9/whip/a/r/u")
    assert (code, "cannot be reached" in err) == (1, True), err
    code, _, err = await relay_command("publish", "pattern", "http://127.0.0.1:9/", "--size", "huge")
    assert (code, "--size huge" in err) == (2, True), err


async def test_serve_fails_where_a_worker_process_cannot_be_started() -> None:
    program = "import relay.app.workers as w; w._COMMAND = ('false',); from relay.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "serve", "--port", "0", "--workers", "2"),
        env=os.environ | {"RELAY_DATABASE_URL": "sqlite://"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode not in (0, None)
    assert "a worker process did not start" in err.decode()
    assert "serving" not in err.decode()


async def test_serve_refuses_what_is_not_safe(tmp_path: Path) -> None:
    code, _, err = await relay_command("serve", "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "--insecure" in err
    code, _, err = await relay_command("serve", "--udp-ports", "40000")
    assert code == 2
    assert "RELAY_UDP_PORTS" in err
    async with serving(tmp_path, host="0.0.0.0", insecure="true", acess_keys="AK:sekret") as served:
        assert (await served.relay.client.get("/healthz")).status_code == 200
        log = served.log.read_text()
        assert "RELAY_ACESS_KEYS" in log, "a slip of the pen is told"
        assert "sekret" not in log
