"""A push to a server that wants user and password (`authmod=adobe`), in virtual time."""

import asyncio
from collections.abc import Iterator

import pytest

from relay.core.ident import StreamKey, TaskKey
from relay.core.push_url import PushUrl
from relay.core.rtmp.server import ServerSession
from relay.core.stream import Stream
from relay.core.task import State, StopReason, TaskSpec
from relay.push.feed import Feed
from relay.push.run import PushRun
from tests.shell.test_run import SparseSound
from tests.support.authmod import AuthSession
from tests.support.pushing import run_of
from tests.support.virtual import VirtualCdn, VirtualLoop


class WithoutOpaque(AuthSession):
    opaque = ""


@pytest.fixture
def cdn() -> Iterator[VirtualCdn]:
    one = VirtualCdn()
    yield one
    one.socket.close()


async def pushed(url: str, seconds: float) -> PushRun:
    """A run of a stream whose media comes all the time."""
    loop = asyncio.get_running_loop()
    stream = Stream(StreamKey("app", "room", "user"))
    feed = Feed(stream, SparseSound)  # type: ignore[arg-type]  # the part of it that a feed uses
    run = run_of(TaskSpec(TaskKey("app", "room", "task"), stream.key, PushUrl.parse(url)), feed)
    end = loop.time() + seconds
    while loop.time() < end:
        stream.media_seen(loop.time(), loop.time())
        run.tick(loop.time())
        await asyncio.sleep(0.05)
    return run


@pytest.mark.parametrize("session", [AuthSession, WithoutOpaque])
def test_who_knows_the_password_is_let_in(cdn: VirtualCdn, session: type[ServerSession]) -> None:
    cdn.session = session
    loop = VirtualLoop(cdn)

    async def twice() -> None:
        run = await pushed("rtmp://anna:pass%3Aword@127.0.0.1/live/key", 4)
        assert run.task.state is State.PUSHING
        assert cdn.phase == "publishing"
        assert len(cdn.connects) == 3
        run.stop()
        await asyncio.sleep(1)

    loop.run_until_complete(twice())
    loop.close()


@pytest.mark.parametrize("user", ["anna:wrong@", "bert:pass%3Aword@", "anna@", ""])
def test_who_does_not_is_refused_for_good(cdn: VirtualCdn, user: str) -> None:
    cdn.session = AuthSession
    loop = VirtualLoop(cdn)

    async def refused() -> None:
        run = await pushed(f"rtmp://{user}127.0.0.1/live/key", 60)
        assert (run.task.state, run.task.stop_reason) == (State.FAILED, StopReason.START_FAILED)
        assert "authmod=adobe" in run.task.last_error
        assert "word" not in run.task.last_error
        assert len(cdn.connects) == (9 if user else 3)

    loop.run_until_complete(refused())
    loop.close()
