"""What was concluded becomes the next dated action: the pure workflow, run inside the store's transaction.

Every event of a case goes through ``happened``: an outcome of a call, a number the policy refuses, the clock.
The workflow's memory, the next action, number states and notices are stored together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from case_store.model import CaseState, Channel, NextAction, NumberState, PhoneNumber
from case_store.network import ProgressCategory
from case_store.outcomes import CaseFile, Conclusion, NewOutcome, Recorded
from case_store.store import CaseStore
from case_store.workflow import (
    CaseEvent,
    NumberTrack,
    OutcomeCode,
    Rules,
    Stage,
    apply,
    open_case,
)
from case_store.workflow import CaseState as Standing
from case_store.workflow.conversations import ANSWERED_BY_OTHERS
from case_store.workflow.work_orders import OrderState
from config.calendars import Calendar, calendar_at, local_day, read_corrections
from config.settings import Settings
from dialer.policy import PolicySet, load_sets
from dialer.policy.case_view import CaseView, next_look, permission_events
from dialer.policy.regions import candidate_zones, zones_of_region
from dialer.surroundings import view_of

log = structlog.get_logger(__name__)

BY_NETWORK: dict[ProgressCategory, OutcomeCode] = {
    ProgressCategory.NO_ANSWER: OutcomeCode.NO_ANSWER,
    ProgressCategory.BUSY: OutcomeCode.BUSY,
    ProgressCategory.REJECTED: OutcomeCode.BUSY,
    ProgressCategory.SWITCHED_OFF: OutcomeCode.SWITCHED_OFF,
    ProgressCategory.UNREACHABLE: OutcomeCode.SWITCHED_OFF,
    ProgressCategory.SUSPENDED: OutcomeCode.SWITCHED_OFF,
    ProgressCategory.BARRED: OutcomeCode.SWITCHED_OFF,
    ProgressCategory.NOT_IN_SERVICE: OutcomeCode.NOT_IN_SERVICE,
    ProgressCategory.INVALID_NUMBER: OutcomeCode.NOT_IN_SERVICE,
    ProgressCategory.NUMBER_CHANGED: OutcomeCode.NOT_IN_SERVICE,
    ProgressCategory.NETWORK_BUSY: OutcomeCode.NO_ANSWER,
    ProgressCategory.MACHINE: OutcomeCode.NO_ANSWER,
    ProgressCategory.ANSWERED: OutcomeCode.NO_ANSWER,  # answered, but nobody was there to conclude: try again
    ProgressCategory.UNKNOWN: OutcomeCode.NO_ANSWER,
}
"""What the sweep tells the workflow of a call that no collector concluded. Trunk trouble and calls we took back
ourselves say nothing about the number and are not told at all."""


class FollowUp:
    """One per node. ``sets`` are the policy's; every answer of theirs is told to the workflow, and taken back later."""

    def __init__(
        self, store: CaseStore, settings: Settings, calendars: Callable[[str], Calendar], sets: Sequence[PolicySet]
    ) -> None:
        self._store = store
        self._settings = settings
        self._calendars = calendars
        self._sets = sets
        self._lockout = timedelta(hours=settings.floor.lockout_hours)
        self._protected = any(trunk.protected for trunk in settings.trunks)

    async def concluded(self, outcome: NewOutcome, now: datetime) -> NextAction | None:
        """A person or the network concluded something about a call. Raises the workflow's refusals (``BadInput`` kinds)."""
        event = CaseEvent(
            outcome=OutcomeCode(outcome.code),
            at=now,
            number_id=outcome.number_id,
            by=outcome.agent_id,
            amount=outcome.amount,
            on=outcome.promised_on,
        )
        recorded = await self._store.outcomes.record(outcome, now, lambda file: self.conclude(file, event))
        return recorded.next_action

    async def entered(self, case_id: str, event: CaseEvent, *, call_id: str | None = None, note: str = "") -> Recorded:
        """A person reports something about a case: an outcome, a step of a work order, a decision. Kept as an outcome.

        ``event.by`` is the log-in name of whoever does it. Raises the workflow's refusals and ``UnknownCase``.
        """
        assert event.by is not None  # the doors take it from the log-in
        details = {
            "legal_basis": event.legal_basis,
            "visitors": list(event.visitors) or None,
            "result": event.result.value if event.result is not None else None,
        }
        new = NewOutcome(
            case_id=case_id,
            code=event.outcome.value,
            agent_id=event.by,
            call_id=call_id,
            number_id=event.number_id,
            amount=event.amount,
            promised_on=event.on,
            note=note,
            details={name: value for name, value in details.items() if value is not None} or None,
        )
        return await self._store.outcomes.record(new, event.at, lambda file: self.conclude(file, event))

    async def happened(self, case_id: str, event: CaseEvent) -> NextAction | None:
        """Something that is no outcome of a call: a refused number, a payment, time."""
        return await self._store.outcomes.conclude(case_id, event.at, lambda file: self.conclude(file, event))

    async def standing(self, case_id: str, now: datetime) -> Standing:
        """Where the workflow sees the case, without changing it."""
        file = await self._store.outcomes.file(case_id, now)
        return self._standing(file, self._view(file))

    def conclude(self, file: CaseFile, event: CaseEvent) -> Conclusion:
        """Pure: what follows from ``event`` for a case read with its surroundings (the call just made is among them).

        After the event the policy is asked about every live number: what it refuses beyond the live action is told
        to the workflow as ``NUMBER_REFUSED``, what it permits again as ``NUMBER_PERMITTED``.
        """
        view = self._view(file)
        before = self._standing(file, view)
        if event.at < before.as_of:  # the clock was stepped back: nothing that happened is lost over it
            log.warning("clock-stepped-back", case=file.case.id, by=(before.as_of - event.at).total_seconds())
            event = replace(event, at=before.as_of)
        known = before
        if event.number is not None and before.number(event.number.id) is None:
            known = replace(before, numbers=(*before.numbers, event.number))
        after = apply(before, event, self._rules(file, view, known, event.at))
        notices = list(after.notices)
        permitted = []
        for told in permission_events(after, view, self._sets, event.at):
            after = apply(after, told, self._rules(file, view, after, event.at))
            notices += after.notices
            if told.outcome is OutcomeCode.NUMBER_PERMITTED and told.number_id is not None:
                permitted.append(told.number_id)
        revived = _revived(before, after)
        promised = _newly_promised(before, after) and not revived
        return Conclusion(
            next_action=after.next_action,
            case_state=_case_state(after),
            state_reason=after.cause.value if after.stage in (Stage.HELD, Stage.FRAUD, Stage.ENDED) else None,
            number_states=_changed_numbers(file, after),
            stop_sweep=after.promise is not None or after.stage in (Stage.HELD, Stage.FRAUD, Stage.ENDED),
            block_person=event.outcome is OutcomeCode.REFUSED_CONTACT and not _said_by_another(before, event),
            promise=promised,
            settle_promise=_settled(before, after) if not promised else None,
            workflow=after.to_dict(),
            look_at=next_look(after, view, self._sets, self._settings.workflow, event.at),
            balance=after.balance,
            reopens=before.is_terminal and not after.is_terminal,
            turned_promise="live" if revived else _turned(before, after),
            permitted=tuple(permitted),
            orders=_changed_orders(before, after),
            notices=tuple(
                {"notice": one.kind.value, "en": one.en, "zh": one.zh, "number_id": one.number_id} for one in notices
            ),
        )

    def _view(self, file: CaseFile) -> CaseView:
        grace = self._settings.workflow.promise_grace_days
        return view_of(file, self._lockout, protected=self._protected, grace_days=grace)

    def _rules(self, file: CaseFile, view: CaseView, state: Standing, now: datetime) -> Rules:
        client = next((one for one in self._settings.clients if one.name == file.client), None)
        order = tuple(Channel(name) for name in client.sop_order) if client else tuple(Channel)
        return Rules(
            calendar=self._calendars(file.case.region),
            slots=view.slots(state, self._sets, ZoneInfo(state.zone), now),
            settings=self._settings.workflow,
            sop_order=order,
        )

    def _standing(self, file: CaseFile, view: CaseView) -> Standing:
        """What was remembered, with what the store learned since: numbers that joined, numbers that were retired."""
        if file.workflow is not None:
            return _with_store(Standing.from_dict(file.workflow), file)
        zone_name = debtor_zone(file, self._settings.timezone)
        tracks = tuple(_track(number) for number in file.numbers)
        blank = Standing(
            case_id=file.case.id,
            zone=zone_name,
            entrusted_at=file.opened_at,
            balance=Decimal(file.case.balance.amount),
            currency=file.case.balance.currency,
            numbers=tracks,
            as_of=file.opened_at,
        )
        return open_case(
            case_id=blank.case_id,
            zone_name=zone_name,
            entrusted_at=file.opened_at,
            balance=blank.balance,
            currency=blank.currency,
            numbers=tracks,
            rules=self._rules(file, view, blank, file.opened_at),
            term_ends_on=file.term_ends_on,
        )


def _track(number: PhoneNumber) -> NumberTrack:
    return NumberTrack(
        id=number.id,
        contact_id=number.contact_id,
        channel=number.channel,
        position=number.position,
        state=number.state,
    )


def _with_store(state: Standing, file: CaseFile) -> Standing:
    known = {track.id: track for track in state.numbers}
    joined = tuple(_track(number) for number in file.numbers if number.id not in known)
    stored = {number.id: number.state for number in file.numbers}
    dead = {
        each.id
        for each in state.numbers
        if each.state is NumberState.LIVE and stored.get(each.id, each.state) is not NumberState.LIVE
    }
    # The store's balance follows the workflow's; where they differ, the bank sent an update.
    owed = state.balance if state.is_terminal else Decimal(file.case.balance.amount)
    if not joined and not dead and owed == max(state.balance, Decimal(0)):
        return state
    kept = tuple(replace(each, state=stored[each.id]) if each.id in dead else each for each in state.numbers)
    return replace(state, numbers=(*kept, *joined), balance=owed)


async def standing_of(store: CaseStore, settings: Settings, case_id: str, now: datetime) -> Standing:
    """Where a case stands, for whoever only reads. Raises ``UnknownCase``."""
    return await follow_up_over(store, settings).standing(case_id, now)


def follow_up_over(store: CaseStore, settings: Settings) -> FollowUp:
    """The bridge for doors and commands that have no centre beside them."""
    return FollowUp(store, settings, calendars_of(settings), load_sets(settings.policy_sets))


def calendars_of(settings: Settings) -> Callable[[str], Calendar]:
    """The working days at a case's address, with the site's corrections. Their file is read here: a mistake in it stops
    the start, not the first case."""
    corrections = read_corrections(settings.calendar_file) if settings.calendar_file is not None else {}

    @lru_cache(maxsize=256)
    def calendar_of(region: str) -> Calendar:
        return calendar_at(region, corrections)

    return calendar_of


def debtor_zone(file: CaseFile, house: str) -> str:
    return clock_of([(number.e164, number.channel) for number in file.numbers], file.case.region, house)


def clock_of(lines: Sequence[tuple[str, Channel]], region: str, house: str) -> str:
    """The debtor's clock: of the first own number that has one, else of the case's address, else the house's."""
    for e164, channel in lines:
        if channel.is_debtors_own and (zones := candidate_zones(e164, region)):
            return zones[0].key
    placed = zones_of_region(region) if region else ()
    return placed[0] if placed else house


def _case_state(after: Standing) -> CaseState:
    if after.stage is Stage.ENDED:
        return CaseState.CLOSED
    return CaseState.HELD if after.stage in (Stage.HELD, Stage.FRAUD) else CaseState.OPEN


def _changed_numbers(file: CaseFile, after: Standing) -> dict[str, NumberState]:
    known = {number.id: number.state for number in file.numbers}
    return {track.id: track.state for track in after.numbers if known.get(track.id, track.state) is not track.state}


def _settled(before: Standing, after: Standing) -> str | None:
    """How the live promise ended, when this event ended it."""
    if before.promise is None or after.promise is not None:
        return None
    if after.settled and after.settled[-1:] != before.settled[-1:]:
        return after.settled[-1].verdict.value.removeprefix("PROMISE_").lower()
    return "withdrawn"


def _said_by_another(before: Standing, event: CaseEvent) -> bool:
    """Whoever answers at the debtor's workplace or home speaks for that line, not for the debtor."""
    number = before.number(event.number_id or "")
    return number is not None and number.channel in ANSWERED_BY_OTHERS


def _revived(before: Standing, after: Standing) -> bool:
    """A reversed payment took back a verdict before its promise was due."""
    return (
        before.promise is None
        and after.promise is not None
        and bool(before.settled)
        and before.settled[-1].promise == after.promise
        and after.settled[-1:] != before.settled[-1:]
    )


def _newly_promised(before: Standing, after: Standing) -> bool:
    """A promise was given by this event; a reminder only marks the one there is."""
    if after.promise is None:
        return False
    old, new = before.promise, after.promise
    return old is None or (old.amount, old.made_on, old.due) != (new.amount, new.made_on, new.due)


def _turned(before: Standing, after: Standing) -> str | None:
    """The newest verdict fell with a reversed payment."""
    if not before.settled or not after.settled or len(before.settled) != len(after.settled):
        return None
    old, new = before.settled[-1], after.settled[-1]
    if old.promise != new.promise or old.verdict is new.verdict:
        return None
    return new.verdict.value.removeprefix("PROMISE_").lower()


def _changed_orders(before: Standing, after: Standing) -> tuple[dict[str, Any], ...]:
    """Work orders this event asked for, decided or finished, as the store keeps them."""
    rows = []
    for place, order in enumerate(after.orders):
        if place < len(before.orders) and before.orders[place] == order:
            continue
        decided = order.state is OrderState.APPROVED or (order.state is OrderState.DONE and order.decided_by)
        details = {
            "legal_basis": order.legal_basis,
            "amount": format(order.amount, "f") if order.amount is not None else None,
            "until": order.until.isoformat() if order.until is not None else None,
            "visitors": list(order.visitors) or None,
            "result": order.result.value if order.result is not None else None,
            "decided_by": order.decided_by,
        }
        rows.append(
            {
                "id": f"wo_{after.case_id.rpartition('_')[2]}_{place}",
                "kind": order.kind.value,
                "state": "cancelled" if order.state is OrderState.WITHDRAWN else order.state.value,
                "asked_by": order.asked_by,
                "asked_at": order.asked_at,
                "approved_by": order.decided_by if decided else None,
                "approved_at": order.decided_at if decided else None,
                "finished_at": after.as_of if order.state not in (OrderState.ASKED, OrderState.APPROVED) else None,
                "details": {name: value for name, value in details.items() if value is not None},
            }
        )
    return tuple(rows)


def promised_day(file: CaseFile, house_zone: str, now: datetime, days: int) -> date:
    """The debtor's local calendar day ``days`` from now."""
    return local_day(now, ZoneInfo(debtor_zone(file, house_zone))) + timedelta(days=days)
