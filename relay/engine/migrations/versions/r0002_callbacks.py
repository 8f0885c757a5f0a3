"""The outbox of callbacks, and who publishes in which room."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_PENDING = sa.text("finished IS NULL")
_FINISHED = sa.text("finished IS NOT NULL")
_GIVEN_UP = sa.text("finished IS NOT NULL AND error <> ''")


def upgrade() -> None:
    op.create_table(
        "callbacks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("event_id", sa.String(32), nullable=False, unique=True),
        sa.Column("app_id", sa.String(128), nullable=False),
        sa.Column("sequence", sa.String(400), nullable=False),
        sa.Column("task", sa.BigInteger),
        sa.Column("event_type", sa.String(40), nullable=False),
        sa.Column("event_data", sa.Text, nullable=False),
        sa.Column("event_time", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("finished", sa.BigInteger),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    for name, columns, where in (
        ("callbacks_pending", ["sequence", "id"], _PENDING),
        ("callbacks_due", ["due"], _PENDING),
        ("callbacks_finished", ["finished"], _FINISHED),
        ("callbacks_given_up", ["task"], _GIVEN_UP),
    ):
        op.create_index(name, "callbacks", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "publishers",
        sa.Column("app_id", sa.String(128), primary_key=True),
        sa.Column("room_id", sa.String(128), primary_key=True),
        sa.Column("user_id", sa.String(128), primary_key=True),
        sa.Column("stream_type", sa.Integer, primary_key=True),
        sa.Column("kinds", sa.String(16), nullable=False),
        sa.Column("server", sa.String(32), nullable=False),
    )
    op.create_index("publishers_by_server", "publishers", ["server"])
