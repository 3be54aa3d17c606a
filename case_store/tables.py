"""The tables. Only nouns; what must never be false is a constraint here or a trigger in the migrations.

Law 1 in the schema: a call names its recording (NOT NULL, and the pair must match both ways), so a row of
``calls`` without an armed tape cannot exist; triggers refuse an answer whose tape is not armed or sealed.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

from case_store.columns import Amount, Instant, document
from case_store.model import AttemptState, Channel, NumberState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Written out in queries too: a planner uses a partial index only for a predicate it can read.
IN_FLIGHT: list[ColumnElement[str]] = [
    literal_column("'booked'"),
    literal_column("'dialing'"),
    literal_column("'answered'"),
]
LIVE: ColumnElement[str] = literal_column("'live'")
CLAIMED: ColumnElement[str] = literal_column("'claimed'")
REFUSED: ColumnElement[str] = literal_column("'refused'")
_IN_FLIGHT_SQL = text("state IN ('booked', 'dialing', 'answered')")


def _id() -> Column[str]:
    return Column("id", String(40), primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = False, index: bool = False) -> Column[str]:
    return Column(name, String(40), ForeignKey(target), nullable=nullable, index=index)


def _one_of(column: str, values: type[StrEnum] | Iterable[str], name: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


placements = Table(
    "placements",
    metadata,
    _id(),
    Column("name", String(200), nullable=False),
    Column("client", String(64), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("source_sha256", String(64), nullable=False),
    Column("term_ends_on", Date),
    UniqueConstraint("client", "name"),
)

placement_files = Table(
    "placement_files",
    metadata,
    _id(),
    _ref("placement_id", "placements.id", nullable=True, index=True),  # only a placement file makes one
    Column("client", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("kind", String(16), nullable=False, server_default="placement"),
    Column("name", String(255), nullable=False),
    Column("loaded_at", Instant, nullable=False),
    Column("report", document(), nullable=False),
    UniqueConstraint("client", "kind", "sha256"),
)

persons = Table(
    "persons",
    metadata,
    _id(),
    # A digest, never the identity number itself: it only answers "is this the same person?"
    Column("identity_key", String(64), unique=True),
    Column("name", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
)

debts = Table(
    "debts",
    metadata,
    _id(),
    _ref("person_id", "persons.id", index=True),
    Column("client", String(64), nullable=False),
    Column("account_ref", String(128), nullable=False),
    UniqueConstraint("client", "account_ref"),
)

cases = Table(
    "cases",
    metadata,
    _id(),
    _ref("placement_id", "placements.id"),
    Column("client", String(64), nullable=False),
    Column("client_ref", String(128), nullable=False),
    _ref("debtor_person_id", "persons.id", index=True),
    _ref("debt_id", "debts.id", index=True),
    Column("balance_amount", Amount, nullable=False),
    Column("balance_currency", String(3), nullable=False),
    Column("region", String(6), nullable=False),
    Column("address", Text),
    Column("opened_at", Instant, nullable=False),
    Column("state", String(16), nullable=False, server_default="open"),
    Column("state_reason", String(64)),
    Column("closed_at", Instant),
    Column("owner_id", String(40)),
    Column("last_touched_at", Instant),
    _one_of("state", ("open", "held", "closed"), "state"),
    CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_has_time"),
    Index("ix_cases_placement_id_id", "placement_id", "id"),
    Index("ix_cases_client_id", "client", "id"),
    # A payment or recall may name a closed case; the unique index below knows only live ones.
    Index("ix_cases_client_client_ref_id", "client", "client_ref", "id"),
    Index(
        "uq_cases_live_ref",
        "client",
        "client_ref",
        unique=True,
        sqlite_where=text("state <> 'closed'"),
        postgresql_where=text("state <> 'closed'"),
    ),
)

balances = Table(
    "balances",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    _ref("debt_id", "debts.id"),
    Column("label", String(64), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("as_of", Instant, nullable=False),
    UniqueConstraint("case_id", "label", "currency"),
)

contacts = Table(
    "contacts",
    metadata,
    _id(),
    _ref("case_id", "cases.id", index=True),
    _ref("person_id", "persons.id", index=True),
    Column("name", String(200), nullable=False),
    Column("relation", String(64), nullable=False),
)

numbers = Table(
    "numbers",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    _ref("contact_id", "contacts.id", index=True),
    _ref("person_id", "persons.id", index=True),
    Column("e164", String(20), nullable=False, index=True),
    Column("raw", String(128), nullable=False),
    Column("extension", String(16), nullable=False, server_default=""),
    Column("channel", String(16), nullable=False),
    Column("position", Integer, nullable=False),
    Column("sop_rank", Integer, nullable=False),
    Column("region", String(2), nullable=False),
    Column("state", String(16), nullable=False, server_default="live"),
    Column("added_at", Instant, nullable=False),
    _one_of("channel", Channel, "channel"),
    _one_of("state", NumberState, "state"),
    UniqueConstraint("case_id", "e164", "extension"),
    UniqueConstraint("id", "case_id"),
    Index("ix_numbers_case_id_sop_rank", "case_id", "sop_rank"),
)

number_history = Table(
    "number_history",
    metadata,
    _id(),
    _ref("number_id", "numbers.id", index=True),
    Column("at", Instant, nullable=False),
    Column("old", String(16), nullable=False),
    Column("new", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
)

number_signs = Table(
    "number_signs",
    metadata,
    _ref("number_id", "numbers.id"),
    Column("sign", String(32), nullable=False),
    Column("times", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
)
number_signs.append_constraint(UniqueConstraint("number_id", "sign"))

campaigns = Table(
    "campaigns",
    metadata,
    _id(),
    Column("name", String(200), nullable=False, unique=True),
    Column("kind", String(16), nullable=False, server_default="sweep"),
    Column("mode", String(16), nullable=False, server_default="progressive"),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("settings", document(), nullable=False),
    _one_of("state", ("running", "paused", "finished"), "state"),
)

campaign_placements = Table(
    "campaign_placements",
    metadata,
    Column("campaign_id", String(40), ForeignKey("campaigns.id"), primary_key=True),
    Column("placement_id", String(40), ForeignKey("placements.id"), primary_key=True),
)

# One row a case and campaign: where its sweep stands. Claims read only the head of its index.
sweep_cases = Table(
    "sweep_cases",
    metadata,
    Column("campaign_id", String(40), ForeignKey("campaigns.id"), primary_key=True),
    Column("case_id", String(40), ForeignKey("cases.id"), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("claimed_by", String(64)),
    Column("claimed_until", Instant),
    Column("reason", String(64)),
    _one_of("state", ("ready", "claimed", "resting", "done", "stopped"), "state"),
    Index("ix_sweep_cases_queue", "campaign_id", "state", "due_at", "case_id"),
    Index("ix_sweep_cases_case_id", "case_id"),
    Index(
        "ix_sweep_cases_claimed",
        "claimed_by",
        sqlite_where=text("state = 'claimed'"),
        postgresql_where=text("state = 'claimed'"),
    ),
)

# One row a number and campaign, once it was tried, refused or put off.
sweep_tries = Table(
    "sweep_tries",
    metadata,
    Column("campaign_id", String(40), ForeignKey("campaigns.id"), primary_key=True),
    Column("number_id", String(40), ForeignKey("numbers.id"), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("again_at", Instant),
    Column("troubles", Integer, nullable=False, server_default="0"),
    Column("rule", String(64)),
    Column("figure", String(255)),
    Column("source", String(255)),
    _one_of("state", ("tried", "refused", "put-off"), "state"),
    Index("ix_sweep_tries_number_id", "number_id"),
    Index(
        "ix_sweep_tries_refused",
        "campaign_id",
        "rule",
        "again_at",
        sqlite_where=text("state = 'refused'"),
        postgresql_where=text("state = 'refused'"),
    ),
)

# What a campaign's calls came to, a row a day of booking (UTC): totals never read its attempts again.
campaign_days = Table(
    "campaign_days",
    metadata,
    Column("campaign_id", String(40), ForeignKey("campaigns.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("attempted", Integer, nullable=False, server_default="0"),
    Column("answered", Integer, nullable=False, server_default="0"),
    Column("abandoned", Integer, nullable=False, server_default="0"),
)

attempts = Table(
    "attempts",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    _ref("number_id", "numbers.id"),
    _ref("campaign_id", "campaigns.id"),
    _ref("person_id", "persons.id"),
    _ref("debtor_person_id", "persons.id"),
    _ref("debt_id", "debts.id"),
    Column("e164", String(20), nullable=False),
    Column("node", String(64), nullable=False),
    Column("purpose", String(32), nullable=False, server_default="sweep"),
    Column("position", Integer, nullable=False),
    Column("booked_at", Instant, nullable=False),
    Column("dialing_at", Instant),
    Column("answered_at", Instant),
    Column("ended_at", Instant),
    Column("state", String(16), nullable=False),
    Column("category", String(32)),
    Column("agent_id", String(40)),
    _one_of("state", AttemptState, "state"),
    UniqueConstraint("id", "case_id"),
    Index("ix_attempts_case_id_booked_at", "case_id", "booked_at"),
    Index("ix_attempts_number_id_booked_at", "number_id", "booked_at"),
    Index("ix_attempts_campaign_id_booked_at", "campaign_id", "booked_at"),
    *(
        Index(
            f"uq_attempts_in_flight_{name}",
            column,
            unique=True,
            sqlite_where=_IN_FLIGHT_SQL,
            postgresql_where=_IN_FLIGHT_SQL,
        )
        for name, column in (
            ("case", "case_id"),
            ("debtor", "debtor_person_id"),
            ("person", "person_id"),
            ("line", "e164"),
        )
    ),
    Index("ix_attempts_in_flight_node", "node", sqlite_where=_IN_FLIGHT_SQL, postgresql_where=_IN_FLIGHT_SQL),
)

verdicts = Table(
    "verdicts",
    metadata,
    _id(),
    Column("attempt_id", String(40), ForeignKey("attempts.id"), unique=True),
    _ref("case_id", "cases.id"),
    _ref("number_id", "numbers.id"),
    _ref("campaign_id", "campaigns.id"),
    Column("at", Instant, nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("rule", String(64)),
    Column("figure", String(255)),
    Column("source", String(255)),
    Column("until", Instant),
    CheckConstraint("allowed = (attempt_id IS NOT NULL)", name="allowed_is_booked"),
    CheckConstraint("allowed OR rule IS NOT NULL", name="refusal_names_rule"),
    Index("ix_verdicts_case_id_at", "case_id", "at"),
    Index("ix_verdicts_campaign_id_at", "campaign_id", "at"),
)

# The caps' ledger: one row a booked attempt (ours) or a call the bank made before (imported).
ledger = Table(
    "ledger",
    metadata,
    _id(),
    Column("attempt_id", String(40), ForeignKey("attempts.id"), unique=True),
    Column("source", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    _ref("case_id", "cases.id", nullable=True),
    _ref("person_id", "persons.id"),
    _ref("debtor_person_id", "persons.id"),
    _ref("debt_id", "debts.id"),
    Column("e164", String(20), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("in_flight", Boolean, nullable=False),
    Column("answered", Boolean, nullable=False),
    Column("conversation", Boolean, nullable=False),
    Column("abandoned", Boolean, nullable=False),
    Column("released", Boolean, nullable=False),
    Column("category", String(32)),
    _one_of("source", ("own", "imported"), "source"),
    Index("ix_ledger_person_id_at", "person_id", "at"),
    Index("ix_ledger_debtor_person_id_at", "debtor_person_id", "at"),
    Index("ix_ledger_debt_id_at", "debt_id", "at"),
    Index("ix_ledger_e164_at", "e164", "at"),
    # Whom this debt was ever spoken about with: answered from the index, without the debt's old entries.
    Index(
        "ix_ledger_spoken",
        "debt_id",
        "channel",
        "person_id",
        sqlite_where=text("conversation IS 1"),
        postgresql_where=text("conversation IS true"),
    ),
    # A bank's history may be sent twice; our own entries are one an attempt.
    Index(
        "uq_ledger_imported_call",
        "e164",
        "debt_id",
        "at",
        unique=True,
        sqlite_where=text("source = 'imported'"),
        postgresql_where=text("source = 'imported'"),
    ),
)

# A tape's row exists from the moment it is armed, before the INVITE.
recordings = Table(
    "recordings",
    metadata,
    _id(),
    Column("call_id", String(40), nullable=False, unique=True),
    _ref("case_id", "cases.id"),
    Column("state", String(16), nullable=False),
    Column("tape_path", Text, nullable=False),
    Column("armed_at", Instant, nullable=False),
    Column("sealed_at", Instant),
    Column("path", Text),
    Column("seconds", Float),
    Column("sha256", String(64)),
    Column("gaps", document()),
    Column("vitals", document()),
    Column("manifest", document()),
    Column("keep_until", Instant),
    Column("legal_hold", Boolean, nullable=False, server_default=text("false")),
    Column("disposed_at", Instant),
    _one_of("state", ("armed", "sealed", "empty", "failed", "disposed"), "state"),
    CheckConstraint(
        "state NOT IN ('sealed', 'empty') OR "
        "(sealed_at IS NOT NULL AND sha256 IS NOT NULL AND seconds IS NOT NULL AND path IS NOT NULL)",
        name="sealed_has_proof",
    ),
    CheckConstraint("state <> 'disposed' OR (disposed_at IS NOT NULL AND NOT legal_hold)", name="disposal_is_lawful"),
    UniqueConstraint("id", "call_id", "case_id"),
    Index("ix_recordings_case_id_armed_at", "case_id", "armed_at"),
    Index("ix_recordings_state_armed_at", "state", "armed_at"),
)

calls = Table(
    "calls",
    metadata,
    _id(),
    Column("attempt_id", String(40), nullable=False, unique=True),
    Column("case_id", String(40), nullable=False),
    Column("recording_id", String(40), nullable=False, unique=True),
    _ref("number_id", "numbers.id"),
    Column("node", String(64), nullable=False),
    Column("agent_id", String(40)),
    Column("trunk", String(64)),
    Column("caller_id", String(64)),
    Column("state", String(16), nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("ringing_at", Instant),
    Column("early_media_at", Instant),
    Column("answered_at", Instant),
    Column("bridged_at", Instant),
    Column("ended_at", Instant),
    Column("sip_status", Integer),
    Column("cause", String(40)),
    Column("q850", Integer),
    Column("reason", String(255)),
    Column("origin", String(16)),
    Column("category", String(32)),
    Column("evidence", String(255)),
    Column("talk_seconds", Float),
    ForeignKeyConstraint(["attempt_id", "case_id"], ["attempts.id", "attempts.case_id"]),
    ForeignKeyConstraint(
        ["recording_id", "id", "case_id"], ["recordings.id", "recordings.call_id", "recordings.case_id"]
    ),
    _one_of("state", ("placed", "answered", "ended", "settled"), "state"),
    CheckConstraint("state <> 'answered' OR answered_at IS NOT NULL", name="answered_has_time"),
    CheckConstraint("state NOT IN ('ended', 'settled') OR ended_at IS NOT NULL", name="ended_has_time"),
    CheckConstraint("state NOT IN ('ended', 'settled') OR cause IS NOT NULL", name="ended_has_cause"),
    Index("ix_calls_case_id_placed_at", "case_id", "placed_at"),
    Index("ix_calls_placed_at", "placed_at", "id"),
    Index(
        "ix_calls_unsettled",
        "ended_at",
        sqlite_where=text("state = 'ended'"),
        postgresql_where=text("state = 'ended'"),
    ),
)

legs = Table(
    "legs",
    metadata,
    _id(),
    _ref("call_id", "calls.id", nullable=True, index=True),
    Column("kind", String(16), nullable=False),
    Column("desk", String(64)),
    Column("state", String(16), nullable=False),
    Column("trunk", String(64)),
    Column("codec", String(16)),
    Column("placed_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("first_audio_at", Instant),
    Column("ended_at", Instant),
    Column("cause", String(40)),
    Column("sip_status", Integer),
    Column("dialog", document()),
    _one_of("kind", ("customer", "agent", "leader"), "kind"),
    Index(
        "ix_legs_alive",
        "placed_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

outcomes = Table(
    "outcomes",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    _ref("call_id", "calls.id", nullable=True, index=True),
    Column("number_id", String(40)),
    Column("code", String(40), nullable=False),
    Column("at", Instant, nullable=False),
    Column("agent_id", String(40), nullable=False),
    Column("amount", Amount),
    Column("currency", String(3)),
    Column("promised_on", Date),
    Column("note", Text, nullable=False, server_default=""),
    Column("details", document()),
    Index("ix_outcomes_case_id_at", "case_id", "at"),
)

# As few as there are agents in wrap-up: the row goes in the transaction that records the outcome.
owed_outcomes = Table(
    "owed_outcomes",
    metadata,
    Column("call_id", String(40), ForeignKey("calls.id"), primary_key=True),
    _ref("case_id", "cases.id"),
    Column("number_id", String(40), nullable=False),
    Column("agent_id", String(40), nullable=False),
    Column("owner", String(40), nullable=False),
    Column("node", String(64), nullable=False, index=True),
    Column("since", Instant, nullable=False),
)

# What a campaign's pacer learnt on a node, as its own text: figures of calls, nothing of anybody called.
pacing_memories = Table(
    "pacing_memories",
    metadata,
    Column("campaign_id", String(40), ForeignKey("campaigns.id"), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("kept_at", Instant, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
)

promises = Table(
    "promises",
    metadata,
    _id(),
    _ref("case_id", "cases.id", index=True),
    _ref("debtor_person_id", "persons.id"),
    _ref("outcome_id", "outcomes.id"),
    Column("amount", Amount, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("given_at", Instant, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("state", String(16), nullable=False),
    Column("settled_at", Instant),
    _one_of("state", ("live", "kept", "partial", "broken", "withdrawn"), "state"),
    Index(
        "ix_promises_live_debtor",
        "debtor_person_id",
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "uq_promises_live_case",
        "case_id",
        unique=True,
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "ix_promises_live_due_on",
        "due_on",
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
)

payments = Table(
    "payments",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    _ref("debt_id", "debts.id", index=True),
    Column("bank_ref", String(128), nullable=False),
    Column("client", String(64), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("paid_on", Date, nullable=False),
    Column("loaded_at", Instant, nullable=False),
    Column("reverses", String(128)),
    UniqueConstraint("client", "bank_ref"),
    Index("ix_payments_case_id_paid_on", "case_id", "paid_on"),
    Index(
        "ix_payments_client_reverses",
        "client",
        "reverses",
        sqlite_where=text("reverses IS NOT NULL"),
        postgresql_where=text("reverses IS NOT NULL"),
    ),
)

next_actions = Table(
    "next_actions",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    Column("action", String(40), nullable=False),
    Column("earliest", Instant, nullable=False),
    Column("latest", Instant, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("escalation", String(255)),
    Column("reason_en", Text, nullable=False),
    Column("reason_zh", Text, nullable=False),
    Column("number_id", String(40)),
    Column("agent_id", String(64)),
    Column("state", String(16), nullable=False),
    Column("set_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("claimed_by", String(64)),
    Column("claimed_until", Instant),
    Column("look_at", Instant),
    # A redial or call-back: the placement whose campaigns dial it, and from when it may be claimed (``case_store.redials``).
    Column("redial_of", String(40)),
    Column("redial_at", Instant),
    _one_of("state", ("live", "done", "replaced", "cancelled"), "state"),
    CheckConstraint("earliest <= latest", name="window"),
    CheckConstraint("(state = 'live') = (ended_at IS NULL)", name="live_or_ended"),
    Index(
        "uq_next_actions_live",
        "case_id",
        unique=True,
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "ix_next_actions_due",
        "earliest",
        "id",
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "ix_next_actions_latest",
        "latest",
        "id",
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    *(
        Index(
            f"ix_next_actions_owner_{edge}",
            "owner",
            edge,
            "id",
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        )
        for edge in ("earliest", "latest")
    ),
    # Few of the live actions are dialed: each placement's queue of them, by the time they may be claimed.
    Index(
        "ix_next_actions_redial",
        "redial_of",
        "action",
        "redial_at",
        "id",
        sqlite_where=text("state = 'live' AND redial_of IS NOT NULL"),
        postgresql_where=text("state = 'live' AND redial_of IS NOT NULL"),
    ),
    # When the clock alone changes something: the scheduler reads only the head of it.
    Index(
        "ix_next_actions_look_at",
        "look_at",
        "id",
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index("ix_next_actions_case_id_set_at", "case_id", "set_at"),
)

# What the pure workflow remembers of a case between two events (``CaseState.to_dict``).
workflow_states = Table(
    "workflow_states",
    metadata,
    Column("case_id", String(40), ForeignKey("cases.id"), primary_key=True),
    Column("state", document(), nullable=False),
    Column("at", Instant, nullable=False),
)

event_log = Table(
    "event_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("case_id", String(40)),
    Column("subject_id", String(40)),
    Column("facts", document(), nullable=False),
    Index("ix_event_log_case_id_number", "case_id", "number"),
)

event_head = Table(
    "event_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    Column("kind", String(40), nullable=False),
    Column("key", String(80), nullable=False),
    Column("facts", document(), nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("claimed_by", String(64)),
    Column("claimed_until", Instant),
    Column("finished_at", Instant),
    Column("problem", Text),
    _one_of("state", ("waiting", "claimed", "done", "failed"), "state"),
    UniqueConstraint("kind", "key"),
    Index("ix_jobs_queue", "kind", "state", "due_at"),
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("display_name", String(200), nullable=False),
    Column("role", String(32), nullable=False),
    Column("desk", String(64)),
    Column("password_hash", String(255)),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    _ref("user_id", "users.id", index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("facts", document()),
)

vettings = Table(
    "vettings",
    metadata,
    _id(),
    _ref("user_id", "users.id", index=True),
    Column("kind", String(32), nullable=False),
    Column("reference", String(128), nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_until", Date, nullable=False),
    Column("recorded_by", String(40), nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
    _one_of("kind", ("criminal-record", "credit-record", "rules-training"), "kind"),
)

refusal_blocks = Table(
    "refusal_blocks",
    metadata,
    _id(),
    _ref("case_id", "cases.id"),
    _ref("person_id", "persons.id"),
    Column("at", Instant, nullable=False),
    Column("recorded_by", String(40), nullable=False),
    Column("call_id", String(40)),
    UniqueConstraint("case_id", "person_id"),
)

consents = Table(
    "consents",
    metadata,
    _id(),
    _ref("person_id", "persons.id", nullable=True, index=True),
    Column("e164", String(20), index=True),
    Column("kind", String(32), nullable=False),
    Column("details", document(), nullable=False),
    Column("given_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("withdrawn_at", Instant),
    Column("recorded_by", String(40), nullable=False),
    _one_of("kind", ("hours", "third-party", "recording", "opt-out", "inconvenient"), "kind"),
    CheckConstraint("person_id IS NOT NULL OR e164 IS NOT NULL", name="about_someone"),
)

work_orders = Table(
    "work_orders",
    metadata,
    _id(),
    _ref("case_id", "cases.id", index=True),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_by", String(40), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("approved_by", String(40)),
    Column("approved_at", Instant),
    Column("due_at", Instant),
    Column("finished_at", Instant),
    Column("details", document(), nullable=False),
    _one_of("state", ("asked", "approved", "refused", "done", "cancelled"), "state"),
    CheckConstraint("approved_by IS NULL OR approved_by <> asked_by", name="four_eyes"),
    Index("ix_work_orders_state_asked_at", "state", "asked_at"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("lease_until", Instant, nullable=False),
)

# The audit chain: what decides and what is heard, never changed (triggers), each entry hashed over the one before it.
audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(80), nullable=False),
    Index("ix_audit_log_subject_seq", "subject", "seq"),
    Index("ix_audit_log_action_seq", "action", "seq"),
)

# Signed heads: number 0 is the newest and is replaced, the others are checkpoints and stay.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Text, nullable=False),
)
