"""Every window the workflow lays out, held against ``bench.workflow_yardstick``: to the minute, or ``Broken``."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from bench.workflow_yardstick import CALL_DAYS, DESK_DAYS, SWEEPS, Span, Yardstick
from case_store.workflow import CaseEvent, CaseState, NumberTrack
from case_store.workflow.case_state import Pending, Thread
from case_store.workflow.outcomes import OutcomeCode as O
from config.calendars import Daypart

EXPECTED = (set(CALL_DAYS) - {"CALLED_BACK"}) | set(DESK_DAYS) | set(SWEEPS) | {
    "SELF_RAISING_FUNDS", "PROMISE_BROKEN", "redial", "remind-promise", "confirm-promise", "settle-promise",
}  # fmt: skip
"""What a long run must have measured at least once: a check that never ran proves nothing."""


class Broken(AssertionError):
    """The model shows a case the SOP does not allow."""


@dataclass
class Tally:
    cases: int = 0
    events: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    stages: set[str] = field(default_factory=set)
    measured: Counter[str] = field(default_factory=Counter)  # windows held against the yardstick, by cause
    blocked: Counter[str] = field(default_factory=Counter)  # WINDOW_BLOCKED found true, by action


class Measure:
    """One debtor's windows against his yardstick. ``placed`` is the local day the case arrived."""

    def __init__(self, yard: Yardstick, tally: Tally) -> None:
        self._yard = yard
        self._tally = tally

    def measure(self, before: CaseState | None, after: CaseState, event: CaseEvent, placed: date) -> None:
        """Every window laid out by this event is the SOP's, and what is said to be blocked is."""
        for notice in after.notices:
            if notice.kind == "WINDOW_BLOCKED":
                self._blocked(notice.en, after, event)
        known = {(each.cause, each.action) for each in before.pending} if before is not None else set()
        for each in after.pending:
            if (each.cause, each.action) not in known and each.action.action != "decide" and not each.overdue:
                self._window(each, after, event, placed)

    def _blocked(self, said: str, after: CaseState, event: CaseEvent) -> None:
        now = event.at
        found = re.fullmatch(r"policy forbids every slot for (\S+) (?:from (\S+) to (\S+)|on (\S+))", said)
        if found is None:
            raise Broken(f"an exception nobody can read: {said}")
        action, first, last, only = found.groups()
        days = (date.fromisoformat(first or only), date.fromisoformat(last or only))
        if action == "redial" and self._yard.next_part(now) is None:
            fresh = [each for each in after.numbers if each.is_open and not self._tried_now(each, now)]
            dialed = after.number(event.number_id or "")
            if dialed is not None and any(each.thread in (Thread.DEBTOR, Thread.CONTACT) for each in after.pending):
                own = dialed.channel.is_debtors_own  # one of them is meant, and the other does not stand in
                fresh = [each for each in fresh if each.channel.is_debtors_own == own]
        else:
            fresh = list(after.numbers)
        if fresh and self._yard.call(*days, now) is not None:
            raise Broken(f"{action}: blocked from {days[0]} to {days[1]}, but the debtor may be called then")
        self._tally.blocked[action] += 1

    def _window(self, each: Pending, after: CaseState, event: CaseEvent, placed: date) -> None:
        cause, action, now, yard = each.cause.value, each.action, event.at, self._yard
        wanted: Span | None
        if each.thread is Thread.PROMISE:
            self._promise(each, after, now)
            return
        if action.action == "redial":
            self._redial(each, after, now)
            return
        if cause == O.SELF_RAISING_FUNDS:
            assert after.funding is not None
            wanted = yard.call(min(yard.today(now) + timedelta(days=1), after.funding.due), after.funding.due, now)
        elif cause in (O.PROMISE_BROKEN, O.PROMISE_PARTIAL) and action.action == "call-debtor":
            wanted = yard.call(yard.today(now), yard.today(now), now) if event.outcome is O.TIME_PASSED else None
        elif cause == event.outcome and cause in CALL_DAYS:
            if action.action == "contact-again" and cause == O.MESSAGE_LEFT_1:
                cause = O.MESSAGE_LEFT_2.value  # twice without a call-back
            wanted = yard.of_call(cause, now)
        elif cause in SWEEPS and event.outcome in (O.NEW, O.NUMBER_FOUND):
            wanted = yard.of_sweep(now)
        elif cause in DESK_DAYS:
            wanted = yard.of_desk(cause, now, placed)
        else:
            return
        if wanted is None:
            if event.outcome in (O.TIME_PASSED, O.NEW) or cause == event.outcome:
                raise Broken(f"{cause}: a window where every slot is forbidden")
            return
        if (action.earliest, action.latest) != (wanted.earliest, wanted.latest):
            raise Broken(f"{cause}: {action.earliest}…{action.latest}, by the SOP {wanted.earliest}…{wanted.latest}")
        self._tally.measured[cause] += 1

    def _promise(self, each: Pending, after: CaseState, now: datetime) -> None:
        promise, action, yard = after.promise, each.action, self._yard
        assert promise is not None
        last_day = yard.today(action.latest - timedelta(seconds=1))
        if action.action == "remind-promise":
            on = promise.due - timedelta(days=1)
            while not yard.works(on):
                on -= timedelta(days=1)
            while not yard.is_open(on, now) and on > promise.made_on:
                on -= timedelta(days=1)
            if last_day > on or (last_day < on and not promise.rung_in):
                raise Broken(f"remind-promise: on {last_day}, by the SOP on {on}")
        elif action.action == "confirm-promise":
            if last_day != promise.due or yard.today(action.earliest) != promise.due:
                raise Broken(f"confirm-promise: on {last_day}, due {promise.due}")
            if yard.part(action.earliest) != yard.part(action.latest - timedelta(seconds=1)):
                raise Broken("confirm-promise: over two parts of the day")
        else:
            verdict_at = yard.wall(promise.due + timedelta(days=2), time(0))
            if action.latest != verdict_at:
                raise Broken(f"settle-promise: at {action.latest}, by the SOP at {verdict_at}")
        self._tally.measured[action.action] += 1

    def _redial(self, each: Pending, after: CaseState, now: datetime) -> None:
        """In another part of the day, tomorrow at the latest; a retired number's successor today."""
        action, yard = each.action, self._yard
        number = after.number(action.number_id or "")
        assert number is not None
        today = yard.today(now)
        at_once = each.cause is O.NUMBER_INVALID
        span = yard.call(today, today if at_once else today + timedelta(days=1), now)
        if span is None:
            raise Broken("redial: where every slot is forbidden")
        tried = not at_once and self._tried_now(number, now)
        wanted = Span(yard.next_part(now) or span.latest, span.latest) if tried else span
        if (action.earliest, action.latest) != (wanted.earliest, wanted.latest):
            raise Broken(f"redial: {action.earliest}…{action.latest}, by the SOP {wanted.earliest}…{wanted.latest}")
        self._tally.measured["redial"] += 1

    def _tried_now(self, number: NumberTrack, now: datetime) -> bool:
        """In vain, in this part of today: it is dialed again in another part."""
        today, part = self._yard.today(now), self._yard.part(now)
        return any(day == today and list(Daypart).index(each) == part for day, each in number.silent)
