"""When on a local day may a number be called: permitted intervals, and the workflow's view of them.

``PolicySlots`` answers the ``PermittedSlots`` protocol of ``case_store.workflow``: it looks at the numbers of one
case, asks the policy for each, and returns the first and the last permitted instant of a day for a party.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from case_store.call_facts import CallFacts
from case_store.workflow.transitions import Reach
from config.calendars import day_begins, local_instant
from dialer.policy.decide import first_permitted, permitted_until
from dialer.policy.request import CallRequest
from dialer.policy.rules import Hours, PolicySet

_DAY = timedelta(days=1)
_MOST_INTERVALS = 64


@dataclass(frozen=True, slots=True)
class Interval:
    """Permitted from ``opens`` (included) to ``closes`` (excluded), aware UTC."""

    opens: datetime
    closes: datetime


def permitted_intervals(
    request: CallRequest, facts: CallFacts, sets: Sequence[PolicySet], begins: datetime, ends: datetime
) -> list[Interval]:
    """Every interval in [begins, ends) in which the call is permitted if nothing else happens meanwhile."""
    found: list[Interval] = []
    at: datetime | None = begins
    while at is not None and at < ends and len(found) < _MOST_INTERVALS:
        at = first_permitted(replace(request, at=at), facts, sets, not_after=ends)
        if at is None:
            break
        closes = min(permitted_until(replace(request, at=at), facts, sets), ends)
        if found and found[-1].closes == at:
            found[-1] = Interval(found[-1].opens, closes)
        else:
            found.append(Interval(at, closes))
        at = closes
    return found


def on_day(
    request: CallRequest, facts: CallFacts, sets: Sequence[PolicySet], day: date, zone: ZoneInfo
) -> list[Interval]:
    """The permitted intervals of a local day at ``zone``."""
    return permitted_intervals(request, facts, sets, day_begins(day, zone), day_begins(day + _DAY, zone))


@dataclass(frozen=True)
class PolicySlots:
    """The policy as the workflow sees it, for one case. ``requests`` holds one request a number id (its ``at`` is
    ignored), ``facts`` what is known about it. Make a fresh one for every fold step: answers are remembered."""

    zone: ZoneInfo
    requests: Mapping[str, CallRequest]
    sets: Sequence[PolicySet]
    facts: Mapping[str, CallFacts] = field(default_factory=dict)
    default_facts: CallFacts = field(default_factory=CallFacts)
    _seen: dict[tuple[date, str], list[Interval]] = field(default_factory=dict, init=False, repr=False)

    def first(self, day: date, reach: Reach, not_before: datetime, number_id: str | None = None) -> datetime | None:
        found = self._intervals(day, reach, number_id)
        return min((max(each.opens, not_before) for each in found if each.closes > not_before), default=None)

    def last(self, day: date, reach: Reach, number_id: str | None = None) -> datetime | None:
        return max((each.closes for each in self._intervals(day, reach, number_id)), default=None)

    def closing(self, day: date) -> datetime | None:
        closes = [rule.closes for each in self.sets for rule in each.rules if isinstance(rule, Hours)]
        return local_instant(day, min(closes), self.zone) if closes else None

    def _intervals(self, day: date, reach: Reach, number_id: str | None) -> list[Interval]:
        found: list[Interval] = []
        for each, request in self.requests.items():
            if each == number_id or (number_id is None and _is_meant(request, reach)):
                found += self._of_number(day, each, request)
        return found

    def _of_number(self, day: date, number_id: str, request: CallRequest) -> list[Interval]:
        key = (day, number_id)
        found = self._seen.get(key)
        if found is None:
            facts = self.facts.get(number_id, self.default_facts)
            found = self._seen[key] = on_day(request, facts, self.sets, day, self.zone)
        return found


def _is_meant(request: CallRequest, reach: Reach) -> bool:
    if reach is Reach.DEBTOR:
        return not request.to_third_party
    if reach is Reach.CONTACT:
        return request.to_third_party
    return reach is Reach.ANYONE
