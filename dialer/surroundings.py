"""The store's facts around a case, as the policy asks for them: one reading for the judge, the windows and the permissions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from case_store import call_facts as policy
from case_store.call_facts import Hold, HoldKind
from case_store.ledger import Candidate, ConsentFact, PastCall
from case_store.model import Channel
from case_store.network import ProgressCategory
from case_store.outcomes import CaseFile
from config.calendars import day_begins
from dialer.policy.case_view import CaseView
from dialer.policy.regions import candidate_zones

LOCK_OUT = timedelta(hours=72)
"""After a call nobody was free to take, number and person are left alone so long. A product decision: 72 hours is what
Ofcom's former statement on persistent misuse (2016) asked for before such a number was dialed predictively again, but none
of the rule sets here demands it. ``floor.lockout_hours`` changes it; counsel must confirm."""


def meant_person(candidate: Candidate) -> str:
    """Whom the call is meant to reach: the debtor on every own line, the workplace included (SOP, Windows)."""
    return candidate.debtor_person_id if candidate.channel.is_debtors_own else candidate.person_id


def view_of(file: CaseFile, lockout: timedelta = LOCK_OUT, *, protected: bool = False, grace_days: int = 1) -> CaseView:
    """A case file read with its surroundings, as the policy sees the case."""
    around = file.surroundings
    lines = around.lines if around is not None else ()
    history = around.history if around is not None else ()
    said = around.consents if around is not None else ()
    return CaseView(
        debtor_id=file.case.debtor_person_id,
        debt_id=file.case.debt_id,
        e164={one.number_id: one.e164 for one in lines},
        person={one.number_id: meant_person(one) for one in lines},
        address_region=file.case.region or None,
        protected_route=protected,
        calls=tuple(past_call(call) for call in history),
        agreed_hours=tuple(
            agreed(one, person) for one in said if one.kind == "hours" for person in _people(one, lines)
        ),
        inconvenient=tuple(
            inconvenient(one, person) for one in said if one.kind == "inconvenient" for person in _people(one, lines)
        ),
        opt_outs=tuple(opt_out(one, person) for one in said if one.kind == "opt-out" for person in _people(one, lines)),
        holds=promise_hold(around.promised_elsewhere, lines[0], grace_days) if around is not None and lines else (),
        number_holds={one.number_id: lock_out(history, one.e164, meant_person(one), lockout) for one in lines},
        refused_persons=around.refused_persons if around is not None else frozenset(),
        spoken_ever=around.spoken_ever if around is not None else frozenset(),
    )


def _people(said: ConsentFact, lines: Sequence[Candidate]) -> Iterable[str]:
    """Whom a record is about: its person, else whoever is meant on its number."""
    if said.person_id is not None:
        return (said.person_id,)
    return dict.fromkeys(meant_person(one) for one in lines if one.e164 == said.e164)


def lock_out(history: Sequence[PastCall], e164: str, person: str, length: timedelta) -> tuple[Hold, ...]:
    """The lock-out after the newest abandoned call to this number or person; none for a ``length`` of nothing."""
    abandoned = [
        call.at
        for call in history
        if call.abandoned and (call.e164 == e164 or person in (call.person_id, past_call(call).person_id))
    ]
    if not abandoned or not length:
        return ()
    newest = max(abandoned)
    return (Hold(kind=HoldKind.ABANDONED, begins=newest, ends=newest + length),)


def promise_hold(due: date | None, line: Candidate, grace_days: int) -> tuple[Hold, ...]:
    """The debtor promised on another case: nobody calls about this one until that promise is settled."""
    if due is None:
        return ()
    zones = candidate_zones(line.e164, line.case_region or None)
    settled = day_begins(due + timedelta(days=grace_days + 1), zones[0] if zones else ZoneInfo("UTC"))
    return (Hold(kind=HoldKind.PROMISE, begins=datetime.min.replace(tzinfo=UTC), ends=settled),)


def past_call(call: PastCall) -> policy.PastCall:
    return policy.PastCall(
        at=call.at,
        e164=call.e164,
        person_id=call.debtor_person_id if call.channel.is_debtors_own else call.person_id,
        debtor_id=call.debtor_person_id,
        debt_id=call.debt_id,
        channel=call.channel,
        category=None if call.in_flight else call.category or ProgressCategory.UNKNOWN,
        conversation=call.conversation,
    )


def opt_out(fact: ConsentFact, person: str) -> policy.OptOut:
    channel = fact.details.get("channel")
    return policy.OptOut(
        person_id=person,
        e164=fact.e164 if fact.about_number else None,
        channel=Channel(channel) if channel else None,
    )


def agreed(fact: ConsentFact, person: str) -> policy.AgreedHours:
    opens, closes = _span(fact.details)
    return policy.AgreedHours(
        person_id=person,
        opens=opens,
        closes=closes,
        begins=date.fromisoformat(fact.details["begins"]),
        e164=fact.e164 if fact.about_number else None,
    )


def inconvenient(fact: ConsentFact, person: str) -> policy.InconvenientTime:
    opens, closes = _span(fact.details)
    return policy.InconvenientTime(
        person_id=person, opens=opens, closes=closes, weekdays=frozenset(fact.details.get("weekdays", ()))
    )


def _span(details: dict[str, Any]) -> tuple[time, time]:
    return time.fromisoformat(details["opens"]), time.fromisoformat(details["closes"])
