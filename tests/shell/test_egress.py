"""Push URLs that lead where the policy does not let the relay go: at Start, at the connect, and at the next one."""

import asyncio
from typing import Any

import pytest

from relay.api.actions import START
from relay.app.settings import Settings
from relay.core.egress import ANY, PUBLIC, REFUSAL, EgressPolicy
from relay.core.ident import StreamKey, TaskKey
from relay.core.media import OpusPacket
from relay.core.push_url import PushUrl
from relay.core.stream import Stream
from relay.core.task import REJECTIONS_TO_FAIL, Lease, MediaType, State, StopReason, TaskSpec
from relay.net.destinations import Destinations
from relay.net.resolver import Resolver
from relay.push.connection import Lost
from relay.push.feed import Feed
from relay.push.run import PushRun
from relay.push.sink import Sink
from relay.push.transcode import Transcoder
from tests.support.bodies import changed
from tests.support.eventually import eventually
from tests.support.hostile import Behaviour, HostileServer
from tests.support.names import Hanging, Names
from tests.support.pushing import Ear, end, opened, publishing
from tests.support.relay import running_relay

NAMES: dict[str, Any] = {
    "public.example": ["8.8.8.8", "2606:4700:4700::1111"],
    "private.example": ["10.0.0.1"],
    "both.example": ["8.8.8.8", "10.0.0.1"],
    "six.example": ["2606:4700:4700::1111", "::ffff:10.0.0.1"],
    "metadata.example": ["169.254.169.254"],
}
REFUSED = [
    "127.0.0.1",
    "[::1]",
    "169.254.169.254",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[fe80::1%25lo]",
    "10.0.0.1",
    "100.64.1.1",
    "224.0.0.1",
    "0.0.0.0",
    "2130706433",
    "0177.0.0.1",
    "0x7f.1",
    "127.1",
    "user:password@127.0.0.1",
    "localhost",
    "private.example",
    "both.example",
    "six.example",
    "metadata.example",
]


def strict(names: dict[str, Any] | None = None, policy: EgressPolicy = PUBLIC) -> Destinations:
    return Destinations(policy, Resolver(Names({**NAMES, "localhost": ["127.0.0.1"], **(names or {})})))


async def test_start_refuses_them_with_one_voice() -> None:
    async with running_relay(destinations=strict()) as relay:
        for scheme in ("rtmp", "rtmps"):
            for host in REFUSED:
                response = await relay.call(START, changed(PushURL=f"{scheme}://{host}:1935/live/secret-key"))
                assert response.status_code == 400, host
                error = response.json()["ResponseMetadata"]["Error"]
                assert error == {
                    "Code": "InvalidParameter.InvalidRtmpAddress",
                    "Message": f"PushURL is refused: {REFUSAL}.",
                }, host
        for host in ("public.example", "8.8.8.8", "[2606:4700:4700::1111]", "unknown.example"):
            response = await relay.call(
                START, changed(TaskId=host.strip("[]").replace(":", "."), PushURL=f"rtmp://{host}/a/b")
            )
            assert response.json()["Result"] == "ok", host


async def test_start_waits_for_no_resolver() -> None:
    names = Hanging()
    loop = asyncio.get_running_loop()
    async with running_relay(destinations=Destinations(PUBLIC, Resolver(names))) as relay:
        begun = loop.time()
        starts = [
            relay.call(START, changed(TaskId=f"{number}", PushURL=f"rtmp://{number}.example/live/key"))
            for number in range(30)
        ]
        assert {response.json()["Result"] for response in await asyncio.gather(*starts)} == {"ok"}
        assert loop.time() - begun < 5  # a system's resolver gives up after some 10 s or more
        names.let_go()


async def test_the_connect_goes_to_the_address_that_was_looked_at() -> None:
    """The name changes its answer behind the check; nobody asks again."""
    names = Names({"cdn.example": [["127.0.0.1"], ["10.0.0.1"]]})
    loopback = EgressPolicy.parse("127.0.0.0/8")
    sink = Sink()
    port = await sink.start()
    destinations = Destinations(loopback, Resolver(names))
    connection, ear = await publishing(f"rtmp://cdn.example:{port}/live/key", destinations=destinations)
    assert names.asked == ["cdn.example"]
    await end(connection, ear)
    again = Ear()
    connection = opened(PushUrl.parse(f"rtmp://cdn.example:{port}/live/key"), again, destinations=destinations)
    await eventually(lambda: again.lost)
    await connection.wait_closed()
    assert again.events == [Lost(f"connect: {REFUSAL}", unreachable=False, forbidden=True)]
    await sink.close()


@pytest.mark.parametrize("host", ["both.example", "2130706433", "[::ffff:10.0.0.1]"])
async def test_no_connect_to_what_start_would_refuse(host: str) -> None:
    ear = Ear()
    connection = opened(PushUrl.parse(f"rtmp://{host}/live/key"), ear, destinations=strict())
    await eventually(lambda: ear.lost)
    await connection.wait_closed()
    assert ear.events == [Lost(f"connect: {REFUSAL}", unreachable=False, forbidden=True)]


async def test_a_task_whose_name_moves_to_a_private_address_fails() -> None:
    """The server drops the push, and the name leads elsewhere from then on."""
    names = Names({"cdn.example": [["127.0.0.1"], ["127.0.0.1", "192.168.0.1"]]})
    destinations = Destinations(EgressPolicy.parse("127.0.0.0/8"), Resolver(names))
    loop = asyncio.get_running_loop()

    def clock() -> float:
        """Ten times as fast: what passes between two tries is not what is looked at."""
        return loop.time() * 10

    stream = Stream(StreamKey("app", "room", "user"))
    feed = Feed(stream, lambda: Transcoder(coder="fast"))
    async with HostileServer(Behaviour.RESET_AFTER_TAG) as server:
        url = PushUrl.parse(f"rtmp://cdn.example:{server.port}/live/secret-key")
        run = PushRun(
            TaskSpec(TaskKey("app", "room", "task"), stream.key, url, MediaType.AUDIO_ONLY),
            Lease(id=1, generation=1, start_time=0),
            stream,
            feed,
            connect=lambda url, listener: opened(url, listener, destinations=destinations),
            clock=clock,
            wall=lambda: 0,
            jitter=lambda: 0.0,
            on_change=lambda run: None,
        )

        def tick() -> bool:
            now = clock()
            stream.deliver(OpusPacket(b"\xfc\xff\xfe", round(now * 48000), now, now))
            stream.media_seen(now, now)
            feed.encode(now)
            feed.release(now)
            run.tick(now)
            return run.task.ended

        await eventually(tick, within=20, what="the task ends")
    assert (run.task.state, run.task.stop_reason) == (State.FAILED, StopReason.START_FAILED)
    assert run.snapshot().last_error == f"connect: {REFUSAL}"
    assert run.task.connects == 1 + REJECTIONS_TO_FAIL
    assert len(names.asked) == run.task.connects
    feed.close()


def test_loopback_may_push_anywhere_and_others_to_public_addresses() -> None:
    def policy(**given: str) -> EgressPolicy:
        values: dict[str, Any] = dict(given)
        return Settings(**values).egress_policy

    assert policy() == policy(host="::1") == policy(egress=" ") == ANY
    assert policy(host="0.0.0.0") == policy(host="192.168.0.7") == policy(egress="public") == PUBLIC
    assert policy(host="0.0.0.0", egress="any") == ANY
    assert Settings(host="0.0.0.0").worker().egress == PUBLIC
    with pytest.raises(ValueError, match=r"entry 1 besides any and public is no network"):
        policy(egress="everything")
