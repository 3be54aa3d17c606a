"""Where each case stands in the workflow, kept beside its next action."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from case_store.columns import Instant, document

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workflow_states",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("state", document(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_workflow_states_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_workflow_states")),
    )


def downgrade() -> None:
    op.drop_table("workflow_states")
