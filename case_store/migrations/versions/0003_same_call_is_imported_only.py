"""Only imported history can hold the same call twice; two attempts of ours may share an instant.

Released attempts and simulated clocks book the same number twice at one time, which the first schema refused.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_IMPORTED = sa.text("source = 'imported'")


def upgrade() -> None:
    with op.batch_alter_table("ledger") as ledger:
        ledger.drop_constraint("uq_ledger_same_call", type_="unique")
    op.create_index(
        "uq_ledger_imported_call",
        "ledger",
        ["e164", "debt_id", "at"],
        unique=True,
        sqlite_where=_IMPORTED,
        postgresql_where=_IMPORTED,
    )


def downgrade() -> None:
    op.drop_index("uq_ledger_imported_call", "ledger")
    with op.batch_alter_table("ledger") as ledger:
        ledger.create_unique_constraint("uq_ledger_same_call", ["source", "e164", "debt_id", "at"])
