"""Rule 1: no bad credit or criminal record. Nobody dials without a valid vetting record and the training acknowledgement
of the rules in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from case_store.verdict import PERMITTED, Verdict

_SOURCE = "SOP, rule 1 for collectors"
_SET = "collector-gate"


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectorRecord:
    """What is on file about a collector. ``vetted_until`` is the last valid day; ``acknowledged`` the rules' version."""

    collector_id: str
    vetted_on: date | None
    vetted_until: date | None
    credit_clean: bool
    criminal_clean: bool
    acknowledged: str | None
    acknowledged_on: date | None = None


def may_dial(record: CollectorRecord | None, rules_in_force: str, today: date) -> Verdict:
    """Whether this person may be put on a line today. ``rules_in_force`` names the version of the collectors' rules.

    A refusal has no ``until``: only a new record changes it.
    """
    if record is None or record.vetted_on is None or record.vetted_until is None:
        return _no("collector-not-vetted", "a vetting record on file")
    if not (record.credit_clean and record.criminal_clean):
        return _no("collector-record-bad", "no bad credit or criminal record")
    if today < record.vetted_on:
        return _no("collector-vetting-not-yet-valid", f"valid from {record.vetted_on}")
    if today > record.vetted_until:
        return _no("collector-vetting-expired", f"valid until {record.vetted_until}")
    if record.acknowledged != rules_in_force or (record.acknowledged_on or today) > today:
        return _no("collector-training-missing", f"acknowledgement of the rules {rules_in_force}")
    return PERMITTED


def _no(rule: str, figure: str) -> Verdict:
    return Verdict(allowed=False, rule=rule, figure=figure, source=_SOURCE, until=None, set_id=_SET, confidence="high")
