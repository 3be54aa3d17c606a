"""``onrecord approvals``: registry checks, visits, waivers and extensions that wait; approved or refused by a second person.

Whoever decides is named with ``--as``, must be a person of the house whose role may decide this, and may not be the one
who asked. The decision goes through the workflow like one over HTTP, and into the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape

from api.permissions import Permission, permissions_of
from api.speaking import Json, say, table
from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.casework import OrderView
from case_store.model import NextAction
from case_store.store import CaseStore
from case_store.views import Role
from case_store.workflow import CaseEvent, OutcomeCode
from case_store.workflow.work_orders import OrderKind
from config.clock import SystemClock
from config.errors import Refused, describe_shape
from config.settings import Settings, load_settings
from dialer.followup import follow_up_over
from recording.first_keys import first_keys
from recording.signing import load_signing_key

app = typer.Typer(invoke_without_command=True, help="What waits for a second person's approval; approve or refuse it")

_DECISIONS: Mapping[OrderKind, tuple[OutcomeCode, OutcomeCode, Permission]] = {
    OrderKind.REGISTRY: (
        OutcomeCode.REGISTRY_APPROVED,
        OutcomeCode.REGISTRY_REFUSED,
        Permission.APPROVE_REGISTRY,
    ),
    OrderKind.VISIT: (OutcomeCode.VISIT_APPROVED, OutcomeCode.VISIT_REFUSED, Permission.APPROVE),
    OrderKind.WAIVER: (OutcomeCode.WAIVER_APPROVED, OutcomeCode.WAIVER_REFUSED, Permission.APPROVE),
    OrderKind.EXTENSION: (OutcomeCode.EXTENSION_APPROVED, OutcomeCode.EXTENSION_REFUSED, Permission.APPROVE),
}

OrderId = Annotated[str, typer.Argument(help="The order's id, as onrecord approvals lists it")]
Decider = Annotated[str, typer.Option("--as", help="Who decides: a log-in name of the house, not whoever asked")]
Note = Annotated[str, typer.Option(help="Why; kept with the outcome")]


class Standing(StrEnum):
    """How the store keeps an order."""

    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    DONE = "done"
    CANCELLED = "cancelled"


class MayNotDecide(Refused):
    """Whoever decides is nobody of the house, or their role may not."""

    error_id = "may-not-decide"


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="approvals")


@app.callback()
def approvals(
    context: typer.Context,
    kind: Annotated[OrderKind | None, typer.Option(help="Only these")] = None,
    state: Annotated[Standing, typer.Option(help="Those that wait, or what became of others")] = Standing.ASKED,
    case: Annotated[str | None, typer.Option(help="Only this case's")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the longest waiting first")] = 500,
    as_json: Json = False,
) -> None:
    """List what waits for an approval."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    found = asyncio.run(_list(settings, kind, state, case, limit))
    say(
        as_json,
        {"orders": [asdict(one) for one in found]},
        lambda console: _draw(console, found, state, ZoneInfo(settings.timezone)),
    )


@app.command()
def approve(order: OrderId, decider: Decider, note: Note = "", as_json: Json = False) -> None:
    """Approve what somebody else asked for."""
    _decide(order, decider, note, True, as_json)


@app.command()
def refuse(order: OrderId, decider: Decider, note: Note = "", as_json: Json = False) -> None:
    """Refuse what somebody else asked for."""
    _decide(order, decider, note, False, as_json)


def _decide(order_id: str, decider: str, note: str, approve_it: bool, as_json: bool) -> None:
    order, coming = asyncio.run(_decided(load_settings(), order_id, decider.strip(), note.strip(), approve_it))
    word = "approved" if approve_it else "refused"
    facts = {
        "order": order.id,
        "case_id": order.case_id,
        "kind": order.kind,
        "state": word,
        "asked_by": order.asked_by,
        "decided_by": decider.strip(),
        "next_action": None if coming is None else asdict(coming),
    }
    following = "the case has ended" if coming is None else f"next: {coming.action} ({coming.owner})"
    say(as_json, facts, lambda console: console.print(f"{order.kind} {order.id} is {word}; {following}"))


async def _list(
    settings: Settings, kind: OrderKind | None, state: Standing, case: str | None, limit: int
) -> tuple[OrderView, ...]:
    store = await CaseStore.open(settings.store.url)
    try:
        return await store.casework.orders(
            state=state.value, kind=kind.value if kind else None, case_id=case, after=None, limit=limit
        )
    finally:
        await store.close()


async def _decided(
    settings: Settings, order_id: str, decider: str, note: str, approve_it: bool
) -> tuple[OrderView, NextAction | None]:
    store = await CaseStore.open(settings.store.url)
    try:
        order = await store.casework.order(order_id)
        approved, refused, needed = _DECISIONS[OrderKind(order.kind)]
        await _demand(store, decider, needed)
        if order.state != Standing.ASKED.value:
            raise Refused(
                f"this order is {order.state}, it does not wait",
                field="order",
                shape=describe_shape(order_id),
                remedy="list those that wait with onrecord approvals",
            )
        first_keys(settings)  # before anything changes: a decision that cannot be audited is not made
        audit = AuditLog(store.database, load_signing_key(settings.vault.signing_key))
        now = SystemClock().now()
        outcome = approved if approve_it else refused
        event = CaseEvent(outcome=outcome, at=now, by=decider)
        recorded = await follow_up_over(store, settings).entered(order.case_id, event, note=note)
        detail = {"case": order.case_id, "kind": order.kind, "asked_by": order.asked_by, "door": "command-line"}
        action = f"order.{'approved' if approve_it else 'refused'}"
        await audit.append([AuditFact(at=now, actor=decider, action=action, subject=order.id, detail=detail)], now)
        return order, recorded.next_action
    finally:
        await store.close()


async def _demand(store: CaseStore, name: str, needed: Permission) -> None:
    user = await store.people.user(name)
    if user is None or user.disabled or user.name != name:
        raise MayNotDecide(
            "is nobody of this house", field="--as", shape=describe_shape(name), remedy="see onrecord agent list"
        )
    if needed not in permissions_of([Role.TEAM_LEADER if user.role == "leader" else Role(user.role)]):
        raise MayNotDecide(
            "may not decide this",
            field="--as",
            shape=f"a {user.role}",
            remedy="compliance decides on registry checks, a team leader or compliance on the rest",
        )


def _draw(console: Console, orders: Sequence[OrderView], state: Standing, house: ZoneInfo) -> None:
    rows = [
        (
            one.id,
            one.kind,
            one.case_id,
            one.asked_by,
            f"{one.asked_at.astimezone(house):%Y-%m-%d %H:%M}",
            escape(_asked_for(one.details)),
        )
        for one in orders
    ]
    heads = ("id", "kind", "case", "asked by", "asked at", "for")
    console.print(table("Approvals 审批", heads, rows) if rows else f"No order is {state.value}.")


def _asked_for(details: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in details.items() if value)
