"""The one door of the workflow: ``apply(state, event, rules) -> state``. Pure; raises where a rule of the SOP says no.

After every step a case has exactly one live next action, or it has ended. Obligations are kept a thread apart
(the debtor, a contact, the redial, a work order, …); the earliest due of them is live, a live promise suspends the
rest, a hold stands before everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from case_store.workflow import work_orders
from case_store.workflow.approvals import asks, decides, registry_empty
from case_store.workflow.call_backs import call_back_agreed, cannot_call_back, is_due, late
from case_store.workflow.case_state import CaseEvent, CaseState, NoticeKind, NumberTrack, Pending, Stage, Thread
from case_store.workflow.conversations import (
    called_back,
    contact_refused,
    contact_spoke,
    funding_lapsed,
    negotiating,
    promised,
    raising_funds,
    reminded,
)
from case_store.workflow.holding import fraud_claim, fraud_rejected, fraud_step, fraud_upheld, hold, release
from case_store.workflow.look import warn_at
from case_store.workflow.outcomes import BY_DEBTOR, HOLDS, SILENT, STRIKES, VERDICTS
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.promising import (
    paid_off,
    payment_posted,
    payment_reversed,
    promise_step,
    record_payment,
    settle_promise,
)
from case_store.workflow.step import BadEvent, CaseEnded, Rules, Step, check
from case_store.workflow.sweeping import (
    all_invalid,
    end_sweep,
    lookup_empty,
    lost_contact,
    nobody_answered,
    nothing_found,
    nothing_left,
    number_found,
    number_permitted,
    number_refused,
    number_retired,
    number_struck,
    sweep_is_over,
)
from case_store.workflow.transitions import ActionCode, Owner
from case_store.workflow.windows import as_utc
from case_store.workflow.work_orders import OrderKind, OrderState
from config.errors import InvariantBroken

_SETTLED_KEPT = 5


def open_case(
    *,
    case_id: str,
    zone_name: str,
    entrusted_at: datetime,
    balance: Decimal,
    currency: str,
    numbers: Iterable[NumberTrack],
    rules: Rules,
    term_ends_on: date | None = None,
) -> CaseState:
    """新转案件: a fresh case with its sweep before it (or a look-up, where no number came along)."""
    at = as_utc(entrusted_at)
    state = CaseState(
        case_id=case_id,
        zone=zone_name,
        entrusted_at=at,
        balance=balance,
        currency=currency,
        numbers=tuple(numbers),
        as_of=at,
        term_ends_on=term_ends_on,
    )
    step = Step(state, CaseEvent(outcome=O.NEW, at=at), rules)
    if step.open_numbers():
        step.owe(Thread.SWEEP, O.NEW)
    return _finish(step)


def apply(state: CaseState, event: CaseEvent, rules: Rules) -> CaseState:
    """The state after ``event``. Time up to ``event.at`` passes first, so a late tick changes nothing.

    Raises ``BadEvent``, ``CaseEnded``, ``CaseHeld`` and the refusals of ``promises`` and ``work_orders``; the state
    given is untouched then.
    """
    at = as_utc(event.at)
    if at < state.as_of:
        raise BadEvent("lies before the case's last event", field="at", remedy="apply events in order of time")
    if event.outcome in VERDICTS or event.outcome is O.NEW:
        raise BadEvent(
            "is concluded by the workflow, never reported", field="outcome", remedy="report payments; promises settle"
        )
    step = Step(state, replace(event, at=at), rules)
    _let_time_pass(step)
    if step.ended:
        if event.outcome is O.PAYMENT_REVERSED:
            payment_reversed(step)
        elif event.outcome is O.PAYMENT:
            record_payment(step)
        elif event.outcome is not O.TIME_PASSED and state.is_terminal:
            raise CaseEnded("the case has ended", field="outcome", remedy="open a new case if it is entrusted again")
        return _finish(step)
    check(step)
    HANDLERS[event.outcome](step)
    if step.event.outcome in BY_DEBTOR:  # a visit's result counts too
        step.lost = False
    return _finish(step)


def _let_time_pass(step: Step) -> None:
    """Settle what the clock settles, in order; at most a handful of things can be due."""
    if step.ended:
        return
    if step.term_ends_on is not None and step.today > step.term_ends_on:
        step.end(O.TERM_ENDED)
        return
    if step.promise is not None and step.today > step.promise.counts_until(step.settings):
        settle_promise(step)
    if step.ended:
        return
    if step.funding is not None and step.today > step.funding.due:
        funding_lapsed(step)
    for thread, each in list(step.pending.items()):
        if each.overdue or each.action.latest > step.now:
            _warn(step, thread, each)
            continue
        if thread is Thread.CALL_BACK:
            late(step, each)
        else:
            _escalate(step, thread, each)


def _warn(step: Step, thread: Thread, each: Pending) -> None:
    """The alert comes before the deadline breaks."""
    at = warn_at(each, step.settings)
    if at is not None and at <= step.now:
        step.pending[thread] = replace(each, warned=True)
        step.note(
            NoticeKind.DUE_SOON,
            f"{each.action.action} must be done by {each.action.latest.astimezone(step.zone):%m-%d %H:%M}",
            f"须在 {each.action.latest.astimezone(step.zone):%m-%d %H:%M} 前办理",
        )


def _escalate(step: Step, thread: Thread, each: Pending) -> None:
    """Overdue stays visible and goes to the team leader; nothing is dropped."""
    owner = each.action.owner
    if each.action.escalation is not None and owner != Owner.TEAM_LEADER:
        owner = Owner.TEAM_LEADER.value
        step.note(NoticeKind.ESCALATED, f"{each.action.action} goes to the team leader", "升级至主管")
    step.note(NoticeKind.OVERDUE, f"{each.action.action} was not done in its window", "逾期未办")
    step.pending[thread] = replace(each, overdue=True, action=replace(each.action, owner=owner))


def _finish(step: Step) -> CaseState:
    live = None if step.ended else _live(step)
    if live is not None:
        step.cause = live.cause
    state = replace(
        step.state,
        as_of=step.now,
        numbers=tuple(step.numbers.values()),
        stage=step.stage,
        next_action=live.action if live is not None else None,
        pending=tuple(step.pending.values()),
        cause=step.cause,
        balance=step.balance,
        promise=step.promise,
        settled=step.settled[-_SETTLED_KEPT:],
        broken=step.broken,
        replaced=step.replaced,
        funding=step.funding,
        payments=step.payments,
        negotiated_in_a_row=step.negotiated_in_a_row,
        messages=tuple(step.messages.values()),
        fraud_claimed_on=step.fraud_claimed_on,
        orders=step.orders,
        term_ends_on=step.term_ends_on,
        looked_up=step.looked_up,
        lost=step.lost,
        last_worked_at=step.last_worked_at,
        notices=tuple(step.notices),
    )
    if (state.next_action is None) != state.is_terminal:
        raise InvariantBroken("a live case has no next action", remedy="report the case's events")
    return state


def _live(step: Step) -> Pending:
    if step.held:
        held = step.pending.get(Thread.HOLD)
        step.stage = Stage.FRAUD if held is None else Stage.HELD
        return held or step.pending[Thread.FRAUD]
    if step.promise is not None:
        step.stage = Stage.FOLLOW_UP
        step.pending = {Thread.PROMISE: promise_step(step)}
        return step.pending[Thread.PROMISE]
    step.drop(Thread.PROMISE)
    if step.sweeping and sweep_is_over(step):
        end_sweep(step)
    cannot_call_back(step)
    if not step.pending:
        nothing_left(step)
    live = is_due(step) or min(
        step.pending.values(), key=lambda each: (each.action.latest, each.thread is not Thread.SWEEP)
    )
    step.stage = _stage_of(step, live)
    return live


def _stage_of(step: Step, live: Pending) -> Stage:
    if live.thread is Thread.SWEEP:
        return Stage.SWEEP
    if live.thread is not Thread.ORDER:
        return Stage.FOLLOW_UP if live.thread is not Thread.LEADER else step.stage
    visiting = (ActionCode.PROPOSE_VISIT, ActionCode.APPROVE_VISIT, ActionCode.VISIT)
    return Stage.VISIT if live.action.action in visiting else Stage.LOCATE


def _ends(step: Step) -> None:
    step.end(step.event.outcome)


def _paid(step: Step) -> None:
    paid_off(step)


def _term_ended(step: Step) -> None:
    if step.term_ends_on is not None and step.today <= step.term_ends_on:
        raise BadEvent("the term has not ended yet", field="at", remedy=f"the last day is {step.term_ends_on}")
    step.end(O.TERM_ENDED)


def _visit_done(step: Step) -> None:
    """外访回报: the result re-enters the table as an outcome of its own."""
    event = step.event
    place = work_orders.waiting(step.orders, OrderKind.VISIT, OrderState.APPROVED)
    if event.result is not None and event.result not in VISIT_RESULTS:
        raise BadEvent("cannot be the result of a visit", field="result", remedy=f"use one of {_names(VISIT_RESULTS)}")
    order = work_orders.finish(step.orders[place], visitors=event.visitors, result=event.result)
    assert event.result is not None
    step.orders = (*step.orders[:place], order, *step.orders[place + 1 :])
    step.worked()
    step.drop(Thread.ORDER)
    if event.result in (O.LOST_CONTACT, O.NO_ANSWER):
        step.refer(
            O.VISIT_DONE, "the visit found nobody: the team leader decides how to go on", "外访未果：主管决定后续"
        )
        return
    step.event = replace(event, outcome=event.result)
    check(step)
    HANDLERS[event.result](step)


VISIT_RESULTS = frozenset(
    {
        O.SELF_NEGOTIATING,
        O.SELF_PROMISE,
        O.SELF_RAISING_FUNDS,
        O.NO_ANSWER,
        O.LOST_CONTACT,
        O.NUMBER_FOUND,
        O.FRAUD_CLAIM,
        *HOLDS,
    }
)


def _names(codes: Iterable[O]) -> str:
    return ", ".join(sorted(code.value for code in codes))


def _leader_decided(step: Step) -> None:
    """The matter is decided: the case goes back to the debtor, or on with locating where there is nobody to call."""
    work_orders.named(step.event.by)
    step.worked()
    step.drop(Thread.LEADER)
    if step.promise is not None or step.held or step.sweeping or step.pending:
        return
    if any(not each.swept for each in step.open_numbers()):
        step.owe(Thread.SWEEP, O.NUMBER_PERMITTED)
    elif step.open_numbers():
        step.owe(Thread.DEBTOR, O.LEADER_DECIDED)
    else:
        nothing_found(step, O.LOOKUP_EMPTY)


def _time_passed(step: Step) -> None:
    """Everything the clock does was done before the handler."""


HANDLERS: dict[O, Callable[[Step], None]] = {
    O.SELF_NEGOTIATING: negotiating,
    O.SELF_PROMISE: promised,
    O.SELF_RAISING_FUNDS: raising_funds,
    O.PROMISE_REMINDED: reminded,
    O.PROMISE_CONFIRMED: reminded,
    O.THIRD_PARTY_NEGOTIATING: contact_spoke,
    O.MESSAGE_LEFT_1: contact_spoke,
    O.MESSAGE_LEFT_2: contact_spoke,
    O.CALLED_BACK: called_back,
    O.CALL_BACK_AGREED: call_back_agreed,
    **dict.fromkeys(SILENT, nobody_answered),
    **dict.fromkeys(STRIKES, number_struck),
    O.NUMBER_INVALID: number_retired,
    O.ALL_INVALID: all_invalid,
    O.LOST_CONTACT: lost_contact,
    O.NUMBER_REFUSED: number_refused,
    O.NUMBER_PERMITTED: number_permitted,
    O.NUMBER_FOUND: number_found,
    O.LOOKUP_EMPTY: lookup_empty,
    O.REGISTRY_CHECK: asks(OrderKind.REGISTRY),
    O.REGISTRY_APPROVED: decides(OrderKind.REGISTRY, approve=True),
    O.REGISTRY_REFUSED: decides(OrderKind.REGISTRY, approve=False),
    O.REGISTRY_EMPTY: registry_empty,
    O.VISIT_ORDER: asks(OrderKind.VISIT),
    O.VISIT_APPROVED: decides(OrderKind.VISIT, approve=True),
    O.VISIT_REFUSED: decides(OrderKind.VISIT, approve=False),
    O.VISIT_DONE: _visit_done,
    O.FRAUD_CLAIM: fraud_claim,
    O.FRAUD_CONFIRMED: fraud_step(ActionCode.CONFIRM_FRAUD, O.FRAUD_CONFIRMED),
    O.FRAUD_DECLARED: fraud_step(ActionCode.SIGN_DECLARATION, O.FRAUD_DECLARED),
    O.FRAUD_PACKET_SENT: fraud_step(ActionCode.SEND_PACKET, O.FRAUD_PACKET_SENT),
    O.FRAUD_UPHELD: fraud_upheld,
    O.FRAUD_REJECTED: fraud_rejected,
    **dict.fromkeys(HOLDS, hold),
    O.HOLD_RELEASED: release,
    O.REFUSED_CONTACT: contact_refused,
    O.PAYMENT: payment_posted,
    O.PAYMENT_REVERSED: payment_reversed,
    O.PAID: _paid,
    O.WAIVER_ASKED: asks(OrderKind.WAIVER),
    O.WAIVER_APPROVED: decides(OrderKind.WAIVER, approve=True),
    O.WAIVER_REFUSED: decides(OrderKind.WAIVER, approve=False),
    O.EXTENSION_ASKED: asks(OrderKind.EXTENSION),
    O.EXTENSION_APPROVED: decides(OrderKind.EXTENSION, approve=True),
    O.EXTENSION_REFUSED: decides(OrderKind.EXTENSION, approve=False),
    O.RECALLED: _ends,
    O.TERM_ENDED: _term_ended,
    O.CLOSED: _ends,
    O.LEADER_DECIDED: _leader_decided,
    O.TIME_PASSED: _time_passed,
}
