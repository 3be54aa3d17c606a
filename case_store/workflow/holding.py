"""Pressure stops: fraud claims with their steps, and whatever compliance must look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

from case_store.workflow import work_orders
from case_store.workflow.case_state import Pending, Stage, Thread
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.step import BadEvent, CaseHeld, Step
from case_store.workflow.transitions import ActionCode
from case_store.workflow.work_orders import OrderKind


def hold(step: Step) -> None:
    """Dialing stops; whatever was pending falls away, a live promise included. The steps of a fraud claim wait."""
    _stop_pressure(step)
    step.owe(Thread.HOLD, step.event.outcome)


def release(step: Step) -> None:
    if Thread.HOLD not in step.pending:
        raise BadEvent("no hold of compliance is on this case", field="outcome", remedy="check the case")
    work_orders.named(step.event.by)
    step.drop(Thread.HOLD)
    if Thread.FRAUD in step.pending:
        return
    step.stage = Stage.FOLLOW_UP
    step.owe(Thread.DEBTOR, O.HOLD_RELEASED)


def _stop_pressure(step: Step) -> None:
    holds: dict[Thread, Pending] = {
        each: step.pending[each] for each in (Thread.HOLD, Thread.FRAUD) if each in step.pending
    }
    step.drop_all()
    step.pending.update(holds)
    step.withdraw_orders(OrderKind.VISIT, OrderKind.REGISTRY)
    step.worked()


def fraud_claim(step: Step) -> None:
    """冒办: pressure stops at once. Said again while the claim is open, it changes nothing."""
    claimed = Thread.FRAUD in step.pending
    _stop_pressure(step)
    if claimed:
        return
    step.fraud_claimed_on = step.today
    step.stage = Stage.FRAUD
    step.owe(Thread.FRAUD, O.FRAUD_CLAIM)
    if Thread.FRAUD not in step.pending:  # the confirming call itself is blocked: the leader holds the case meanwhile
        leader = step.pending.pop(Thread.LEADER)
        step.pending[Thread.FRAUD] = replace(leader, thread=Thread.FRAUD)


def fraud_step(after: ActionCode, thread_row: O) -> Callable[[Step], None]:
    def move(step: Step) -> None:
        live = _open_claim(step).action.action
        if thread_row is O.FRAUD_CONFIRMED and Thread.HOLD in step.pending:
            raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance decide first")
        if live not in (after.value, ActionCode.DECIDE.value):
            raise BadEvent("comes out of turn in the fraud claim", field="outcome", remedy=f"the case waits for {live}")
        agreed = None
        if thread_row is O.FRAUD_CONFIRMED:
            agreed = _appointment(step)
        step.worked()
        step.owe(Thread.FRAUD, thread_row, agreed=agreed)

    return move


def _open_claim(step: Step) -> Pending:
    claim = step.pending.get(Thread.FRAUD)
    if claim is None:
        raise BadEvent("no fraud claim is open", field="outcome", remedy="report FRAUD_CLAIM first")
    return claim


def _appointment(step: Step) -> date:
    claimed = step.fraud_claimed_on
    assert claimed is not None
    last = claimed + timedelta(days=7)
    on = step.event.on
    if on is None or not step.today <= on <= max(last, step.today):
        raise BadEvent(
            "the appointment must lie within 7 days of the claim", field="on", remedy=f"agree on {last} at the latest"
        )
    return on


def fraud_rejected(step: Step) -> None:
    _open_claim(step)
    step.drop(Thread.FRAUD)
    step.fraud_claimed_on = None
    if Thread.HOLD in step.pending:
        return
    step.stage = Stage.FOLLOW_UP
    step.owe(Thread.DEBTOR, O.FRAUD_REJECTED)


def fraud_upheld(step: Step) -> None:
    _open_claim(step)
    step.end(O.FRAUD_UPHELD)
