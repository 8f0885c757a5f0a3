"""Calls of an official SDK, in a process of its own, as lines of JSON."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.api.actions import VERSION
from tests.support import debian

HERE = Path(__file__).parent
NODE_SDK = "@volcengine/openapi@1.36.2"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the SDK shows its caller of an answer."""

    status: int | None
    """HTTP status; None where the SDK keeps it to itself."""
    answer: dict[str, Any]

    @property
    def error(self) -> tuple[str, int | None]:
        """Code and CodeN."""
        error = self.answer["ResponseMetadata"]["Error"]
        return error["Code"], error.get("CodeN")


@dataclass(slots=True)
class Driver:
    process: asyncio.subprocess.Process

    async def call(
        self,
        host: str,
        action: str,
        *,
        ak: str,
        sk: str,
        method: str = "POST",
        signing: str = "header",
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        token: str = "",
        sign_host: bool = False,
    ) -> Shown:
        """One call; `host` is `name:port`, `signing` is `header`, `query` or (Node) `signer`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        call = {
            "host": host,
            "action": action,
            "version": VERSION,
            "ak": ak,
            "sk": sk,
            "method": method,
            "signing": signing,
            "query": query or {},
            "body": body or {},
            "token": token,
            "sign_host": sign_host,
        }
        self.process.stdin.write(json.dumps(call).encode() + b"\n")
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert line, "the SDK's process has ended"
        return Shown(**json.loads(line))


@contextlib.asynccontextmanager
async def python_sdk(module: str) -> AsyncIterator[Driver]:
    async with _driver([sys.executable, "-m", f"tests.support.sdk.{module}"], {}) as driver:
        yield driver


@contextlib.asynccontextmanager
async def node_sdk(modules: Path) -> AsyncIterator[Driver]:
    async with _driver(["node", str(HERE / "openapi.js")], {"NODE_PATH": str(modules)}) as driver:
        yield driver


def install_node_sdk(folder: Path) -> Path:
    """By npm, from its registry, into `folder`; gives what NODE_PATH has to name."""
    debian.need("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), NODE_SDK]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder / "node_modules"


@contextlib.asynccontextmanager
async def _driver(command: list[str], environment: dict[str, str]) -> AsyncIterator[Driver]:
    # Keys that the user of this machine keeps for the SDKs are none of the tests' business.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOLC")}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=HERE.parents[2],
        env={**kept, **environment},
    )
    try:
        yield Driver(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
