"""What ingest needs to lose nothing and to say how far each reading can be trusted."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_MOMENT = sa.DateTime(timezone=True)
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_SENSOR_COLUMNS: tuple[tuple[str, Any, Any], ...] = (
    ("max_rate_per_s", sa.Double(), None),
    ("flat_after_s", sa.Double(), None),
    ("redundant_with", _WORDS, sa.text("''")),
    ("rollover_at", sa.Double(), None),
    ("one_way", sa.Boolean(), sa.false()),
    ("overflow_m", sa.Double(), None),
    ("gateway_id", _WORDS, sa.text("''")),
    ("connection_id", _WORDS, sa.text("''")),
)


def upgrade() -> None:
    for name, kind, default in _SENSOR_COLUMNS:
        op.add_column("sensors", sa.Column(name, kind, nullable=default is None, server_default=default))
    _events()
    _gaps()
    _windows()
    _trust_and_imports()


def downgrade() -> None:
    for table in ("imports", "trust_days", "stale_marks", "windows", "gaps", "events"):
        op.drop_table(table)
    for name, _, _ in _SENSOR_COLUMNS:
        op.drop_column("sensors", name)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("event_id", _SERIAL, nullable=False),
        sa.Column("kind", _WORDS, nullable=False),
        sa.Column("subject", _WORDS, nullable=False),
        sa.Column("first_at", _MOMENT, nullable=False),
        sa.Column("last_at", _MOMENT, nullable=False),
        sa.Column("detail", _WORDS, nullable=False),
        sa.Column("times_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_first_at_event_id"), "events", ["first_at", "event_id"], unique=False)
    op.create_index(op.f("ix_events_kind_subject_last_at"), "events", ["kind", "subject", "last_at"], unique=False)


def _gaps() -> None:
    op.create_table(
        "gaps",
        sa.Column("gap_id", _SERIAL, nullable=False),
        sa.Column("sensor_id", _WORDS, nullable=False),
        sa.Column("gateway_id", _WORDS, nullable=False),
        sa.Column("start", _MOMENT, nullable=False),
        sa.Column("end", _MOMENT, nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("missing_at_first", sa.BigInteger(), nullable=False),
        sa.Column("found_at", _MOMENT, nullable=False),
        sa.Column("state", _WORDS, nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=True),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("requested_at", _MOMENT, nullable=True),
        sa.Column("closed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("gap_id", name=op.f("pk_gaps")),
        sa.UniqueConstraint("sensor_id", "start", name=op.f("uq_gaps_sensor_id_start")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_gaps_start_gap_id"), "gaps", ["start", "gap_id"], unique=False)
    op.create_index(op.f("ix_gaps_state"), "gaps", ["state"], unique=False)


def _windows() -> None:
    op.create_table(
        "windows",
        sa.Column("window_id", _SERIAL, nullable=False),
        sa.Column("sensor_id", _WORDS, nullable=False),
        sa.Column("start", _MOMENT, nullable=False),
        sa.Column("end", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("window_id", name=op.f("pk_windows")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "stale_marks",
        sa.Column("sensor_id", _WORDS, nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sensor_id", name=op.f("pk_stale_marks")),
    )


def _trust_and_imports() -> None:
    op.create_table(
        "trust_days",
        sa.Column("sensor_id", _WORDS, nullable=False),
        sa.Column("day", _WORDS, nullable=False),
        sa.Column("document", _WORDS, nullable=False),
        sa.PrimaryKeyConstraint("sensor_id", "day", name=op.f("pk_trust_days")),
    )
    op.create_index(op.f("ix_trust_days_day"), "trust_days", ["day"], unique=False)
    op.create_table(
        "imports",
        sa.Column("digest", _WORDS, nullable=False),
        sa.Column("name", _WORDS, nullable=False),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("document", _WORDS, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_imports")),
    )
