"""Daily work never reads a whole table: its cost grows with the work at hand, not with history. Category: contract.

Judged by SQLite's own plans, not by a clock: every statement of a claim, a booking, a call, a case page and the agenda
is explained, and a SCAN of a table that grows fails. ``python -m bench.store_growth`` measures the same.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event

from case_store.floor_reading import FloorReading
from case_store.intake.bank_files import FileKind, parse_bank_file
from case_store.network import ProgressCategory
from case_store.reading import CaseReading
from case_store.store import CaseStore
from config.settings import Settings
from dialer.followup import follow_up_over
from tests.contract.store import world

GROWS = re.compile(
    r"SCAN (attempts|ledger|cases|persons|debts|contacts|numbers|sweep_cases|sweep_tries|calls|recordings|outcomes|"
    r"next_actions|verdicts|event_log|number_history|payments|promises|consents|refusal_blocks|legs)\b(?! USING (COVERING )?INDEX)"
)


async def test_no_statement_of_the_daily_work_scans_a_table_that_grows(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "store.db"
    store = await CaseStore.open(f"sqlite+aiosqlite:///{path}")
    lines = [world.case_line(f"A{n}", mobile=f"138001380{n:02d}", relative=f"139001390{n:02d}") for n in range(30)]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    said: list[tuple[str, Any]] = []
    event.listen(
        store.database._engine.sync_engine,
        "before_cursor_execute",
        lambda _conn, _cursor, statement, parameters, _context, _many: said.append((statement, parameters)),
    )
    for candidate in await store.sweep.claim(campaign.id, 3, "n1", now):
        await store.ledger.facts(candidate, now)
        await world.whole_call(store, candidate, now, ProgressCategory.ANSWERED)
        await store.cases.page(candidate.case_id)
        await store.cases.timeline(candidate.case_id)
        await store.outcomes.file(candidate.case_id)
    await store.agenda.due(now)
    await store.agenda.overdue(now)
    await store.agenda.claim_due(campaign.id, "n1", now)
    await store.cases.list(placement_id=report.placement_id)
    await store.calls.list()
    await store.events.read_after(3)
    await store.attempts.recover("n2", now)
    await store.close()
    plans = _plans(path, said)
    assert len(plans) > 40
    guilty = {plan: statement for statement, plan in plans if GROWS.search(plan)}
    assert guilty == {}
    # A sort of everything that qualifies, to take the first hundred, grows with the queue.
    queue = [plan for statement, plan in plans if "FROM sweep_cases JOIN cases" in statement.replace("\n", " ")]
    assert queue
    assert not any("TEMP B-TREE" in plan for plan in queue)


async def test_what_people_ask_of_a_campaign_or_an_owner_reads_only_its_answer(tmp_path: Path, now: datetime) -> None:
    """An index that is walked from end to end is a scan too: here the plan must name what it looked for."""
    path = tmp_path / "store.db"
    store = await CaseStore.open(f"sqlite+aiosqlite:///{path}")
    lines = [world.case_line(f"A{n}", mobile=f"138001380{n:02d}") for n in range(30)]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    said: list[tuple[str, Any]] = []
    event.listen(
        store.database._engine.sync_engine,
        "before_cursor_execute",
        lambda _conn, _cursor, statement, parameters, _context, _many: said.append((statement, parameters)),
    )
    reading = CaseReading(store.database)
    asked: list[tuple[Awaitable[Any], str]] = [
        (FloorReading(store.database).tally(campaign.id), "SEARCH campaign_days"),
        (store.ledger.abandonment(campaign.id, now), "SEARCH campaign_days"),
        (store.attempts.in_flight(campaign.id), "uq_attempts_in_flight|ix_attempts_in_flight"),
        (store.sweep.standing(campaign.id, at_most=10), r"SEARCH sweep_cases .*campaign_id=\? AND state=\?"),
        (store.sweep.refusals(campaign.id, now), r"ix_sweep_tries_refused \(campaign_id=\?"),
        (store.agenda.due(now, owner="dialer"), r"ix_next_actions_owner_earliest \(owner=\?"),
        (reading.agenda(until=now, owner="dialer", after=None, limit=5), r"ix_next_actions_owner_latest \(owner=\?"),
        (store.cases.by_ref("bank", "A1"), r"client=\? AND client_ref=\?"),
        (_recall(store, tmp_path, now), r"client=\? AND client_ref=\?"),
    ]
    plans = []
    for one, wanted in asked:
        said.clear()
        await one
        plans.append((wanted, tuple(said)))
    await store.close()
    for wanted, statements in plans:
        found = [plan for _, plan in _plans(path, list(statements))]
        assert any(re.search(wanted, plan) for plan in found), (wanted, found)
        assert not any("ix_attempts_campaign_id_booked_at" in plan for plan in found), "all it ever dialed"


async def _recall(store: CaseStore, folder: Path, now: datetime) -> None:
    path = folder / "recall.csv"
    path.write_text("case_ref\nA1\nA2\n", encoding="utf-8")
    parsed = parse_bank_file(path, FileKind.RECALL, world.BANK, "Asia/Shanghai")
    await store.bank_files.load(parsed, now, follow_up_over(store, Settings()).conclude)


def _plans(path: Path, said: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    found = []
    with sqlite3.connect(path) as connection:
        for statement, parameters in said:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT") and not isinstance(parameters, list):
                rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters)).fetchall()
                found.append((statement, "; ".join(row[3] for row in rows)))
    connection.close()
    return found


async def test_a_fresh_load_and_its_sweep_are_known_to_the_planner(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    """PostgreSQL without statistics takes every column for one of 200 values and reads whole tables."""
    lines = [world.case_line(f"L{n:04d}", mobile=f"1380013{n:04d}") for n in range(1500)]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    claimed = await store.sweep.claim(campaign.id, 100, "n1", now)
    assert len(claimed) == 100
    if store.database.dialect != "postgresql":
        return
    async with store.database.read() as connection:
        rows = await connection.exec_driver_sql("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
        counted = {row.relname: row.reltuples for row in rows}
        plan = await connection.exec_driver_sql(
            f"EXPLAIN SELECT * FROM sweep_cases WHERE campaign_id = '{campaign.id}' AND case_id = '{claimed[0].case_id}'"
        )
        assert "rows=1 " in plan.scalars().all()[0]
    for table in ("persons", "debts", "cases", "balances", "contacts", "numbers", "next_actions", "sweep_cases"):
        assert counted[table] == 1500, table
