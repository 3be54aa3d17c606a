"""Pressure stops: fraud claims with their steps, and whatever compliance must look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

from case_store.workflow import work_orders
from case_store.workflow.case_state import (
    Stage,
    Thread,
)
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.step import BadEvent, Step
from case_store.workflow.transitions import ActionCode
from case_store.workflow.work_orders import OrderKind


def hold(step: Step) -> None:
    """Dialing stops; whatever was pending falls away, a live promise included."""
    step.drop_all()
    step.withdraw_orders(OrderKind.VISIT, OrderKind.REGISTRY)
    step.worked()
    step.stage = Stage.HELD
    step.owe(Thread.HOLD, step.event.outcome)


def release(step: Step) -> None:
    if not step.held or step.stage is Stage.FRAUD:
        raise BadEvent("no hold of compliance is on this case", field="outcome", remedy="check the case")
    work_orders.named(step.event.by)
    step.drop(Thread.HOLD)
    step.stage = Stage.FOLLOW_UP
    step.owe(Thread.DEBTOR, O.HOLD_RELEASED)


def fraud_claim(step: Step) -> None:
    step.drop_all()
    step.withdraw_orders(OrderKind.VISIT, OrderKind.REGISTRY)
    step.worked()
    step.stage = Stage.FRAUD
    step.fraud_claimed_on = step.today
    step.owe(Thread.HOLD, O.FRAUD_CLAIM)
    if Thread.HOLD not in step.pending:  # the confirming call itself is blocked: the leader holds the case meanwhile
        _hold_by_leader(step)


def _hold_by_leader(step: Step) -> None:
    leader = step.pending.pop(Thread.LEADER)
    step.pending[Thread.HOLD] = replace(leader, thread=Thread.HOLD)


def fraud_step(after: ActionCode, thread_row: O) -> Callable[[Step], None]:
    def move(step: Step) -> None:
        if step.stage is not Stage.FRAUD:
            raise BadEvent("no fraud claim is open", field="outcome", remedy="report FRAUD_CLAIM first")
        live = step.pending[Thread.HOLD].action.action
        if live not in (after.value, ActionCode.DECIDE.value):
            raise BadEvent("comes out of turn in the fraud claim", field="outcome", remedy=f"the case waits for {live}")
        agreed = None
        if thread_row is O.FRAUD_CONFIRMED:
            agreed = _appointment(step)
        step.worked()
        step.owe(Thread.HOLD, thread_row, agreed=agreed)

    return move


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
    if step.stage is not Stage.FRAUD:
        raise BadEvent("no fraud claim is open", field="outcome", remedy="report FRAUD_CLAIM first")
    step.drop(Thread.HOLD)
    step.stage = Stage.FOLLOW_UP
    step.fraud_claimed_on = None
    step.owe(Thread.DEBTOR, O.FRAUD_REJECTED)


def fraud_upheld(step: Step) -> None:
    if step.stage is not Stage.FRAUD:
        raise BadEvent("no fraud claim is open", field="outcome", remedy="report FRAUD_CLAIM first")
    step.end(O.FRAUD_UPHELD)
