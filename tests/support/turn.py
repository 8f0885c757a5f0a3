"""coturn, a real TURN server, on loopback; and a firewall that leaves no other way than through it."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.rtc.settings import TurnServer
from relay.rtc.udp import UdpTransport
from tests.support.debian import need
from tests.support.eventually import eventually_sync

RELAYED = range(45000, 45100)
"""Ports that it relays on."""


@contextlib.contextmanager
def coturn(folder: Path) -> Iterator[TurnServer]:
    need("coturn")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "turn.log"
    options = {
        "listening-ip": "127.0.0.1",
        "relay-ip": "127.0.0.1",
        "listening-port": port,
        "min-port": RELAYED[0],
        "max-port": RELAYED[-1],
        "realm": "relay.test",
        "user": "user:sekret",
        "pidfile": folder / "turn.pid",
        "log-file": log,
        "userdb": folder / "turn.db",
    }
    flags = ("-n", "--lt-cred-mech", "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers", "--simple-log")
    command = ["turnserver", *flags, *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "turn.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        eventually_sync(lambda: _answers(port), what="the TURN server answers")
        yield TurnServer("127.0.0.1", port, "user", "sekret")
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    """To a STUN binding request (RFC 8489)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.2)
        try:
            asker.sendto(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), ("127.0.0.1", port))
            return asker.recv(1500)[:2] == b"\x01\x01"
        except OSError:
            return False


def firewall(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on media sockets of this process reach the TURN server's relayed ports alone; gives those reached."""
    sendto = UdpTransport.sendto
    reached: list[int] = []

    def filtered(self: UdpTransport, data: Any, addr: Any = None) -> None:
        if isinstance(addr, tuple) and addr[1] in RELAYED:
            reached.append(addr[1])
            sendto(self, data, addr)

    monkeypatch.setattr(UdpTransport, "sendto", filtered)
    return reached
