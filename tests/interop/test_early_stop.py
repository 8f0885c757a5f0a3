"""A relay that is asked to end before it serves: it compiles its encoder first, which takes long."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

import relay
from tests.support.eventually import eventually

_COMPILES = "import signal\n\nsignal.pause()\n"


async def test_sigterm_ends_it_while_it_compiles(tmp_path: Path) -> None:
    package = tmp_path / "relay"
    shutil.copytree(Path(relay.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "push" / "transcode" / "compiler.py").write_text(_COMPILES)
    log = tmp_path / "log"
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "RELAY_PORT": "0",
        "RELAY_DATABASE_URL": f"sqlite:///{tmp_path}/relay.db",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "relay", "serve"], cwd=tmp_path, stdout=out, stderr=out, env=environment
        )
    try:
        (compiler,) = await eventually(psutil.Process(process.pid).children, within=20, what="it compiles")
        assert "relay.push.transcode.compiler" in compiler.cmdline()
        process.terminate()
        assert process.wait(5) == 0, log.read_text()
        await eventually(lambda: not compiler.is_running(), what="the compiler is gone")
    finally:
        process.kill()
        process.wait()
