"""Schemathesis on the served OpenAPI description: requests after its schemas and against them, and what it says."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.relay import running_relay

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


async def test_no_request_breaks_the_control_api(tmp_path: Path) -> None:
    async with running_relay() as relay:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{relay.url}/openapi.json",
            *("--include-path", "/", "--checks", CHECKS),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "100", "--seed", "1", "--no-color"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        assert "Tested: 2" in out.decode()
