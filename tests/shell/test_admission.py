"""A relay that has enough to do says so, and goes on with what it has."""

import asyncio

import pytest

from relay.api.actions import ALREADY_STARTED
from relay.app.server import make_engine
from relay.app.workers import Workers
from relay.core.ident import StreamKey, TaskKey
from relay.core.offer import NotTakingWork, OfferMalformed
from relay.core.push_url import PushUrl
from relay.core.task import Lease, TaskSpec
from relay.worker.settings import WorkerSettings
from relay.worker.worker import Worker, WorkerFull
from tests.support.eventually import eventually
from tests.support.relay import APP, LOOPBACK, ROOM, Relay, running_relay
from tests.unit.rtc.offers import offer

NOWHERE = "rtmp://127.0.0.1:9/live/key"
BUSY = WorkerSettings(rtc=LOOPBACK, max_cpu_share=1e-6)


def spec(task: str) -> TaskSpec:
    return TaskSpec(TaskKey(APP, ROOM, task), StreamKey(APP, ROOM, f"{task}-user"), PushUrl.parse(NOWHERE))


async def test_beyond_its_cpu_share_a_worker_lets_nobody_new_in_and_keeps_who_is() -> None:
    worker = Worker(BUSY, lambda snapshot: None)
    await worker.start()
    try:
        worker.admit(spec("early"), 0)
        worker.start_task(spec("early"), Lease(id=1, generation=1, start_time=0))
        await eventually(lambda: worker.stats().load.cpu_share > 1e-6, what="the load is seen")
        with pytest.raises(WorkerFull, match="of a core"):
            worker.admit(spec("late"), 0)
        with pytest.raises(NotTakingWork, match="of a core"):
            await worker.publish(spec("late").stream, "no offer")
        with pytest.raises(OfferMalformed):  # let in, as far as its offer
            await worker.publish(spec("early").stream, "no offer")
    finally:
        await worker.close()


async def start_late(relay: Relay) -> tuple[int, str, str]:
    body = {
        "AppId": APP,
        "RoomId": ROOM,
        "TaskId": "late",
        "Stream": {"UserId": "user"},
        "PushURL": NOWHERE,
        "Control": {},
    }
    response = await relay.call("StartPushSingleStreamToCDN", body)
    error = response.json()["ResponseMetadata"].get("Error", {})
    return response.status_code, error.get("Code", ""), error.get("Message", "")


async def test_who_is_not_let_in_is_told_why() -> None:
    async with running_relay(BUSY) as relay:
        await eventually(lambda: relay.engine.stats().load.cpu_share > 1e-6, what="the load is seen")
        status, code, message = await start_late(relay)
        assert (status, code) == (429, "FlowLimitExceeded.TaskNumberOverLimit")
        assert "of a core; try again later" in message
        headers = {"Content-Type": "application/sdp"}
        whip = await relay.client.post(relay.whip_url(), content=b"v=0\r\n", headers=headers)
        assert whip.status_code == 503
        assert "of a core" in whip.json()["detail"]
        assert whip.headers["Retry-After"]


async def test_a_repeated_start_is_told_that_the_task_runs_also_where_there_is_no_room() -> None:
    async with running_relay(WorkerSettings(rtc=LOOPBACK, max_tasks=1)) as relay:
        assert await relay.start(NOWHERE) == "ok"
        assert (await start_late(relay))[0] == 429
        assert await relay.start(NOWHERE) == ALREADY_STARTED


async def test_a_publisher_that_comes_back_takes_its_own_place_where_all_are_taken() -> None:
    """Its old session may seem alive for half a minute."""
    headers = {"Content-Type": "application/sdp"}
    async with running_relay(WorkerSettings(rtc=LOOPBACK, max_sessions=1)) as relay:
        for _ in range(2):
            joined = await relay.client.post(relay.whip_url(), content=offer("cr-basic"), headers=headers)
            assert joined.status_code == 201, joined.text
            refused = await relay.client.post(relay.whip_url("other"), content=offer("cr-basic"), headers=headers)
            assert refused.status_code == 503
            assert "1 publishers at once" in refused.json()["detail"]
            assert relay.engine.stats().publishers == 1


async def test_a_draining_relay_lets_nobody_in_and_ends_nothing() -> None:
    async with running_relay() as relay:
        assert await relay.start(NOWHERE) == "ok"
        await relay.engine.drain(0)
        status, _, message = await start_late(relay)
        assert status == 429
        assert "about to end" in message
        assert (await relay.states())[0] == 2
        assert (await relay.stop()).status_code == 200


async def test_a_relay_that_is_told_to_end_while_it_starts_waits_for_nothing() -> None:
    engine = make_engine(Workers(WorkerSettings(rtc=LOOPBACK)))
    async with asyncio.timeout(10):
        await engine.drain(60)
