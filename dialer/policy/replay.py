"""``onrecord workflow replay FILE.json``: the team leader's what-if. The file's schema is in docs/workflow.md.

A case, its calendar, its policy sets and dated events go in; out comes the next action with window, owner and
escalation, and every refusal with its rule and the time from which the call would be allowed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from case_store.call_facts import AgreedHours, InconvenientTime, OptOut, PastCall
from case_store.model import NextAction
from case_store.network import ProgressCategory
from case_store.verdict import Verdict
from case_store.workflow import CaseEvent, CaseState, NumberTrack, OutcomeCode, Rules, apply, open_case
from case_store.workflow.case_state import Thread
from case_store.workflow.explain import explain
from case_store.workflow.outcomes import BY_CONTACT, BY_DEBTOR, HOLDS, SILENT, STRIKES
from config.calendars import Calendar, YearOverride, local_day, zone
from config.errors import OnrecordError
from dialer.policy.case_view import CaseView, next_look, permission_events
from dialer.policy.decide import decide
from dialer.policy.load import load_sets
from dialer.policy.replay_file import DEBTOR, CalendarIn, EventIn, NumberIn, PastCallIn, ReplayFile
from dialer.policy.rules import PolicySet

_STANDS = HOLDS | {OutcomeCode.REFUSED_CONTACT, OutcomeCode.FRAUD_CLAIM}
"""What somebody said that stops us holds wherever it was said, a call that should not have been made included."""
_CALLS = (
    BY_DEBTOR
    | BY_CONTACT
    | SILENT
    | frozenset(STRIKES)
    | _STANDS
    | {OutcomeCode.FRAUD_CONFIRMED, OutcomeCode.CALL_BACK_AGREED}
)
_NETWORK = {
    OutcomeCode.NO_ANSWER: ProgressCategory.NO_ANSWER,
    OutcomeCode.BUSY: ProgressCategory.BUSY,
    OutcomeCode.SWITCHED_OFF: ProgressCategory.SWITCHED_OFF,
    OutcomeCode.NOT_IN_SERVICE: ProgressCategory.NOT_IN_SERVICE,
}


def replay(file: ReplayFile) -> dict[str, Any]:
    """Run the file. Keys: ``case_id``, ``stage``, ``ended``, ``next_action`` (or None), ``refusals`` (events that policy
    or workflow refused; they did not happen unless ``stands``), ``verdicts`` (may each number be called now),
    ``to_sweep`` (numbers the sweep has yet to try, in order), ``promise``, ``settled``, ``orders``, ``notices``,
    ``steps`` (the next action after each event), ``calendar_known``, ``why``."""
    return _Replay(file).run()


class _Replay:
    def __init__(self, file: ReplayFile) -> None:
        self.file = file
        self.sets: tuple[PolicySet, ...] = load_sets(file.policy.sets)
        self.calendar = _calendar(file.calendar)
        self.clock = zone(file.case.time_zone)
        self.e164 = {number.id: number.e164 for number in file.case.numbers}
        self.person = {number.id: number.owner for number in file.case.numbers}
        self.channel = {number.id: number.channel for number in file.case.numbers}
        self.calls: tuple[PastCall, ...] = tuple(self._past(call) for call in file.past_calls)
        self.refusals: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.state: CaseState = self._opened()
        self._take(self.state)

    def run(self) -> dict[str, Any]:
        self._settle_permissions(self.state.as_of)
        for index, event in enumerate(self.file.events):
            self._event(index, event)
        if self.file.now is not None:
            self._pass_time(self.file.now)
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
            "to_sweep": self._to_sweep(),
            "notices": self.notices,
            "steps": self.steps,
            "balance": str(state.balance),
            "promise": _promise(state),
            "settled": [
                {"amount": str(each.promise.amount), "due": each.promise.due.isoformat(), "verdict": each.verdict.value}
                for each in state.settled
            ],
            "orders": [
                {"kind": each.kind.value, "state": each.state.value, "asked_by": each.asked_by, "by": each.decided_by}
                for each in state.orders
            ],
            "calendar_known": all(self.calendar.is_known(year) for year in sorted(years)),
            "why": explain(state, self.calendar),
        }

    def _event(self, index: int, event: EventIn) -> None:
        calling = event.outcome in _CALLS and event.number is not None and not event.inbound
        self._pass_time(event.at)
        kept = (self.state, self.calls, len(self.notices))
        try:
            if calling and event.number is not None:
                if (refused := self._refused(event.number, event.at)) is not None:
                    stands = event.outcome in _STANDS
                    self.refusals.append({"event": index, "by": "policy", "stands": stands, **refused})
                    if not stands:
                        return
                self.calls = (*self.calls, self._made(event, event.number))  # the next window must know of this call
            self._apply(self._as_event(event))
        except OnrecordError as error:
            self.state, self.calls, raised = kept
            del self.notices[raised:]
            self.refusals.append({"event": index, "by": "workflow", "stands": False, **error.as_problem()})
            return
        self._settle_permissions(event.at)
        self.steps.append(
            {
                "event": index,
                "outcome": event.outcome.value,
                "next_action": _action(self.state.next_action, self.clock.key),
            }
        )

    def _pass_time(self, until: datetime) -> None:
        """The clock looks at the case whenever it alone changes something, as the running house's scheduler does."""
        while (edge := self._next_look()) is not None and edge < until:
            self._tick(edge)
        self._tick(until)

    def _tick(self, now: datetime) -> None:
        self._apply(CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=now))
        self._settle_permissions(now)

    def _next_look(self) -> datetime | None:
        return next_look(self.state, self._view(), self.sets, self.file.settings, self.state.as_of)

    def _apply(self, event: CaseEvent) -> None:
        self._take(apply(self.state, event, self._rules(event.at, event.number)))

    def _take(self, state: CaseState) -> None:
        self.state = state
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
            debtor_id=DEBTOR,
            debt_id=self.file.case.debt,
            e164=self.e164,
            person=self.person,
            address_region=self.file.case.address_region,
            protected_route=policy.protected_route,
            calls=self.calls,
            agreed_hours=tuple(
                AgreedHours(
                    person_id=each.contact,
                    opens=each.opens,
                    closes=each.closes,
                    begins=each.begins,
                    ends=each.ends,
                    e164=self.e164[each.number] if each.number is not None else None,
                )
                for each in policy.agreed_hours
            ),
            inconvenient=tuple(
                InconvenientTime(person_id=each.contact, **each.model_dump(exclude={"contact"}))
                for each in policy.inconvenient
            ),
            opt_outs=tuple(
                OptOut(
                    person_id=each.contact,
                    e164=self.e164[each.number] if each.number is not None else None,
                    channel=each.channel,
                    ends=each.ends,
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

    def _to_sweep(self) -> list[str]:
        """Numbers the sweep has yet to try, the next one first; empty where no sweep is under way."""
        state = self.state
        if not any(each.thread is Thread.SWEEP for each in state.pending):
            return []
        order = {channel: place for place, channel in enumerate(self.file.sop_order)}
        todo = [each for each in state.numbers if each.is_open and not each.swept]
        todo.sort(key=lambda each: (order.get(each.channel, len(order)), each.position))
        return [each.id for each in todo]

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
        self.person[found.id] = found.owner
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
            call_at=event.call_at,
            team=event.team,
        )

    def _made(self, event: EventIn, number_id: str) -> PastCall:
        category = _NETWORK.get(event.outcome, ProgressCategory.ANSWERED)
        return self._call(event.at, number_id, category, conversation=category is ProgressCategory.ANSWERED)

    def _past(self, call: PastCallIn) -> PastCall:
        quiet = ProgressCategory.ANSWERED if call.conversation else ProgressCategory.NO_ANSWER
        return self._call(call.at, call.number, call.category or quiet, conversation=call.conversation)

    def _call(self, at: datetime, number_id: str, category: ProgressCategory, *, conversation: bool) -> PastCall:
        channel = self.channel[number_id]
        return PastCall(
            at=at,
            e164=self.e164[number_id],
            person_id=DEBTOR if channel.is_debtors_own else self.person[number_id],
            debtor_id=DEBTOR,
            debt_id=self.file.case.debt,
            channel=channel,
            category=category,
            conversation=conversation,
        )


def _track(number: NumberIn) -> NumberTrack:
    return NumberTrack(id=number.id, contact_id=number.owner, channel=number.channel, position=number.position)


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
        "agent": action.agent_id,
        "reason_en": action.reason_en,
        "reason_zh": action.reason_zh,
    }


def _promise(state: CaseState) -> dict[str, Any] | None:
    if state.promise is None:
        return None
    return {"amount": str(state.promise.amount), "due": state.promise.due.isoformat(), "broken_before": state.broken}


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
