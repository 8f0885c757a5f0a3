"""The AAC encoder is compiled where it has not been, and codes then as the Python does that it is made of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import relay
from relay.push.transcode.coders import LeanCoder, make_coder
from tests.support import programme
from tests.support.coding import STEREO, at_aac_rate, code, decode
from tests.support.programme import Sound
from tests.support.quality import snr
from tests.support.uncompiled import Head, encode

FRAME = 1024
_CODES = """
import sys
from pathlib import Path
from relay.push.transcode.coders import make_coder
coder = make_coder("lean", 128_000)
assert not {"numba", "numpy"} & set(sys.modules)
planes = [Path(name).read_bytes() for name in ("left", "right")]
sys.stdout.buffer.write(b"".join(len(unit).to_bytes(2, "big") + unit for unit in coder.encode(planes)))
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


@pytest.fixture
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
    command = [sys.executable, "-c", _CODES]
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
