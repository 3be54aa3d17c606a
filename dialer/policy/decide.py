"""The decision: every rule of every set is asked, the strictest answer is the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from case_store.call_facts import CallFacts
from case_store.verdict import PERMITTED, Verdict
from config.errors import InvariantBroken
from dialer.policy.regions import candidate_zones
from dialer.policy.request import CallRequest
from dialer.policy.rules import NEVER, PolicySet, Rule, Situation

HORIZON = timedelta(days=62)
"""How far ahead ``until`` is looked for; beyond it the answer is "never" (no rule's window is longer than 30 days)."""


def decide(request: CallRequest, facts: CallFacts, sets: Sequence[PolicySet]) -> Verdict:
    """May this call be placed at ``request.at``? Pure; the cost grows with ``facts`` only.

    Of several rules that refuse, the one that refuses longest is named (the first set wins a tie); ``until`` is when
    *all* of them would permit the call if nothing else happened. Raises ``InvariantBroken`` on a naive time.
    """
    if request.at.tzinfo is None:
        raise InvariantBroken("a naive time reached the policy", remedy="attach a time zone where it is made")
    at = request.at.astimezone(UTC)
    situation = Situation(request, facts, at, candidate_zones(request.e164, request.address_region))
    refusal = _strictest(situation, sets)
    if refusal is None:
        return PERMITTED
    until, rule, owner = refusal
    first = None if until == NEVER else _first(situation, sets, until)
    label = rule.label
    return Verdict(
        allowed=False,
        rule=label.id,
        figure=label.figure,
        source=label.source,
        until=first,
        set_id=owner.id,
        confidence=label.confidence,
    )


def first_permitted(
    request: CallRequest, facts: CallFacts, sets: Sequence[PolicySet], not_after: datetime | None = None
) -> datetime | None:
    """The first instant at or after ``request.at`` at which the call is permitted; None if there is none before
    ``not_after`` (excluded; default ``HORIZON``)."""
    at = request.at.astimezone(UTC)
    situation = Situation(request, facts, at, candidate_zones(request.e164, request.address_region))
    return _first(situation, sets, at, not_after)


def permitted_until(request: CallRequest, facts: CallFacts, sets: Sequence[PolicySet]) -> datetime:
    """For a call permitted at ``request.at``: the next instant at which a rule on times *may* bar it. ``NEVER`` if none."""
    at = request.at.astimezone(UTC)
    situation = Situation(request, facts, at, candidate_zones(request.e164, request.address_region))
    return min((rule.bars_from(situation) for each in sets for rule in each.rules), default=NEVER)


def _strictest(situation: Situation, sets: Sequence[PolicySet]) -> tuple[datetime, Rule, PolicySet] | None:
    worst: tuple[datetime, Rule, PolicySet] | None = None
    for each in sets:
        for rule in each.rules:
            until = rule.barred_until(situation)
            if until is not None and (worst is None or until > worst[0]):
                worst = (until, rule, each)
    return worst


def _first(
    start: Situation, sets: Sequence[PolicySet], at: datetime, not_after: datetime | None = None
) -> datetime | None:
    """Jump from refusal to refusal: each rule names the first instant it would permit, so nothing earlier can do."""
    limit = start.at + HORIZON if not_after is None else not_after
    while at < limit:
        refusal = _strictest(Situation(start.request, start.facts, at, start.zones), sets)
        if refusal is None:
            return at
        if refusal[0] == NEVER:
            return None
        if refusal[0] <= at:
            raise InvariantBroken("a rule bars a call until an instant that has passed", remedy="report the rule's set")
        at = refusal[0]
    return None
