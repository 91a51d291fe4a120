"""Scenarios as jobs, with their results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "scenario_jobs",
        sa.Column("job_id", _WORDS, nullable=False),
        sa.Column("asked_at", _MOMENT, nullable=False),
        sa.Column("asked_by", _WORDS, nullable=False),
        sa.Column("asked", _WORDS, nullable=False),
        sa.Column("state", _WORDS, nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("runs_done", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("model_sha256", _WORDS, nullable=False),
        sa.Column("detail", _WORDS, nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_scenario_jobs")),
    )
    op.create_index(op.f("ix_scenario_jobs_state"), "scenario_jobs", ["state"], unique=False)
    op.create_index(op.f("ix_scenario_jobs_asked_at_job_id"), "scenario_jobs", ["asked_at", "job_id"], unique=False)


def downgrade() -> None:
    op.drop_table("scenario_jobs")
