"""The audit log on both databases: one chain whoever appends, and its triggers stand."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.store import CaseStore
from recording.signing import SigningKey

KEY = SigningKey.from_seeds(b"\x09" * 32)


async def test_many_appenders_make_one_chain_that_verifies(store: CaseStore, now: datetime) -> None:
    log = AuditLog(store.database, KEY)

    async def append(n: int) -> None:
        for k in range(5):
            await log.append(
                [AuditFact(at=now, actor=f"user_{n}", action="recording.listened", subject=f"rec_{k}")], now
            )

    await asyncio.gather(*(append(n) for n in range(8)))
    count, faults = await log.check(KEY.verifier())
    assert (count, faults) == (40, [])
    assert len(await log.about("rec_3")) == 8
    assert (await log.proof(17)) is not None


async def test_a_deed_that_fails_leaves_no_entry(store: CaseStore, now: datetime) -> None:
    log = AuditLog(store.database, KEY)

    async def fail() -> None:
        async with store.database.write() as unit:
            await log.append_in(unit, [AuditFact(at=now, actor="u", action="a.b", subject="s")], now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await log.check(KEY.verifier()) == (0, [])


@pytest.mark.parametrize("statement", ["DELETE FROM audit_log", "UPDATE audit_log SET body = '{}'"])
async def test_the_database_refuses_to_change_it(store: CaseStore, now: datetime, statement: str) -> None:
    log = AuditLog(store.database, KEY)
    await log.append([AuditFact(at=now, actor="u", action="a.b", subject="s")], now)
    with pytest.raises(DBAPIError):
        async with store.database.write() as unit:
            await unit.connection.execute(text(statement))
