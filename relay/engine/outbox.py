"""The outbox of callbacks: rows beside the ledger's, written in its transactions, that wait for their delivery.

A row is pending, then delivered or given up. Of each sequence (a task's, a room's) only the oldest pending row may be
called, by one server at a time: claiming it moves `due` past the longest call, so that the row of a server that was
killed is due again by itself. Delivery is thus at least once, and in order.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select, update

from relay.core.callback import TIME_LIMIT, CallbackEvent, EventType, retry_pause
from relay.core.presence import ROOM_EVENTS
from relay.core.push_events import push_events
from relay.engine.changes import TaskChange
from relay.engine.database import Database
from relay.engine.schema import callbacks

log = structlog.get_logger(__name__)

LEASE = round(1000 * (TIME_LIMIT + 3))
"""Milliseconds that a claim is good for: a call, and the time to record how it ended."""
MAX_PENDING = 100_000
"""Rows that wait at most; of what happens beyond nobody is told. Other servers' are counted at each `upkeep`."""
KEEP_DELIVERED = 10 * 60 * 1000
"""Milliseconds."""
KEEP_GIVEN_UP = 72 * 3600 * 1000
"""Milliseconds: as long as Get tells of tasks."""
MAX_ERROR = 300
CANDIDATES = 256
PRUNED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to its receiver: claimed until `due`."""

    id: int
    event_id: str
    event: CallbackEvent
    calls: int
    """Before this one."""
    due: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many calls more may begin: `limit` at once to each receiver. The applications that are not `named` share
    one receiver, whose name in `busy` is empty."""

    named: Collection[str]
    busy: Mapping[str, int]
    """Calls under way."""
    limit: int

    def receiver(self, app_id: str) -> str:
        return app_id if app_id in self.named else ""

    def left(self, receiver: str) -> int:
        return self.limit - self.busy.get(receiver, 0)

    def condition(self) -> ColumnElement[bool]:
        """Of rows whose receivers have something left."""
        full = {receiver for receiver in self.busy if self.left(receiver) <= 0}
        if "" in full:
            return callbacks.c.app_id.in_(set(self.named) - full)
        return callbacks.c.app_id.not_in(full)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    delivery: Delivery
    error: str = ""
    """Empty: the event is delivered."""
    final: bool = False
    """Another call would be no better."""

    @property
    def delivered(self) -> bool:
        return not self.error

    @property
    def pause(self) -> float | None:
        """Seconds until the next call, after one that failed; None: there is none."""
        return None if self.final else retry_pause(self.delivery.calls + 1)

    @property
    def given_up(self) -> bool:
        return not self.delivered and self.pause is None


@dataclass(slots=True)
class OutboxStats:
    """`pending` is of all servers, the rest of this one since it began."""

    pending: int = 0
    delivered: int = 0
    failed_calls: int = 0
    given_up: int = 0
    dropped: int = 0
    """Not taken because the outbox was full."""


class Outbox:
    """Implements `engine.changes.ChangeListener`. Errors are those of `Database`.

    `wants` says whether anybody is told of events of a type in an application; `wall` gives milliseconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        wants: Callable[[str, EventType], bool],
        wall: Callable[[], int],
        *,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self.stats = OutboxStats()
        self.on_added: Callable[[], None] = lambda: None
        """Called when rows have been committed."""
        self._database = database
        self._wants = wants
        self._wall = wall
        self._max_pending = max_pending

    # in

    def record(self, connection: Connection, changes: Sequence[TaskChange]) -> Callable[[], None]:
        events = [
            (event, change.after.id)
            for change in changes
            for event in push_events(change.before, change.after, change.time)
        ]
        return self.add(connection, events)

    def add(self, connection: Connection, events: Iterable[tuple[CallbackEvent, int | None]]) -> Callable[[], None]:
        """Adds rows in an open transaction, each with its task's number if it is of one. What it returns is to be
        called on the loop once that is committed."""
        wanted = [(event, task) for event, task in events if self._wants(event.app_id, event.type)]
        taken = wanted[: max(self._max_pending - self.stats.pending, 0)]
        dropped = len(wanted) - len(taken)
        if dropped:
            log.error("callbacks dropped: the outbox is full", app_id=wanted[-1][0].app_id, events=dropped)
        if taken:
            connection.execute(callbacks.insert(), [self._row(event, task) for event, task in taken])
        return partial(self._added, len(taken), dropped)

    def _added(self, taken: int, dropped: int) -> None:
        self.stats.pending += taken
        self.stats.dropped += dropped
        if taken:
            self.on_added()

    def tells_of_rooms(self, app_id: str) -> bool:
        """Whether anybody is told of anything that happens in the application's rooms."""
        return any(self._wants(app_id, event) for event in ROOM_EVENTS)

    def _row(self, event: CallbackEvent, task: int | None) -> dict[str, Any]:
        return {
            "event_id": secrets.token_hex(16),
            "app_id": event.app_id,
            "sequence": event.sequence,
            "task": task,
            "event_type": event.type.value,
            "event_data": event.data,
            "event_time": event.time,
            "due": 0,
            "calls": 0,
            "error": "",
        }

    # out

    async def claim(self, capacity: Capacity, limit: int) -> list[Delivery]:
        """Up to `limit` events that are due, the oldest first, none of which anybody else will call meanwhile."""
        query = (
            select(callbacks.c.id, callbacks.c.app_id)
            .where(*_first_of_sequence(), callbacks.c.due <= self._now, capacity.condition())
            .order_by(callbacks.c.id)
            .limit(CANDIDATES)
        )
        candidates = await self._database.read(lambda connection: connection.execute(query).all())
        left: dict[str, int] = {}
        chosen: list[int] = []
        for row_id, app_id in candidates:
            receiver = capacity.receiver(app_id)
            left.setdefault(receiver, capacity.left(receiver))
            if left[receiver] > 0 and len(chosen) < limit:
                left[receiver] -= 1
                chosen.append(row_id)
        return await self._take(chosen) if chosen else []

    async def _take(self, chosen: Sequence[int]) -> list[Delivery]:
        statement = (
            update(callbacks)
            .where(callbacks.c.id.in_(chosen), callbacks.c.finished.is_(None), callbacks.c.due <= self._now)
            .values(due=self._now + LEASE)
            .returning(callbacks)
        )
        rows = await self._database.write(lambda connection: connection.execute(statement).all())
        return [
            Delivery(
                row.id,
                row.event_id,
                CallbackEvent(row.app_id, row.sequence, EventType(row.event_type), row.event_time, row.event_data),
                row.calls,
                row.due,
            )
            for row in sorted(rows, key=lambda row: row.id)
        ]

    async def wait(self, capacity: Capacity) -> float | None:
        """Seconds until `claim` would find something; None: nothing waits for more than the end of a call."""
        query = select(func.min(callbacks.c.due) - self._now).where(*_first_of_sequence(), capacity.condition())
        left = await self._database.read(lambda connection: connection.scalar(query))
        return None if left is None else max(left / 1000, 0.0)

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Records how calls ended. Where a claim had lapsed, the row is somebody else's and stays as it is."""
        done = [outcome for outcome in outcomes if outcome.delivered]
        failed = [outcome for outcome in outcomes if not outcome.delivered]
        row = update(callbacks).where(
            callbacks.c.id == bindparam("row"), callbacks.c.due == bindparam("claim"), callbacks.c.finished.is_(None)
        )
        row = row.values(calls=callbacks.c.calls + 1, error=bindparam("why"))

        def record(connection: Connection) -> None:
            if done:
                connection.execute(row.values(finished=self._now), [_ended(outcome) for outcome in done])
            for outcome in failed:
                pause = outcome.pause
                values = {"finished": self._now} if pause is None else {"due": self._now + round(1000 * pause)}
                connection.execute(row.values(values), _ended(outcome))

        await self._database.write(record)
        given_up = sum(outcome.given_up for outcome in failed)
        self.stats.delivered += len(done)
        self.stats.failed_calls += len(failed)
        self.stats.given_up += given_up
        self.stats.pending = max(self.stats.pending - len(done) - given_up, 0)

    # what became of them

    async def failure(self, task: int) -> str:
        """Why the newest event of that task that was given up did not arrive; empty: none was."""
        query = (
            select(callbacks.c.event_type, callbacks.c.error)
            .where(callbacks.c.task == task, callbacks.c.finished.is_not(None), callbacks.c.error != "")
            .order_by(callbacks.c.id.desc())
            .limit(1)
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return "" if row is None else f"{row.event_type}: {row.error}"

    async def upkeep(self) -> bool:
        """Forgets what has been kept long enough, and counts what waits; True: there is more to forget."""
        old = callbacks.c.finished < self._now - KEEP_GIVEN_UP
        old_delivered = (callbacks.c.finished < self._now - KEEP_DELIVERED) & (callbacks.c.error == "")
        gone = select(callbacks.c.id).where(callbacks.c.finished.is_not(None), old | old_delivered)
        gone = gone.limit(PRUNED_AT_ONCE)
        ids = await self._database.read(lambda connection: connection.scalars(gone).all())
        if ids:
            forget = delete(callbacks).where(callbacks.c.id.in_(ids))
            await self._database.write(lambda connection: connection.execute(forget).close())
        pending = select(func.count()).select_from(callbacks).where(callbacks.c.finished.is_(None))
        self.stats.pending = await self._database.read(lambda connection: connection.execute(pending).scalar_one())
        return len(ids) == PRUNED_AT_ONCE

    @property
    def _now(self) -> Any:
        return self._database.now(self._wall())


def _first_of_sequence() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Conditions: the row is pending, and none before it is."""
    earlier = callbacks.alias("earlier")
    blocked = exists().where(
        earlier.c.sequence == callbacks.c.sequence, earlier.c.id < callbacks.c.id, earlier.c.finished.is_(None)
    )
    return callbacks.c.finished.is_(None), ~blocked


def _ended(outcome: Outcome) -> dict[str, Any]:
    return {"row": outcome.delivery.id, "claim": outcome.delivery.due, "why": outcome.error[:MAX_ERROR]}
