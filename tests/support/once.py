"""What is made once a run, by the first of its processes that needs it, and is gone with the run."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_FOLDER = "RELAY_TESTS_FOLDER"
"""Environment variable: of the process that began the run, and of the workers that it starts."""


def begin() -> Callable[[], None]:
    """To be called by each process of a run; what it gives, at the end."""
    if _FOLDER in os.environ:
        return lambda: None
    folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="relay-tests-")
    os.chmod(folder, 0o711)  # noqa: S103 - servers that run as other users find what is theirs in it

    def end() -> None:
        del os.environ[_FOLDER]
        shutil.rmtree(folder)

    return end


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name`, that `make` has put its things in."""
    folder = Path(os.environ[_FOLDER], name)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
