"""Daily work costs the same after years: totals a day of each campaign, and indexes for what still read old rows.

A campaign's totals were counted over all its attempts (80 s of ten million), a payment's case was looked for among all
cases, an owner's agenda among all live actions, and a debt's conversations among all its entries.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LIVE = "state = 'live'"
# name, table, columns, the predicate on SQLite, on PostgreSQL
_INDEXES = (
    ("ix_cases_client_id", "cases", ["client", "id"], None, None),
    ("ix_cases_client_client_ref_id", "cases", ["client", "client_ref", "id"], None, None),
    ("ix_next_actions_owner_earliest", "next_actions", ["owner", "earliest", "id"], _LIVE, _LIVE),
    ("ix_next_actions_owner_latest", "next_actions", ["owner", "latest", "id"], _LIVE, _LIVE),
    (
        "ix_ledger_spoken",
        "ledger",
        ["debt_id", "channel", "person_id"],
        "conversation IS 1",
        "conversation IS true",
    ),
    (
        "ix_payments_client_reverses",
        "payments",
        ["client", "reverses"],
        "reverses IS NOT NULL",
        "reverses IS NOT NULL",
    ),
    (
        "ix_sweep_tries_refused",
        "sweep_tries",
        ["campaign_id", "rule", "again_at"],
        "state = 'refused'",
        "state = 'refused'",
    ),
)


def upgrade() -> None:
    for name, table, columns, on_sqlite, on_postgresql in _INDEXES:
        op.create_index(
            name,
            table,
            columns,
            sqlite_where=sa.text(on_sqlite) if on_sqlite else None,
            postgresql_where=sa.text(on_postgresql) if on_postgresql else None,
        )
    op.create_table(
        "campaign_days",
        sa.Column("campaign_id", sa.String(40), sa.ForeignKey("campaigns.id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        *(
            sa.Column(name, sa.Integer, nullable=False, server_default="0")
            for name in ("attempted", "answered", "abandoned")
        ),
    )
    day = (
        "(a.booked_at AT TIME ZONE 'UTC')::date" if op.get_bind().dialect.name == "postgresql" else "date(a.booked_at)"
    )
    op.execute(
        "INSERT INTO campaign_days (campaign_id, day, attempted, answered, abandoned) "  # noqa: S608  # our own words
        f"SELECT a.campaign_id, {day}, count(*), count(a.answered_at), count(*) FILTER (WHERE l.abandoned) "
        f"FROM attempts a LEFT JOIN ledger l ON l.attempt_id = a.id GROUP BY a.campaign_id, {day}"
    )


def downgrade() -> None:
    op.drop_table("campaign_days")
    for name, table, *_ in reversed(_INDEXES):
        op.drop_index(name, table)
