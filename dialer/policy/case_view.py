"""Where workflow and policy meet: what a case's state means to the policy, and what the policy's answers mean to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from case_store.call_facts import (
    AgreedHours,
    CallFacts,
    DebtorState,
    Hold,
    HoldKind,
    InconvenientTime,
    OptOut,
    PastCall,
)
from case_store.model import Channel, NumberState
from case_store.workflow import CaseEvent, CaseState, OutcomeCode, Stage
from case_store.workflow.look import look_at
from case_store.workflow.transitions import ActionCode
from config.settings import WorkflowSettings
from dialer.policy.decide import decide
from dialer.policy.request import CallRequest, Purpose
from dialer.policy.rules import PolicySet
from dialer.policy.slots import PolicySlots

_A_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """The identities and records around one case that the policy asks for; ``e164`` and ``person`` by number id."""

    debtor_id: str
    debt_id: str
    e164: Mapping[str, str]
    person: Mapping[str, str]
    address_region: str | None = None
    protected_route: bool = False
    calls: tuple[PastCall, ...] = ()
    agreed_hours: tuple[AgreedHours, ...] = ()
    inconvenient: tuple[InconvenientTime, ...] = ()
    opt_outs: tuple[OptOut, ...] = ()
    holds: tuple[Hold, ...] = ()
    number_holds: Mapping[str, tuple[Hold, ...]] = field(default_factory=dict)  # by number id
    refused_persons: frozenset[str] = frozenset()
    spoken_ever: frozenset[str] = field(default_factory=frozenset)

    def request(self, state: CaseState, number_id: str, at: datetime) -> CallRequest:
        number = state.number(number_id)
        assert number is not None
        confirming = state.next_action is not None and state.next_action.action == ActionCode.CONFIRM_FRAUD
        own = number.channel.is_debtors_own
        return CallRequest(
            at=at,
            e164=self.e164[number_id],
            channel=number.channel,
            case_id=state.case_id,
            person_id=self.debtor_id if own else self.person[number_id],
            debtor_id=self.debtor_id,
            debt_id=self.debt_id,
            address_region=self.address_region,
            protected_route=self.protected_route,
            purpose=Purpose.CONFIRM_FRAUD if confirming else Purpose.COLLECT,
        )

    def facts(self, state: CaseState, number_id: str) -> CallFacts:
        number = state.number(number_id)
        assert number is not None
        own = [each for each in state.numbers if each.channel.is_debtors_own]
        mobiles = [each for each in own if each.channel is Channel.MOBILE]
        return CallFacts(
            calls=self.calls,
            number_invalid=number.state is NumberState.INVALID,
            number_blocked=number.state is NumberState.BLOCKED,
            refused_persons=self.refused_persons,
            opt_outs=self.opt_outs,
            agreed_hours=self.agreed_hours,
            inconvenient=self.inconvenient,
            holds=(*self.holds, *self.number_holds.get(number_id, ()), *holds_of(state)),
            debtor_state=debtor_state_of(state),
            debtor_mobiles_invalid=all(each.state is NumberState.INVALID for each in mobiles),
            debtor_numbers_invalid=all(each.state is NumberState.INVALID for each in own),
            spoken_ever=self.spoken_ever,
        )

    def slots(self, state: CaseState, sets: Sequence[PolicySet], zone: ZoneInfo, now: datetime) -> PolicySlots:
        """What policy leaves of the coming days for this case's live numbers.

        The case's own holds are left out: a hold stops calls now, while the window of a step that lifts it (the fraud
        confirmation, the follow-up after a release) is about the days after. Records of holds set by hand count.
        """
        live = [each.id for each in state.numbers if each.state is NumberState.LIVE]
        return PolicySlots(
            zone=zone,
            requests={each: self.request(state, each, now) for each in live},
            sets=sets,
            facts={
                each: replace(self.facts(state, each), holds=(*self.holds, *self.number_holds.get(each, ())))
                for each in live
            },
        )


_HOLD_KIND = {
    OutcomeCode.DISPUTE: HoldKind.DISPUTE,
    OutcomeCode.COMPLAINT: HoldKind.COMPLAINT,
    OutcomeCode.HARDSHIP: HoldKind.HARDSHIP,
    OutcomeCode.DECEASED: HoldKind.DECEASED,
    OutcomeCode.INCAPABLE: HoldKind.INCAPABLE,
}


def holds_of(state: CaseState) -> tuple[Hold, ...]:
    """The hold a case's stage means."""
    if state.stage is Stage.FRAUD:
        return (Hold(kind=HoldKind.FRAUD, begins=state.entrusted_at),)
    if state.stage is Stage.HELD:
        return (Hold(kind=_HOLD_KIND.get(state.cause, HoldKind.COMPLIANCE), begins=state.entrusted_at),)
    return ()


def debtor_state_of(state: CaseState) -> DebtorState:
    """失联 opens the gate to third parties: the workflow concludes it, the policy only reads it."""
    if state.cause is OutcomeCode.DECEASED:
        return DebtorState.DECEASED
    if state.cause is OutcomeCode.INCAPABLE:
        return DebtorState.INCAPABLE
    if state.lost or state.stage in (Stage.LOCATE, Stage.VISIT) or state.looked_up:
        return DebtorState.UNREACHABLE
    return DebtorState.REACHABLE


def permission_events(state: CaseState, view: CaseView, sets: Sequence[PolicySet], now: datetime) -> list[CaseEvent]:
    """What the policy's answers tell the workflow: ``NUMBER_REFUSED`` for a live number that may not be called before
    the live action is over, ``NUMBER_PERMITTED`` for one that may again. Apply them before asking what is next.

    A number that is merely outside its hours is not refused, however late its action is: it waits. Nothing is said about a held or ended case.
    """
    action = state.next_action
    if action is None or state.stage in (Stage.FRAUD, Stage.HELD):
        return []
    found = []
    horizon = max(action.latest, now + _A_DAY)
    for number in state.numbers:
        if number.state is not NumberState.LIVE:
            continue
        verdict = decide(view.request(state, number.id, now), view.facts(state, number.id), sets)
        refused = not verdict.allowed and (verdict.until is None or verdict.until >= horizon)
        if refused and number.refused_by is None:
            found.append(CaseEvent(outcome=OutcomeCode.NUMBER_REFUSED, at=now, number_id=number.id, rule=verdict.rule))
        elif not refused and number.refused_by is not None:
            found.append(CaseEvent(outcome=OutcomeCode.NUMBER_PERMITTED, at=now, number_id=number.id))
    return found


def next_look(
    state: CaseState, view: CaseView, sets: Sequence[PolicySet], settings: WorkflowSettings, now: datetime
) -> datetime | None:
    """When the clock must look again: a window closes, a promise settles, or a refusal of the policy lapses."""
    edges = [look_at(state, settings)]
    if not state.is_terminal:
        edges += [
            decide(view.request(state, number.id, now), view.facts(state, number.id), sets).until
            for number in state.numbers
            if number.refused_by is not None and number.state is NumberState.LIVE
        ]
    return min((edge for edge in edges if edge is not None and edge > now), default=None)
