"""PostgreSQL from Debian's packages: a cluster of its own on loopback, gone with the block."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.debian import need
from tests.support.eventually import eventually_sync
from tests.support.once import once

PASSWORD = "postgres-password-of-the-tests"  # noqa: S105


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Runs one; gives the URL of its database, user and password in it."""
    need("postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        with _running(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[str]:
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # initdb and postgres refuse to run as root
        user = {"user": "postgres", "group": "postgres", "extra_groups": ()}
        shutil.chown(folder, "postgres", "postgres")
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    data = folder / "data"
    subprocess.run(["cp", "-a", _new_cluster(programs, user), data], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
        "shared_buffers": "16MB",
    }
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())],
            cwd=folder,
            stdout=log,
            stderr=log,
            **user,
        )
    try:
        eventually_sync(lambda: _is_ready(process, folder / "postgres.log"), within=20, what="PostgreSQL listens")
        yield f"postgresql://relay:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # does not wait for clients
        process.wait(10)


def _new_cluster(programs: Path, user: dict[str, Any]) -> Path:
    """What initdb takes a second to make, for copies."""

    def make(folder: Path) -> None:
        password = folder / "password"
        password.write_text(PASSWORD)
        options = ["-U", "relay", "-A", "scram-sha-256", f"--pwfile={password}", "-N", "-E", "UTF8", "--locale=C"]
        command = [programs / "initdb", "-D", folder / "data", *options]
        if user:
            shutil.chown(folder, "postgres", "postgres")
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

    return once("postgres", make) / "data"


def _is_ready(process: subprocess.Popen[bytes], log: Path) -> bool:
    said = log.read_text()
    assert process.poll() is None, said
    return "ready to accept connections" in said
