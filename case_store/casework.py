"""What the case room's people read: orders that wait, result files for the bank, and coverage of whole placements.

Every read is bounded by the work at hand (a page, a batch of cases, a placement), never by history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select, update

from case_store import sweep
from case_store.bank_files import Fold, RowRefused, add_number, join_number
from case_store.cases import UnknownCase
from case_store.database import Database
from case_store.intake.errors import FieldRefused
from case_store.intake.phone import read_numbers
from case_store.intake.placement import SELF, ParsedNumber
from case_store.model import Channel
from case_store.placements import standing_of_pair
from case_store.tables import (
    attempts,
    calls,
    cases,
    debts,
    next_actions,
    numbers,
    outcomes,
    placements,
    promises,
    sweep_cases,
    sweep_tries,
    work_orders,
)
from case_store.workflow.coverage import Pair, SweepClock
from config.errors import BadInput

_BATCH = 500

ClockOf = Callable[[Sequence[tuple[str, Channel]], str], str]
"""(number, channel) of a case in SOP order, and its region → the IANA name of the debtor's clock."""


class UnknownOrder(BadInput):
    error_id = "unknown-order"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderView:
    """A work order as it waits or was decided."""

    id: str
    case_id: str
    kind: str
    state: str
    asked_by: str
    asked_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    finished_at: datetime | None
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One case in a result file: its standing and the newest word on it."""

    client_ref: str
    account_ref: str
    state: str
    state_reason: str | None
    balance: str
    currency: str
    attempts: int
    conversations: int
    outcome: str | None
    outcome_at: datetime | None
    promised_amount: str | None
    promised_on: date | None
    promise_state: str | None
    next_action: str | None
    next_latest: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementPairs:
    """Every pair of a placement, the clocks of its open cases, and when each was last worked on."""

    placement_id: str
    name: str
    client: str
    pairs: tuple[Pair, ...]
    clocks: tuple[tuple[SweepClock, str], ...]  # with the case's region, for its calendar
    worked: tuple[tuple[str, datetime, datetime | None], ...]


class Casework:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def orders(
        self, *, state: str | None, kind: str | None, case_id: str | None, after: str | None, limit: int
    ) -> tuple[OrderView, ...]:
        """The longest waiting first; ``after`` is the last id seen."""
        query = select(work_orders).order_by(work_orders.c.id).limit(limit)
        for column, value in (
            (work_orders.c.state, state),
            (work_orders.c.kind, kind),
            (work_orders.c.case_id, case_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if after is not None:
            query = query.where(work_orders.c.id > after)
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return tuple(OrderView(**{name: getattr(row, name) for name in OrderView.__slots__}) for row in rows)

    async def order(self, order_id: str) -> OrderView:
        """Raises ``UnknownOrder``."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(work_orders).where(work_orders.c.id == order_id))).first()
        if row is None:
            raise UnknownOrder("there is no such order", field="order", remedy="take the id from those that wait")
        return OrderView(**{name: getattr(row, name) for name in OrderView.__slots__})

    async def found_number(
        self,
        case_id: str,
        raw: str,
        channel: Channel,
        now: datetime,
        fold: Fold,
        *,
        name: str,
        relation: str,
        by: str,
        sop_order: tuple[str, ...],
    ) -> str:
        """查到号码: a number from a lawful source joins the case and its sweep. Returns its id.

        Raises ``UnknownCase``, ``FieldRefused`` for what is no number, ``RowRefused`` where the case has it.
        """
        async with self._database.write() as unit:
            await unit.lock([f"case:{case_id}"])
            region = await unit.connection.scalar(select(cases.c.region).where(cases.c.id == case_id))
            if region is None:
                raise UnknownCase("there is no such case", field="case_id", remedy="take the id from the list of cases")
            lines = read_numbers(raw, field="phone", region=region[:2])
            if len(lines) != 1 or isinstance(lines[0], FieldRefused):
                raise (
                    lines[0]
                    if isinstance(lines[0], FieldRefused)
                    else FieldRefused(
                        "one number at a time", field="phone", value=raw, remedy="send each number by itself"
                    )
                )
            number = ParsedNumber(
                line=lines[0],
                raw=raw[:128],
                channel=channel,
                position=0,
                contact_name=name,
                relation=SELF if channel.is_debtors_own else relation,
            )
            number_id = await add_number(unit, case_id, number, now, sop_order=sop_order)
            if number_id is None:
                raise RowRefused("the case has this number already", field="phone", remedy="look at the case's numbers")
            await join_number(unit, case_id, number_id, now, fold, by=by)
        return number_id

    async def results(self, placement_id: str) -> AsyncIterator[CaseResult]:
        """Every case of a placement with its newest outcome, promise and next action, a batch at a time."""
        last = ""
        while True:
            async with self._database.read() as connection:
                rows = (
                    await connection.execute(
                        select(cases, debts.c.account_ref)
                        .join(debts, debts.c.id == cases.c.debt_id)
                        .where(cases.c.placement_id == placement_id, cases.c.id > last)
                        .order_by(cases.c.id)
                        .limit(_BATCH)
                    )
                ).all()
                if not rows:
                    return
                ids = [row.id for row in rows]
                newest = await _newest(connection, outcomes, outcomes.c.at, ids)
                promised = await _newest(connection, promises, promises.c.given_at, ids)
                made = {
                    row[0]: row[1]
                    for row in await connection.execute(
                        select(attempts.c.case_id, func.count())
                        .where(attempts.c.case_id.in_(ids), attempts.c.state.in_(("done", "lost")))
                        .group_by(attempts.c.case_id)
                    )
                }
                talked = {
                    row[0]: row[1]
                    for row in await connection.execute(
                        select(calls.c.case_id, func.count())
                        .where(calls.c.case_id.in_(ids), calls.c.bridged_at.is_not(None))
                        .group_by(calls.c.case_id)
                    )
                }
                live = {
                    row.case_id: row
                    for row in await connection.execute(
                        select(next_actions.c.case_id, next_actions.c.action, next_actions.c.latest).where(
                            next_actions.c.case_id.in_(ids), next_actions.c.state == "live"
                        )
                    )
                }
            for row in rows:
                word, promise, action = newest.get(row.id), promised.get(row.id), live.get(row.id)
                yield CaseResult(
                    client_ref=row.client_ref,
                    account_ref=row.account_ref,
                    state=row.state,
                    state_reason=row.state_reason,
                    balance=format(row.balance_amount, "f"),
                    currency=row.balance_currency,
                    attempts=made.get(row.id, 0),
                    conversations=talked.get(row.id, 0),
                    outcome=word.code if word is not None else None,
                    outcome_at=word.at if word is not None else None,
                    promised_amount=format(promise.amount, "f") if promise is not None else None,
                    promised_on=promise.due_on if promise is not None else None,
                    promise_state=promise.state if promise is not None else None,
                    next_action=action.action if action is not None else None,
                    next_latest=action.latest if action is not None else None,
                )
            last = ids[-1]

    async def assign(self, case_id: str, owner_id: str | None, now: datetime, *, by: str) -> None:
        """Whose case it is: the collector whom coverage counts it for. Raises ``UnknownCase``."""
        async with self._database.write() as unit:
            await unit.lock([f"case:{case_id}"])
            row = (await unit.connection.execute(select(cases.c.owner_id).where(cases.c.id == case_id))).first()
            if row is None:
                raise UnknownCase("there is no such case", field="case_id", remedy="take the id from the list of cases")
            await unit.connection.execute(update(cases).where(cases.c.id == case_id).values(owner_id=owner_id))
            unit.emit("case.assigned", now, case_id=case_id, subject_id=case_id, old=row.owner_id, new=owner_id, by=by)

    async def pairs(self, placement_id: str, clock_of: ClockOf) -> PlacementPairs:
        """The pairs of one placement. The work is the placement's numbers, whatever was called in earlier ones.

        ``clock_of`` names the debtor's zone from the case's numbers (in SOP order) and its region.
        """
        tried = attempts.alias()
        attempted = (
            select(tried.c.id)
            .where(
                tried.c.number_id == numbers.c.id,
                tried.c.state.in_(("done", "lost")),
                tried.c.category.is_(None) | tried.c.category.not_in(sorted(sweep.SAYS_NOTHING)),
            )
            .exists()
        )
        reached = select(tried.c.id).where(tried.c.number_id == numbers.c.id, tried.c.answered_at.is_not(None)).exists()
        query = (
            select(
                numbers.c.id,
                numbers.c.case_id,
                numbers.c.e164,
                numbers.c.channel,
                numbers.c.state,
                cases.c.state.label("case_state"),
                cases.c.owner_id,
                cases.c.opened_at,
                cases.c.last_touched_at,
                cases.c.region.label("case_region"),
                attempted.label("attempted"),
                reached.label("reached"),
                sweep_tries.c.state.label("try_state"),
                sweep_tries.c.rule,
                sweep_tries.c.again_at,
                sweep_tries.c.source,
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
            .order_by(numbers.c.case_id, numbers.c.sop_rank, numbers.c.id)
        )
        found: dict[str, Pair] = {}
        open_cases: dict[str, Any] = {}
        lines: dict[str, list[tuple[str, Channel]]] = {}
        waiting: set[str] = set()
        async with self._database.read() as connection:
            placement = (await connection.execute(select(placements).where(placements.c.id == placement_id))).one()
            async for row in await connection.stream(query):
                lines.setdefault(row.case_id, []).append((row.e164, Channel(row.channel)))
                seen = standing_of_pair(row)
                if row.id in found and found[row.id].attempted:
                    continue
                found[row.id] = Pair(
                    case_id=row.case_id,
                    number_id=row.id,
                    placement_id=placement_id,
                    client=placement.client,
                    channel=Channel(row.channel),
                    collector=row.owner_id,
                    permitted=seen.standing in ("attempted", "pending"),
                    attempted=seen.standing == "attempted",
                    reached=bool(row.reached),
                    never_tried_because=seen.reason,
                )
                if row.case_state == "open":
                    open_cases[row.case_id] = row
        waiting = {pair.case_id for pair in found.values() if pair.permitted and not pair.attempted}
        return PlacementPairs(
            placement_id=placement_id,
            name=placement.name,
            client=placement.client,
            pairs=tuple(found.values()),
            clocks=tuple(
                (
                    SweepClock(
                        case_id=case_id,
                        zone=clock_of(lines[case_id], row.case_region),
                        entrusted_at=row.opened_at,
                        swept=case_id not in waiting,
                    ),
                    row.case_region,
                )
                for case_id, row in open_cases.items()
            ),
            worked=tuple((case_id, row.opened_at, row.last_touched_at) for case_id, row in open_cases.items()),
        )


async def _newest(connection: Any, table: Any, at: Any, case_ids: list[str]) -> dict[str, Any]:
    place = func.row_number().over(partition_by=table.c.case_id, order_by=(at.desc(), table.c.id.desc()))
    ranked = select(table, place.label("place")).where(table.c.case_id.in_(case_ids)).subquery()
    rows = await connection.execute(select(ranked).where(ranked.c.place == 1))
    return {row.case_id: row for row in rows}
