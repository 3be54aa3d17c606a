"""What became of the calls to a line, over campaigns. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from case_store.ledger import NumberPast
from case_store.network import ProgressCategory
from case_store.store import CaseStore
from tests.contract.store import world

MOBILE, OTHER, STRANGER = "+8613800138000", "+8613800138001", "+8613800138009"


async def test_silence_is_counted_since_the_last_answer_and_within_the_window(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    report = await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", mobile="13800138000"),
        world.case_line("A2", mobile="13800138001"),
    )
    silent, answered = ProgressCategory.NO_ANSWER, ProgressCategory.ANSWERED
    outcomes = [(silent, silent), (answered, silent), (silent, silent), (silent, silent)]
    for day, (of_mobile, of_other) in enumerate(outcomes):
        campaign = await world.sweep_of(store, report, now, f"sweep {day}")
        at = now + timedelta(days=day)
        for candidate in await store.sweep.claim(campaign.id, 10, "n1", at):
            await world.whole_call(store, candidate, at, of_mobile if candidate.e164 == MOBILE else of_other)
    everything = await store.ledger.past_of([MOBILE, OTHER, STRANGER], now - timedelta(days=30))
    assert everything == {
        MOBILE: NumberPast(silent=2, answered_before=True),
        OTHER: NumberPast(silent=4, answered_before=False),
        STRANGER: NumberPast(),
    }
    late = await store.ledger.past_of([MOBILE], now + timedelta(days=2, hours=-1))
    assert late == {MOBILE: NumberPast(silent=2, answered_before=False)}


async def test_a_call_under_way_tells_nothing_yet(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    [candidate] = await store.sweep.claim(campaign.id, 10, "n1", now)
    await world.place(store, await world.book(store, candidate, now), now)
    assert await store.ledger.past_of([MOBILE], now - timedelta(days=30)) == {MOBILE: NumberPast()}
