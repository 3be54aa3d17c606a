"""Coverage of a placement, counted by the database: nobody is left out or counted twice. Category: contract, both databases."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from case_store.ledger import Candidate
from case_store.network import ProgressCategory
from case_store.store import CaseStore
from case_store.sweep import Campaign
from case_store.tables import numbers
from case_store.verdict import Verdict
from tests.contract.store import world


async def _refused(
    store: CaseStore, campaign: Campaign, number_id: str, now: datetime, rule: str, until: datetime | None
) -> None:
    candidate = await store.sweep.candidate(campaign.id, number_id)
    assert isinstance(candidate, Candidate)
    no = Verdict(allowed=False, rule=rule, figure="1", source=f"source of {rule}", until=until)
    booking = await store.attempts.book(candidate, now, lambda _facts: no, node="n1")
    assert booking.attempt is None


async def _called(store: CaseStore, campaign: Campaign, number_id: str, now: datetime) -> None:
    candidate = await store.sweep.candidate(campaign.id, number_id)
    assert candidate is not None
    await world.whole_call(store, candidate, now, ProgressCategory.NO_ANSWER)


async def test_every_number_once_with_the_latest_word_of_any_sweep(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    lines = [world.case_line(f"A{n}", mobile=f"138001380{n:02d}", relative=f"139001390{n:02d}") for n in range(6)]
    report = await world.load(store, tmp_path, now, *lines)
    other = await world.load(store, tmp_path, now, world.case_line("B", mobile="13700137000"), name="other")
    first, second = [await world.sweep_of(store, report, now, name) for name in ("one", "two")]
    async with store.database.read() as connection:
        found = {row.e164[-4:]: row.id for row in await connection.execute(select(numbers.c.e164, numbers.c.id))}
    mobile, relative = [[found[f"{middle}0{n}"] for n in range(6)] for middle in ("80", "90")]
    soon, later = now + timedelta(hours=2), now + timedelta(hours=9)
    # Refused by the first sweep, then by the second for another reason: the later word stands, whichever sweep is older.
    await _refused(store, first, mobile[0], now, "hours", soon)
    await _refused(store, second, mobile[0], now + timedelta(minutes=1), "holiday", later)
    await _refused(store, second, mobile[1], now, "holiday", later)
    await _refused(store, first, mobile[1], now + timedelta(minutes=1), "hours", soon)
    # Refused in one sweep and called in the other: attempted, once.
    await _refused(store, first, mobile[2], now, "hours", soon)
    await _called(store, second, mobile[2], now + timedelta(minutes=1))
    await _refused(store, second, relative[0], now, "third-party", None)
    coverage = await store.placements.coverage(report.placement_id)
    assert (coverage.cases, coverage.numbers) == (6, 12)
    assert (coverage.attempted, coverage.refused, coverage.skipped, coverage.pending) == (1, 3, 0, 8)
    assert coverage.reasons == {"holiday": 1, "hours": 1, "third-party": 1, "not yet": 8}
    told = {one.number_id: (one.standing, one.reason, one.source, one.until) for one in coverage.untried}
    assert told[mobile[0]] == ("refused", "holiday", "source of holiday", later)
    assert told[mobile[1]] == ("refused", "hours", "source of hours", soon)
    assert told[relative[0]] == ("refused", "third-party", "source of third-party", None)
    assert told[mobile[3]] == ("pending", None, None, None)
    assert len(told) == len(coverage.untried) == 11
    assert mobile[2] not in told
    beside = await store.placements.coverage(other.placement_id)
    assert (beside.numbers, beside.attempted, beside.reasons) == (1, 0, {"not yet": 1})


@pytest.mark.parametrize("limit", [0, 1, 5])
async def test_the_list_is_cut_and_the_counts_are_not(
    store: CaseStore, tmp_path: Path, now: datetime, limit: int
) -> None:
    lines = [world.case_line(f"A{n}", mobile=f"138001380{n:02d}", relative=f"139001390{n:02d}") for n in range(3)]
    report = await world.load(store, tmp_path, now, *lines)
    whole = await store.placements.coverage(report.placement_id)
    cut = await store.placements.coverage(report.placement_id, untried_limit=limit)
    assert cut.untried == whole.untried[:limit]
    assert [one.case_id for one in whole.untried] == sorted(one.case_id for one in whole.untried)
    assert (cut.numbers, cut.pending, cut.reasons) == (6, 6, {"not yet": 6})
