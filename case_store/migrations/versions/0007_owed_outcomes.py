"""What somebody who talked still has to enter, where a restart cannot lose it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from case_store.columns import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "owed_outcomes",
        sa.Column("call_id", sa.String(40), sa.ForeignKey("calls.id"), primary_key=True),
        sa.Column("case_id", sa.String(40), sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("number_id", sa.String(40), nullable=False),
        sa.Column("agent_id", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(40), nullable=False),
        sa.Column("node", sa.String(64), nullable=False, index=True),
        sa.Column("since", Instant, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("owed_outcomes")
