"""What is due when, at the window's edges."""

from __future__ import annotations

from datetime import timedelta

import pytest

from case_store.model import NextAction
from case_store.workflow.agenda import Due, agenda, due_of, next_look, on_day
from tests.unit.workflow.bench_case import MONDAY, SHANGHAI


def action(case: str, begins: float, ends: float, owner: str = "collector") -> NextAction:
    return NextAction(
        case_id=case,
        action="call-debtor",
        earliest=MONDAY + timedelta(hours=begins),
        latest=MONDAY + timedelta(hours=ends),
        owner=owner,
        escalation=None,
        reason_en="",
        reason_zh="",
    )


@pytest.mark.parametrize(
    ("begins", "ends", "due"),
    [(0, 1, Due.NOW), (-2, 0, Due.OVERDUE), (13, 20, Due.LATER_TODAY), (14, 20, Due.COMING), (-1, 1, Due.NOW)],
)
def test_the_window_includes_its_first_instant_and_excludes_its_last(begins: float, ends: float, due: Due) -> None:
    assert due_of(action("a", begins, ends), MONDAY, SHANGHAI) is due


def test_the_agenda_shows_overdue_first_and_drops_nothing() -> None:
    actions = [
        action("coming", 30, 40),
        action("now", -1, 5),
        action("late", -9, -1),
        action("sooner", -1, 3, "dialer"),
    ]
    lines = agenda(actions, MONDAY, SHANGHAI)
    assert [line.action.case_id for line in lines] == ["late", "sooner", "now", "coming"]
    assert [line.action.case_id for line in agenda(actions, MONDAY, SHANGHAI, owner="dialer")] == ["sooner"]
    assert [line.action.case_id for line in on_day(lines, MONDAY.date(), SHANGHAI)] == ["late", "sooner", "now"]


def test_the_next_look_is_the_next_edge() -> None:
    actions = [action("a", 2, 5), action("b", -3, 1)]
    assert next_look(actions, MONDAY) == MONDAY + timedelta(hours=1)
    assert next_look(actions, MONDAY + timedelta(hours=5)) is None
