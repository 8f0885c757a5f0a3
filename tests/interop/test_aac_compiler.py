"""The AAC encoder is compiled where it has not been, once for all, and codes then as the Python does that it is made
of."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import relay
from relay.push.transcode import compiled
from relay.push.transcode.coders import LeanCoder, make_coder
from tests.support import programme
from tests.support.coding import STEREO, at_aac_rate, code, decode
from tests.support.programme import Sound
from tests.support.quality import snr
from tests.support.uncompiled import Head, encode

FRAME = 1024
_UNITS = """
import sys
from pathlib import Path
from relay.push.transcode.coders import make_coder
coder = make_coder("lean", 128_000)
assert not {"numba", "numpy"} & set(sys.modules)
planes = [Path(name).read_bytes() for name in ("left", "right")]
sys.stdout.buffer.write(b"".join(len(unit).to_bytes(2, "big") + unit for unit in coder.encode(planes)))
"""
_CODES = """
import sys
from relay.push.transcode.coders import make_coder, prepare
prepare("lean")
coder = make_coder("lean", 128_000)
sound = sys.stdin.buffer.read()
units = coder.encode(([sound[: len(sound) // 2], sound[len(sound) // 2 :]] * 2)[: len(coder.mix)])
assert not {"numba", "numpy"} & set(sys.modules), "the relay's process has grown"
print(type(coder).__name__, b"".join(units).hex())
"""


def blows() -> Sound:
    """A second of music, of which half stands still: windows of all kinds."""
    sound = at_aac_rate(programme.music(seconds=2))[:, : 44 * FRAME].copy()
    sound[:, 18 * FRAME + 300 : 24 * FRAME + 700] = 0
    return sound


def near(sound: Sound, units: list[bytes]) -> float:
    """dB."""
    got = decode(STEREO, units)
    return snr(sound[:, FRAME : got.shape[1]], got[:, FRAME:])


@pytest.fixture(scope="module")
def code_at_hand() -> compiled.MachineCode:
    found = compiled.prepare()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def python_s() -> list[bytes]:
    """What the functions make of it as they stand."""
    return encode(blows(), round(128_000 * 0.985))[1:]


def assert_alike(units: list[bytes], others: list[bytes]) -> None:
    """Rounding differs, and with it what fits and what does not."""
    assert len(units) == len(others)
    assert [Head.of(unit).sequence for unit in units] == [Head.of(unit).sequence for unit in others]
    assert sum(map(len, units)) == pytest.approx(sum(map(len, others)), rel=0.02)
    assert near(blows(), units) == pytest.approx(near(blows(), others), abs=0.3)


def test_a_new_installation_compiles_it_and_codes_as_python_does(tmp_path: Path, python_s: list[bytes]) -> None:
    package = tmp_path / "installed" / "relay"
    shutil.copytree(Path(relay.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, plane in zip(("left", "right"), blows(), strict=True):
        (tmp_path / name).write_bytes(plane.tobytes())
    environment = os.environ | {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    compiler = [sys.executable, "-W", "error", "-m", "relay.push.transcode.compiler"]
    subprocess.run(compiler, cwd=tmp_path, env=environment, check=True, timeout=110)
    (kept,) = (package / "push" / "transcode" / "__pycache__").glob("encoder-*.o")
    made_at = kept.stat().st_mtime_ns
    command = [sys.executable, "-c", _UNITS]
    said = subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60, capture_output=True).stdout
    units = []
    while said:
        size = int.from_bytes(said[:2], "big")
        units.append(said[2 : 2 + size])
        said = said[2 + size :]
    assert_alike(units, python_s)
    assert kept.stat().st_mtime_ns == made_at


def test_the_machine_code_at_hand_codes_as_python_does(python_s: list[bytes]) -> None:
    coder = make_coder("lean", 128_000)
    assert isinstance(coder, LeanCoder)
    assert_alike(code(coder, blows(), FRAME), python_s)
    assert {Head.of(unit).sequence for unit in python_s} == {0, 1, 2, 3}
    assert near(blows(), python_s) > 15
    assert np.isfinite(decode(STEREO, python_s)).all()


class Installation:
    """The package in a place of its own, with a compiler that has made `object_file` already."""

    def __init__(self, folder: Path, code: compiled.MachineCode) -> None:
        self.package, self._folder, self._runs = folder / "installed" / "relay", folder, folder / "runs"
        shutil.copytree(Path(relay.__file__).parent, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        made = folder / "made"
        made.write_bytes(code.object_file)
        (self.package / "push" / "transcode" / "compiler.py").write_text(
            "from pathlib import Path\n"
            "from relay.push.transcode import compiled\n"
            f"entries, names = {json.dumps([code.entries, code.never_called])}\n"
            f"compiled.keep(compiled.MachineCode(tuple(entries), tuple(names), Path({str(made)!r}).read_bytes()))\n"
            f"with open({str(self._runs)!r}, 'a') as file:\n"
            "    file.write('once\\n')\n"
        )

    @property
    def runs(self) -> int:
        return self._runs.read_text().count("once")

    def coding(self, sounds: Sequence[bytes]) -> list[list[str]]:
        """As many processes at once: what each says, by line."""
        environment = os.environ | {
            "PYTHONPATH": str(self.package.parent),
            "XDG_CACHE_HOME": str(self._folder / "cache"),
        }
        command, pipe = [sys.executable, "-c", _CODES], subprocess.PIPE
        processes = [
            subprocess.Popen(
                command, cwd=self._folder, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
            )
            for _ in sounds
        ]
        with ThreadPoolExecutor(len(sounds)) as threads:
            said = list(threads.map(lambda process, sound: process.communicate(sound, 60)[0], processes, sounds))
        return [text.decode().splitlines() for text in said]


def test_processes_that_begin_at_once_compile_once_and_load_it_without_numba(
    tmp_path: Path, code_at_hand: compiled.MachineCode
) -> None:
    installation = Installation(tmp_path, code_at_hand)
    sound = at_aac_rate(programme.tone(0.5, seconds=0.5))
    given = np.ascontiguousarray(sound).tobytes()
    said = installation.coding([given] * 2)
    assert installation.runs == 1
    assert sum("compiling the AAC encoder, once" in line for lines in said for line in lines) == 1
    coder = make_coder("lean", 128_000)
    assert isinstance(coder, LeanCoder)
    expected = f"LeanCoder {b''.join(code(coder, sound, sound.shape[1])).hex()}"
    assert [lines[-1] for lines in said] == [expected] * 2
    # And who comes later says nothing of it.
    assert installation.coding([given]) == [[expected]]
    (kept,) = (installation.package / "push" / "transcode" / "__pycache__").glob("encoder-*.o")
    assert kept.stat().st_mode & 0o777 == 0o644


def test_paired_takes_its_place_where_llvm_does_not_load_it(tmp_path: Path, code_at_hand: compiled.MachineCode) -> None:
    installation = Installation(tmp_path, code_at_hand._replace(object_file=b"no machine code"))
    ((*before, last),) = installation.coding([bytes(3 * 8 * 1024)])
    assert last.startswith("PairedCoder ")
    assert "FFmpeg's is used" in before[-1]
