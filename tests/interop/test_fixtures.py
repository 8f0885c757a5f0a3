"""What fixtures/ and the Dockerfile promise, as far as it can be seen without a container engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.debian import need

ROOT = Path(__file__).parents[2]


def test_nginx_takes_its_configuration() -> None:
    need("nginx")
    config = ROOT / "fixtures" / "nginx-rtmp" / "nginx.conf"
    done = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_what_the_image_copies_is_enough_to_run(tmp_path: Path) -> None:
    """The first stage of the Dockerfile, step by step in an empty folder; then the command of the second."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            place = tmp_path / "src" / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                if target.endswith("/"):
                    place = place / Path(source).name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "."]
    subprocess.run(install, cwd=tmp_path / "src", check=True, timeout=300)
    demo = [str(venv / "bin" / "relay"), "demo", "--seconds", "3", "--json"]
    done = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    healthcheck = re.search(r'CMD \["python", "-c", "(.+)"\]', dockerfile)
    assert healthcheck is not None
    compile(healthcheck[1], "healthcheck", "exec")
