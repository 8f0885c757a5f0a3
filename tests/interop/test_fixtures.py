"""What fixtures/ and the Dockerfile promise, as far as it can be seen without a container engine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from relay.push.transcode import compiled
from tests.support.debian import need

ROOT = Path(__file__).parents[2]


def test_nginx_takes_its_configuration() -> None:
    need("nginx")
    config = ROOT / "fixtures" / "nginx-rtmp" / "nginx.conf"
    done = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def required(requirement: Requirement) -> Iterator[Distribution]:
    """What it takes to fulfil it here, itself first; some more than once."""
    found = distribution(requirement.name)
    yield found
    for text in found.requires or ():
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
            yield from required(one)


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
    # Of the packages that are here, the relay's requirements and no others: pip has proven that it finds them.
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    here = {name: package for package in required(Requirement("relay")) if (name := package.name) != "relay"}
    for package in here.values():
        for name in {file.parts[0] for file in package.files or () if file.parts[0] != ".."}:
            (packages / name).symlink_to(package.locate_file(name))
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "."]
    subprocess.run(install, cwd=tmp_path / "src", check=True, timeout=300)
    subprocess.run([*pip, "check"], check=True, timeout=60)
    # The machine code that tests have at hand: test_aac_compiler.py has a new installation make its own.
    for code in Path(compiled.__file__).with_name("__pycache__").glob("encoder-*.o"):
        shutil.copy(code, packages / "relay" / "push" / "transcode" / "__pycache__")
    demo = [str(venv / "bin" / "relay"), "demo", "--seconds", "3", "--json"]
    done = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    healthcheck = re.search(r'CMD \["python", "-c", "(.+)"\]', dockerfile)
    assert healthcheck is not None
    compile(healthcheck[1], "healthcheck", "exec")
