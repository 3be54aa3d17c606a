"""Work that somebody must approve: registry checks, visits, waivers, extensions. The approver is never the asker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from case_store.workflow.outcomes import OutcomeCode
from config.errors import BadInput, Refused


class OrderKind(StrEnum):
    REGISTRY = "registry"  # 调户籍
    VISIT = "visit"  # 外访单
    WAIVER = "waiver"  # 减免: rule 9, no waivers of one's own
    EXTENSION = "extension"  # 留案


class OrderState(StrEnum):
    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    DONE = "done"
    WITHDRAWN = "withdrawn"  # the case ended or was held meanwhile


ORDER_MOVES: dict[OrderState, frozenset[OrderState]] = {
    OrderState.ASKED: frozenset({OrderState.APPROVED, OrderState.REFUSED, OrderState.WITHDRAWN}),
    OrderState.APPROVED: frozenset({OrderState.DONE, OrderState.WITHDRAWN}),
    OrderState.REFUSED: frozenset(),
    OrderState.DONE: frozenset(),
    OrderState.WITHDRAWN: frozenset(),
}


class SamePerson(Refused):
    """Approvals need a different person than the one who asked."""

    error_id = "approval-by-same-person"


class NoSuchOrder(Refused):
    """Nothing of this kind waits on the case."""

    error_id = "no-such-order"


class RegistryNotAllowed(Refused):
    """Household-registry checks are off unless the site has switched them on."""

    error_id = "registry-not-allowed"


class OrderIncomplete(BadInput):
    """A work order lacks what the SOP asks of it."""

    error_id = "order-incomplete"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    kind: OrderKind
    state: OrderState
    asked_by: str
    asked_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    legal_basis: str | None = None  # registry
    amount: Decimal | None = None  # waiver
    until: date | None = None  # extension: the new last day of the term
    visitors: tuple[str, ...] = ()
    result: OutcomeCode | None = None


def ask(
    kind: OrderKind,
    *,
    by: str | None,
    at: datetime,
    legal_basis: str | None = None,
    amount: Decimal | None = None,
    until: date | None = None,
    registry_allowed: bool = False,
) -> WorkOrder:
    """A new order, complete enough to be decided on. Raises ``OrderIncomplete``, ``RegistryNotAllowed``."""
    asker = named(by)
    if kind is OrderKind.REGISTRY:
        if not registry_allowed:
            raise RegistryNotAllowed(
                "registry checks are switched off",
                field="outcome",
                remedy="propose a visit, or have compliance set workflow.registry_allowed",
            )
        if not (legal_basis or "").strip():
            raise OrderIncomplete("a registry check needs its legal basis", field="legal_basis", remedy="state it")
    if kind is OrderKind.WAIVER and (amount is None or not amount.is_finite() or amount <= 0):
        raise OrderIncomplete("a waiver needs an amount above zero", field="amount", remedy="enter it")
    if kind is OrderKind.EXTENSION and until is None:
        raise OrderIncomplete("an extension needs its new last day", field="on", remedy="enter the date")
    return WorkOrder(
        kind=kind,
        state=OrderState.ASKED,
        asked_by=asker,
        asked_at=at,
        legal_basis=legal_basis,
        amount=amount,
        until=until,
    )


def decide(order: WorkOrder, *, approve: bool, by: str | None, at: datetime) -> WorkOrder:
    """Approve or refuse. Raises ``SamePerson`` where the asker decides over his own request."""
    decider = named(by)
    if decider == order.asked_by:
        raise SamePerson("whoever asked may not decide", field="by", remedy="have somebody else decide")
    moved = _move(order, OrderState.APPROVED if approve else OrderState.REFUSED)
    return replace(moved, decided_by=decider, decided_at=at)


def finish(order: WorkOrder, *, visitors: tuple[str, ...] = (), result: OutcomeCode | None = None) -> WorkOrder:
    """The work is done. A visit needs at least two different visitors and a result that re-enters the table."""
    if order.kind is OrderKind.VISIT:
        if len({name.strip() for name in visitors if name.strip()}) < 2:
            raise OrderIncomplete(
                "a visit needs at least two visitors",
                field="visitors",
                shape=f"{len(set(visitors))} named",
                remedy="name both",
            )
        if result is None:
            raise OrderIncomplete("a visit needs its result", field="result", remedy="give the outcome code")
    return replace(_move(order, OrderState.DONE), visitors=visitors, result=result)


def withdraw(order: WorkOrder) -> WorkOrder:
    return _move(order, OrderState.WITHDRAWN)


def waiting(orders: tuple[WorkOrder, ...], kind: OrderKind, state: OrderState) -> int:
    """The place of the newest order of this kind in this state. Raises ``NoSuchOrder``."""
    for place in range(len(orders) - 1, -1, -1):
        if orders[place].kind is kind and orders[place].state is state:
            return place
    raise NoSuchOrder(f"no {kind} order is {state} on this case", field="outcome", remedy="ask for it first")


def _move(order: WorkOrder, to: OrderState) -> WorkOrder:
    if to not in ORDER_MOVES[order.state]:
        raise NoSuchOrder(f"an order that is {order.state} cannot become {to}", field="outcome", remedy="ask anew")
    return replace(order, state=to)


def named(by: str | None) -> str:
    if not (by or "").strip():
        raise OrderIncomplete("who does this must be named", field="by", remedy="give the person's log-in name")
    assert by is not None
    return by.strip()
