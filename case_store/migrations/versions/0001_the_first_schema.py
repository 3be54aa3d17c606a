"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from case_store.columns import Amount, Instant, document

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# What no check constraint can say. Raw SQL that breaks a law fails on both databases with the law's name.
# (trigger, table, events, guard on the new row, the row is refused when this holds, the law)
_LAWS = (
    (
        "answered_call_needs_tape",
        "calls",
        ("INSERT", "UPDATE"),
        "NEW.answered_at IS NOT NULL OR NEW.state = 'answered'",
        (
            "NOT EXISTS (SELECT 1 FROM recordings r WHERE r.id = NEW.recording_id AND r.call_id = NEW.id"
            " AND (r.state IN ('armed', 'sealed', 'empty') OR (r.state IN ('failed', 'disposed') AND NEW.state IN ('ended', 'settled'))))"
        ),
        "no-recording-no-call",
    ),
    (
        "settled_call_needs_seal",
        "calls",
        ("INSERT", "UPDATE"),
        "NEW.state = 'settled'",
        (
            "NOT EXISTS (SELECT 1 FROM recordings r WHERE r.id = NEW.recording_id AND r.call_id = NEW.id"
            " AND r.state IN ('sealed', 'empty', 'disposed'))"
        ),
        "settled-call-needs-sealed-recording",
    ),
    (
        "answered_attempt_needs_call",
        "attempts",
        ("INSERT", "UPDATE"),
        "NEW.state IN ('dialing', 'answered') OR NEW.answered_at IS NOT NULL",
        "NOT EXISTS (SELECT 1 FROM calls c WHERE c.attempt_id = NEW.id)",
        "no-recording-no-call",
    ),
    (
        "recording_stays_attached",
        "recordings",
        ("UPDATE",),
        "NEW.id <> OLD.id OR NEW.call_id <> OLD.call_id OR NEW.case_id <> OLD.case_id",
        "1 = 1",
        "recording-stays-attached",
    ),
    (
        "sealed_stays_sealed",
        "recordings",
        ("UPDATE",),
        (
            "OLD.state IN ('sealed', 'empty', 'disposed') AND (NEW.sha256 IS NULL OR NEW.sha256 <> OLD.sha256"
            " OR NEW.state IN ('armed', 'failed'))"
        ),
        "1 = 1",
        "sealed-stays-sealed",
    ),
    ("event_log_is_append_only", "event_log", ("UPDATE", "DELETE"), "1 = 1", "1 = 1", "event-log-is-append-only"),
)


def _enforce_laws() -> None:
    for name, table, happenings, guard, refused_when, law in _LAWS:
        if op.get_bind().dialect.name == "postgresql":
            kept = "OLD" if happenings == ("DELETE",) else "NEW"
            op.execute(
                f"CREATE FUNCTION law_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"IF ({guard}) AND ({refused_when}) THEN "
                f"RAISE EXCEPTION '{law}' USING ERRCODE = 'check_violation'; END IF; RETURN {kept}; END $$"
            )
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {' OR '.join(happenings)} ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION law_{name}()"
            )
            continue
        for happening in happenings:
            op.execute(
                f"CREATE TRIGGER {name}_{happening.lower()} BEFORE {happening} ON {table} WHEN ({guard}) "
                f"BEGIN SELECT RAISE(ABORT, '{law}') WHERE {refused_when}; END"
            )


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), server_default="sweep", nullable=False),
        sa.Column("mode", sa.String(length=16), server_default="progressive", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("settings", document(), nullable=False),
        sa.CheckConstraint("state IN ('running', 'paused', 'finished')", name=op.f("ck_campaigns_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("name", name=op.f("uq_campaigns_name")),
    )
    op.create_table(
        "event_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_head")),
    )
    op.create_table(
        "event_log",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=True),
        sa.Column("subject_id", sa.String(length=40), nullable=True),
        sa.Column("facts", document(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_event_log")),
    )
    with op.batch_alter_table("event_log", schema=None) as batch_op:
        batch_op.create_index("ix_event_log_case_id_number", ["case_id", "number"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("facts", document(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'claimed', 'done', 'failed')", name=op.f("ck_jobs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_jobs_kind_key")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index("ix_jobs_queue", ["kind", "state", "due_at"], unique=False)

    op.create_table(
        "nodes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "persons",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("identity_key", sa.String(length=64), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persons")),
        sa.UniqueConstraint("identity_key", name=op.f("uq_persons_identity_key")),
    )
    op.create_table(
        "placements",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("term_ends_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placements")),
        sa.UniqueConstraint("client", "name", name=op.f("uq_placements_client_name")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("desk", sa.String(length=64), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "campaign_placements",
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("placement_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_placements_campaign_id")),
        sa.ForeignKeyConstraint(["placement_id"], ["placements.id"], name=op.f("fk_campaign_placements_placement_id")),
        sa.PrimaryKeyConstraint("campaign_id", "placement_id", name=op.f("pk_campaign_placements")),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=True),
        sa.Column("e164", sa.String(length=20), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("details", document(), nullable=False),
        sa.Column("given_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("withdrawn_at", Instant(), nullable=True),
        sa.Column("recorded_by", sa.String(length=40), nullable=False),
        sa.CheckConstraint(
            "kind IN ('hours', 'third-party', 'recording', 'opt-out', 'inconvenient')", name=op.f("ck_consents_kind")
        ),
        sa.CheckConstraint("person_id IS NOT NULL OR e164 IS NOT NULL", name=op.f("ck_consents_about_someone")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_consents_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_consents_e164"), ["e164"], unique=False)
        batch_op.create_index(batch_op.f("ix_consents_person_id"), ["person_id"], unique=False)

    op.create_table(
        "debts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("account_ref", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_debts_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debts")),
        sa.UniqueConstraint("client", "account_ref", name=op.f("uq_debts_client_account_ref")),
    )
    with op.batch_alter_table("debts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_debts_person_id"), ["person_id"], unique=False)

    op.create_table(
        "placement_files",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("placement_id", sa.String(length=40), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), server_default="placement", nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("loaded_at", Instant(), nullable=False),
        sa.Column("report", document(), nullable=False),
        sa.ForeignKeyConstraint(["placement_id"], ["placements.id"], name=op.f("fk_placement_files_placement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placement_files")),
        sa.UniqueConstraint("client", "kind", "sha256", name=op.f("uq_placement_files_client_kind_sha256")),
    )
    with op.batch_alter_table("placement_files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_placement_files_placement_id"), ["placement_id"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("facts", document(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_sessions_user_id"), ["user_id"], unique=False)

    op.create_table(
        "vettings",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=128), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=False),
        sa.Column("recorded_by", sa.String(length=40), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("withdrawn_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('criminal-record', 'credit-record', 'rules-training')", name=op.f("ck_vettings_kind")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_vettings_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vettings")),
    )
    with op.batch_alter_table("vettings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vettings_user_id"), ["user_id"], unique=False)

    op.create_table(
        "cases",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("placement_id", sa.String(length=40), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("client_ref", sa.String(length=128), nullable=False),
        sa.Column("debtor_person_id", sa.String(length=40), nullable=False),
        sa.Column("debt_id", sa.String(length=40), nullable=False),
        sa.Column("balance_amount", Amount(), nullable=False),
        sa.Column("balance_currency", sa.String(length=3), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="open", nullable=False),
        sa.Column("state_reason", sa.String(length=64), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("owner_id", sa.String(length=40), nullable=True),
        sa.Column("last_touched_at", Instant(), nullable=True),
        sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name=op.f("ck_cases_closed_has_time")),
        sa.CheckConstraint("state IN ('open', 'held', 'closed')", name=op.f("ck_cases_state")),
        sa.ForeignKeyConstraint(["debt_id"], ["debts.id"], name=op.f("fk_cases_debt_id")),
        sa.ForeignKeyConstraint(["debtor_person_id"], ["persons.id"], name=op.f("fk_cases_debtor_person_id")),
        sa.ForeignKeyConstraint(["placement_id"], ["placements.id"], name=op.f("fk_cases_placement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
    )
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cases_debt_id"), ["debt_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_cases_debtor_person_id"), ["debtor_person_id"], unique=False)
        batch_op.create_index("ix_cases_placement_id_id", ["placement_id", "id"], unique=False)
        batch_op.create_index(
            "uq_cases_live_ref",
            ["client", "client_ref"],
            unique=True,
            sqlite_where=sa.text("state <> 'closed'"),
            postgresql_where=sa.text("state <> 'closed'"),
        )

    op.create_table(
        "balances",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("debt_id", sa.String(length=40), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("amount", Amount(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("as_of", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_balances_case_id")),
        sa.ForeignKeyConstraint(["debt_id"], ["debts.id"], name=op.f("fk_balances_debt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balances")),
        sa.UniqueConstraint("case_id", "label", "currency", name=op.f("uq_balances_case_id_label_currency")),
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("relation", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_contacts_case_id")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_contacts_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
    )
    with op.batch_alter_table("contacts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_contacts_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_contacts_person_id"), ["person_id"], unique=False)

    op.create_table(
        "next_actions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("earliest", Instant(), nullable=False),
        sa.Column("latest", Instant(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("escalation", sa.String(length=255), nullable=True),
        sa.Column("reason_en", sa.Text(), nullable=False),
        sa.Column("reason_zh", sa.Text(), nullable=False),
        sa.Column("number_id", sa.String(length=40), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("set_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", Instant(), nullable=True),
        sa.CheckConstraint("(state = 'live') = (ended_at IS NULL)", name=op.f("ck_next_actions_live_or_ended")),
        sa.CheckConstraint("state IN ('live', 'done', 'replaced', 'cancelled')", name=op.f("ck_next_actions_state")),
        sa.CheckConstraint("earliest <= latest", name=op.f("ck_next_actions_window")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_next_actions_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_next_actions")),
    )
    with op.batch_alter_table("next_actions", schema=None) as batch_op:
        batch_op.create_index("ix_next_actions_case_id_set_at", ["case_id", "set_at"], unique=False)
        batch_op.create_index(
            "ix_next_actions_due",
            ["earliest", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "ix_next_actions_latest",
            ["latest", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "uq_next_actions_live",
            ["case_id"],
            unique=True,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )

    op.create_table(
        "payments",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("debt_id", sa.String(length=40), nullable=False),
        sa.Column("bank_ref", sa.String(length=128), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("amount", Amount(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("paid_on", sa.Date(), nullable=False),
        sa.Column("loaded_at", Instant(), nullable=False),
        sa.Column("reverses", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_payments_case_id")),
        sa.ForeignKeyConstraint(["debt_id"], ["debts.id"], name=op.f("fk_payments_debt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("client", "bank_ref", name=op.f("uq_payments_client_bank_ref")),
    )
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.create_index("ix_payments_case_id_paid_on", ["case_id", "paid_on"], unique=False)
        batch_op.create_index(batch_op.f("ix_payments_debt_id"), ["debt_id"], unique=False)

    op.create_table(
        "recordings",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("call_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tape_path", sa.Text(), nullable=False),
        sa.Column("armed_at", Instant(), nullable=False),
        sa.Column("sealed_at", Instant(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("gaps", document(), nullable=True),
        sa.Column("vitals", document(), nullable=True),
        sa.Column("manifest", document(), nullable=True),
        sa.Column("keep_until", Instant(), nullable=True),
        sa.Column("legal_hold", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("disposed_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "state <> 'disposed' OR (disposed_at IS NOT NULL AND NOT legal_hold)",
            name=op.f("ck_recordings_disposal_is_lawful"),
        ),
        sa.CheckConstraint(
            "state IN ('armed', 'sealed', 'empty', 'failed', 'disposed')", name=op.f("ck_recordings_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('sealed', 'empty') OR (sealed_at IS NOT NULL AND sha256 IS NOT NULL AND seconds IS NOT NULL AND path IS NOT NULL)",
            name=op.f("ck_recordings_sealed_has_proof"),
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_recordings_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
        sa.UniqueConstraint("call_id", name=op.f("uq_recordings_call_id")),
        sa.UniqueConstraint("id", "call_id", "case_id", name=op.f("uq_recordings_id_call_id_case_id")),
    )
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.create_index("ix_recordings_case_id_armed_at", ["case_id", "armed_at"], unique=False)
        batch_op.create_index("ix_recordings_state_armed_at", ["state", "armed_at"], unique=False)

    op.create_table(
        "refusal_blocks",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("recorded_by", sa.String(length=40), nullable=False),
        sa.Column("call_id", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_refusal_blocks_case_id")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_refusal_blocks_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal_blocks")),
        sa.UniqueConstraint("case_id", "person_id", name=op.f("uq_refusal_blocks_case_id_person_id")),
    )
    op.create_table(
        "sweep_cases",
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", Instant(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "state IN ('ready', 'claimed', 'resting', 'done', 'stopped')", name=op.f("ck_sweep_cases_state")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_sweep_cases_campaign_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_sweep_cases_case_id")),
        sa.PrimaryKeyConstraint("campaign_id", "case_id", name=op.f("pk_sweep_cases")),
    )
    with op.batch_alter_table("sweep_cases", schema=None) as batch_op:
        batch_op.create_index("ix_sweep_cases_case_id", ["case_id"], unique=False)
        batch_op.create_index("ix_sweep_cases_queue", ["campaign_id", "state", "due_at", "case_id"], unique=False)

    op.create_table(
        "work_orders",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked_by", sa.String(length=40), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("approved_by", sa.String(length=40), nullable=True),
        sa.Column("approved_at", Instant(), nullable=True),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("details", document(), nullable=False),
        sa.CheckConstraint(
            "state IN ('asked', 'approved', 'refused', 'done', 'cancelled')", name=op.f("ck_work_orders_state")
        ),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> asked_by", name=op.f("ck_work_orders_four_eyes")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_work_orders_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_orders")),
    )
    with op.batch_alter_table("work_orders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_work_orders_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_work_orders_state_asked_at", ["state", "asked_at"], unique=False)

    op.create_table(
        "numbers",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("contact_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("raw", sa.String(length=128), nullable=False),
        sa.Column("extension", sa.String(length=16), server_default="", nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sop_rank", sa.Integer(), nullable=False),
        sa.Column("region", sa.String(length=2), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="live", nullable=False),
        sa.Column("added_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "channel IN ('workplace', 'mobile', 'home', 'relative', 'emergency')", name=op.f("ck_numbers_channel")
        ),
        sa.CheckConstraint("state IN ('live', 'invalid', 'blocked')", name=op.f("ck_numbers_state")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_numbers_case_id")),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name=op.f("fk_numbers_contact_id")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_numbers_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_numbers")),
        sa.UniqueConstraint("case_id", "e164", "extension", name=op.f("uq_numbers_case_id_e164_extension")),
        sa.UniqueConstraint("id", "case_id", name=op.f("uq_numbers_id_case_id")),
    )
    with op.batch_alter_table("numbers", schema=None) as batch_op:
        batch_op.create_index("ix_numbers_case_id_sop_rank", ["case_id", "sop_rank"], unique=False)
        batch_op.create_index(batch_op.f("ix_numbers_contact_id"), ["contact_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_numbers_e164"), ["e164"], unique=False)
        batch_op.create_index(batch_op.f("ix_numbers_person_id"), ["person_id"], unique=False)

    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("number_id", sa.String(length=40), nullable=False),
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("debtor_person_id", sa.String(length=40), nullable=False),
        sa.Column("debt_id", sa.String(length=40), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), server_default="sweep", nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("booked_at", Instant(), nullable=False),
        sa.Column("dialing_at", Instant(), nullable=True),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=True),
        sa.Column("agent_id", sa.String(length=40), nullable=True),
        sa.CheckConstraint(
            "state IN ('booked', 'dialing', 'answered', 'done', 'lost', 'released')", name=op.f("ck_attempts_state")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_attempts_campaign_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_attempts_case_id")),
        sa.ForeignKeyConstraint(["debt_id"], ["debts.id"], name=op.f("fk_attempts_debt_id")),
        sa.ForeignKeyConstraint(["debtor_person_id"], ["persons.id"], name=op.f("fk_attempts_debtor_person_id")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_attempts_number_id")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_attempts_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("id", "case_id", name=op.f("uq_attempts_id_case_id")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index("ix_attempts_campaign_id_booked_at", ["campaign_id", "booked_at"], unique=False)
        batch_op.create_index("ix_attempts_case_id_booked_at", ["case_id", "booked_at"], unique=False)
        batch_op.create_index(
            "ix_attempts_in_flight_node",
            ["node"],
            unique=False,
            sqlite_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
            postgresql_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
        )
        batch_op.create_index("ix_attempts_number_id_booked_at", ["number_id", "booked_at"], unique=False)
        batch_op.create_index(
            "uq_attempts_in_flight_case",
            ["case_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
            postgresql_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
        )
        batch_op.create_index(
            "uq_attempts_in_flight_debtor",
            ["debtor_person_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
            postgresql_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
        )
        batch_op.create_index(
            "uq_attempts_in_flight_line",
            ["e164"],
            unique=True,
            sqlite_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
            postgresql_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
        )
        batch_op.create_index(
            "uq_attempts_in_flight_person",
            ["person_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
            postgresql_where=sa.text("state IN ('booked', 'dialing', 'answered')"),
        )

    op.create_table(
        "number_history",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("number_id", sa.String(length=40), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("old", sa.String(length=16), nullable=False),
        sa.Column("new", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_number_history_number_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_number_history")),
    )
    with op.batch_alter_table("number_history", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_number_history_number_id"), ["number_id"], unique=False)

    op.create_table(
        "number_signs",
        sa.Column("number_id", sa.String(length=40), nullable=False),
        sa.Column("sign", sa.String(length=32), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_number_signs_number_id")),
        sa.UniqueConstraint("number_id", "sign", name=op.f("uq_number_signs_number_id_sign")),
    )
    op.create_table(
        "sweep_tries",
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("number_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("again_at", Instant(), nullable=True),
        sa.Column("troubles", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=True),
        sa.Column("figure", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=255), nullable=True),
        sa.CheckConstraint("state IN ('tried', 'refused', 'put-off')", name=op.f("ck_sweep_tries_state")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_sweep_tries_campaign_id")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_sweep_tries_number_id")),
        sa.PrimaryKeyConstraint("campaign_id", "number_id", name=op.f("pk_sweep_tries")),
    )
    with op.batch_alter_table("sweep_tries", schema=None) as batch_op:
        batch_op.create_index("ix_sweep_tries_number_id", ["number_id"], unique=False)

    op.create_table(
        "calls",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("recording_id", sa.String(length=40), nullable=False),
        sa.Column("number_id", sa.String(length=40), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("agent_id", sa.String(length=40), nullable=True),
        sa.Column("trunk", sa.String(length=64), nullable=True),
        sa.Column("caller_id", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("placed_at", Instant(), nullable=False),
        sa.Column("ringing_at", Instant(), nullable=True),
        sa.Column("early_media_at", Instant(), nullable=True),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("bridged_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("sip_status", sa.Integer(), nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("q850", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=255), nullable=True),
        sa.Column("origin", sa.String(length=16), nullable=True),
        sa.Column("category", sa.String(length=32), nullable=True),
        sa.Column("evidence", sa.String(length=255), nullable=True),
        sa.Column("talk_seconds", sa.Float(), nullable=True),
        sa.CheckConstraint("state <> 'answered' OR answered_at IS NOT NULL", name=op.f("ck_calls_answered_has_time")),
        sa.CheckConstraint("state IN ('placed', 'answered', 'ended', 'settled')", name=op.f("ck_calls_state")),
        sa.CheckConstraint(
            "state NOT IN ('ended', 'settled') OR cause IS NOT NULL", name=op.f("ck_calls_ended_has_cause")
        ),
        sa.CheckConstraint(
            "state NOT IN ('ended', 'settled') OR ended_at IS NOT NULL", name=op.f("ck_calls_ended_has_time")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id", "case_id"], ["attempts.id", "attempts.case_id"], name=op.f("fk_calls_attempt_id_case_id")
        ),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_calls_number_id")),
        sa.ForeignKeyConstraint(
            ["recording_id", "id", "case_id"],
            ["recordings.id", "recordings.call_id", "recordings.case_id"],
            name=op.f("fk_calls_recording_id_id_case_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_calls_attempt_id")),
        sa.UniqueConstraint("recording_id", name=op.f("uq_calls_recording_id")),
    )
    with op.batch_alter_table("calls", schema=None) as batch_op:
        batch_op.create_index("ix_calls_case_id_placed_at", ["case_id", "placed_at"], unique=False)
        batch_op.create_index("ix_calls_placed_at", ["placed_at", "id"], unique=False)
        batch_op.create_index(
            "ix_calls_unsettled",
            ["ended_at"],
            unique=False,
            sqlite_where=sa.text("state = 'ended'"),
            postgresql_where=sa.text("state = 'ended'"),
        )

    op.create_table(
        "ledger",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=True),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("debtor_person_id", sa.String(length=40), nullable=False),
        sa.Column("debt_id", sa.String(length=40), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("in_flight", sa.Boolean(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("conversation", sa.Boolean(), nullable=False),
        sa.Column("abandoned", sa.Boolean(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=True),
        sa.CheckConstraint("source IN ('own', 'imported')", name=op.f("ck_ledger_source")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_ledger_attempt_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_ledger_case_id")),
        sa.ForeignKeyConstraint(["debt_id"], ["debts.id"], name=op.f("fk_ledger_debt_id")),
        sa.ForeignKeyConstraint(["debtor_person_id"], ["persons.id"], name=op.f("fk_ledger_debtor_person_id")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_ledger_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_ledger_attempt_id")),
        sa.UniqueConstraint("source", "e164", "debt_id", "at", name="uq_ledger_same_call"),
    )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_debt_id_at", ["debt_id", "at"], unique=False)
        batch_op.create_index("ix_ledger_debtor_person_id_at", ["debtor_person_id", "at"], unique=False)
        batch_op.create_index("ix_ledger_e164_at", ["e164", "at"], unique=False)
        batch_op.create_index("ix_ledger_person_id_at", ["person_id", "at"], unique=False)

    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("number_id", sa.String(length=40), nullable=False),
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=True),
        sa.Column("figure", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=255), nullable=True),
        sa.Column("until", Instant(), nullable=True),
        sa.CheckConstraint("allowed = (attempt_id IS NOT NULL)", name=op.f("ck_verdicts_allowed_is_booked")),
        sa.CheckConstraint("allowed OR rule IS NOT NULL", name=op.f("ck_verdicts_refusal_names_rule")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_verdicts_attempt_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_verdicts_campaign_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_verdicts_case_id")),
        sa.ForeignKeyConstraint(["number_id"], ["numbers.id"], name=op.f("fk_verdicts_number_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_verdicts_attempt_id")),
    )
    with op.batch_alter_table("verdicts", schema=None) as batch_op:
        batch_op.create_index("ix_verdicts_campaign_id_at", ["campaign_id", "at"], unique=False)
        batch_op.create_index("ix_verdicts_case_id_at", ["case_id", "at"], unique=False)

    op.create_table(
        "legs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("call_id", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("desk", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("trunk", sa.String(length=64), nullable=True),
        sa.Column("codec", sa.String(length=16), nullable=True),
        sa.Column("placed_at", Instant(), nullable=False),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("first_audio_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("sip_status", sa.Integer(), nullable=True),
        sa.Column("dialog", document(), nullable=True),
        sa.CheckConstraint("kind IN ('customer', 'agent', 'leader')", name=op.f("ck_legs_kind")),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_legs_call_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legs")),
    )
    with op.batch_alter_table("legs", schema=None) as batch_op:
        batch_op.create_index(
            "ix_legs_alive",
            ["placed_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_legs_call_id"), ["call_id"], unique=False)

    op.create_table(
        "outcomes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("call_id", sa.String(length=40), nullable=True),
        sa.Column("number_id", sa.String(length=40), nullable=True),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("agent_id", sa.String(length=40), nullable=False),
        sa.Column("amount", Amount(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("promised_on", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("details", document(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_outcomes_call_id")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_outcomes_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcomes")),
    )
    with op.batch_alter_table("outcomes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outcomes_call_id"), ["call_id"], unique=False)
        batch_op.create_index("ix_outcomes_case_id_at", ["case_id", "at"], unique=False)

    op.create_table(
        "promises",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("debtor_person_id", sa.String(length=40), nullable=False),
        sa.Column("outcome_id", sa.String(length=40), nullable=False),
        sa.Column("amount", Amount(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("given_at", Instant(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("settled_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "state IN ('live', 'kept', 'partial', 'broken', 'withdrawn')", name=op.f("ck_promises_state")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_promises_case_id")),
        sa.ForeignKeyConstraint(["debtor_person_id"], ["persons.id"], name=op.f("fk_promises_debtor_person_id")),
        sa.ForeignKeyConstraint(["outcome_id"], ["outcomes.id"], name=op.f("fk_promises_outcome_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promises")),
    )
    with op.batch_alter_table("promises", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_promises_case_id"), ["case_id"], unique=False)
        batch_op.create_index(
            "ix_promises_live_debtor",
            ["debtor_person_id"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "ix_promises_live_due_on",
            ["due_on"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "uq_promises_live_case",
            ["case_id"],
            unique=True,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )

    _enforce_laws()
    op.execute("INSERT INTO event_head (id, number) VALUES (1, 0)")


def downgrade() -> None:
    raise NotImplementedError("the first schema has nothing before it")
