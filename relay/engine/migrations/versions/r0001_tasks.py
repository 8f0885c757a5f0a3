"""Tasks and the servers that run them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ACTIVE = sa.text("end_time IS NULL")


def upgrade() -> None:
    op.create_table(
        "servers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(255), unique=True),
        sa.Column("heartbeat", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("app_id", sa.String(128), nullable=False),
        sa.Column("room_id", sa.String(128), nullable=False),
        sa.Column("task_id", sa.String(128), nullable=False),
        sa.Column("business_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("stream_type", sa.Integer, nullable=False),
        sa.Column("push_url", sa.Text, nullable=False),
        sa.Column("media_type", sa.Integer, nullable=False),
        sa.Column("max_idle_time", sa.Double, nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("has_pushed", sa.Boolean, nullable=False),
        sa.Column("stop_reason", sa.String(32), nullable=False),
        sa.Column("start_time", sa.BigInteger, nullable=False),
        sa.Column("end_time", sa.BigInteger),
        sa.Column("idle_since", sa.BigInteger),
        sa.Column("connects", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("video_sent", sa.BigInteger, nullable=False),
        sa.Column("audio_sent", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("bytes_sent", sa.BigInteger, nullable=False),
        sa.Column("first_frame_after", sa.Double),
    )
    op.create_index(
        "one_active_task_per_name",
        "tasks",
        ["app_id", "room_id", "task_id"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_index("tasks_by_owner", "tasks", ["owner"], sqlite_where=_ACTIVE, postgresql_where=_ACTIVE)
    op.create_index("tasks_by_room", "tasks", ["app_id", "room_id", "start_time"])
    op.create_index("tasks_by_start", "tasks", ["start_time"])
