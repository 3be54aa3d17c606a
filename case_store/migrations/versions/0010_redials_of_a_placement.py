"""Redials and call-backs wait in a queue of their placement, by the time they may be claimed.

Looked for among all live actions, they were read past those of every other campaign and past all that rest until tomorrow;
and SQLite, which plans without statistics, read every live action there is to find that no call-back was among them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from case_store.columns import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("redial", "call_back"):
        op.drop_index(f"ix_next_actions_{name}", "next_actions")
    op.add_column("next_actions", sa.Column("redial_of", sa.String(40)))
    op.add_column("next_actions", sa.Column("redial_at", Instant))
    op.execute(
        "UPDATE next_actions SET redial_of = (SELECT c.placement_id FROM cases c WHERE c.id = next_actions.case_id),"
        " redial_at = CASE WHEN claimed_until > earliest THEN claimed_until ELSE earliest END"
        " WHERE state = 'live' AND (action = 'call-back' OR (action = 'redial' AND owner = 'dialer'))"
    )
    waits = sa.text("state = 'live' AND redial_of IS NOT NULL")
    op.create_index(
        "ix_next_actions_redial",
        "next_actions",
        ["redial_of", "action", "redial_at", "id"],
        sqlite_where=waits,
        postgresql_where=waits,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ANALYZE next_actions"
        )  # of a new column the planner knows nothing, and three rows in a hundred do not wake autovacuum


def downgrade() -> None:
    op.drop_index("ix_next_actions_redial", "next_actions")
    op.drop_column("next_actions", "redial_at")
    op.drop_column("next_actions", "redial_of")
    for name, action in (("redial", "redial"), ("call_back", "call-back")):
        only = sa.text(f"state = 'live' AND action = '{action}'")
        op.create_index(
            f"ix_next_actions_{name}", "next_actions", ["earliest", "id"], sqlite_where=only, postgresql_where=only
        )
