"""Traces of what nobody expected, as they are logged: without secrets, and with an answer that says nothing."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from relay.api.actions import START
from relay.app import logs
from relay.core.task import TaskSpec
from tests.support.bodies import GOOD
from tests.support.relay import running_relay


@pytest.fixture(params=["text", "json"])
def logging_as_served(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("debug", request.param)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_as_served")
async def test_an_unexpected_error(capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(spec: TaskSpec) -> bool:
        raise RuntimeError(f"what happened to {spec}")

    async with running_relay() as relay:
        relay.engine.start_task = broken  # type: ignore[method-assign]  # something that nobody thought of
        response = await relay.call(START, GOOD)
    error = response.json()["ResponseMetadata"]["Error"]
    assert (response.status_code, error["Code"], error["CodeN"]) == (500, "InternalError", 100014)
    assert error["Message"] == "Service has some internal Error. Pls Contact With Admin."
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "RuntimeError: what happened to" in said
    assert "/live/***" in said
    assert "secret" not in said
