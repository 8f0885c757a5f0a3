"""The AAC encoder's machine code: kept, found again, made anew where it is broken; and what there is without it.

A shell script stands in for Python: only the making of it is at stake. interop/test_aac_compiler.py compiles, and has
processes that load what was made.
"""

import os
import shutil
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
import structlog

from relay.push.transcode import compiled
from relay.push.transcode.coders import PairedCoder, make_coder

NOWHERE = Path("/proc/relay/encoder.o")
"""Not even root can make it."""


@pytest.fixture(scope="module")
def code_at_hand() -> compiled.MachineCode:
    found = compiled.prepare()
    assert found is not None
    return found


class Compiler:
    """Stands in for `python -m relay.push.transcode.compiler`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = folder / "first" / "encoder.o"
        self._runs = folder / "runs"
        self._program = folder / "python"
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(compiled, "_places", lambda: (self.place, folder / "second" / "encoder.o"))

    def does(self, script: str) -> None:
        self._program.write_text(f'#!/bin/sh\necho "$@" >> {self._runs}\n{script}\n')
        self._program.chmod(0o755)
        self._monkeypatch.setattr(sys, "executable", str(self._program))

    @property
    def runs(self) -> int:
        return self._runs.read_text().count("-m relay.push.transcode.compiler") if self._runs.exists() else 0


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code_at_hand: compiled.MachineCode) -> Compiler:
    """Takes what is made from where it was kept before."""
    made = Compiler(tmp_path, monkeypatch)
    compiled.keep(code_at_hand)
    kept = made.place.rename(tmp_path / "kept")
    made.does(f"cp --remove-destination {kept} {made.place}")
    return made


def test_it_is_made_once_and_found_from_then_on(compiler: Compiler, code_at_hand: compiled.MachineCode) -> None:
    assert compiled.prepare() == code_at_hand
    assert compiled.prepare() == code_at_hand
    assert compiler.runs == 1


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[:-1000],
    "cut in its head": lambda data: data[:40],
    "one bit": lambda data: data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:],
    "zeros": lambda data: bytes(len(data)),
    "no JSON": lambda data: b"what\n" + data,
    "an older head": lambda data: b'{"entry": "encode"}\n' + data,
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_broken_is_made_anew(compiler: Compiler, code_at_hand: compiled.MachineCode, how: str) -> None:
    compiled.keep(code_at_hand)
    compiler.place.write_bytes(BROKEN[how](compiler.place.read_bytes()))
    assert compiled.prepare() == code_at_hand
    assert compiler.runs == 1


def test_what_others_can_write_to_is_not_taken(compiler: Compiler, code_at_hand: compiled.MachineCode) -> None:
    compiled.keep(code_at_hand)
    compiler.place.chmod(0o666)
    assert compiled.prepare() == code_at_hand
    assert compiler.runs == 1


def test_what_other_versions_left_is_forgotten_in_time(compiler: Compiler, code_at_hand: compiled.MachineCode) -> None:
    compiled.keep(code_at_hand)
    old, young = (compiler.place.with_name(f"encoder-{age}.o") for age in ("old", "young"))
    for other, days in ((old, 40), (young, 20)):
        other.write_bytes(b"")
        os.utime(other, (0, compiler.place.stat().st_mtime - days * 86_400))
    compiled.keep(code_at_hand)
    assert not old.exists()
    assert young.exists()
    assert compiler.place.exists()


def test_it_lies_in_the_users_cache_where_the_package_cannot_be_written_to(
    compiler: Compiler, code_at_hand: compiled.MachineCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "cache" / "relay" / "encoder.o"
    monkeypatch.setattr(compiled, "_places", lambda: (NOWHERE, second))
    compiler.does(f"cp {tmp_path / 'kept'} {second}")
    assert compiled.prepare() == code_at_hand
    second.unlink()
    compiled.keep(code_at_hand)
    assert second.exists()
    assert compiled.prepare() == code_at_hand
    assert compiler.runs == 1


def stand_in(monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said where `paired` takes the place of `lean`."""
    # As in a process that has not asked yet; what this one has loaded stays.
    monkeypatch.setattr(compiled, "encoder", lru_cache(maxsize=1)(compiled.encoder.__wrapped__))
    with structlog.testing.capture_logs() as logs:
        compiled.prepare()
        assert isinstance(make_coder("lean", 128_000), PairedCoder)
        # What cannot be made is not tried again for each stream.
        assert isinstance(make_coder("lean", 128_000), PairedCoder)
    said = [str(log["reason"]) for log in logs if "FFmpeg's is used" in log["event"]]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo Traceback >&2; echo 'ImportError: no numba' >&2; exit 1", "ImportError: no numba"),
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
        ("true", "not where it was put"),
    ],
)
def test_paired_takes_its_place_where_it_cannot_be_compiled(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    compiler.does(script)
    assert reason in stand_in(monkeypatch)
    assert compiler.runs == 1


def test_paired_takes_its_place_where_compiling_does_not_end(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_PATIENCE", 0.1)
    compiler.does("exec sleep 60")
    assert "not done after" in stand_in(monkeypatch)


def test_paired_takes_its_place_where_nothing_can_be_kept(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_places", lambda: (NOWHERE, NOWHERE))
    assert "neither of" in stand_in(monkeypatch)
    assert compiler.runs == 0


def test_paired_takes_its_place_where_there_is_no_python(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(NOWHERE))
    assert "No such file" in stand_in(monkeypatch)


def test_its_name_changes_with_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = compiled._places.__wrapped__
    before = places()
    sources = shutil.copytree(compiled._SOURCES, tmp_path / "encoder")
    monkeypatch.setattr(compiled, "_SOURCES", sources)
    assert places() == before
    for change in (
        lambda: (sources / "huffman.py").write_bytes((sources / "huffman.py").read_bytes() + b"\n"),
        lambda: monkeypatch.setattr(compiled, "_processor", lambda: "another"),
        lambda: monkeypatch.setattr(compiled, "version", lambda _: "999"),
    ):
        change()
        after = places()
        assert [place.parent for place in after] == [place.parent for place in before]
        assert after[0].name != before[0].name
        before = after
