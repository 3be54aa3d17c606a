"""Promises to pay: what may be promised, what counts towards it, and the verdict.

A promise is at most the balance at that moment (rule 10: never collect more than the debt) and due within three days
(deck: 2-3天必须还款). Each broken or replaced promise makes the next window a day shorter, down to one day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from case_store.workflow.outcomes import OutcomeCode
from config.calendars import Daypart
from config.errors import BadInput, Refused
from config.settings import WorkflowSettings

CONFIRM_IN: tuple[Daypart, ...] = (Daypart.MORNING, Daypart.NOON, Daypart.EVENING)
"""On the due day the debtor is asked in these parts of the day (SOP [F]), as far as policy lets."""


class PromiseOverBalance(Refused):
    """Rule 10: nobody collects more than the debt."""

    error_id = "promise-above-balance"


class WaiverOverBalance(Refused):
    """More cannot be waived than is owed."""

    error_id = "waiver-above-balance"


class PromiseOutsideWindow(Refused):
    """The date promised lies too far out, or in the past."""

    error_id = "promise-outside-window"


class FundingExtended(Refused):
    """Raising funds is extended once."""

    error_id = "funding-already-extended"


class BadAmount(BadInput):
    error_id = "bad-amount"


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """One line of the bank's payment file; ``on`` is the posting day. A reversed payment stays, marked."""

    id: str
    amount: Decimal
    on: date
    reversed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """``made_on`` and ``due`` are the debtor's local days. ``asked_in``: parts of the due day already used."""

    amount: Decimal
    made_on: date
    due: date
    reminded: bool = False
    asked_in: tuple[Daypart, ...] = ()
    rung_in: tuple[Daypart, ...] = ()  # parts of the reminder's day in which nobody answered
    blocked: bool = False  # policy leaves no slot for the reminder or the due day; the team leader was told

    def counts_until(self, settings: WorkflowSettings) -> date:
        """The last posting day that counts, grace included."""
        return self.due + timedelta(days=settings.promise_grace_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A promise after its verdict, kept because a reversal may still turn it."""

    promise: Promise
    verdict: OutcomeCode
    broken_before: int = 0  # promises broken in a row when it was settled
    replaced_before: int = 0
    at: datetime


def window_days(repeats: int, settings: WorkflowSettings) -> int:
    """How far out the next promise may lie after ``repeats`` broken or replaced ones."""
    return max(1, settings.promise_days - repeats * settings.promise_shrink_days)


def make_promise(
    amount: Decimal | None, due: date | None, *, today: date, balance: Decimal, repeats: int, settings: WorkflowSettings
) -> Promise:
    """A promise that the rules allow. Raises ``BadAmount``, ``PromiseOverBalance``, ``PromiseOutsideWindow``."""
    if amount is None or not amount.is_finite() or amount <= 0:
        raise BadAmount(
            "a promise needs an amount above zero", field="amount", shape=type(amount).__name__, remedy="enter it"
        )
    if amount > balance:
        raise PromiseOverBalance(
            "the promise is larger than the balance", field="amount", remedy="promise at most the balance of today"
        )
    days = window_days(repeats, settings)
    if due is None or not today <= due <= today + timedelta(days=days):
        raise PromiseOutsideWindow(
            f"the date promised must lie within {days} days",
            field="on",
            shape="no date" if due is None else f"{(due - today).days} days out",
            remedy=f"agree on {today + timedelta(days=days)} at the latest",
        )
    return Promise(amount=amount, made_on=today, due=due)


def check_funding_date(due: date | None, *, today: date, settings: WorkflowSettings) -> date:
    """The date by which the money is found: at most seven days out (deck: 筹款日期最多不超过7天)."""
    if due is None or not today <= due <= today + timedelta(days=settings.funding_days):
        raise PromiseOutsideWindow(
            f"the funding date must lie within {settings.funding_days} days",
            field="on",
            shape="no date" if due is None else f"{(due - today).days} days out",
            remedy=f"agree on {today + timedelta(days=settings.funding_days)} at the latest",
        )
    return due


def paid_towards(promise: Promise, payments: tuple[Payment, ...], settings: WorkflowSettings) -> Decimal:
    """Unreversed payments posted from the day of the promise to the due day plus grace."""
    until = promise.counts_until(settings)
    return sum(
        (each.amount for each in payments if not each.reversed and promise.made_on <= each.on <= until), Decimal(0)
    )


def verdict(promise: Promise, payments: tuple[Payment, ...], settings: WorkflowSettings) -> OutcomeCode:
    """Kept, kept in part, or broken, as the payments stand."""
    paid = paid_towards(promise, payments, settings)
    if paid >= promise.amount * settings.promise_kept_share:
        return OutcomeCode.PROMISE_KEPT
    return OutcomeCode.PROMISE_PARTIAL if paid > 0 else OutcomeCode.PROMISE_BROKEN
