"""What people report about a case: outcomes, work orders, approvals, holds. The doer's name comes from the log-in.

A refusal of the workflow is a problem+json with its own ``error_id`` (promise-above-balance, approval-by-same-person,
case-held, …); who may report what stands in ``NEEDS``.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, Field

from api.guard import Principal, SignedIn, TheHouse, demand, may
from api.permissions import Permission
from api.problems import NotYourDesk, documented
from api.shapes import After, Id, Limit, Shape
from case_store.model import Channel
from case_store.workflow import CaseEvent, OutcomeCode
from case_store.workflow import OutcomeCode as O
from case_store.workflow.outcomes import HOLDS, SILENT, STRIKES
from config.errors import BadInput, Refused

router = APIRouter(tags=["casework"])

NEEDS: dict[OutcomeCode, Permission] = {
    **dict.fromkeys(
        (
            O.SELF_NEGOTIATING,
            O.SELF_PROMISE,
            O.SELF_RAISING_FUNDS,
            O.PROMISE_REMINDED,
            O.PROMISE_CONFIRMED,
            O.THIRD_PARTY_NEGOTIATING,
            O.MESSAGE_LEFT_1,
            O.MESSAGE_LEFT_2,
            O.CALLED_BACK,
            O.CALL_BACK_AGREED,
            *SILENT,
            *STRIKES,
            *HOLDS,
            O.NUMBER_INVALID,
            O.REFUSED_CONTACT,
            O.FRAUD_CLAIM,
            O.FRAUD_CONFIRMED,
            O.FRAUD_DECLARED,
            O.VISIT_DONE,
        ),
        Permission.ENTER_OUTCOMES,
    ),
    **dict.fromkeys((O.LOOKUP_EMPTY, O.REGISTRY_EMPTY), Permission.LOOK_UP),
    **dict.fromkeys((O.REGISTRY_CHECK, O.VISIT_ORDER, O.WAIVER_ASKED, O.EXTENSION_ASKED), Permission.ASK_APPROVAL),
    **dict.fromkeys(
        (
            O.VISIT_APPROVED,
            O.VISIT_REFUSED,
            O.WAIVER_APPROVED,
            O.WAIVER_REFUSED,
            O.EXTENSION_APPROVED,
            O.EXTENSION_REFUSED,
        ),
        Permission.APPROVE,
    ),
    **dict.fromkeys((O.REGISTRY_APPROVED, O.REGISTRY_REFUSED), Permission.APPROVE_REGISTRY),
    **dict.fromkeys(
        (O.LEADER_DECIDED, O.CLOSED, O.RECALLED, O.TERM_ENDED, O.ALL_INVALID, O.LOST_CONTACT), Permission.LEAD
    ),
    **dict.fromkeys((O.HOLD_RELEASED, O.FRAUD_PACKET_SENT, O.FRAUD_UPHELD, O.FRAUD_REJECTED), Permission.LIFT_HOLDS),
}
"""Who may report what. Payments are absent: they come from the bank's file only (rule 2 of the twelve)."""

Money = Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=4)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class NotReported(Refused):
    """This is concluded or imported, never typed in."""

    error_id = "outcome-not-reported-by-hand"


class OutcomeIn(Shape):
    outcome: OutcomeCode
    amount: Money | None = Field(default=None, description="Of a promise or a waiver")
    on: date | None = Field(default=None, description="Promise, funding, appointment or new last day; at the debtor")
    legal_basis: Annotated[str, Field(max_length=500)] | None = Field(default=None, description="Of a registry check")
    visitors: Annotated[tuple[Name, ...], Field(max_length=8)] = ()
    result: OutcomeCode | None = Field(default=None, description="Of a visit: an outcome that re-enters the table")
    call_at: datetime | None = Field(default=None, description="Of an agreed call-back: with its offset")
    team: bool = Field(default=False, description="Of a call-back: anybody of the team calls, not whoever enters it")
    note: Annotated[str, Field(max_length=2000)] = ""


class EventIn(OutcomeIn):
    number_id: Annotated[str, Field(max_length=64)] | None = None


class ActionShape(Shape):
    model_config = ConfigDict(from_attributes=True, extra="ignore")

    action: str
    earliest: datetime
    latest: datetime
    owner: str
    escalation: str | None
    reason_en: str
    reason_zh: str
    number_id: str | None
    agent_id: str | None = None


class EnteredShape(Shape):
    outcome_id: str
    case_id: str
    code: str
    next_action: ActionShape | None = Field(description="Null: the case has ended")


class FoundNumber(Shape):
    phone: Annotated[str, Field(min_length=3, max_length=64)]
    channel: Channel
    name: Annotated[str, Field(max_length=200)] = ""
    relation: Annotated[str, Field(max_length=64)] = ""


class FoundShape(Shape):
    number_id: str


class OwnerIn(Shape):
    owner: Name | None = Field(description="A log-in name; null: nobody's")


class OrderShape(Shape):
    id: str
    case_id: str
    kind: str
    state: str
    asked_by: str
    asked_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    finished_at: datetime | None
    details: dict[str, object]


class OrderPage(Shape):
    items: list[OrderShape]
    after: str | None


class CoverageLine(Shape):
    key: str
    cases: int
    pairs: int
    permitted: int
    attempted: int
    reached: int
    share: float
    reasons: dict[str, int] = Field(description="Why pairs were never tried")


class DeadlineShape(Shape):
    case_id: str
    due: datetime
    alarm: str


class FairnessShape(Shape):
    cases: int
    longest_case_id: str | None
    longest_days: float
    median_days: float
    p90_days: float
    never_worked: int
    distribution: dict[str, int] = Field(description="Open cases by days since anybody worked on them")


class CoverageReportShape(Shape):
    by: dict[str, list[CoverageLine]]
    alerts: list[DeadlineShape]
    fairness: FairnessShape


def _event(given: OutcomeIn, principal: Principal, at: datetime, number_id: str | None) -> CaseEvent:
    needed = NEEDS.get(given.outcome)
    if needed is None:
        raise NotReported(
            "this is concluded by the product or comes from the bank, nobody reports it",
            field="outcome",
            remedy="load the bank's file, send a found number to its own address, or let the workflow conclude it",
        )
    demand(principal, needed)
    return CaseEvent(
        outcome=given.outcome,
        at=at,
        number_id=number_id,
        by=principal.name,
        amount=given.amount,
        on=given.on,
        legal_basis=given.legal_basis,
        visitors=tuple(given.visitors),
        result=given.result,
        call_at=_aware(given.call_at),
        team=given.team,
    )


def _aware(at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise BadInput("has no offset", field="call_at", remedy="write 2026-03-02T15:00:00+08:00")
    return at


@router.post("/cases/{case_id}/events", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def report_event(case_id: Id, given: EventIn, house: TheHouse, principal: SignedIn) -> EnteredShape:
    """Report an outcome, a step of a work order or a decision; the answer is what comes next."""
    event = _event(given, principal, house.clock.now(), given.number_id)
    entered = await house.casework.enter(case_id, event, call_id=None, note=given.note)
    return EnteredShape.model_validate(entered)


@router.post("/calls/{call_id}/outcome", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def enter_outcome(call_id: Id, given: OutcomeIn, house: TheHouse, principal: SignedIn) -> EnteredShape:
    """What a call came to, by whoever talked (or the team leader): on the number that was called. It frees the agent."""
    case_id, number_id, agent_id = await house.casework.call_case(call_id)
    if agent_id is not None and Permission.LEAD not in principal.permissions and agent_id != principal.name:
        raise NotYourDesk(
            "somebody else talked on this call", field="call_id", remedy="whoever talked, or the leader, enters it"
        )
    event = _event(given, principal, house.clock.now(), number_id)
    entered = await house.casework.enter(case_id, event, call_id=call_id, note=given.note)
    if house.calling is not None:
        await house.calling.entered(call_id)
    return EnteredShape.model_validate(entered)


@router.post("/cases/{case_id}/numbers", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def add_found_number(
    case_id: Id,
    given: FoundNumber,
    house: TheHouse,
    principal: Annotated[Principal, Depends(may(Permission.LOOK_UP))],
) -> FoundShape:
    """查到号码: a number from a lawful source joins the sweep at its place."""
    if not given.channel.is_debtors_own and not given.relation.strip():
        raise BadInput("whose number is it?", field="relation", remedy="give the relation to the debtor")
    number_id = await house.casework.found(
        case_id,
        given.phone,
        given.channel,
        name=given.name.strip(),
        relation=given.relation.strip(),
        by=principal.name,
        at=house.clock.now(),
    )
    return FoundShape(number_id=number_id)


@router.put("/cases/{case_id}/owner", status_code=204, responses=documented(401, 403, 404, 409, 422))
async def assign_case(
    case_id: Id,
    given: OwnerIn,
    house: TheHouse,
    principal: Annotated[Principal, Depends(may(Permission.LEAD))],
) -> None:
    """Whose case it is; coverage counts it for that collector. Whoever talks first gets a case that is nobody's."""
    await house.casework.assign(case_id, given.owner, by=principal.name, at=house.clock.now())


@router.get("/work-orders", responses=documented(401, 403, 422))
async def list_work_orders(
    house: TheHouse,
    _principal: Annotated[Principal, Depends(may(Permission.SEE_CASES))],
    state: Literal["asked", "approved", "refused", "done", "cancelled"] | None = "asked",
    kind: Literal["registry", "visit", "waiver", "extension"] | None = None,
    case_id: Annotated[str | None, Query(max_length=64)] = None,
    after: After = None,
    limit: Limit = 50,
) -> OrderPage:
    """Registry checks, visits, waivers and extensions; those that wait for a decision unless another state is asked."""
    found = await house.casework.orders(state=state, kind=kind, case_id=case_id, after=after, limit=limit + 1)
    shown = [OrderShape.model_validate(one) for one in found[:limit]]
    return OrderPage(items=shown, after=shown[-1].id if len(found) > limit else None)


@router.get("/coverage", responses=documented(401, 403, 404, 409, 422))
async def show_coverage_report(
    house: TheHouse,
    _principal: Annotated[Principal, Depends(may(Permission.SEE_COVERAGE))],
    placement_id: Annotated[str | None, Query(max_length=64, description="Default: every placement")] = None,
) -> CoverageReportShape:
    """No cherry-picking: coverage by placement, client, collector and channel, deadlines near or broken, fairness."""
    report = await house.casework.coverage(placement_id)
    return CoverageReportShape(
        by={
            by: [
                CoverageLine(
                    key=line.key,
                    cases=line.cases,
                    pairs=line.pairs,
                    permitted=line.permitted,
                    attempted=line.attempted,
                    reached=line.reached,
                    share=line.share,
                    reasons=dict(line.reasons),
                )
                for line in lines
            ]
            for by, lines in report.by.items()
        },
        alerts=[DeadlineShape(case_id=one.case_id, due=one.due, alarm=one.alarm.value) for one in report.alerts[:1000]],
        fairness=FairnessShape.model_validate(
            {**asdict(report.fairness), "distribution": dict(report.fairness.distribution)}
        ),
    )
