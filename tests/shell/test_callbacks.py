"""Callbacks from the outbox to a receiver that answers, fails, hangs, is away or redirects; time is the test's."""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from relay.api import callbacks as callbacks_module
from relay.api.callbacks import MAX_CALLS, MAX_CALLS_EACH, POLL, Dispatcher
from relay.api.receivers import Receivers
from relay.core.callback import CallbackEvent, EventType
from relay.engine import outbox as outbox_module
from relay.engine.database import Database
from relay.engine.database_url import DatabaseUrl
from relay.engine.outbox import KEEP_DELIVERED, KEEP_GIVEN_UP, LEASE, Outbox, OutboxStats
from relay.engine.schema import callbacks
from tests.support.certificate import certificate
from tests.support.eventually import eventually
from tests.support.http import Response
from tests.support.postgres import postgres
from tests.support.receiver import PATH, SECRET, Call, WebhookReceiver, hang, receiver_down, receiving, status
from tests.support.sql import InMemory, rows
from tests.support.thorough import thorough

MINUTE = 60.0


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a system has take each dispatcher 50 ms to read."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)


class Clock:
    """Milliseconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(1000 * seconds)


class Bench:
    """An outbox in a database, and what delivers from it."""

    def __init__(self, database: Database, receivers: Receivers, clock: Clock, time_limit: float) -> None:
        self.clock = clock
        self.database = database
        self.outbox = Outbox(database, receivers.wants, clock)
        self.dispatcher = Dispatcher(self.outbox, receivers, time_limit=time_limit)

    async def add(self, *names: str, app: str = "app", task: int | None = None, failing: bool = False) -> None:
        """Events `sequence:detail`, in one transaction."""
        events = []
        for name in names:
            sequence, _, detail = name.partition(":")
            events.append(
                CallbackEvent.of(
                    app, f"{app}/{sequence}", EventType.ROOM_CREATE, self.clock(), Sequence=name, Id=detail
                )
            )

        def add(connection: Connection) -> Callable[[], None]:
            committed = self.outbox.add(connection, [(event, task) for event in events])
            if failing:
                raise ConnectionResetError("during the commit")
            return committed

        (await self.database.write(add))()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.dispatcher.look()

    async def settled(self, calls: int) -> bool:
        """So many calls have been recorded."""
        return sum(row.calls for row in await rows(self.database, select(callbacks.c.calls))) == calls


@contextlib.asynccontextmanager
async def delivering(settings: str, url: DatabaseUrl | None = None, *, time_limit: float = 5.0) -> AsyncIterator[Bench]:
    database = Database(url) if url else InMemory()
    await database.open()
    bench = Bench(database, Receivers.parse(settings), Clock(), time_limit)
    await bench.dispatcher.start()
    try:
        yield bench
    finally:
        await bench.dispatcher.close()
        await database.close()


def names(receiver: WebhookReceiver) -> list[str]:
    return [call.data["Sequence"] for call in receiver.calls]


async def test_500_then_200() -> None:
    async with receiving() as receiver, delivering(receiver.setting()) as bench:
        receiver.answer = status(500)
        await bench.add("a:1", "a:2", "b:1")
        await eventually(lambda: bench.settled(2))
        assert sorted(names(receiver)) == ["a:1", "b:1"], "a:2 waits for a:1"
        receiver.answer = status(200)
        bench.advance(2)
        await eventually(lambda: bench.settled(5))
        assert [name for name in names(receiver) if name[0] == "a"] == ["a:1", "a:1", "a:2"]
        assert [name for name in names(receiver) if name[0] == "b"] == ["b:1", "b:1"]
        first, second = [call for call in receiver.calls if call.data["Sequence"] == "a:1"]
        assert first.event_id == second.event_id
        assert len({call.event_id for call in receiver.calls}) == 3
        stats = bench.outbox.stats
        assert (stats.delivered, stats.failed_calls, stats.given_up, stats.pending) == (3, 2, 0, 0)


async def test_a_sequence_that_waits_holds_up_no_other() -> None:
    async with receiving() as receiver, delivering(receiver.setting()) as bench:
        receiver.answer = status(503)
        await bench.add("a:1")
        await eventually(lambda: bench.settled(1))
        receiver.answer = status(200)
        await bench.add("a:2", "b:1", "b:2")
        await eventually(lambda: bench.settled(3))
        assert names(receiver) == ["a:1", "b:1", "b:2"]


async def test_down_for_a_minute() -> None:
    receiver = receiver_down()
    async with delivering(receiver.setting()) as bench:
        await bench.add("a:1", "a:2")
        await eventually(lambda: bench.settled(1))
        bench.advance(2)
        await eventually(lambda: bench.settled(2))
        bench.advance(MINUTE - 2)
        async with receiver.up():
            await bench.add("b:1")
            await eventually(lambda: bench.settled(3))
            assert names(receiver) == ["b:1"]
            bench.advance(2)
            await eventually(lambda: bench.settled(5))
            assert names(receiver) == ["b:1", "a:1", "a:2"]
        assert bench.outbox.stats.given_up == 0


async def test_down_for_longer_is_given_up_after_three_calls() -> None:
    receiver = receiver_down()
    async with delivering(receiver.setting()) as bench:
        await bench.add("a:1", task=7)
        for calls, pause in ((1, 2), (2, MINUTE)):
            await eventually(lambda calls=calls: bench.settled(calls))
            assert await bench.outbox.failure(7) == ""
            bench.advance(pause)
        await eventually(lambda: bench.settled(3))
        assert await bench.outbox.failure(7) == "RoomCreate: no answer: ConnectError"
        assert await bench.outbox.failure(8) == ""
        assert (bench.outbox.stats.failed_calls, bench.outbox.stats.given_up) == (3, 1)
        async with receiver.up():
            bench.advance(MINUTE)
            await bench.add("a:2")
            await eventually(lambda: bench.settled(4))
            assert names(receiver) == ["a:2"], "what is given up holds up nothing"


async def test_one_that_hangs_holds_up_itself_alone() -> None:
    async with receiving() as slow, receiving() as quick:
        slow.answer = hang
        settings = json.loads(slow.setting("*")) | json.loads(quick.setting("app"))
        async with delivering(json.dumps(settings), time_limit=0.4) as bench:
            for number in range(MAX_CALLS):
                await bench.add(f"room{number}", app=f"other{number % 20}")
            await eventually(lambda: slow.open == MAX_CALLS_EACH)
            await bench.add("a:1", "a:2", "a:3")
            await eventually(lambda: len(quick.accepted) == 3)
            await eventually(lambda: len(slow.calls) == MAX_CALLS, what="one call of each")
            await eventually(lambda: bench.settled(MAX_CALLS + 3))
            assert slow.most_open == MAX_CALLS_EACH
            errors = {row.error for row in await rows(bench.database, select(callbacks.c.error))}
            assert errors == {"", "no answer within 0.4 s"}


async def test_200_alone_is_delivery_and_a_redirect_is_not_followed() -> None:
    codes = [200, 201, 202, 204, 301, 302, 303, 307, 308, 400, 404, 410, 429, 500, 503]
    async with receiving() as receiver, receiving() as elsewhere, delivering(receiver.setting()) as bench:

        async def answer(call: Call) -> Response:
            return Response(int(call.data["Sequence"]), {"location": elsewhere.url}, b"")

        receiver.answer = answer
        for code in codes:
            await bench.add(str(code), task=code)
        for calls, pause in ((1, 2), (2, MINUTE), (3, MINUTE)):
            await eventually(lambda calls=calls: bench.settled(calls * (len(codes) - 1) + 1))
            bench.advance(pause)
        assert {call.target for call in receiver.calls} == {PATH}
        assert Counter(names(receiver)) == {str(code): 1 if code == 200 else 3 for code in codes}
        assert elsewhere.calls == []
        failures = {code: await bench.outbox.failure(code) for code in codes}
        assert failures == {code: "" if code == 200 else f"RoomCreate: HTTP status {code}" for code in codes}


async def test_an_answer_of_any_length_is_an_answer() -> None:
    async with receiving() as receiver, delivering(receiver.setting()) as bench:
        receiver.answer = status(200, b"x" * 5_000_000)
        await bench.add("a:1", "a:2")
        await eventually(lambda: bench.settled(2))
        assert bench.outbox.stats.delivered == 2


async def test_an_answer_whose_body_never_ends_is_an_answer() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n.")
            await reader.read()
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with delivering(json.dumps({"app": {"url": url, "secret": SECRET}}), time_limit=0.3) as bench:
            await bench.add("a:1")
            await eventually(lambda: bench.settled(1))
            assert bench.outbox.stats.delivered == 1


@pytest.mark.parametrize(("subject", "error"), [("localhost", ""), ("other.example", "no answer: ConnectError")])
async def test_a_receiver_by_name_shows_a_certificate_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subject: str, error: str
) -> None:
    server, authority = certificate(tmp_path, subject)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    receiver = receiver_down()
    async with receiver.up(tls=server):
        url = receiver.url.replace("http://127.0.0.1", "https://localhost")
        async with delivering(json.dumps({"app": {"url": url, "secret": SECRET}})) as bench:
            await bench.add("a:1")
            await eventually(lambda: bench.settled(1))
            assert await rows(bench.database, select(callbacks.c.error)) == [(error,)]
            assert len(receiver.accepted) == (0 if error else 1)


async def test_a_name_that_does_not_resolve_holds_up_nobody() -> None:
    names = {f"a{number}": {"url": f"http://a{number}.invalid/", "secret": SECRET} for number in range(3)}
    async with receiving() as receiver, delivering(json.dumps(names | json.loads(receiver.setting("*")))) as bench:
        for app in (*names, "other"):
            await bench.add("a:1", app=app)
        await eventually(lambda: len(receiver.accepted) == 1)
        await eventually(lambda: bench.settled(4))
        assert bench.outbox.stats.failed_calls == 3


async def test_what_nobody_wants_is_not_kept() -> None:
    async with receiving() as receiver, delivering(receiver.setting(events=["RoomDestroy"])) as bench:
        await bench.add("a:1")
        await bench.add("a:1", app="other")
        assert await rows(bench.database, select(callbacks)) == []


async def test_a_receiver_that_is_set_no_longer(tmp_path: Path) -> None:
    url = DatabaseUrl.file(tmp_path / "relay.db")
    receiver = receiver_down()
    async with delivering(receiver.setting(), url) as bench:
        await bench.add("a:1")
        await eventually(lambda: bench.settled(1))
    async with delivering(receiver.setting("other"), url) as bench:
        bench.advance(MINUTE)
        await eventually(lambda: bench.settled(2))
        assert bench.outbox.stats.given_up == 1


async def test_what_a_killed_server_was_calling_is_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks_module, "DRAIN_TIME", 0.1)
    url = DatabaseUrl.file(tmp_path / "relay.db")
    async with receiving() as receiver:
        async with delivering(receiver.setting(), url) as bench:
            receiver.answer = hang
            await bench.add("a:1", "a:2")
            await eventually(lambda: receiver.open == 1)
            # `close` cancels the call, and records nothing of it: like a kill.
        receiver.answer = status(200)
        async with delivering(receiver.setting(), url) as bench:
            await eventually(lambda: receiver.open == 0)
            assert names(receiver) == ["a:1"]
            bench.advance(LEASE / 1000)
            await eventually(lambda: bench.settled(2))
            assert names(receiver) == ["a:1", "a:1", "a:2"]


async def test_close_delivers_what_is_due() -> None:
    async with receiving() as receiver:
        async with delivering(receiver.setting()) as bench:
            await bench.add(*(f"a:{number}" for number in range(10)))
        assert len(receiver.accepted) == 10


async def test_a_full_outbox_takes_no_more() -> None:
    receiver = receiver_down()
    async with delivering(receiver.setting()) as bench:
        bench.outbox = Outbox(bench.database, lambda app_id, event: True, bench.clock, max_pending=3)
        await bench.add("a:1", "a:2", "a:3")
        await bench.add("a:4", "a:5")
        assert (bench.outbox.stats.pending, bench.outbox.stats.dropped) == (3, 2)
        assert len(await rows(bench.database, select(callbacks))) == 3


async def test_what_is_rolled_back_fills_no_outbox() -> None:
    async with delivering(receiver_down().setting()) as bench:
        bench.outbox = Outbox(bench.database, lambda app_id, event: True, bench.clock, max_pending=3)
        for events in (2, 2, 4):
            with pytest.raises(ConnectionResetError):
                await bench.add(*(f"a:{number}" for number in range(events)), failing=True)
        assert bench.outbox.stats == OutboxStats()
        await bench.add("a:1", "a:2", "a:3")
        assert (bench.outbox.stats.pending, bench.outbox.stats.dropped) == (3, 0)


@pytest.mark.parametrize("later", range(4))
async def test_news_that_come_just_before_the_end_do_not_put_it_off(later: int) -> None:
    async with delivering(receiver_down().setting()) as bench:
        running, news = bench.dispatcher._running, bench.dispatcher._news
        assert running is not None
        await eventually(lambda: bench.dispatcher._upkeep_due > time.monotonic() + POLL and news._waiters)
        news.set()
        for _ in range(later):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=1)
        assert running.cancelled()


async def test_upkeep_that_fails_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks_module, "POLL", 0.05)
    monkeypatch.setattr(callbacks_module, "DATABASE_PAUSE", 0.05)
    database = InMemory()
    await database.open()
    outbox = Outbox(database, lambda app_id, event: True, Clock())
    upkeep, failed = outbox.upkeep, asyncio.Event()

    async def fails_once() -> bool:
        if not failed.is_set():
            failed.set()
            raise ConnectionResetError("the database is away")
        return await upkeep()

    monkeypatch.setattr(outbox, "upkeep", fails_once)
    outbox.stats.pending = 7
    dispatcher = Dispatcher(outbox, Receivers.parse(receiver_down().setting()))
    await dispatcher.start()
    await eventually(lambda: outbox.stats.pending == 0)
    assert failed.is_set()
    await dispatcher.close()
    await database.close()


async def test_upkeep_goes_on_where_more_is_old_than_it_forgets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks_module, "POLL", 0.05)
    monkeypatch.setattr(outbox_module, "PRUNED_AT_ONCE", 2)
    async with receiving() as receiver, delivering(receiver.setting()) as bench:
        await bench.add(*(f"{number}:1" for number in range(5)))
        await eventually(lambda: bench.settled(5))
        bench.dispatcher._upkeep_due = 0.0
        bench.advance(KEEP_DELIVERED / 1000 + 1)

        async def forgotten() -> bool:
            return not await rows(bench.database, select(callbacks))

        await eventually(forgotten)


async def test_rows_are_kept_for_as_long_as_they_tell_something() -> None:
    async def kept(bench: Bench) -> list[str]:
        await bench.outbox.upkeep()
        query = select(callbacks.c.event_data).order_by(callbacks.c.id)
        return [row.event_data for row in await rows(bench.database, query)]

    async with receiving() as receiver, delivering(receiver.setting()) as bench:
        await bench.add("a:1")
        await eventually(lambda: bench.settled(1))
        assert len(await kept(bench)) == 1
        bench.clock.advance(KEEP_DELIVERED / 1000 + 1)
        assert await kept(bench) == []
        receiver.answer = status(500)
        await bench.add("a:2")
        for calls, pause in ((1, 2), (2, MINUTE), (3, 0)):
            await eventually(lambda calls=calls: bench.settled(calls))
            bench.advance(pause)
        bench.clock.advance(KEEP_DELIVERED / 1000 + 1)
        assert len(await kept(bench)) == 1
        bench.clock.advance(KEEP_GIVEN_UP / 1000)
        assert await kept(bench) == []
        assert bench.outbox.stats.pending == 0


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@thorough
async def test_servers_of_one_postgresql_share_the_work(postgres_url: str) -> None:
    url = DatabaseUrl.parse(postgres_url)
    both_call = asyncio.Event()

    async def answer(call: Call) -> Response:
        await both_call.wait()
        return Response(200, {}, b"")

    async with (
        receiving() as receiver,
        delivering(receiver.setting(), url) as one,
        delivering(receiver.setting(), url) as other,
    ):
        receiver.answer = answer
        async with asyncio.TaskGroup() as adding:
            for number in range(3):
                adding.create_task(one.add(*(f"s{sequence}:{number}" for sequence in range(20))))
                await asyncio.sleep(0)
        other.dispatcher.look()
        await eventually(lambda: receiver.open == 2 * MAX_CALLS_EACH, within=4, what="both call as often as they may")
        both_call.set()
        await eventually(lambda: one.settled(60))
        assert one.outbox.stats.delivered + other.outbox.stats.delivered == 60
        assert min(one.outbox.stats.delivered, other.outbox.stats.delivered) > 0
        called = Counter(name.partition(":")[0] for name in names(receiver))
        assert called == {f"s{sequence}": 3 for sequence in range(20)}


def test_nothing_shows_a_secret() -> None:
    receivers = Receivers.parse(json.dumps({"app": {"url": f"https://u:p@host.example{PATH}?q", "secret": SECRET}}))
    receiver = receivers.get("app")
    assert receiver is not None
    for shown in (repr(receivers), repr(receiver), receiver.origin):
        assert SECRET not in shown
        assert PATH not in shown
    assert receiver.origin == "https://host.example"
