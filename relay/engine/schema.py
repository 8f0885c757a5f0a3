"""The database's tables, as the newest migration leaves them.

A change here comes with a revision in `migrations/versions`; a test compares the two on SQLite and on PostgreSQL.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text, text

metadata = MetaData()

REVISION = "0002"
"""The newest of `migrations/versions`."""

ID = BigInteger().with_variant(Integer, "sqlite")
"""A generated key: SQLite generates only what is an INTEGER."""
NAME = String(128)

tasks = Table(
    "tasks",
    metadata,
    Column("id", ID, primary_key=True),
    Column("app_id", NAME, nullable=False),
    Column("room_id", NAME, nullable=False),
    Column("task_id", NAME, nullable=False),
    Column("business_id", NAME, nullable=False),
    Column("user_id", NAME, nullable=False),
    Column("stream_type", Integer, nullable=False),
    Column("push_url", Text, nullable=False),
    Column("media_type", Integer, nullable=False),
    Column("max_idle_time", Double, nullable=False),
    # Who runs it: the id of a server, and how often that has changed. A server that is no longer the owner, or is so
    # by an older generation, writes nothing.
    Column("owner", String(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("has_pushed", Boolean, nullable=False),
    Column("stop_reason", String(32), nullable=False),
    # Milliseconds since 1970. `end_time` NULL: the task is active. `idle_since` NULL: media arrives, as of its
    # server's last sign of life.
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("idle_since", BigInteger),
    # Figures of the newest run.
    Column("connects", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("video_sent", BigInteger, nullable=False),
    Column("audio_sent", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("bytes_sent", BigInteger, nullable=False),
    Column("first_frame_after", Double),
)
ACTIVE = text("end_time IS NULL")
Index(
    "one_active_task_per_name",
    tasks.c.app_id,
    tasks.c.room_id,
    tasks.c.task_id,
    unique=True,
    sqlite_where=ACTIVE,
    postgresql_where=ACTIVE,
)
Index("tasks_by_owner", tasks.c.owner, sqlite_where=ACTIVE, postgresql_where=ACTIVE)
Index("tasks_by_room", tasks.c.app_id, tasks.c.room_id, tasks.c.start_time)
Index("tasks_by_start", tasks.c.start_time)

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", ID, primary_key=True),
    Column("event_id", String(32), nullable=False, unique=True),
    Column("app_id", NAME, nullable=False),
    # Of a task or a room: while a row of it is pending, no later one is delivered.
    Column("sequence", String(400), nullable=False),
    # Of `tasks`; NULL: a room's.
    Column("task", BigInteger),
    Column("event_type", String(40), nullable=False),
    Column("event_data", Text, nullable=False),
    # Milliseconds since 1970, by the clock of `Database.now`. `due`: when it may be called next; while somebody calls,
    # when that call is given up for lost. `finished` NULL: pending.
    Column("event_time", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("finished", BigInteger),
    Column("calls", Integer, nullable=False),
    # Of the last call; empty: none has failed, or the event is delivered.
    Column("error", Text, nullable=False),
)
PENDING = text("finished IS NULL")
FINISHED = text("finished IS NOT NULL")
GIVEN_UP = text("finished IS NOT NULL AND error <> ''")
Index("callbacks_pending", callbacks.c.sequence, callbacks.c.id, sqlite_where=PENDING, postgresql_where=PENDING)
Index("callbacks_due", callbacks.c.due, sqlite_where=PENDING, postgresql_where=PENDING)
Index("callbacks_finished", callbacks.c.finished, sqlite_where=FINISHED, postgresql_where=FINISHED)
Index("callbacks_given_up", callbacks.c.task, sqlite_where=GIVEN_UP, postgresql_where=GIVEN_UP)

publishers = Table(
    "publishers",
    metadata,
    Column("app_id", NAME, primary_key=True),
    Column("room_id", NAME, primary_key=True),
    Column("user_id", NAME, primary_key=True),
    Column("stream_type", Integer, primary_key=True),
    # Of "audio" and "video", separated by a space.
    Column("kinds", String(16), nullable=False),
    # The id of the server where it publishes.
    Column("server", String(32), nullable=False),
)
Index("publishers_by_server", publishers.c.server)

servers = Table(
    "servers",
    metadata,
    Column("id", String(32), primary_key=True),
    # Of one place: who starts there succeeds the one of that name before it. NULL: of none.
    Column("name", String(255), unique=True),
    # Milliseconds since 1970, by the clock of `Database.now`.
    Column("heartbeat", BigInteger, nullable=False),
)
