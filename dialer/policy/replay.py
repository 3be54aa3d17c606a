"""``onrecord workflow replay FILE.json``: the team leader's what-if. The file's schema is in docs/workflow.md.

A case, its calendar, its policy sets and dated events go in; out comes the next action with window, owner and
escalation, and every refusal with its rule and the time from which the call would be allowed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from case_store.call_facts import AgreedHours, InconvenientTime, OptOut, PastCall
from case_store.model import SOP_ORDER, Channel, NextAction
from case_store.network import ProgressCategory
from case_store.verdict import Verdict
from case_store.workflow import CaseEvent, CaseState, NumberTrack, OutcomeCode, Rules, apply, open_case
from case_store.workflow.explain import explain
from case_store.workflow.outcomes import BY_CONTACT, BY_DEBTOR, SILENT, STRIKES
from config.calendars import Calendar, YearOverride, local_day, zone
from config.errors import BadInput, OnrecordError, describe_shape
from config.settings import WorkflowSettings
from dialer.policy.case_view import CaseView, permission_events
from dialer.policy.decide import decide
from dialer.policy.load import load_sets
from dialer.policy.rules import PolicySet


class BadReplay(BadInput):
    """The replay file cannot be used; names the field, its shape and what to write."""

    error_id = "bad-replay"


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberIn(_Shape):
    id: str
    e164: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{4,14}$")]
    channel: Channel
    contact: str | None = None  # whose number; default: the debtor for own lines, the number itself for others
    position: int = 0


class CaseIn(_Shape):
    id: str
    time_zone: str
    entrusted_at: AwareDatetime
    balance: Annotated[Decimal, Field(gt=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    debt: str = "debt"
    address_region: str | None = None
    term_ends_on: date | None = None
    numbers: tuple[NumberIn, ...] = ()

    @model_validator(mode="after")
    def _numbers_are_distinct(self) -> CaseIn:
        ids = [number.id for number in self.numbers]
        if len(set(ids)) != len(ids):
            raise ValueError("two numbers have the same id")
        return self


class CalendarIn(_Shape):
    region: str = "CN"
    holidays: frozenset[date] = frozenset()
    working_days: frozenset[date] = frozenset()


class AgreedHoursIn(_Shape):
    contact: str = "debtor"
    opens: time
    closes: time
    begins: date = date.min
    ends: date | None = None


class InconvenientIn(_Shape):
    contact: str = "debtor"
    opens: time
    closes: time
    weekdays: frozenset[Annotated[int, Field(ge=1, le=7)]] = frozenset()


class OptOutIn(_Shape):
    contact: str = "debtor"
    number: str | None = None
    channel: Channel | None = None


class PolicyIn(_Shape):
    sets: tuple[str, ...] = ("cn-gbt45251-2025", "cn-cba-2026")
    protected_route: bool = False
    agreed_hours: tuple[AgreedHoursIn, ...] = ()
    inconvenient: tuple[InconvenientIn, ...] = ()
    opt_outs: tuple[OptOutIn, ...] = ()


class PastCallIn(_Shape):
    """A call before the first event; ``number`` is an id of the case."""

    at: AwareDatetime
    number: str
    category: ProgressCategory = ProgressCategory.NO_ANSWER
    conversation: bool = False


class EventIn(_Shape):
    at: AwareDatetime
    outcome: OutcomeCode
    number: str | None = None
    by: str | None = None
    amount: Decimal | None = None
    on: date | None = None
    payment_id: str | None = None
    legal_basis: str | None = None
    visitors: tuple[str, ...] = ()
    result: OutcomeCode | None = None
    found: NumberIn | None = None
    rule: str | None = None
    inbound: bool = False  # they called us: the policy has no say


class ReplayFile(_Shape):
    case: CaseIn
    calendar: CalendarIn = CalendarIn()
    policy: PolicyIn = PolicyIn()
    settings: WorkflowSettings = WorkflowSettings()
    sop_order: tuple[Channel, ...] = SOP_ORDER
    past_calls: tuple[PastCallIn, ...] = ()
    events: tuple[EventIn, ...] = ()
    now: AwareDatetime | None = None  # what is next at this instant; default: right after the last event


_DEBTOR = "debtor"
_CALLS = BY_DEBTOR | BY_CONTACT | SILENT | frozenset(STRIKES) | {OutcomeCode.REFUSED_CONTACT, OutcomeCode.FRAUD_CLAIM}
_NETWORK = {
    OutcomeCode.NO_ANSWER: ProgressCategory.NO_ANSWER,
    OutcomeCode.BUSY: ProgressCategory.BUSY,
    OutcomeCode.SWITCHED_OFF: ProgressCategory.SWITCHED_OFF,
    OutcomeCode.NOT_IN_SERVICE: ProgressCategory.NOT_IN_SERVICE,
}


def read_replay(path: Path) -> ReplayFile:
    """Parse and check the file. ``BadReplay`` names the first field that is wrong."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadReplay("cannot be read", field="FILE", shape=type(error).__name__, remedy="check the path") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadReplay("is not JSON", field="FILE", shape=type(error).__name__, remedy="correct the syntax") from None
    return parse_replay(tree)


def parse_replay(tree: object) -> ReplayFile:
    try:
        return ReplayFile.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadReplay(
            first["msg"],
            field=".".join(str(part) for part in first["loc"]) or "FILE",
            shape=describe_shape(first.get("input")),
            remedy="see the schema in docs/workflow.md",
        ) from None


def replay(file: ReplayFile) -> dict[str, Any]:
    """Run the file. Keys: ``case_id``, ``stage``, ``ended``, ``next_action`` (or None), ``refusals`` (events that policy
    or workflow refused; they did not happen), ``verdicts`` (may each number be called now), ``notices``, ``steps``
    (the next action after each event), ``calendar_known``, ``why``."""
    return _Replay(file).run()


class _Replay:
    def __init__(self, file: ReplayFile) -> None:
        self.file = file
        self.sets: tuple[PolicySet, ...] = load_sets(file.policy.sets)
        self.calendar = _calendar(file.calendar)
        self.clock = zone(file.case.time_zone)
        self.e164 = {number.id: number.e164 for number in file.case.numbers}
        self.person = {number.id: _contact_of(number) for number in file.case.numbers}
        self.channel = {number.id: number.channel for number in file.case.numbers}
        self.calls: tuple[PastCall, ...] = tuple(self._past(call, index) for index, call in enumerate(file.past_calls))
        self.refusals: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.state = self._opened()

    def run(self) -> dict[str, Any]:
        self._settle_permissions(self.state.as_of)
        for index, event in enumerate(self.file.events):
            self._event(index, event)
        if self.file.now is not None:
            self._apply(CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=self.file.now))
            self._settle_permissions(self.file.now)
        state = self.state
        years = {local_day(state.as_of, self.clock).year}
        if state.next_action is not None:
            years.add(local_day(state.next_action.latest, self.clock).year)
        return {
            "case_id": state.case_id,
            "stage": state.stage.value,
            "ended": state.cause.value if state.is_terminal else None,
            "next_action": _action(state.next_action, self.clock.key),
            "refusals": self.refusals,
            "verdicts": self._verdicts(),
            "notices": self.notices,
            "steps": self.steps,
            "balance": str(state.balance),
            "calendar_known": all(self.calendar.is_known(year) for year in sorted(years)),
            "why": explain(state, self.calendar),
        }

    def _event(self, index: int, event: EventIn) -> None:
        if event.number is not None and event.number not in self.e164:
            raise BadReplay(
                "is not a number of this case",
                field=f"events.{index}.number",
                shape=describe_shape(event.number),
                remedy="use an id from case.numbers",
            )
        calling = event.outcome in _CALLS and event.number is not None and not event.inbound
        kept = (self.state, self.calls, len(self.notices))
        try:
            self._apply(CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=event.at))
            self._settle_permissions(event.at)
            kept = (self.state, self.calls, len(self.notices))
            if calling and event.number is not None:
                if (refused := self._refused(event.number, event.at)) is not None:
                    self.refusals.append({"event": index, "by": "policy", **refused})
                    return
                self.calls = (*self.calls, self._made(event, event.number))  # the next window must know of this call
            self._apply(self._as_event(event))
        except OnrecordError as error:
            self.state, self.calls, raised = kept
            del self.notices[raised:]
            self.refusals.append({"event": index, "by": "workflow", **error.as_problem()})
            return
        self._settle_permissions(event.at)
        self.steps.append(
            {
                "event": index,
                "outcome": event.outcome.value,
                "next_action": _action(self.state.next_action, self.clock.key),
            }
        )

    def _apply(self, event: CaseEvent) -> None:
        self.state = apply(self.state, event, self._rules(event.at, event.number))
        self.notices += [
            {"kind": each.kind.value, "at": each.at.isoformat(), "en": each.en, "zh": each.zh, "number": each.number_id}
            for each in self.state.notices
        ]

    def _settle_permissions(self, now: datetime) -> None:
        for event in permission_events(self.state, self._view(), self.sets, now):
            self._apply(event)

    def _rules(self, now: datetime, found: NumberTrack | None = None) -> Rules:
        state = self.state
        if found is not None and state.number(found.id) is None:
            state = replace(state, numbers=(*state.numbers, found))
        return Rules(
            calendar=self.calendar,
            slots=self._view().slots(state, self.sets, self.clock, now),
            settings=self.file.settings,
            sop_order=self.file.sop_order,
        )

    def _view(self) -> CaseView:
        policy = self.file.policy
        spoken = {call.person_id for call in self.calls if call.conversation and not call.channel.is_debtors_own}
        return CaseView(
            debtor_id=_DEBTOR,
            debt_id=self.file.case.debt,
            e164=self.e164,
            person=self.person,
            address_region=self.file.case.address_region,
            protected_route=policy.protected_route,
            calls=self.calls,
            agreed_hours=tuple(
                AgreedHours(person_id=each.contact, **each.model_dump(exclude={"contact"}))
                for each in policy.agreed_hours
            ),
            inconvenient=tuple(
                InconvenientTime(person_id=each.contact, **each.model_dump(exclude={"contact"}))
                for each in policy.inconvenient
            ),
            opt_outs=tuple(
                OptOut(
                    person_id=each.contact,
                    e164=self.e164.get(each.number or ""),
                    channel=each.channel,
                )
                for each in policy.opt_outs
            ),
            spoken_ever=frozenset(spoken),
        )

    def _refused(self, number_id: str, at: datetime) -> dict[str, Any] | None:
        view = self._view()
        verdict = decide(view.request(self.state, number_id, at), view.facts(self.state, number_id), self.sets)
        return None if verdict.allowed else {"number": number_id, **_verdict(verdict, self.clock.key)}

    def _verdicts(self) -> list[dict[str, Any]]:
        view, now = self._view(), self.state.as_of
        return [
            {
                "number": number.id,
                "state": number.state.value,
                **_verdict(
                    decide(view.request(self.state, number.id, now), view.facts(self.state, number.id), self.sets),
                    self.clock.key,
                ),
            }
            for number in self.state.numbers
        ]

    def _opened(self) -> CaseState:
        case = self.file.case
        numbers = tuple(_track(number) for number in case.numbers)
        blank = CaseState(
            case_id=case.id,
            zone=case.time_zone,
            entrusted_at=case.entrusted_at,
            balance=case.balance,
            currency=case.currency,
            numbers=numbers,
            as_of=case.entrusted_at,
        )
        self.state = blank
        return open_case(
            case_id=case.id,
            zone_name=case.time_zone,
            entrusted_at=case.entrusted_at,
            balance=case.balance,
            currency=case.currency,
            numbers=numbers,
            rules=self._rules(case.entrusted_at),
            term_ends_on=case.term_ends_on,
        )

    def _learn(self, found: NumberIn) -> None:
        self.e164[found.id] = found.e164
        self.person[found.id] = _contact_of(found)
        self.channel[found.id] = found.channel

    def _as_event(self, event: EventIn) -> CaseEvent:
        if event.found is not None:
            self._learn(event.found)
        return CaseEvent(
            outcome=event.outcome,
            at=event.at,
            number_id=event.number,
            by=event.by,
            amount=event.amount,
            on=event.on,
            payment_id=event.payment_id,
            legal_basis=event.legal_basis,
            visitors=event.visitors,
            result=event.result,
            number=_track(event.found) if event.found is not None else None,
            rule=event.rule,
        )

    def _made(self, event: EventIn, number_id: str) -> PastCall:
        category = _NETWORK.get(event.outcome, ProgressCategory.ANSWERED)
        return self._call(event.at, number_id, category, conversation=category is ProgressCategory.ANSWERED)

    def _past(self, call: PastCallIn, index: int) -> PastCall:
        if call.number not in self.e164:
            raise BadReplay(
                "is not a number of this case",
                field=f"past_calls.{index}.number",
                shape=describe_shape(call.number),
                remedy="use an id from case.numbers",
            )
        return self._call(call.at, call.number, call.category, conversation=call.conversation)

    def _call(self, at: datetime, number_id: str, category: ProgressCategory, *, conversation: bool) -> PastCall:
        channel = self.channel[number_id]
        return PastCall(
            at=at,
            e164=self.e164[number_id],
            person_id=_DEBTOR if channel.is_debtors_own else self.person[number_id],
            debtor_id=_DEBTOR,
            debt_id=self.file.case.debt,
            channel=channel,
            category=category,
            conversation=conversation,
        )


def _contact_of(number: NumberIn) -> str:
    return number.contact or (_DEBTOR if number.channel.is_debtors_own else number.id)


def _track(number: NumberIn) -> NumberTrack:
    return NumberTrack(id=number.id, contact_id=_contact_of(number), channel=number.channel, position=number.position)


def _calendar(given: CalendarIn) -> Calendar:
    years = {day.year for day in given.holidays | given.working_days}
    plain = Calendar(given.region)
    overrides = {
        year: YearOverride(
            frozenset(day for day in given.holidays if day.year == year),
            frozenset(day for day in given.working_days if day.year == year),
        )
        for year in years
    }
    return replace(plain, overrides=overrides)


def _action(action: NextAction | None, zone_name: str) -> dict[str, Any] | None:
    if action is None:
        return None
    clock = zone(zone_name)
    return {
        "case_id": action.case_id,
        "action": action.action,
        "earliest": action.earliest.astimezone(clock).isoformat(),
        "latest": action.latest.astimezone(clock).isoformat(),
        # the last day of the window: latest itself is excluded, so midnight belongs to the day before
        "latest_day": local_day(action.latest - timedelta(seconds=1), clock).isoformat(),
        "owner": action.owner,
        "escalation": action.escalation,
        "number": action.number_id,
        "reason_en": action.reason_en,
        "reason_zh": action.reason_zh,
    }


def _verdict(verdict: Verdict, zone_name: str) -> dict[str, Any]:
    return {
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "figure": verdict.figure,
        "source": verdict.source,
        "set": verdict.set_id,
        "confidence": verdict.confidence,
        "until": verdict.until.astimezone(zone(zone_name)).isoformat() if verdict.until is not None else None,
    }


def as_text(result: dict[str, Any]) -> str:
    """The same for people."""
    lines = [result["why"]]
    for refusal in result["refusals"]:
        if refusal["by"] == "policy":
            when = refusal["until"] or "never / 永不"
            lines.append(
                f"事件 / event {refusal['event']}: refused by {refusal['rule']} ({refusal['figure']}; "
                f"{refusal['source']}); allowed from {when}"
            )
        else:
            lines.append(
                f"事件 / event {refusal['event']}: refused [{refusal['error_id']}] {refusal['title']}. {refusal['remedy']}"
            )
    if not result["calendar_known"]:
        lines.append("calendar: make-up days of this year are not published; weekdays were counted")
    return "\n".join(lines)
