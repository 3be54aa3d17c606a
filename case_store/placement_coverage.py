"""No cherry-picking: what became of every number of a placement, over all its sweeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store import sweep
from case_store.model import Placement
from case_store.tables import attempts, cases, numbers, sweep_cases, sweep_tries


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
    attempted = (
        select(attempts.c.number_id)
        .where(
            attempts.c.number_id == numbers.c.id,
            attempts.c.state.in_(("done", "lost")),
            attempts.c.category.is_(None) | attempts.c.category.not_in(sorted(sweep.SAYS_NOTHING)),
        )
        .exists()
    )
    # The latest word of any sweep about the number.
    query = (
        select(
            numbers.c.id,
            numbers.c.case_id,
            numbers.c.e164,
            numbers.c.state,
            cases.c.state.label("case_state"),
            attempted.label("attempted"),
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
        .where(cases.c.placement_id == placement.id)
        .order_by(numbers.c.case_id, numbers.c.sop_rank, numbers.c.id)
    )
    standing: dict[str, NumberCoverage] = {}
    total = await connection.scalar(select(func.count()).select_from(cases).where(cases.c.placement_id == placement.id))
    for row in await connection.execute(query):
        seen = standing_of_pair(row)
        if row.id not in standing or standing[row.id].standing != "attempted":
            standing[row.id] = seen
    counts = Counter(one.standing for one in standing.values())
    untried = [one for one in standing.values() if one.standing != "attempted"]
    return Coverage(
        placement=placement,
        cases=total or 0,
        numbers=len(standing),
        attempted=counts["attempted"],
        pending=counts["pending"],
        refused=counts["refused"],
        skipped=counts["skipped"],
        reasons=dict(Counter(one.reason or "not yet" for one in untried)),
        untried=tuple(untried[:untried_limit]),
    )


def standing_of_pair(row: Any) -> NumberCoverage:
    standing, reason, source, until = "pending", None, None, None
    stopped = row.sweep_state == "stopped"
    if row.attempted:
        standing = "attempted"
    elif row.try_state == "refused" and not (stopped and row.again_at is not None):
        # A refusal that ends by itself keeps nothing back any more once the sweep of the case has been stopped.
        standing, reason, source, until = "refused", row.rule, row.source, row.again_at
    elif row.state != "live":
        standing, reason = "skipped", f"number-{row.state}"
    elif row.case_state != "open":
        standing, reason = "skipped", f"case-{row.case_state}"
    elif stopped:
        standing, reason = "skipped", row.reason or "sweep-stopped"
    elif row.try_state == "put-off":
        reason = "trunk-trouble"
    return NumberCoverage(
        case_id=row.case_id,
        number_id=row.id,
        e164=row.e164,
        standing=standing,
        reason=reason,
        source=source,
        until=until,
    )
