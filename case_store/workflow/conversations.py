"""Somebody answered: the debtor himself, or family and friends."""

from __future__ import annotations

from dataclasses import replace

from case_store.model import NumberState
from case_store.workflow import promises
from case_store.workflow.case_state import (
    Funding,
    NoticeKind,
    Pending,
    Thread,
)
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.promising import promise_broken, use_promise_daypart
from case_store.workflow.step import BadEvent, CaseHeld, Step
from case_store.workflow.sweeping import locate
from case_store.workflow.transitions import RANK, Owner
from case_store.workflow.work_orders import OrderKind


def _debtor_spoke(step: Step) -> None:
    """Whoever the debtor's word reaches: silence, messages and third parties fall away (pursue the cardholder only)."""
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    step.worked()
    step.left_1 = step.left_2 = 0
    step.looked_up = False
    if step.event.number_id is not None:
        step.put(replace(step.number(), swept=True, silent=()))
    step.drop(Thread.DEBTOR, Thread.CONTACT, Thread.REDIAL, Thread.LEADER, Thread.ORDER)
    step.withdraw_orders(OrderKind.VISIT, OrderKind.REGISTRY)


def negotiating(step: Step) -> None:
    _debtor_spoke(step)
    if step.promise is not None:
        use_promise_daypart(step)
        return
    step.negotiated_in_a_row += 1
    if step.funding is not None and step.funding.due > step.today:
        step.owe(Thread.DEBTOR, O.SELF_RAISING_FUNDS, agreed=step.funding.due)
        return
    step.funding = None
    owner = Owner.TEAM_LEADER if step.negotiated_in_a_row >= 3 else None
    if owner is not None:
        step.note(NoticeKind.ESCALATED, "negotiated three times without a promise", "连续三次谈判未承诺，升级至主管")
    step.owe(Thread.DEBTOR, O.SELF_NEGOTIATING, owner=owner)


def promised(step: Step) -> None:
    repeats = step.broken + step.replaced + (1 if step.promise is not None else 0)
    promise = promises.make_promise(
        step.event.amount,
        step.event.on,
        today=step.today,
        balance=step.balance,
        repeats=repeats,
        settings=step.settings,
    )
    _debtor_spoke(step)
    if step.promise is not None:
        step.replaced += 1
    step.promise = promise
    step.funding = None
    step.negotiated_in_a_row = 0
    step.drop(Thread.SWEEP)


def raising_funds(step: Step) -> None:
    due = promises.check_funding_date(step.event.on, today=step.today, settings=step.settings)
    if step.funding is not None and step.funding.extended:
        raise promises.FundingExtended(
            "raising funds was extended once already", field="outcome", remedy="agree on a promise"
        )
    _debtor_spoke(step)
    if step.promise is not None:
        use_promise_daypart(step)
        return
    step.negotiated_in_a_row = 0
    step.funding = Funding(due=due, extended=step.funding is not None)
    step.owe(Thread.DEBTOR, O.SELF_RAISING_FUNDS, agreed=due)


def reminded(step: Step) -> None:
    if step.promise is None:
        raise BadEvent("no promise is live", field="outcome", remedy="report what was agreed instead")
    _debtor_spoke(step)
    use_promise_daypart(step)


def funding_lapsed(step: Step) -> None:
    """The funding date passed without a promise: broken."""
    assert step.funding is not None
    due = step.funding.due
    step.funding = None
    step.drop(Thread.DEBTOR)
    promise_broken(step, due)


def contact_spoke(step: Step) -> None:
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    outcome = step.event.outcome
    number = step.number()
    step.worked()
    step.put(replace(number, swept=True, silent=()))
    if outcome is O.MESSAGE_LEFT_1:
        step.left_1 += 1
        if step.left_1 >= 2:
            outcome = O.MESSAGE_LEFT_2  # twice without a call-back
    if outcome is O.MESSAGE_LEFT_2:
        step.left_2 += 1
    if step.promise is not None:
        return
    step.fulfil()
    earlier = step.pending.get(Thread.CONTACT)
    if not step.sweeping and step.left_2 >= 2:
        step.left_1 = step.left_2 = 0
        if Thread.DEBTOR in step.pending:
            return
        locate(step, O.LOST_CONTACT)
        return
    step.owe(Thread.CONTACT, outcome, number_id=number.id)
    if earlier is not None and Thread.CONTACT in step.pending:
        step.pending[Thread.CONTACT] = _preferred(step, earlier, step.pending[Thread.CONTACT])


def _preferred(step: Step, a: Pending, b: Pending) -> Pending:
    """In the sweep the better outcome; afterwards the earlier due."""
    if step.sweeping:
        return min(a, b, key=lambda each: RANK.index(each.cause) if each.cause in RANK else len(RANK))
    return min(a, b, key=lambda each: each.action.latest)


def called_back(step: Step) -> None:
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    step.worked()
    step.left_1 = step.left_2 = 0
    if step.promise is not None:
        return
    step.drop(Thread.CONTACT, Thread.REDIAL, Thread.LEADER)
    step.owe(Thread.DEBTOR, O.CALLED_BACK)


def contact_refused(step: Step) -> None:
    """拒绝联系: that person's numbers are blocked on this case for good."""
    person = step.number().contact_id
    for each in list(step.numbers.values()):
        if each.contact_id == person and each.state is not NumberState.INVALID:
            step.put(replace(each, state=NumberState.BLOCKED, swept=True))
            step.note(NoticeKind.BLOCKED, "blocked: the person asked not to be called", "已拒绝联系，停拨", each.id)
    step.worked()
    for thread in (Thread.CONTACT, Thread.REDIAL):
        live = step.pending.get(thread)
        target = live.action.number_id if live is not None else None
        if target is not None and step.numbers[target].contact_id == person:
            step.drop(thread)
    if not any(each.channel.is_debtors_own and each.is_open for each in step.numbers.values()):
        step.drop(Thread.DEBTOR)
