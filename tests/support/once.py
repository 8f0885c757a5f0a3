"""What is made once a run, by the first of its processes that needs it, and is gone with the run."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_FOLDER = "RELAY_TESTS_FOLDER"
"""Environment variable: of the process that began the run, and of the workers that it starts."""
_PREFIX = "relay-tests-"
_ALIVE = "alive"
"""File that the run's first process holds a lock of."""


def begin() -> Callable[[], None]:
    """To be called by each process of a run; what it gives, at the end. Runs that were killed are tidied up after."""
    if _FOLDER in os.environ:
        return lambda: None
    place = os.open(tempfile.gettempdir(), os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)  # nobody takes a run for dead that only begins
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _tidy(left)
    folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix=_PREFIX)
    os.chmod(folder, 0o711)  # noqa: S103 - servers that run as other users find what is theirs in it
    alive = os.open(Path(folder, _ALIVE), os.O_RDONLY | os.O_CREAT, 0o644)
    fcntl.flock(alive, fcntl.LOCK_EX)
    os.close(place)

    def end() -> None:
        del os.environ[_FOLDER]
        shutil.rmtree(folder)
        os.close(alive)

    return end


def _tidy(folder: Path) -> None:
    """Removes it where its run is no more."""
    with suppress(OSError), (folder / _ALIVE).open() as alive:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)


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
