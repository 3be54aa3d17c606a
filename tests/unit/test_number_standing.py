"""What coverage says of a number: the rule that keeps it back now, not one that did so an hour ago."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from case_store.placement_coverage import standing_of_pair

SOON = datetime(2026, 3, 2, 8, tzinfo=UTC)


def pair(**facts: object) -> SimpleNamespace:
    """A row as ``coverage_of`` reads it: a live number of an open case, not tried yet."""
    known: dict[str, object] = {
        "id": "num",
        "case_id": "case",
        "e164": "+8613800138000",
        "state": "live",
        "case_state": "open",
        "attempted": False,
        "try_state": None,
        "rule": None,
        "source": None,
        "again_at": None,
        "sweep_state": "ready",
        "reason": None,
    }
    return SimpleNamespace(**{**known, **facts})


@pytest.mark.parametrize(
    ("facts", "standing", "reason"),
    [
        ({}, "pending", None),
        ({"attempted": True, "try_state": "refused", "rule": "hours"}, "attempted", None),
        ({"try_state": "refused", "rule": "hours", "again_at": SOON}, "refused", "hours"),
        ({"try_state": "refused", "rule": "third-party"}, "refused", "third-party"),
        ({"sweep_state": "stopped", "reason": "SELF_PROMISE"}, "skipped", "SELF_PROMISE"),
        # The hour would have come: it is the promise that keeps the number back.
        (
            {
                "try_state": "refused",
                "rule": "hours",
                "again_at": SOON,
                "sweep_state": "stopped",
                "reason": "SELF_PROMISE",
            },
            "skipped",
            "SELF_PROMISE",
        ),
        # A refusal without an end stands, promise or not.
        (
            {"try_state": "refused", "rule": "third-party", "sweep_state": "stopped", "reason": "SELF_PROMISE"},
            "refused",
            "third-party",
        ),
        ({"state": "invalid"}, "skipped", "number-invalid"),
        ({"case_state": "closed"}, "skipped", "case-closed"),
    ],
)
def test_the_reason_is_the_one_in_force(facts: dict[str, object], standing: str, reason: str | None) -> None:
    seen = standing_of_pair(pair(**facts))
    assert (seen.standing, seen.reason) == (standing, reason)
    assert seen.until == (SOON if standing == "refused" and facts.get("again_at") else None)
