"""The audit log in the database holds the same promises as the chain, against somebody who owns the database."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact, AuditLogBroken
from case_store.database import Database
from case_store.tables import audit_log
from recording.signing import SigningKey

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
KEY = SigningKey.from_seeds(b"\x07" * 32)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/onrecord.db")
    yield opened
    await opened.close()


def facts(count: int) -> list[AuditFact]:
    return [AuditFact(at=NOW, actor="user_1", action="recording.heard", subject=f"rec_{n % 7}") for n in range(count)]


def tamper(path: Path, *statements: str) -> None:
    """As somebody with the file would: the triggers go first."""
    with sqlite3.connect(path) as raw:
        for happening in ("update", "delete"):
            raw.execute(f"DROP TRIGGER IF EXISTS audit_log_is_append_only_{happening}")
        for statement in statements:
            raw.execute(statement)
    raw.close()


async def test_entries_are_chained_across_appends_and_proven(database: Database) -> None:
    log = AuditLog(database, KEY)
    for _ in range(3):
        await log.append(facts(500), NOW)
    assert await log.check(KEY.verifier()) == (1500, [])
    proof = await log.proof(700)
    assert proof.holds(KEY.verifier())
    assert len(proof.following) == 300
    assert (await log.proof(1500)).holds(KEY.verifier())
    assert [entry.seq for entry in await log.about("rec_6")][:2] == [7, 14]


async def test_a_deed_that_fails_leaves_no_entry(database: Database) -> None:
    log = AuditLog(database, KEY)

    async def fail_after_its_entry() -> None:
        async with database.write() as unit:
            await log.append_in(unit, facts(1), NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_its_entry()
    assert await log.check(KEY.verifier()) == (0, [])


async def test_the_database_refuses_to_change_the_log(database: Database) -> None:
    await AuditLog(database, KEY).append(facts(3), NOW)
    for change in (audit_log.delete(), audit_log.update().values(action="x")):
        with pytest.raises(IntegrityError, match="audit-log-is-append-only"):
            async with database.write() as unit:
                await unit.connection.execute(change)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE audit_log SET body = replace(body, 'user_1', 'user_2') WHERE seq = 4", "edited"),
        ("DELETE FROM audit_log WHERE seq = 4", "missing"),
        ("DELETE FROM audit_log WHERE seq > 7", "truncated"),
        ("DELETE FROM audit_log", "truncated"),
        ("DELETE FROM audit_heads WHERE seq = 0", "truncated"),
        ("UPDATE audit_heads SET line = replace(line, 'store', 'stare')", "forged"),
    ],
)
async def test_what_an_owner_of_the_database_does_is_found(
    database: Database, tmp_path: Path, statement: str, kind: str
) -> None:
    log = AuditLog(database, KEY)
    await log.append(facts(10), NOW)
    tamper(tmp_path / "onrecord.db", statement)
    _, faults = await log.check(KEY.verifier())
    assert kind in {fault.kind for fault in faults}


async def test_entries_that_change_places_are_found(database: Database, tmp_path: Path) -> None:
    log = AuditLog(database, KEY)
    await log.append(facts(10), NOW)
    tamper(
        tmp_path / "onrecord.db",
        "UPDATE audit_log SET seq = 99 WHERE seq = 4",
        "UPDATE audit_log SET seq = 4 WHERE seq = 5",
        "UPDATE audit_log SET seq = 5 WHERE seq = 99",
    )
    assert {fault.seq for fault in (await log.check(KEY.verifier()))[1]} >= {4, 5}


async def test_nothing_is_appended_to_a_log_cut_short(database: Database, tmp_path: Path) -> None:
    log = AuditLog(database, KEY)
    await log.append(facts(10), NOW)
    head = await log.head()
    assert head is not None
    tamper(tmp_path / "onrecord.db", "DELETE FROM audit_log WHERE seq = 10")
    with pytest.raises(AuditLogBroken):
        await log.append(facts(1), NOW)
    tamper(tmp_path / "onrecord.db", "DELETE FROM audit_log", "DELETE FROM audit_heads")
    assert await log.check(KEY.verifier()) == (0, [])  # all of it gone: only an anchor outside can tell
    assert [fault.kind for fault in (await log.check(KEY.verifier(), [head]))[1]] == ["truncated"]


@pytest.mark.parametrize("column", ["action", "subject"])
async def test_an_entry_filed_under_another_word_is_found(database: Database, tmp_path: Path, column: str) -> None:
    """``about`` finds entries by these columns: one moved away would be missing from every proof about its subject."""
    log = AuditLog(database, KEY)
    quoted = AuditFact(at=NOW, actor="u", action="recording.heard", subject='rec "7", 号\\')
    await log.append([*facts(4), quoted], NOW)
    assert await log.check(KEY.verifier()) == (5, [])
    tamper(tmp_path / "onrecord.db", f"UPDATE audit_log SET {column} = 'rec_8' WHERE seq IN (3, 5)")
    count, faults = await log.check(KEY.verifier())
    assert (count, [(one.kind, one.seq) for one in faults]) == (5, [("edited", 3), ("edited", 5)])
