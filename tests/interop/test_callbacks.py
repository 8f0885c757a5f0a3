"""Callbacks of a running relay: a push and its room as a receiver hears of them, also through a kill."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

from relay.cli.measure import access_units
from relay.cli.pattern import PatternSource
from relay.core import flv
from relay.core.flv import Tag
from relay.push.sink import Sink, SinkStream
from tests.support.eventually import eventually
from tests.support.process import free_port, serving
from tests.support.publishing import User, publishing
from tests.support.receiver import PATH, SECRET, Call, hang, receiving, status
from tests.support.relay import Relay, running_relay

NAMES = ("one", "two", "three")


@contextlib.asynccontextmanager
async def sinking() -> AsyncIterator[tuple[str, dict[str, list[Tag]]]]:
    """The push URL's beginning, and what has arrived by stream key."""
    got: dict[str, list[Tag]] = {}

    def on_tag(stream: SinkStream, tag: Tag, arrival: float) -> None:
        got.setdefault(stream.key, []).append(tag)

    sink = Sink(on_tag=on_tag)
    port = await sink.start()
    try:
        yield f"rtmp://127.0.0.1:{port}/live", got
    finally:
        await sink.close()


def camera() -> PatternSource:
    return PatternSource(width=320, height=180, fps=15, bit_rate=300_000)


async def pushing(relay: Relay, task: str) -> bool:
    return (await relay.states(task))[:2] == (2, 5)


def states(calls: list[Call], task: str) -> list[tuple[int, int]]:
    """`TaskState` and `Code` as told, each message once."""
    once = {call.event_id: call for call in calls if call.data.get("TaskId") == task}
    return [
        (call.data["TaskState"], call.data["Code"]) for call in once.values() if call.type == "TranscodeStateChanged"
    ]


async def test_a_push_and_its_room() -> None:
    async with (
        receiving() as receiver,
        sinking() as (cdn, _),
        running_relay(callbacks=receiver.setting()) as relay,
    ):
        await relay.start(f"{cdn}/key")
        await eventually(lambda: receiver.types("task") == ["TranscodeStarted"])
        assert receiver.types() == [], "a task that waits is no user in the room"
        async with publishing(relay, source=camera()):
            await eventually(lambda: pushing(relay, "task"))
            await eventually(lambda: len(receiver.types()) == 4)
        await eventually(lambda: len(receiver.types()) == 8)
        await eventually(lambda: len(states(receiver.accepted, "task")) == 2)
        await relay.stop()
        await eventually(lambda: receiver.types("task")[-1] == "TranscodeStopped")
        assert receiver.types() == [
            "RoomCreate",
            "UserJoinRoom",
            "UserAudioStreamStart",
            "UserVideoStreamStart",
            "UserAudioStreamStop",
            "UserVideoStreamStop",
            "UserLeaveRoom",
            "RoomDestroy",
        ]
        left = next(call for call in receiver.accepted if call.type == "UserLeaveRoom")
        assert left.data["Reason"] == "userLeave"
        assert left.data["UserId"] == "user"
        assert states(receiver.accepted, "task") == [(3, 0), (3, 2), (1, 0)]
        task = await relay.get()
        told = [call.data for call in receiver.accepted if call.type == "TranscodeStateChanged"]
        assert {data["StartTime"] for data in told} == {task["StartTime"]}
        assert [data["FinishTime"] for data in told] == [0, 0, task["EndTime"]]
        assert "CallbackError" not in task
        for call in receiver.accepted:
            assert call.message["AppId"] == "app"
            assert call.data["RoomId"] == "room"
        assert len(receiver.calls) == len({call.event_id for call in receiver.calls})

        delivered = f'relay_callbacks_total{{outcome="delivered"}} {len(receiver.calls)}.0'

        async def counted() -> bool:
            return delivered in (await relay.client.get("/metrics")).text

        await eventually(counted)


async def test_a_screen_beside_the_camera_and_what_an_application_does_not_want() -> None:
    async with receiving() as receiver:
        wanted = ["UserJoinRoom", "UserScreenVideoStreamStart", "UserScreenVideoStreamStop", "UserLeaveRoom"]
        async with running_relay(callbacks=receiver.setting(events=wanted)) as relay:
            await relay.start("rtmp://127.0.0.1:1/live/key")
            async with publishing(relay, source=camera()):
                await eventually(lambda: receiver.types() == ["UserJoinRoom"])
                screen = User(camera())
                await screen.join(relay.whip_url(stream_type=1))
                await eventually(lambda: len(receiver.types()) == 2)
                await screen.leave()
                await eventually(lambda: len(receiver.types()) == 3)
                reasons = [call.data.get("Reason") for call in receiver.accepted]
                assert (receiver.types()[1:], reasons[1:]) == (wanted[1:3], [None, "StreamStop"])
            await eventually(lambda: receiver.types() == wanted)


async def test_a_publisher_that_comes_again_does_not_leave() -> None:
    async with receiving() as receiver, running_relay(callbacks=receiver.setting()) as relay:
        async with publishing(relay, source=camera()):
            await eventually(lambda: len(receiver.types()) == 4)
            newer = User(camera())
            await newer.join(relay.whip_url())
            await eventually(lambda: relay.engine.stats().publishers == 1)
        assert len(receiver.types()) == 4
        await newer.leave()
        await eventually(lambda: len(receiver.types()) == 8)


async def test_media_goes_on_while_the_receiver_hangs() -> None:
    async with receiving() as receiver, sinking() as (cdn, got):
        receiver.answer = hang
        async with (
            running_relay(callbacks=receiver.setting()) as relay,
            publishing(relay, source=camera()) as user,
        ):
            await relay.start(f"{cdn}/key")
            await eventually(lambda: receiver.open > 0)
            await eventually(lambda: len(user.sent) > 60, what="four seconds of pictures")
            assert receiver.open > 0
            await user.pause()
            await eventually(lambda: access_units(got["key"])[-1:] == user.sent[-1:])
            await relay.stop()
            await eventually(lambda: not receiver.accepted)
        pictures = access_units(got["key"])
        assert pictures == user.sent[user.sent.index(pictures[0]) :], "every picture from the first on, bit for bit"
        times = [tag.timestamp for tag in got["key"] if tag.type == flv.VIDEO and not tag.is_header]
        steps = [(before, round((after - before) * 15 / 1000)) for before, after in pairwise(times)]
        assert max(step for _, step in steps) == 1, "no gap"
        # For two seconds the timeline moves to earlier where the first media was late: pictures lie closer together.
        assert {step for at, step in steps if at - times[0] > 2000} == {1}


async def test_three_pushes_through_a_kill_are_told_of_without_a_loss(tmp_path: Path) -> None:
    """Each event of the ledger arrives, and no other does: the receiver's log against the outbox."""
    settings = {"port": str(free_port()), "database_url": f"sqlite:///{tmp_path}/relay.db"}
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    async with receiving() as receiver, sinking() as (cdn, _):
        settings["callbacks"] = receiver.setting()
        async with serving(folders[0], **settings) as first:
            user = User(camera())
            await user.join(first.relay.whip_url())
            for name in NAMES:
                await first.relay.start(f"{cdn}/{name}", task=name)
            for name in NAMES:
                await eventually(lambda name=name: pushing(first.relay, name))
            await eventually(lambda: len(receiver.types()) == 4)
            # What is under way at the kill: the receiver has heard it, and the relay does not know.
            receiver.answer = hang
            await first.relay.start(f"{cdn}/fourth", task="fourth")
            await eventually(lambda: receiver.open > 0)
            await first.kill()
        receiver.answer = status(200)
        await user.vanish()
        async with serving(folders[1], **settings) as second:
            back = User(camera())
            await back.join(second.relay.whip_url())
            for name in (*NAMES, "fourth"):
                await eventually(lambda name=name: pushing(second.relay, name))
                await second.relay.stop(name)
            await back.leave()
            await eventually(lambda: all_delivered(tmp_path / "relay.db"), within=20)
            secrets = (await second.relay.client.get("/metrics")).text
        rows = outbox(tmp_path / "relay.db")
        assert {call.event_id: json.loads(call.message["EventData"]) for call in receiver.accepted} == rows
        for name in (*NAMES, "fourth"):
            assert receiver.types(name)[0] == "TranscodeStarted"
            assert receiver.types(name)[-1] == "TranscodeStopped"
            assert receiver.types(name).count("TranscodeStarted") == receiver.types(name).count("TranscodeStopped") == 1
        for name in NAMES:
            assert states(receiver.accepted, name) == [(3, 0), (1, 2), (2, 0), (3, 0), (1, 0)]
        rooms = list({call.event_id: call.type for call in receiver.accepted if "TaskId" not in call.data}.values())
        assert rooms.count("RoomCreate") == rooms.count("RoomDestroy") == 2
        assert rooms.count("UserJoinRoom") == rooms.count("UserLeaveRoom") == 2

        secrets += "".join((folder / "relay.log").read_text() for folder in folders)
        for secret in (SECRET, PATH):
            assert secret not in secrets


def outbox(path: Path) -> dict[str, object]:
    """All that was ever put into it, as long as it is kept."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT event_id, event_data FROM callbacks").fetchall()
    return {event_id: json.loads(data) for event_id, data in rows}


def all_delivered(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as database:
        left = database.execute("SELECT count(*) FROM callbacks WHERE finished IS NULL OR error <> ''").fetchone()
    return bool(left == (0,))
