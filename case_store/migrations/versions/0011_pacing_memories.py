"""What a campaign's pacer has learnt outlives the process that learnt it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from case_store.columns import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pacing_memories",
        sa.Column("campaign_id", sa.String(40), sa.ForeignKey("campaigns.id"), primary_key=True),
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("kept_at", Instant, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("pacing_memories")
