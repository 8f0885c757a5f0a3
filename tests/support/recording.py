"""What a strict player says of a recording."""

import subprocess
from pathlib import Path


def assert_decodes(path: Path) -> None:
    strict = ["ffmpeg", "-v", "error", "-err_detect", "explode", "-xerror", "-i", str(path)]
    decoded = subprocess.run(
        [*strict, "-fps_mode", "vfr", "-f", "null", "-"], capture_output=True, text=True, timeout=60
    )
    assert (decoded.returncode, decoded.stderr) == (0, "")
