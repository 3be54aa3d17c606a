"""A case that has just been loaded already waits for the SOP's window, on the debtor's clock, and its alert is timed.
Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from case_store.intake.placement import parse_placement
from case_store.model import Channel, NextAction
from case_store.placement_report import Arrival
from case_store.store import CaseStore
from case_store.workflow import OutcomeCode
from case_store.workflow.case_state import CaseEvent
from config.clock import ShiftedClock
from config.settings import ClientSettings, Settings
from dialer.arrivals import first_steps
from dialer.followup import follow_up_over
from dialer.schedule import Scheduler

SETTINGS = Settings()
CHINA = ("+8613812345678", Channel.MOBILE, "CN")


def china(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+08:00")


@pytest.mark.parametrize(
    ("arrives", "earliest", "latest", "alert"),
    [
        ("2026-03-02T10:00", "2026-03-02T10:00", "2026-03-04T22:00", "2026-03-04T18:00"),
        ("2026-09-18T10:00", "2026-09-18T10:00", "2026-09-21T22:00", "2026-09-21T18:00"),  # Sunday the 20th is worked
        ("2026-02-13T23:30", "2026-02-14T08:00", "2026-02-24T22:00", "2026-02-24T18:00"),  # 15-23 February are off
    ],
)
def test_the_first_window_is_the_sops(arrives: str, earliest: str, latest: str, alert: str) -> None:
    step = first_steps(SETTINGS)(Arrival("case_1", "CN-LN", (CHINA,), china(arrives)))
    action = step.action
    assert (action.case_id, action.action, action.owner) == ("case_1", "sweep", "dialer")
    assert (action.earliest, action.latest) == (china(earliest), china(latest))
    assert step.look_at == china(alert)


def test_cases_of_one_kind_share_a_window_and_others_do_not() -> None:
    plan, at = first_steps(SETTINGS), china("2026-03-02T10:00")
    first = plan(Arrival("a", "CN", (CHINA,), at)).action
    second = plan(Arrival("b", "CN", (("+8613912345678", Channel.MOBILE, "CN"),), at)).action
    assert (second.case_id, second.latest) == ("b", first.latest)
    york = plan(Arrival("c", "US-NY", (("+12125550142", Channel.MOBILE, "US"),), at)).action
    angeles = plan(Arrival("d", "US-CA", (("+12135550142", Channel.MOBILE, "US"),), at)).action
    assert angeles.latest - york.latest == timedelta(hours=3)
    night = plan(Arrival("f", "CN", (CHINA,), china("2026-03-02T23:30"))).action
    after_midnight = plan(Arrival("g", "CN", (CHINA,), china("2026-03-03T00:30"))).action
    assert night.earliest == after_midnight.earliest == china("2026-03-03T08:00")
    assert (night.latest, after_midnight.latest) == (china("2026-03-04T22:00"), china("2026-03-05T22:00"))
    nobody = plan(Arrival("e", "CN", (), at)).action
    assert (nobody.action, nobody.owner, nobody.latest) == ("look-up", "data-clerk", china("2026-03-09T22:00"))


async def test_a_loaded_case_is_alerted_before_its_deadline_and_the_workflow_agrees(
    store: CaseStore, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    file.write_text("案件编号,姓名,欠款金额,本人手机,地区\nA1,甲,100,13812345678,CN-LN\n", encoding="utf-8")
    arrives = china("2026-09-18T10:00")
    report = await store.placements.load(
        parse_placement(file, ClientSettings(name="bank")), arrives, plan=first_steps(SETTINGS)
    )
    assert not report.rejected_fields
    (action,) = await live(store)
    assert action.latest == china("2026-09-21T22:00")
    follow_up = follow_up_over(store, SETTINGS)
    clock = ShiftedClock(china("2026-09-21T17:00"))
    scheduler = Scheduler(store, follow_up, clock, "node")
    assert await scheduler.look() == 0
    clock.advance_to(china("2026-09-21T18:00"))
    assert await scheduler.look() == 1
    kinds = [one.facts.get("notice") for one in await store.events.read_after(0, limit=100)]
    assert kinds.count("DUE_SOON") == 1
    (again,) = await live(store)
    assert (again.action, again.latest, again.owner) == ("sweep", action.latest, "dialer")
    await follow_up.happened(action.case_id, CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=action.latest))
    (late,) = await live(store)
    assert late.owner == "team-leader"


async def live(store: CaseStore) -> Sequence[NextAction]:
    begins, ends = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    actions, _ = await store.agenda.of_day(begins, ends, china("2026-09-19T10:00"), owner=None, limit=10)
    return actions
