"""The isolation valves of the supply network."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "isolation_valves",
        sa.Column("valve_id", _WORDS, nullable=False),
        sa.Column("link_id", _WORDS, nullable=False),
        sa.Column("near_node", _WORDS, nullable=False),
        sa.Column("operable", sa.Boolean(), nullable=False),
        sa.Column("normally_closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("valve_id", name=op.f("pk_isolation_valves")),
    )


def downgrade() -> None:
    op.drop_table("isolation_valves")
