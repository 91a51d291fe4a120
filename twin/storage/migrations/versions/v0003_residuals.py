"""How far the supply model was off at each sensor, as series."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "residuals",
        sa.Column("sensor_id", _WORDS, nullable=False),
        sa.Column("observed_at", _MOMENT, nullable=False),
        sa.Column("known_at", _MOMENT, nullable=False),
        sa.Column("run_id", _WORDS, nullable=False),
        sa.Column("observed", sa.Double(), nullable=False),
        sa.Column("modelled", sa.Double(), nullable=False),
        sa.Column("assumed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sensor_id", "observed_at", name=op.f("pk_residuals")),
    )
    op.create_index(op.f("ix_residuals_observed_at_sensor_id"), "residuals", ["observed_at", "sensor_id"], unique=False)


def downgrade() -> None:
    op.drop_table("residuals")
