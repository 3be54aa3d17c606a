"""What the model of a number's own answer chance is told of it: the hour where it rings, its kind, whose network its
range belongs to, and how the last calls to it ended.

Nothing of it says whose number it is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import phonenumbers

from case_store.ledger import Candidate, NumberPast
from dialer.pacing.answer_chance import NumberFacts
from dialer.policy.regions import candidate_zones

HISTORY = timedelta(days=30)
"""How far back the calls to a number are looked at: the ledger's own window."""

_UTC = ZoneInfo("UTC")
_UNKNOWN = "unknown"


def number_facts(candidate: Candidate, past: NumberPast, now: datetime) -> NumberFacts:
    """``past``: of the last ``HISTORY``, over every campaign, node and imported call."""
    zones = candidate_zones(candidate.e164, candidate.case_region or None)
    return NumberFacts(
        hour=now.astimezone(zones[0] if zones else _UTC).hour,
        number_type=candidate.channel.value,
        carrier=carrier_of(candidate.e164),
        silent_attempts=past.silent,
        answered_before=past.answered_before,
    )


def carrier_of(e164: str) -> str:
    """The network a number's range was given to (a ported number may be elsewhere); ``unknown`` where nobody says.

    The first call reads all ranges there are, a good part of a second: ``PaceSetter``s are made after it.
    """
    from phonenumbers.carrier import name_for_number

    try:
        return name_for_number(phonenumbers.parse(e164), "en") or _UNKNOWN
    except phonenumbers.NumberParseException:
        return _UNKNOWN
