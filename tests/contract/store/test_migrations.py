"""Every earlier schema, with data in it, comes up to today's. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select, text

from case_store.database import Database
from case_store.store import CaseStore
from case_store.tables import campaign_days, metadata, next_actions
from tests.contract.store.postgres import Postgres

MIGRATIONS = Path(__file__).parents[3] / "case_store" / "migrations"
REVISIONS = [revision.revision for revision in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# One fact of every kind, in the words of the first schema.
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("placements", {"id": "plc_1", "name": "p", "client": "bank", "received_at": AT, "source_sha256": "0" * 64}),
    ("persons", {"id": "per_1", "name": "张三", "created_at": AT}),
    ("debts", {"id": "debt_1", "person_id": "per_1", "client": "bank", "account_ref": "A1"}),
    (
        "cases",
        {
            "id": "case_1", "placement_id": "plc_1", "client": "bank", "client_ref": "A1", "debtor_person_id": "per_1",
            "debt_id": "debt_1", "balance_amount": "12345.6", "balance_currency": "CNY", "region": "CN", "opened_at": AT,
            "state": "open",
        },
    ),
    ("contacts", {"id": "con_1", "case_id": "case_1", "person_id": "per_1", "name": "张三", "relation": "本人"}),
    (
        "numbers",
        {
            "id": "num_1", "case_id": "case_1", "contact_id": "con_1", "person_id": "per_1", "e164": "+8613800138000",
            "raw": "13800138000", "extension": "", "channel": "mobile", "position": 0, "sop_rank": 1000, "region": "CN",
            "state": "live", "added_at": AT,
        },
    ),
    (
        "campaigns",
        {"id": "camp_1", "name": "c", "kind": "sweep", "mode": "progressive", "state": "running", "created_at": AT, "settings": "{}"},
    ),
    (
        "next_actions",
        {
            "id": "act_1", "case_id": "case_1", "action": "redial", "earliest": AT, "latest": AT, "owner": "dialer",
            "reason_en": "again", "reason_zh": "再拨", "number_id": "num_1", "state": "live", "set_at": AT,
            "claimed_by": "n1", "claimed_until": AT + timedelta(hours=9),
        },
    ),
    (
        "attempts",
        {
            "id": "att_1", "case_id": "case_1", "number_id": "num_1", "campaign_id": "camp_1", "person_id": "per_1",
            "debtor_person_id": "per_1", "debt_id": "debt_1", "e164": "+8613800138000", "node": "n1", "purpose": "sweep",
            "position": 1, "booked_at": AT, "state": "booked",
        },
    ),
    (
        "ledger",
        {
            "id": "led_1", "attempt_id": "att_1", "source": "own", "at": AT, "case_id": "case_1", "person_id": "per_1",
            "debtor_person_id": "per_1", "debt_id": "debt_1", "e164": "+8613800138000", "channel": "mobile",
            "in_flight": True, "answered": False, "conversation": False, "abandoned": False, "released": False,
        },
    ),
    (
        "recordings",
        {"id": "rec_1", "call_id": "call_1", "case_id": "case_1", "state": "armed", "tape_path": "x", "armed_at": AT, "legal_hold": False},
    ),
    (
        "calls",
        {
            "id": "call_1", "attempt_id": "att_1", "case_id": "case_1", "recording_id": "rec_1", "number_id": "num_1",
            "node": "n1", "state": "answered", "placed_at": AT, "answered_at": AT,
        },
    ),
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/store.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


def _fill(connection: Connection) -> None:
    tables = MetaData()
    tables.reflect(connection)
    for name, row in ROWS:
        values = dict(row)
        if connection.dialect.name == "sqlite":
            values = {
                key: value.replace(tzinfo=None) if isinstance(value, datetime) else value
                for key, value in values.items()
            }
        if name == "campaigns" and connection.dialect.name == "postgresql":
            values["settings"] = {}
        connection.execute(tables.tables[name].insert().values(**values))


def _standing(connection: Connection) -> list[Any]:
    return [connection.execute(text(f"SELECT * FROM {name}")).mappings().one()["id"] for name, _ in ROWS]


def _differences(connection: Connection) -> list[Any]:
    return [
        one
        for one in compare_metadata(MigrationContext.configure(connection), metadata)
        # SQLite reports the text of types it does not have; the tables' own types are compared on PostgreSQL.
        if connection.dialect.name == "postgresql" or not str(one).startswith("[('modify")
    ]


@pytest.mark.parametrize("start", REVISIONS)
async def test_data_of_every_version_comes_up_to_today(empty_url: str, start: str) -> None:
    old = await Database.open(empty_url, migrate_to=start)
    async with old.write() as unit:
        await unit.connection.run_sync(_fill)
    await old.close()
    today = await Database.open(empty_url)
    async with today.read() as connection:
        assert await connection.run_sync(_standing) == [row["id"] for _, row in ROWS]
        balance = (await connection.execute(text("SELECT balance_amount FROM cases"))).scalar_one()
        assert float(balance) == 12345.6
        days = (await connection.execute(select(campaign_days))).all()
        counted = [("camp_1", AT.date(), 1, 0, 0)] if start < "0008" else []
        assert [tuple(day) for day in days] == counted, "calls of before are in the campaign's totals"
        redial = (await connection.execute(select(next_actions.c.redial_of, next_actions.c.redial_at))).one()
        waits = ("plc_1", AT + timedelta(hours=9)) if start < "0010" else (None, None)
        assert tuple(redial) == waits, "redials of before wait in their placement's queue"
    await today.close()


async def test_the_migrated_schema_is_the_one_the_code_means(empty_url: str) -> None:
    database = await Database.open(empty_url)
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


async def test_the_laws_hold_after_every_migration(empty_url: str) -> None:
    """A table that a migration rebuilt must not lose its triggers."""
    database = await Database.open(empty_url)
    async with database.read() as connection:
        if database.dialect == "sqlite":
            found = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            names = {name.rsplit("_", 1)[0] for name in found.scalars()}
        else:
            found = await connection.execute(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"))
            names = set(found.scalars())
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await database.close()
    assert names >= {
        "answered_call_needs_tape",
        "settled_call_needs_seal",
        "answered_attempt_needs_call",
        "recording_stays_attached",
        "sealed_stays_sealed",
        "event_log_is_append_only",
    }
    assert len(tables) == len(metadata.tables) + 1  # alembic's own


async def test_opening_twice_changes_nothing(empty_url: str) -> None:
    for _ in range(2):
        database = await Database.open(empty_url)
        async with database.read() as connection:
            assert (await connection.execute(text("SELECT number FROM event_head"))).scalar_one() == 0
        await database.close()


async def test_a_new_sqlite_store_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    """The file and its journals, whatever the umask; a file that was there keeps the mode its owner gave it."""
    place = tmp_path / "store.db"
    before = os.umask(0)
    try:
        store = await CaseStore.open(f"sqlite+aiosqlite:///{place}")
        assert {one.stat().st_mode & 0o777 for one in tmp_path.glob("store.db*")} == {0o600}
        await store.close()
    finally:
        os.umask(before)
    place.chmod(0o640)
    await (await CaseStore.open(f"sqlite+aiosqlite:///{place}")).close()
    assert place.stat().st_mode & 0o777 == 0o640
