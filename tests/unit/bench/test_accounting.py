"""CPU time and memory of a process and its descendants."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from relay.cli.bench.accounting import usage

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def entry(proc: Path, pid: int, parent: int, *, name: str = "a", ticks: tuple[int, int, int, int], pages: int) -> None:
    (proc / str(pid)).mkdir()
    fields = ["S", str(parent), *["0"] * 9, *map(str, ticks), *["0"] * 6, str(pages), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")


def test_a_process_counts_with_all_its_descendants_and_nobody_else(tmp_path: Path) -> None:
    entry(tmp_path, 10, 1, name="sh) S (x", ticks=(1, 2, 3, 4), pages=5)
    entry(tmp_path, 11, 10, ticks=(10, 20, 30, 40), pages=50)
    entry(tmp_path, 12, 11, ticks=(100, 200, 300, 400), pages=500)
    entry(tmp_path, 13, 1, ticks=(7000, 7000, 7000, 7000), pages=7000)
    (tmp_path / "self").mkdir()
    (tmp_path / "14").mkdir()  # has just ended
    used = usage(10, tmp_path)
    assert used.cpu == pytest.approx(1110 * _TICK)
    assert used.resident == 555 * os.sysconf("SC_PAGE_SIZE")
    assert used.processes == 3


def test_no_such_process(tmp_path: Path) -> None:
    with pytest.raises(ProcessLookupError):
        usage(10, tmp_path)


def test_what_the_kernel_tells_is_what_psutil_reads() -> None:
    spin = "import sys; sum(range(3_000_000)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        used, times = usage(child.pid), psutil.Process(child.pid).cpu_times()
        assert used.cpu > 0
        assert abs(used.cpu - times.user - times.system) <= 5 * _TICK
        assert used.resident == pytest.approx(psutil.Process(child.pid).memory_info().rss, rel=0.2)
        child.stdin.close()
