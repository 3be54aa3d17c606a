"""Registry checks, visits, waivers and extensions on a case: asked for, decided by somebody else, done."""

from __future__ import annotations

from collections.abc import Callable

from case_store.workflow import promises, work_orders
from case_store.workflow.case_state import (
    Thread,
)
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.step import BadEvent, CaseHeld, PromiseLive, Step
from case_store.workflow.sweeping import nothing_found
from case_store.workflow.work_orders import OrderKind, OrderState


def asks(kind: OrderKind) -> Callable[[Step], None]:
    def ask(step: Step) -> None:
        event = step.event
        if step.held and kind in (OrderKind.VISIT, OrderKind.REGISTRY):
            raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
        if step.promise is not None and kind in (OrderKind.VISIT, OrderKind.REGISTRY):
            raise PromiseLive("a promise is live", field="outcome", remedy="wait until the promise is settled")
        order = work_orders.ask(
            kind,
            by=event.by,
            at=step.now,
            legal_basis=event.legal_basis,
            amount=event.amount,
            until=event.on,
            registry_allowed=step.settings.registry_allowed,
        )
        if kind is OrderKind.WAIVER and order.amount is not None and order.amount > step.balance:
            raise promises.WaiverOverBalance(
                "the waiver is larger than the balance", field="amount", remedy="waive at most the balance"
            )
        if kind is OrderKind.EXTENSION and order.until is not None:
            least = max(step.today, step.term_ends_on or step.today)
            if order.until <= least:
                raise BadEvent(
                    "an extension must reach beyond the term", field="on", remedy=f"give a day after {least}"
                )
        step.withdraw_orders(kind)
        step.orders = (*step.orders, order)
        if kind is OrderKind.REGISTRY:
            step.owe(Thread.ORDER, O.REGISTRY_CHECK)
        if kind is OrderKind.VISIT:
            step.drop(Thread.LEADER)
            step.owe(Thread.ORDER, O.VISIT_ORDER)

    return ask


def decides(kind: OrderKind, *, approve: bool) -> Callable[[Step], None]:
    def decide(step: Step) -> None:
        place = work_orders.waiting(step.orders, kind, OrderState.ASKED)
        order = work_orders.decide(step.orders[place], approve=approve, by=step.event.by, at=step.now)
        step.orders = (*step.orders[:place], order, *step.orders[place + 1 :])
        _AFTER_DECISION[kind](step, order, approve)

    return decide


def _registry_decided(step: Step, order: work_orders.WorkOrder, approve: bool) -> None:
    if step.promise is not None or step.held:
        return
    if not approve:
        step.drop(Thread.ORDER)
        step.owe(Thread.ORDER, O.REGISTRY_EMPTY)


def _visit_decided(step: Step, order: work_orders.WorkOrder, approve: bool) -> None:
    if step.promise is not None or step.held:
        return
    step.drop(Thread.ORDER)
    if approve:
        step.owe(Thread.ORDER, O.VISIT_APPROVED)
    else:
        step.refer(
            O.VISIT_REFUSED, "the visit was refused: the team leader decides how to go on", "外访未批准：主管决定后续"
        )


def _waiver_decided(step: Step, order: work_orders.WorkOrder, approve: bool) -> None:
    if not approve:
        return
    assert order.amount is not None
    step.balance -= min(order.amount, step.balance)
    if step.balance <= 0:
        step.end(O.PAID)


def _extension_decided(step: Step, order: work_orders.WorkOrder, approve: bool) -> None:
    if approve:
        step.term_ends_on = order.until


_AFTER_DECISION: dict[OrderKind, Callable[[Step, work_orders.WorkOrder, bool], None]] = {
    OrderKind.REGISTRY: _registry_decided,
    OrderKind.VISIT: _visit_decided,
    OrderKind.WAIVER: _waiver_decided,
    OrderKind.EXTENSION: _extension_decided,
}


def registry_empty(step: Step) -> None:
    place = work_orders.waiting(step.orders, OrderKind.REGISTRY, OrderState.APPROVED)
    step.orders = (
        *step.orders[:place],
        work_orders.finish(step.orders[place]),
        *step.orders[place + 1 :],
    )
    step.worked()
    if step.promise is None and not step.held:
        step.drop(Thread.ORDER)
        nothing_found(step, O.REGISTRY_EMPTY)
