"""`relay bench`'s adapters: what is run, what it must say, and what becomes of it."""

import sys

import pytest

from relay.cli.bench.systems import Candidate, SystemFailed, candidate, started

ADAPTER = """
import json, os, signal, subprocess, sys
print("warming up", flush=True)
print(json.dumps({"whip": "http://127.0.0.1:1/{name}?to=" + os.environ["BENCH_PUSH_URL"]}), flush=True)
signal.sigwait({signal.SIGTERM})
"""


def adapter(code: str) -> Candidate:
    return Candidate("other", (sys.executable, "-c", code))


async def test_an_adapter_says_where_it_takes_offers_and_ends_on_sigterm() -> None:
    blocked = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
    async with started(adapter(blocked + ADAPTER), "rtmp://127.0.0.1/live/{name}") as system:
        assert await system.take("one") == "http://127.0.0.1:1/one?to=rtmp://127.0.0.1/live/one"
        assert await system.phases() is None
        assert system.pid > 0


async def test_an_adapter_that_ends_is_told_with_its_last_words() -> None:
    with pytest.raises(SystemFailed, match="other: ended at once: no such codec"):
        async with started(adapter("print('no such codec')"), "rtmp://127.0.0.1/live/{name}"):
            pass


async def test_an_adapter_that_cannot_be_run_is_told() -> None:
    with pytest.raises(SystemFailed, match="No such file"):
        async with started(Candidate("other", ("/no/such/program",)), "rtmp://127.0.0.1/live/{name}"):
            pass


@pytest.mark.parametrize("word", ["unheard-of", "=command", "name=", "a b=command"])
def test_peers_that_cannot_be(word: str) -> None:
    with pytest.raises(ValueError, match="--peer"):
        candidate(word)


def test_any_command_is_a_peer() -> None:
    assert candidate("srs=./adapter.sh --fast 'a b'") == Candidate("srs", ("./adapter.sh", "--fast", "a b"))
