"""A second opinion on every decision, written from sop/POLICY.md without looking at the engine.

It knows the figures by heart, converts every call to the callee's calendar and counts on its fingers. Slow and plain.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from case_store.call_facts import CallFacts, PastCall
from dialer.policy import CallRequest


def allowed(request: CallRequest, facts: CallFacts, names: set[str], zone_names: list[str]) -> bool:
    if facts.number_blocked or facts.number_invalid or request.person_id in facts.refused_persons:
        return False
    for hold in facts.holds:
        started = hold.begins <= request.at
        over = hold.ends is not None and request.at >= hold.ends
        if started and not over and not (hold.kind == "fraud" and request.purpose == "confirm-fraud"):
            return False
    for out in facts.opt_outs:
        same_line = out.e164 in (None, request.e164) and out.channel in (None, request.channel)
        if out.person_id == request.person_id and same_line and (out.ends is None or request.at < out.ends):
            return False
    return all(_allowed_at(request, facts, names, ZoneInfo(name)) for name in zone_names) and bool(zone_names)


def _allowed_at(request: CallRequest, facts: CallFacts, names: set[str], zone: ZoneInfo) -> bool:
    here = request.at.astimezone(zone)
    minute = here.hour * 60 + here.minute

    for span in facts.inconvenient:
        if span.person_id == request.person_id and (not span.weekdays or here.isoweekday() in span.weekdays):
            begins = span.opens.hour * 60 + span.opens.minute
            ends = span.closes.hour * 60 + span.closes.minute
            if begins <= minute < ends:
                return False

    last_hour = 24
    if names & {"cn-gbt45251-2025", "cn-cba-2026"}:
        last_hour = 22
    if names & {"us-reg-f", "uk-conc7"}:
        last_hour = 21
    if last_hour < 24 and not (8 * 60 <= minute < last_hour * 60):
        agreed = False
        for consent in facts.agreed_hours:
            mine = consent.person_id == request.person_id and consent.e164 in (None, request.e164)
            in_days = consent.begins <= here.date() and (consent.ends is None or here.date() <= consent.ends)
            begins = consent.opens.hour * 60 + consent.opens.minute
            ends = consent.closes.hour * 60 + consent.closes.minute
            agreed = agreed or (mine and in_days and begins <= minute < ends)
        if not agreed:
            return False

    def age(call: PastCall) -> int:
        return (here.date() - call.at.astimezone(zone).date()).days

    def talked(call: PastCall) -> bool:
        return call.conversation or call.category is None

    third = request.channel in ("relative", "emergency")
    same_number = [call for call in facts.calls if call.e164 == request.e164]
    about_debtor = [call for call in facts.calls if call.debtor_id == request.debtor_id]
    same_debt = [c for c in facts.calls if c.person_id == request.person_id and c.debt_id == request.debt_id]

    if "cn-gbt45251-2025" in names and len([c for c in about_debtor if talked(c) and age(c) <= 0]) >= 3:
        return False
    if "cn-cba-2026" in names and len([c for c in same_number if age(c) <= 0]) >= 6:
        return False
    if "cn-carrier" in names and request.protected_route:
        seconds = [(request.at - c.at).total_seconds() for c in same_number]
        if len([s for s in seconds if s < 24 * 3600]) >= 3 or len([s for s in seconds if s < 30 * 24 * 3600]) >= 10:
            return False
    if "us-reg-f" in names:
        if len([c for c in same_debt if age(c) < 7]) >= 7:
            return False
        if any(talked(c) and age(c) < 7 for c in same_debt):
            return False
        if third and (request.person_id in facts.spoken_ever or any(talked(c) for c in same_debt)):
            return False

    if third and names & {"cn-gbt45251-2025", "cn-cba-2026"}:
        opened = facts.debtor_mobiles_invalid or _failed_long_enough(about_debtor, here, zone)
        if not opened and "cn-cba-2026" in names:
            return False
        if not opened and facts.debtor_state == "reachable" and not facts.debtor_numbers_invalid:
            return False
    return True


def _failed_long_enough(calls: list[PastCall], here: datetime, zone: ZoneInfo) -> bool:
    """Three failed dials in a row to the debtor's mobile, the third of them before today."""
    in_a_row = 0
    third_on = None
    for call in sorted(calls, key=lambda each: each.at):
        if call.channel != "mobile" or call.person_id != call.debtor_id:
            continue
        if call.category is not None and call.category.value in ("trunk-trouble", "cancelled"):
            continue
        if call.conversation or call.category is None or call.category.value == "answered":
            in_a_row, third_on = 0, None
            continue
        in_a_row += 1
        if in_a_row == 3:
            third_on = call.at.astimezone(zone).date()
    return third_on is not None and third_on < here.date()
