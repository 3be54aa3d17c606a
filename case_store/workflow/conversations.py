"""Somebody answered: the debtor himself, or family and friends."""

from __future__ import annotations

from dataclasses import replace

from case_store.model import Channel, NumberState
from case_store.workflow import promises
from case_store.workflow.case_state import (
    Funding,
    Messages,
    NoticeKind,
    NumberTrack,
    Pending,
    Thread,
)
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.promising import promise_broken, use_promise_daypart
from case_store.workflow.step import BadEvent, CaseHeld, Step, party_of
from case_store.workflow.sweeping import locate
from case_store.workflow.transitions import RANK, Owner
from case_store.workflow.work_orders import OrderKind


def _debtor_spoke(step: Step) -> None:
    """Whoever the debtor's word reaches: silence, messages and third parties fall away (pursue the cardholder only)."""
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    step.worked()
    step.messages.clear()
    step.looked_up = False
    if step.event.number_id is not None:
        step.put(replace(step.number(), swept=True, silent=()))
    step.drop(Thread.DEBTOR, Thread.CONTACT, Thread.REDIAL, Thread.LEADER, Thread.ORDER)
    agreed = step.pending.get(Thread.CALL_BACK)
    if agreed is not None and step.now >= agreed.action.earliest:
        step.drop(Thread.CALL_BACK)
    step.withdraw_orders(OrderKind.VISIT, OrderKind.REGISTRY)


def negotiating(step: Step) -> None:
    _debtor_spoke(step)
    if step.promise is not None:
        use_promise_daypart(step)
        return
    step.negotiated_in_a_row += 1
    if step.funding is not None and step.funding.due <= step.today:
        funding_lapsed(step)  # on its date it is a promise or broken
        return
    owner = Owner.TEAM_LEADER if step.negotiated_in_a_row >= 3 else None
    if owner is not None:
        step.note(NoticeKind.ESCALATED, "negotiated three times without a promise", "连续三次谈判未承诺，升级至主管")
    if step.funding is not None:
        step.owe(Thread.DEBTOR, O.SELF_RAISING_FUNDS, agreed=step.funding.due, owner=owner)
        return
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
    """The funding date came and went without a promise: broken."""
    assert step.funding is not None
    due = min(step.funding.due, step.today)
    step.funding = None
    step.drop(Thread.DEBTOR, Thread.REDIAL)
    promise_broken(step, due)


def contact_spoke(step: Step) -> None:
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    outcome = step.event.outcome
    number = step.number()
    step.worked()
    step.put(replace(number, swept=True, silent=()))
    left_2 = 0
    if outcome in (O.MESSAGE_LEFT_1, O.MESSAGE_LEFT_2):
        left_1, left_2 = _message_left(step, party_of(number), outcome)
        if left_1 >= 2:
            outcome = O.MESSAGE_LEFT_2  # twice without a call-back
    if step.promise is not None:
        return
    step.fulfil()
    earlier = step.pending.get(Thread.CONTACT)
    if not step.sweeping and left_2 >= 2:
        step.messages.clear()
        if Thread.DEBTOR in step.pending:
            return
        locate(step, O.LOST_CONTACT)
        return
    step.owe(Thread.CONTACT, outcome, number_id=number.id)
    if earlier is not None and Thread.CONTACT in step.pending:
        step.pending[Thread.CONTACT] = _preferred(step, earlier, step.pending[Thread.CONTACT])


def _message_left(step: Step, contact: str, outcome: O) -> tuple[int, int]:
    """How many messages of either kind lie with this contact; the second 留电1 counts as a 留电2."""
    said = step.messages.get(contact, Messages(contact=contact))
    left_1 = said.left_1 + (outcome is O.MESSAGE_LEFT_1)
    left_2 = said.left_2 + (outcome is O.MESSAGE_LEFT_2 or left_1 >= 2)
    step.messages[contact] = Messages(contact=contact, left_1=left_1, left_2=left_2)
    return left_1, left_2


def _preferred(step: Step, a: Pending, b: Pending) -> Pending:
    """In the sweep the better outcome; afterwards the earlier due."""
    if step.sweeping:
        return min(a, b, key=lambda each: RANK.index(each.cause) if each.cause in RANK else len(RANK))
    return min(a, b, key=lambda each: each.action.latest)


def called_back(step: Step) -> None:
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    step.worked()
    step.messages.clear()
    if step.promise is not None:
        return
    step.drop(Thread.CONTACT, Thread.REDIAL, Thread.LEADER)
    step.owe(Thread.DEBTOR, O.CALLED_BACK)


def contact_refused(step: Step) -> None:
    """拒绝联系: that person's numbers are blocked on this case for good.

    On a line of the debtor's where somebody else answers (workplace, home) it is that line which is blocked: whoever
    answered spoke for it, not for the debtor.
    """
    refused = step.number()
    alone = refused.channel in ANSWERED_BY_OTHERS
    for each in list(step.numbers.values()):
        same = each.id == refused.id if alone else _same_person(each, refused)
        if same and each.state is not NumberState.INVALID:
            step.put(replace(each, state=NumberState.BLOCKED, swept=True))
            step.note(NoticeKind.BLOCKED, "blocked: the person asked not to be called", "已拒绝联系，停拨", each.id)
    step.worked()
    for thread in (Thread.CONTACT, Thread.REDIAL):
        live = step.pending.get(thread)
        target = live.action.number_id if live is not None else None
        if target is not None and step.numbers[target].state is NumberState.BLOCKED:
            step.drop(thread)
    if not any(each.channel.is_debtors_own and each.is_open for each in step.numbers.values()):
        step.drop(Thread.DEBTOR)


ANSWERED_BY_OTHERS = frozenset({Channel.WORKPLACE, Channel.HOME})
"""The debtor's own lines at which somebody else may answer."""


def _same_person(each: NumberTrack, other: NumberTrack) -> bool:
    both_own = each.channel.is_debtors_own and other.channel.is_debtors_own
    return both_own or each.contact_id == other.contact_id
