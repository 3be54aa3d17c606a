"""No cherry-picking: shares, reasons, deadlines before they break, and how long cases wait."""

from __future__ import annotations

from datetime import timedelta

import pytest

from case_store.model import Channel
from case_store.workflow.coverage import Alarm, By, Pair, SweepClock, coverage, deadlines, fairness, sweep_deadline
from config.calendars import Calendar
from tests.unit.workflow.bench_case import MONDAY

CHINA = Calendar("CN")


def pair(case: str, number: str, *, permitted: bool = True, attempted: bool = False, why: str | None = None) -> Pair:
    return Pair(
        case_id=case,
        number_id=number,
        placement_id="p1" if case < "c" else "p2",
        client="bank",
        channel=Channel.MOBILE,
        collector=None,
        permitted=permitted,
        attempted=attempted,
        reached=attempted and number == "1",
        never_tried_because=why,
    )


def test_shares_and_reasons() -> None:
    pairs = [
        pair("a", "1", attempted=True),
        pair("a", "2"),
        pair("b", "1", permitted=False, why="third-party-gate"),
        pair("c", "1", attempted=True),
    ]
    first, second = coverage(pairs, By.PLACEMENT)
    assert (first.key, first.share, first.cases, first.reached) == ("p1", 0.5, 2, 1)
    assert dict(first.reasons) == {"not reached yet": 1, "third-party-gate": 1}
    assert (second.key, second.share, second.never_tried) == ("p2", 1.0, ())
    assert coverage(pairs, By.COLLECTOR)[0].key == "nobody"


@pytest.mark.parametrize(
    ("hours", "alarms"), [(0, []), (37, []), (38, [Alarm.SOON]), (61.9, [Alarm.SOON]), (62, [Alarm.BROKEN])]
)
def test_the_alert_comes_before_the_deadline_breaks(hours: float, alarms: list[Alarm]) -> None:
    clock = SweepClock(case_id="a", zone="Asia/Shanghai", entrusted_at=MONDAY, swept=False)
    assert sweep_deadline(clock, CHINA) == MONDAY.replace(day=5, hour=0)
    found = deadlines([clock], CHINA, MONDAY + timedelta(hours=hours))
    assert [each.alarm for each in found] == alarms


def test_fairness_names_the_longest_untouched_case() -> None:
    rows = [("a", MONDAY, MONDAY + timedelta(days=1)), ("b", MONDAY, None), ("c", MONDAY, MONDAY + timedelta(days=5))]
    figures = fairness(rows, MONDAY + timedelta(days=6))
    assert (figures.longest_case_id, figures.longest_days, figures.median_days, figures.never_worked) == ("b", 6, 5, 1)
    assert fairness([], MONDAY).cases == 0
