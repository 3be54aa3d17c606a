"""No cherry-picking: what became of every number of a placement, over all its sweeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Subquery, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store import sweep
from case_store.model import Placement
from case_store.tables import attempts, campaign_placements, cases, numbers, sweep_cases, sweep_tries


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberCoverage:
    """``standing``: attempted, refused (with its rule), pending, or skipped (with its reason)."""

    case_id: str
    number_id: str
    e164: str
    standing: str
    reason: str | None
    source: str | None = None
    until: datetime | None = None  # when a refusal ends, where its rule says so


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """``permitted`` = attempted + pending: what policy lets be called, whether it was by now or not."""

    placement: Placement
    cases: int
    numbers: int
    attempted: int
    pending: int
    refused: int
    skipped: int
    reasons: dict[str, int]
    untried: tuple[NumberCoverage, ...]

    @property
    def permitted(self) -> int:
        return self.attempted + self.pending

    @property
    def share(self) -> float:
        """Attempted of permitted, 0 to 1."""
        return self.attempted / self.permitted if self.permitted else 1.0


async def coverage_of(connection: AsyncConnection, placement: Placement, *, untried_limit: int) -> Coverage:
    """What became of each (case, number) pair of a placement, over all its sweeps."""
    sweeps = await connection.scalar(
        select(func.count()).select_from(campaign_placements).where(campaign_placements.c.placement_id == placement.id)
    )
    pairs = _pairs(placement.id, several_sweeps=(sweeps or 0) > 1)
    # The rule that judges a pair looks at a handful of facts: pairs of the same facts are counted by the database.
    facts = [pairs.c[name] for name in _JUDGED]
    groups = select(*facts, func.count().label("pairs"), func.max(pairs.c.again_at).label("again_at")).group_by(
        *facts, pairs.c.again_at.is_(None)
    )
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in await connection.execute(groups):
        standing, reason = _judge(row)
        counts[standing] += row.pairs
        if standing != "attempted":
            reasons[reason or "not yet"] += row.pairs
    untried = (
        select(pairs)
        .where(pairs.c.attempted.is_(False))
        .order_by(pairs.c.case_id, pairs.c.sop_rank, pairs.c.id)
        .limit(untried_limit)
    )
    listed = tuple(standing_of_pair(row) for row in await connection.execute(untried))
    total = await connection.scalar(select(func.count()).select_from(cases).where(cases.c.placement_id == placement.id))
    return Coverage(
        placement=placement,
        cases=total or 0,
        numbers=counts.total(),
        attempted=counts["attempted"],
        pending=counts["pending"],
        refused=counts["refused"],
        skipped=counts["skipped"],
        reasons=dict(reasons),
        untried=listed,
    )


_JUDGED = ("attempted", "try_state", "rule", "state", "case_state", "sweep_state", "reason")


def _pairs(placement_id: str, *, several_sweeps: bool) -> Subquery:
    """Each number of a placement once, with the latest word of any sweep about it; of sweeps that said nothing, the newest."""
    told = (
        select(
            numbers.c.id,
            numbers.c.case_id,
            numbers.c.e164,
            numbers.c.sop_rank,
            numbers.c.state,
            cases.c.state.label("case_state"),
            sweep_tries.c.state.label("try_state"),
            sweep_tries.c.rule,
            sweep_tries.c.source,
            sweep_tries.c.again_at,
            sweep_cases.c.state.label("sweep_state"),
            sweep_cases.c.reason,
        )
        .join(cases, cases.c.id == numbers.c.case_id)
        .outerjoin(sweep_cases, sweep_cases.c.case_id == cases.c.id)
        .outerjoin(
            sweep_tries,
            (sweep_tries.c.number_id == numbers.c.id) & (sweep_tries.c.campaign_id == sweep_cases.c.campaign_id),
        )
        .where(cases.c.placement_id == placement_id)
    )
    if not several_sweeps:  # as almost always: nothing has to be set in order to find the one word there is
        return told.add_columns(_attempted(numbers.c.id)).subquery()
    latest = func.row_number().over(
        partition_by=numbers.c.id, order_by=(sweep_tries.c.at.desc().nulls_last(), sweep_cases.c.campaign_id.desc())
    )
    every = told.add_columns(latest.label("place")).subquery()
    return select(*every.c, _attempted(every.c.id)).where(every.c.place == 1).subquery()


def _attempted(number_id: ColumnElement[str]) -> ColumnElement[bool]:
    return (
        select(attempts.c.number_id)
        .where(
            attempts.c.number_id == number_id,
            attempts.c.state.in_(("done", "lost")),
            attempts.c.category.is_(None) | attempts.c.category.not_in(sorted(sweep.SAYS_NOTHING)),
        )
        .exists()
        .label("attempted")
    )


def standing_of_pair(row: Any) -> NumberCoverage:
    standing, reason = _judge(row)
    refused = standing == "refused"
    return NumberCoverage(
        case_id=row.case_id,
        number_id=row.id,
        e164=row.e164,
        standing=standing,
        reason=reason,
        source=row.source if refused else None,
        until=row.again_at if refused else None,
    )


def _judge(row: Any) -> tuple[str, str | None]:
    """(standing, reason)."""
    stopped = row.sweep_state == "stopped"
    if row.attempted:
        return "attempted", None
    # A refusal that ends by itself keeps nothing back any more once the sweep of the case has been stopped.
    if row.try_state == "refused" and not (stopped and row.again_at is not None):
        return "refused", row.rule
    if row.state != "live":
        return "skipped", f"number-{row.state}"
    if row.case_state != "open":
        return "skipped", f"case-{row.case_state}"
    if stopped:
        return "skipped", row.reason or "sweep-stopped"
    return "pending", "trunk-trouble" if row.try_state == "put-off" else None
