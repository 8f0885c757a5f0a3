"""Ways to run a target: the corpus again, seeded mutation, and atheris where it is installed."""

import contextlib
import hashlib
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import TARGETS, Target

MAX_SECONDS = 10.0
"""Of the processor: one input that takes longer is a finding."""
HUNG = 300.0
"""Of wall time: where an input hangs outside the interpreter."""
MAX_MEMORY = 1024
"""MiB of the process beyond which the input at hand is a finding."""


class FindingError(Exception):
    """A target failed on `data`; the cause says how."""

    def __init__(self, target: Target, data: bytes) -> None:
        super().__init__(f"{target.name}: an input of {len(data)} bytes: {data[:200].hex()}")
        self.data = data


@dataclass
class Report:
    """Of one target's run."""

    target: str
    engine: str
    executions: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of the processor; less than `seconds` where others want it too."""
    findings: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        found = ", ".join(map(str, self.findings)) or "none"
        took = f"{self.seconds:.0f} s, {self.cpu:.0f} s of processor"
        return f"{self.target}: {self.executions} executions in {took} ({self.engine}); findings: {found}"


def execute(target: Target, data: bytes) -> None:
    """`Finding` for whatever the target raises."""
    try:
        target(data)
    except Exception as error:
        raise FindingError(target, data) from error


def short_run(target: Target, count: int, seed: int = 0) -> int:
    """The corpus, then `count` mutations of it, the same at each call. Returns the executions."""
    corpus = target.corpus()
    for data in corpus:
        execute(target, data)
    mutator = Mutator(corpus, seed, words=target.words, max_size=target.max_size)
    for _ in range(count):
        execute(target, mutator.make())
    return len(corpus) + count


def save(target: Target, data: bytes, folder: Path) -> Path:
    """As a case for the corpus, named as libFuzzer does."""
    path = folder / f"{target.name}-crash-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def long_run(name: str, guided: bool, seconds: float, seed: int) -> Report:
    """In a process of its own; what it finds is in the work folder."""
    quieten()
    return (atheris_run if guided else mutation_run)(TARGETS[name], seconds, seed, work_folder())


def mutation_run(target: Target, seconds: float, seed: int, folder: Path) -> Report:
    """Mutates for `seconds`; goes on after a finding, of which one of each place in the code is kept."""
    report = Report(target.name, "mutation")
    mutator = Mutator(target.corpus(), seed, words=target.words, max_size=target.max_size)
    places: set[tuple[str, int | None]] = set()
    begun, used = time.monotonic(), _cpu()
    while time.monotonic() - begun < seconds:
        before = _cpu()
        data = mutator.make()
        report.executions += 1
        try:
            execute(target, data)
        except FindingError as finding:
            cause = finding.__cause__
            frame = traceback.extract_tb(cause.__traceback__ if cause else None)[-1]
            if (frame.filename, frame.lineno) not in places:
                places.add((frame.filename, frame.lineno))
                report.findings.append(save(target, data, folder))
                traceback.print_exception(finding)
        took = _cpu() - before
        if took > MAX_SECONDS or _memory() > MAX_MEMORY:
            print(f"{target.name}: an input took {took:.1f} s, {_memory()} MiB")  # noqa: T201 - a command
            report.findings.append(save(target, data, folder))
            break
    report.seconds, report.cpu = time.monotonic() - begun, _cpu() - used
    return report


def _cpu() -> float:
    """Seconds of the processor that this process and those it has ended took."""
    return sum(os.times()[:4])


def _memory() -> int:
    """MiB that this process took at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def quieten() -> None:
    """The relay's log lines tell nothing here."""
    structlog.configure(processors=[_drop])


def _drop(*_: object) -> Any:
    raise structlog.DropEvent


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def atheris_run(target: Target, seconds: float, seed: int, folder: Path) -> Report:
    """Coverage-guided, in a process of its own, which ends at the first finding. What it learns is in
    `folder`/<target>, for `python -m tests.fuzz.seeds merge`."""
    report = Report(target.name, "atheris")
    grown = folder / target.name
    grown.mkdir(parents=True, exist_ok=True)
    with _dictionary(target) as words:
        command = [sys.executable, "-m", "tests.fuzz.guided", target.name, str(grown), str(target.folder)]
        command += [f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}", f"-max_len={target.max_size}", *words]
        command += [f"-timeout={HUNG:.0f}", f"-report_slow_units={HUNG:.0f}"]
        command += [f"-rss_limit_mb={MAX_MEMORY}", "-print_final_stats=1"]
        command += [f"-artifact_prefix={folder}/{target.name}-"]
        before = set(folder.glob(f"{target.name}-*"))
        begun, used = time.monotonic(), _cpu()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    report.seconds, report.cpu = time.monotonic() - begun, _cpu() - used
    (folder / f"{target.name}.log").write_bytes(done.stdout)
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith("stat::number_of_executed_units:"):
            report.executions = int(line.rpartition(":")[2])
    report.findings = sorted(set(folder.glob(f"{target.name}-*")) - before)
    if done.returncode and not report.findings:
        raise RuntimeError(f"{target.name}: atheris ended with {done.returncode}, see {folder}/{target.name}.log")
    return report


@contextlib.contextmanager
def _dictionary(target: Target) -> Iterator[list[str]]:
    if not target.words:
        yield []
        return
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as file:
        for word in target.words:
            file.write('"' + "".join(f"\\x{value:02x}" for value in word[:60]) + '"\n')
        file.flush()
        yield [f"-dict={file.name}"]


def work_folder() -> Path:
    """Where findings and grown corpora of long runs go: outside the tree."""
    folder = Path(os.environ.get("RELAY_FUZZ_FOLDER", Path(tempfile.gettempdir()) / "relay-fuzz"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
