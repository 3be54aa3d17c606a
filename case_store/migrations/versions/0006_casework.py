"""The clock finds the cases it must look at by index; files that bring no cases (payments, recalls, …) are kept too.

A rule's figure is a sentence: PostgreSQL refused the longer ones (SQLite does not look at lengths).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from case_store.columns import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LIVE = sa.text("state = 'live'")
_REDIAL = sa.text("state = 'live' AND action = 'redial'")


def upgrade() -> None:
    op.add_column("next_actions", sa.Column("look_at", Instant))
    op.execute("UPDATE next_actions SET look_at = latest WHERE state = 'live'")
    op.create_index(
        "ix_next_actions_look_at", "next_actions", ["look_at", "id"], sqlite_where=_LIVE, postgresql_where=_LIVE
    )
    op.create_index(
        "ix_next_actions_redial", "next_actions", ["earliest", "id"], sqlite_where=_REDIAL, postgresql_where=_REDIAL
    )
    with op.batch_alter_table("placement_files") as table:
        table.alter_column("placement_id", existing_type=sa.String(40), nullable=True)
    if op.get_bind().dialect.name == "postgresql":
        for name in ("verdicts", "sweep_tries"):
            op.alter_column(name, "figure", existing_type=sa.String(64), type_=sa.String(255))


def downgrade() -> None:
    op.execute("DELETE FROM placement_files WHERE placement_id IS NULL")
    with op.batch_alter_table("placement_files") as table:
        table.alter_column("placement_id", existing_type=sa.String(40), nullable=False)
    op.drop_index("ix_next_actions_redial", "next_actions")
    op.drop_index("ix_next_actions_look_at", "next_actions")
    op.drop_column("next_actions", "look_at")
