"""A run of tests that was killed leaves its folder to the next one, which removes it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support import once

_RUN = """
import sys
from tests.support import once
end = once.begin()
once.once("thing", lambda folder: None)
print("begun", flush=True)
sys.stdin.read()
end()
"""


@contextlib.contextmanager
def run(place: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has begun, until its input ends."""
    command, pipe = [sys.executable, "-c", _RUN], subprocess.PIPE
    environment = {"TMPDIR": str(place)}
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
    process.wait()


def test_the_next_run_tidies_up_after_one_that_was_killed(tmp_path: Path) -> None:
    foreign = tmp_path / f"{once._PREFIX}foreign"
    foreign.mkdir()
    with run(tmp_path) as killed:
        killed.kill()
    (left,) = set(tmp_path.iterdir()) - {foreign}
    assert (left / "thing").is_dir()
    with run(tmp_path):
        (first,) = set(tmp_path.iterdir()) - {foreign}
        assert first != left
        with run(tmp_path):
            assert len(set(tmp_path.iterdir()) - {foreign, first}) == 1
        assert set(tmp_path.iterdir()) == {foreign, first}
    assert set(tmp_path.iterdir()) == {foreign}
