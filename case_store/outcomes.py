"""Outcomes (the person's word) and what follows from them, stored together: one transaction per conclusion.

What follows is computed by the pure workflow; ``record`` reads the case under its lock, hands it over, and stores
the answer: the next action, number states, the promise, the case's state, the end of its sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store import sweep
from case_store.agenda import end_action, live_action, look_again, same_action, set_action
from case_store.cases import UnknownCase, as_case, as_number
from case_store.database import Database, Unit
from case_store.ledger import CaseSurroundings, read_surroundings
from case_store.model import (
    Case,
    CaseState,
    Money,
    NextAction,
    NumberState,
    OutcomeRecord,
    PhoneNumber,
    PromiseRecord,
    StoredAction,
)
from case_store.number_states import change_number, note_sign
from case_store.tables import (
    LIVE,
    calls,
    cases,
    numbers,
    outcomes,
    owed_outcomes,
    payments,
    placements,
    promises,
    refusal_blocks,
    work_orders,
    workflow_states,
)
from case_store.workflow.outcomes import BY_CONTACT, BY_DEBTOR, OutcomeCode
from config.errors import BadInput, InvariantBroken
from config.identity import new_id


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseFile:
    """What the workflow may look at when it concludes: the case as it stands, ``outcome`` included as the last one."""

    case: Case
    case_state: CaseState
    state_reason: str | None
    numbers: tuple[PhoneNumber, ...]
    outcomes: tuple[OutcomeRecord, ...]  # oldest first
    promises: tuple[PromiseRecord, ...]  # oldest first
    paid: tuple[tuple[date, Money], ...]  # net of reversals, oldest first
    action: StoredAction | None
    client: str
    opened_at: datetime
    term_ends_on: date | None
    workflow: dict[str, Any] | None = None  # what the workflow remembered at its last event; None: nothing yet
    surroundings: CaseSurroundings | None = None  # read when something is concluded: what the policy must know


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What follows. ``next_action`` is None exactly when the case closes."""

    next_action: NextAction | None
    case_state: CaseState = CaseState.OPEN
    state_reason: str | None = None
    number_states: Mapping[str, NumberState] = field(default_factory=dict)
    number_sign: str | None = None  # NO_SUCH_PERSON, LEFT_JOB or MOVED: counted against the number that was called
    stop_sweep: bool = False
    block_person: bool = False  # REFUSED_CONTACT: the person behind the called number, on this case, for good
    promise: bool = False  # the outcome's amount and date become the live promise
    settle_promise: str | None = None  # kept, partial, broken or withdrawn
    workflow: dict[str, Any] | None = None  # remembered for the next event
    look_at: datetime | None = None  # when the clock alone changes something: a window lapses, a promise settles
    balance: Decimal | None = None  # what is owed now, after payments and waivers
    reopens: bool = False  # a reversed payment opens a paid case again
    turned_promise: str | None = None  # the newest verdict fell with a payment: kept, partial, broken or live now
    permitted: tuple[str, ...] = ()  # numbers that may be called again: their sweeps forget the refusal
    orders: tuple[dict[str, Any], ...] = ()  # work orders that changed, as rows
    notices: tuple[dict[str, Any], ...] = ()  # raised for people to see: WINDOW_BLOCKED, OVERDUE, VERDICT, …


_TALKED = frozenset(
    code.value for code in BY_DEBTOR | BY_CONTACT | {OutcomeCode.CALLED_BACK, OutcomeCode.CALL_BACK_AGREED}
)
"""Outcomes of a talk: a case that is nobody's becomes whose collector reports the first of them."""

Conclude = Callable[[CaseFile], Conclusion]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewOutcome:
    case_id: str
    code: str
    agent_id: str
    call_id: str | None = None
    number_id: str | None = None
    amount: Decimal | None = None
    promised_on: date | None = None
    note: str = ""
    details: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    outcome: OutcomeRecord
    next_action: StoredAction | None


class CaseIsClosed(BadInput):
    error_id = "case-closed"


class PromiseAboveBalance(BadInput):
    """Rule 10: never collect more than the debt."""

    error_id = "promise-above-balance"


class Outcomes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, new: NewOutcome, now: datetime, conclude: Conclude) -> Recorded:
        """Store an outcome and everything that follows from it, or nothing.

        Raises ``UnknownCase``, ``CaseIsClosed``, ``PromiseAboveBalance``.
        """
        async with self._database.write() as unit:
            await unit.lock([f"case:{new.case_id}"])
            outcome = await self._write(unit, new, now)
            file = await read_case_file(unit.connection, new.case_id, now)
            conclusion = conclude(file)
            stored = await apply(unit, file, conclusion, now, outcome=outcome)
            unit.emit(
                "outcome.recorded",
                now,
                case_id=new.case_id,
                subject_id=outcome.id,
                code=new.code,
                call_id=new.call_id,
                agent_id=new.agent_id,
            )
        return Recorded(outcome=outcome, next_action=stored)

    async def conclude(self, case_id: str, now: datetime, conclude: Conclude) -> StoredAction | None:
        """Let the workflow conclude without a new outcome: a settled promise, a lapsed window, an emptied sweep."""
        async with self._database.write() as unit:
            await unit.lock([f"case:{case_id}"])
            return await conclude_in(unit, case_id, now, conclude)

    async def file(self, case_id: str, now: datetime | None = None) -> CaseFile:
        """``now`` adds what the policy must know (``surroundings``)."""
        async with self._database.read() as connection:
            return await read_case_file(connection, case_id, now)

    async def of_case(self, case_id: str) -> tuple[OutcomeRecord, ...]:
        async with self._database.read() as connection:
            return await _outcomes(connection, case_id)

    async def promises_due(self, on: date, *, limit: int = 1000) -> tuple[PromiseRecord, ...]:
        """Live promises due on or before a day."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(promises)
                .where(promises.c.state == LIVE, promises.c.due_on <= on)
                .order_by(promises.c.due_on, promises.c.id)
                .limit(limit)
            )
            return tuple(as_promise(row) for row in rows)

    async def _write(self, unit: Unit, new: NewOutcome, now: datetime) -> OutcomeRecord:
        row = (
            await unit.connection.execute(
                select(cases.c.state, cases.c.balance_amount, cases.c.balance_currency)
                .where(cases.c.id == new.case_id)
                .with_for_update()
            )
        ).first()
        if row is None:
            raise UnknownCase("there is no such case", field="case_id", remedy="take the id from the list of cases")
        if row.state == CaseState.CLOSED:
            raise CaseIsClosed("the case is closed", field="case_id", remedy="reopen it with an approved request")
        if new.amount is not None and new.amount > row.balance_amount:
            raise PromiseAboveBalance(
                "the amount is more than the debt", field="amount", remedy="agree on at most the balance"
            )
        number_id = new.number_id
        if number_id is None and new.call_id is not None:
            number_id = await unit.connection.scalar(select(calls.c.number_id).where(calls.c.id == new.call_id))
        outcome = OutcomeRecord(
            id=new_id("out"),
            case_id=new.case_id,
            call_id=new.call_id,
            number_id=number_id,
            code=new.code,
            at=now,
            agent_id=new.agent_id,
            amount=None if new.amount is None else Money(amount=new.amount, currency=row.balance_currency),
            promised_on=new.promised_on,
            note=new.note,
        )
        await unit.connection.execute(
            insert(outcomes).values(
                id=outcome.id,
                case_id=outcome.case_id,
                call_id=outcome.call_id,
                number_id=number_id,
                code=outcome.code,
                at=now,
                agent_id=outcome.agent_id,
                amount=new.amount,
                currency=row.balance_currency if new.amount is not None else None,
                promised_on=new.promised_on,
                note=new.note,
                details=new.details,
            )
        )
        touched: dict[str, Any] = {"last_touched_at": now}
        if new.code in _TALKED:
            touched["owner_id"] = func.coalesce(cases.c.owner_id, new.agent_id)
        await unit.connection.execute(update(cases).where(cases.c.id == new.case_id).values(**touched))
        if new.call_id is not None:
            await unit.connection.execute(delete(owed_outcomes).where(owed_outcomes.c.call_id == new.call_id))
        return outcome


async def conclude_in(unit: Unit, case_id: str, now: datetime, conclude: Conclude) -> StoredAction | None:
    """``Outcomes.conclude`` inside the caller's transaction: files of the bank are taken whole."""
    file = await read_case_file(unit.connection, case_id, now)
    return await apply(unit, file, conclude(file), now, outcome=None)


async def apply(
    unit: Unit, file: CaseFile, conclusion: Conclusion, now: datetime, *, outcome: OutcomeRecord | None
) -> StoredAction | None:
    """Store a conclusion inside the caller's transaction."""
    case_id = file.case.id
    closes = conclusion.case_state is CaseState.CLOSED
    if closes != (conclusion.next_action is None):
        raise InvariantBroken(
            "a case has exactly one next action unless it is closed", remedy="report this with the case's timeline"
        )
    for number_id, state in conclusion.number_states.items():
        await change_number(unit, number_id, case_id, state, now, reason=outcome.code if outcome else "workflow")
    if outcome is not None and outcome.number_id is not None:
        if conclusion.number_sign is not None:
            await note_sign(unit, outcome.number_id, case_id, conclusion.number_sign, now)
        if conclusion.block_person:
            await _block(unit, case_id, outcome, now)
    if conclusion.settle_promise is not None:
        await unit.connection.execute(
            update(promises)
            .where(promises.c.case_id == case_id, promises.c.state == LIVE)
            .values(state=conclusion.settle_promise, settled_at=now)
        )
    if conclusion.promise:
        await _promise(unit, file, outcome, now)
    if conclusion.turned_promise is not None:
        await _turn_promise(unit, case_id, conclusion.turned_promise, now)
    if (file.case_state, file.state_reason) != (conclusion.case_state, conclusion.state_reason):
        await change_case(
            unit,
            case_id,
            file.case_state,
            conclusion.case_state,
            conclusion.state_reason,
            now,
            reopens=conclusion.reopens,
        )
    if conclusion.balance is not None and conclusion.balance != file.case.balance.amount:
        await unit.connection.execute(
            update(cases).where(cases.c.id == case_id).values(balance_amount=max(conclusion.balance, Decimal(0)))
        )
    if conclusion.workflow is not None:
        await _remember(unit, case_id, conclusion.workflow, now)
    for order in conclusion.orders:
        await _keep_order(unit, case_id, order, now)
    for notice in conclusion.notices:
        unit.emit("workflow.notice", now, case_id=case_id, subject_id=case_id, **notice)
    if conclusion.stop_sweep or conclusion.case_state is not CaseState.OPEN:
        await sweep.stop_case(unit, case_id, outcome.code if outcome else (conclusion.state_reason or "workflow"))
    if conclusion.next_action is None:
        await end_action(unit, case_id, now, state="cancelled")
        return None
    if conclusion.permitted:
        await sweep.forget_refusals(unit, conclusion.permitted)
    if conclusion.next_action.action == "sweep" and conclusion.case_state is CaseState.OPEN:
        await sweep.resume_case(unit, case_id, now)
    if outcome is None and file.action is not None and same_action(file.action, conclusion.next_action):
        # The clock looked and nothing changed: the action stays the one people saw, with its claim.
        await look_again(unit, file.action.id, conclusion.look_at)
        return file.action
    return await set_action(
        unit,
        conclusion.next_action,
        now,
        ended_as="done" if outcome else "replaced",
        look_at=conclusion.look_at if conclusion.workflow is not None else conclusion.next_action.latest,
    )


async def _turn_promise(unit: Unit, case_id: str, verdict: str, now: datetime) -> None:
    newest = (
        select(promises.c.id)
        .where(promises.c.case_id == case_id, promises.c.state.in_(("kept", "partial", "broken")))
        .order_by(promises.c.given_at.desc(), promises.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    await unit.connection.execute(
        update(promises)
        .where(promises.c.id == newest)
        .values(state=verdict, settled_at=None if verdict == "live" else now)
    )


async def _keep_order(unit: Unit, case_id: str, order: dict[str, Any], now: datetime) -> None:
    """The workflow's order as a row, so that whoever must decide finds it without reading every case."""
    values = {name: value for name, value in order.items() if name != "id"}
    await unit.connection.execute(
        sweep.upsert(unit.dialect, work_orders)
        .values(id=order["id"], case_id=case_id, **values)
        .on_conflict_do_update(index_elements=["id"], set_=values)
    )
    unit.emit(
        "work-order.changed",
        now,
        case_id=case_id,
        subject_id=order["id"],
        order=order["kind"],
        new=order["state"],
    )


async def _remember(unit: Unit, case_id: str, state: dict[str, Any], now: datetime) -> None:
    values = {"state": state, "at": now}
    await unit.connection.execute(
        sweep.upsert(unit.dialect, workflow_states)
        .values(case_id=case_id, **values)
        .on_conflict_do_update(index_elements=["case_id"], set_=values)
    )


async def change_case(
    unit: Unit,
    case_id: str,
    old: CaseState,
    to: CaseState,
    reason: str | None,
    now: datetime,
    *,
    reopens: bool = False,
) -> None:
    """The one door for a case's state."""
    if old is CaseState.CLOSED and to is not CaseState.CLOSED and not reopens:
        raise CaseIsClosed("the case is closed", field="case_id", remedy="reopen it with an approved request")
    await unit.connection.execute(
        update(cases)
        .where(cases.c.id == case_id)
        .values(state=to.value, state_reason=reason, closed_at=now if to is CaseState.CLOSED else None)
    )
    unit.emit("case.changed", now, case_id=case_id, subject_id=case_id, old=old.value, new=to.value, reason=reason)


async def _promise(unit: Unit, file: CaseFile, outcome: OutcomeRecord | None, now: datetime) -> None:
    if outcome is None or outcome.amount is None or outcome.promised_on is None:
        raise BadInput("a promise needs an amount and a date", field="promised_on", remedy="enter both")
    await unit.connection.execute(
        update(promises)
        .where(promises.c.case_id == file.case.id, promises.c.state == LIVE)
        .values(state="withdrawn", settled_at=now)
    )
    await unit.connection.execute(
        insert(promises).values(
            id=new_id("prom"),
            case_id=file.case.id,
            debtor_person_id=file.case.debtor_person_id,
            outcome_id=outcome.id,
            amount=outcome.amount.amount,
            currency=outcome.amount.currency,
            given_at=now,
            due_on=outcome.promised_on,
            state="live",
        )
    )


async def _block(unit: Unit, case_id: str, outcome: OutcomeRecord, now: datetime) -> None:
    person_id = await unit.connection.scalar(select(numbers.c.person_id).where(numbers.c.id == outcome.number_id))
    there = await unit.connection.scalar(
        select(refusal_blocks.c.id).where(refusal_blocks.c.case_id == case_id, refusal_blocks.c.person_id == person_id)
    )
    if there is None:
        await unit.connection.execute(
            insert(refusal_blocks).values(
                id=new_id("blk"),
                case_id=case_id,
                person_id=person_id,
                at=now,
                recorded_by=outcome.agent_id,
                call_id=outcome.call_id,
            )
        )
    theirs = await unit.connection.execute(
        select(numbers.c.id).where(numbers.c.case_id == case_id, numbers.c.person_id == person_id)
    )
    for number_id in theirs.scalars().all():
        await change_number(unit, number_id, case_id, NumberState.BLOCKED, now, reason=outcome.code)


async def read_case_file(connection: AsyncConnection, case_id: str, now: datetime | None = None) -> CaseFile:
    """Everything of one case; bounded by the case, not by the house. ``now``: with its surroundings."""
    row = (await connection.execute(select(cases).where(cases.c.id == case_id))).first()
    if row is None:
        raise UnknownCase("there is no such case", field="case_id", remedy="take the id from the list of cases")
    surroundings = None
    if now is not None:
        lines = await connection.execute(
            sweep.candidate_query().where(numbers.c.case_id == case_id).order_by(numbers.c.sop_rank, numbers.c.id)
        )
        candidates = tuple(sweep.as_candidate(one, "", 0) for one in lines.mappings())
        surroundings = await read_surroundings(connection, case_id, candidates, now)
    its_numbers = await connection.execute(
        select(numbers).where(numbers.c.case_id == case_id).order_by(numbers.c.sop_rank, numbers.c.id)
    )
    promised = await connection.execute(
        select(promises).where(promises.c.case_id == case_id).order_by(promises.c.given_at, promises.c.id)
    )
    paid = await connection.execute(
        select(payments.c.paid_on, payments.c.amount, payments.c.currency)
        .where(payments.c.case_id == case_id)
        .order_by(payments.c.paid_on, payments.c.id)
    )
    return CaseFile(
        case=as_case(row),
        case_state=CaseState(row.state),
        state_reason=row.state_reason,
        numbers=tuple(as_number(one) for one in its_numbers),
        outcomes=await _outcomes(connection, case_id),
        promises=tuple(as_promise(one) for one in promised),
        paid=tuple((one.paid_on, Money(amount=one.amount, currency=one.currency)) for one in paid),
        action=await live_action(connection, case_id),
        client=row.client,
        opened_at=row.opened_at,
        term_ends_on=await connection.scalar(
            select(placements.c.term_ends_on).where(placements.c.id == row.placement_id)
        ),
        surroundings=surroundings,
        workflow=await connection.scalar(select(workflow_states.c.state).where(workflow_states.c.case_id == case_id)),
    )


async def _outcomes(connection: AsyncConnection, case_id: str) -> tuple[OutcomeRecord, ...]:
    rows = await connection.execute(
        select(outcomes).where(outcomes.c.case_id == case_id).order_by(outcomes.c.at, outcomes.c.id)
    )
    return tuple(as_outcome(row) for row in rows)


def as_outcome(row: Any) -> OutcomeRecord:
    return OutcomeRecord(
        id=row.id,
        case_id=row.case_id,
        call_id=row.call_id,
        number_id=row.number_id,
        code=row.code,
        at=row.at,
        agent_id=row.agent_id,
        amount=None if row.amount is None else Money(amount=row.amount, currency=row.currency),
        promised_on=row.promised_on,
        note=row.note,
    )


def as_promise(row: Any) -> PromiseRecord:
    return PromiseRecord(
        id=row.id,
        case_id=row.case_id,
        amount=Money(amount=row.amount, currency=row.currency),
        given_at=row.given_at,
        due_on=row.due_on,
        state=row.state,
        settled_at=row.settled_at,
    )
