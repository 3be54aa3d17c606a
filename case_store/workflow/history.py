"""A case from its beginning: how it was opened, and everything that happened since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from case_store.model import NextAction
from case_store.workflow.case_state import CaseEvent, CaseState, NumberTrack
from case_store.workflow.fold import apply, open_case
from case_store.workflow.step import Rules


@dataclass(frozen=True, kw_only=True)
class CaseHistory:
    """Events are in order of time. ``rules`` are the calendar, slots and figures the case is judged by."""

    case_id: str
    zone: str
    entrusted_at: datetime
    balance: Decimal
    currency: str
    numbers: tuple[NumberTrack, ...]
    rules: Rules
    events: tuple[CaseEvent, ...] = ()
    term_ends_on: date | None = None


def states(history: CaseHistory) -> Iterator[CaseState]:
    """The opening state, then the state after each event."""
    state = open_case(
        case_id=history.case_id,
        zone_name=history.zone,
        entrusted_at=history.entrusted_at,
        balance=history.balance,
        currency=history.currency,
        numbers=history.numbers,
        rules=history.rules,
        term_ends_on=history.term_ends_on,
    )
    yield state
    for event in history.events:
        state = apply(state, event, history.rules)
        yield state


def next_action(history: CaseHistory) -> NextAction | None:
    """What the case waits for now; None: it has ended."""
    action = None
    for state in states(history):
        action = state.next_action
    return action
