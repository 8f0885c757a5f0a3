"""Coroutine tests run on a loop of their own, and no test leaves a task, a thread or a socket behind."""

import asyncio
import gc
import inspect
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import once
from tests.support.eventually import eventually_sync

# Where several processes share the cores, threads of NumPy's in each only wait for each other. Before NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A run that decides whether a change lands (CI) tries the same cases each time; every other run tries new ones. All
# tests have their number from here; `--hypothesis-profile quick` is for `tests/run quick`.
hypothesis.settings.register_profile("whole", max_examples=50, deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("whole"), max_examples=15)
hypothesis.settings.load_profile("whole")

TESTS = Path(__file__).parent
LONGEST = (
    *("soak", "cdn", "loss", "rejoin", "push", "whep_source", "cli", "aac_compiler", "restart", "workers"),
    *("callbacks", "bench", "two_servers", "drain", "whep", "nginx_rtmp", "loss_sound", "bframes", "openapi", "sdks"),
    *("secrets", "fixtures", "ledger", "floods", "video_codecs", "sound_quality", "transcode", "run", "fuzz"),
    *("sound_over_time", "attendance", "database", "api"),
)
"""Of the files of tests, those that take longest: what is begun last ends last."""


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(once.begin())
    if config.getoption("dist", "no") != "no":
        return  # its workers collect and run them
    from relay.push.transcode import compiled

    # Tests that ask for the default coder mean this one, also where `tests/run` was not there before.
    compiled.prepare()
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; of the others those that wait (shell) beside those that calculate (unit), until the end."""
    places = {f"test_{name}": float(place) for place, name in enumerate(LONGEST)}
    rings: dict[str, list[Path]] = {}
    for path in dict.fromkeys(item.path for item in items if item.path.stem not in places):
        rings.setdefault(path.relative_to(TESTS).parts[0], []).append(path)
    among = {path: place / len(paths) for paths in rings.values() for place, path in enumerate(paths)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places) + among.get(item.path, 0)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector need not look at it, neither until here nor at each full run."""
    gc.freeze()
    gc.enable()


async def _checked(test: Any) -> None:
    before = asyncio.all_tasks()
    await test
    left = asyncio.all_tasks() - before
    if left:  # a task whose last step is due already may take it
        _, left = await asyncio.wait(left, timeout=1)
    assert not left, f"tasks left behind: {left}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(_checked(pyfuncitem.obj(**arguments)))
    return True


def _sockets() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Outer fixtures come first, so what they hold for several tests does not count."""
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    left = list(set(threading.enumerate()) - threads)
    for thread in left:
        thread.join(2)  # asyncio's waiter for a child process ends a moment after the child
    left = [thread for thread in left if thread.is_alive()]
    assert not left, f"threads left behind: {left}"
    # A fixture that serves several tests may still be closing a connection of the last one.
    eventually_sync(lambda: not _sockets() - sockets, within=2, what="sockets left behind")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "a library has taken real-time priority"
