"""A node's claims are found by index when it comes back, not by reading every case of every campaign."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CLAIMED = sa.text("state = 'claimed'")


def upgrade() -> None:
    op.create_index(
        "ix_sweep_cases_claimed", "sweep_cases", ["claimed_by"], sqlite_where=_CLAIMED, postgresql_where=_CLAIMED
    )


def downgrade() -> None:
    op.drop_index("ix_sweep_cases_claimed", "sweep_cases")
