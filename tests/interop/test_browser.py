"""The browser of the tests holds up neither the machine nor the tests."""

import contextlib
import os
import signal

import psutil
import pytest

from tests.support import browser as support
from tests.support.browser import browser

pytestmark = pytest.mark.alone


def processes() -> list[psutil.Process]:
    """Those of the browsers that this process started."""
    return [child for child in psutil.Process().children(recursive=True) if child.name() == "chromium"]


def policies() -> list[int]:
    """How each of their threads is scheduled."""
    found = []
    for process in processes():
        for thread in process.threads():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                found.append(os.sched_getscheduler(thread.id))
    return found


async def test_no_thread_of_it_has_real_time_priority() -> None:
    async with browser() as started:
        page = await started.new_page()
        await page.evaluate("async () => { await new AudioContext().resume() }")
        found = policies()
        assert len(found) > 10
        assert not {os.SCHED_RR, os.SCHED_FIFO} & set(found)
    assert not processes()


async def test_one_that_does_not_close_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "CLOSE", 0.5)

    async def hang() -> None:
        async with browser():
            for process in processes():
                process.send_signal(signal.SIGSTOP)

    with pytest.raises(TimeoutError):
        await hang()
    assert not processes()
