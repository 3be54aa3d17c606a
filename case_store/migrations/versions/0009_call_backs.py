"""An agreed call-back belongs to one agent, and is found by its minute without reading the other actions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_CALL_BACK = sa.text("state = 'live' AND action = 'call-back'")


def upgrade() -> None:
    op.add_column("next_actions", sa.Column("agent_id", sa.String(64)))
    op.create_index(
        "ix_next_actions_call_back",
        "next_actions",
        ["earliest", "id"],
        sqlite_where=_CALL_BACK,
        postgresql_where=_CALL_BACK,
    )


def downgrade() -> None:
    op.drop_index("ix_next_actions_call_back", "next_actions")
    op.drop_column("next_actions", "agent_id")
