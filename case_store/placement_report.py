"""What a load of a placement file says: its report, each row's fate, and the first action a case gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from case_store.intake.errors import Rejection
from case_store.intake.placement import write_rejects
from case_store.model import Channel, NextAction


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """``rejected_rows`` went in not at all; ``rejected_fields`` are fields of rows that did."""

    placement_id: str
    name: str
    client: str
    rows: int
    cases: int  # made by this load
    numbers: int  # made by this load
    existing: int  # rows whose case was there already
    rejected_rows: tuple[Rejection, ...]
    rejected_fields: tuple[Rejection, ...]
    already_loaded: bool
    dry_run: bool
    unknown_columns: tuple[str, ...]
    header: tuple[str, ...] = field(repr=False)
    returned: tuple[tuple[tuple[str, ...], tuple[Rejection, ...]], ...] = field(repr=False)

    @property
    def rejected_row_count(self) -> int:
        return len({one.row for one in self.rejected_rows})

    def write_rejects(self, path: Path) -> None:
        """The returned rows as a file to correct and load again."""
        write_rejects(path, self.header, self.returned)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFate:
    """What becomes of one row. ``fate``: new (a case is made), joins (its case was there), refused."""

    row: int
    case_ref: str
    fate: str
    numbers: int  # that go in with it
    reasons: tuple[Rejection, ...]  # of a refused row, or of its fields that do not go in


@dataclass(frozen=True, slots=True)
class Arrival:
    """A case that goes in. ``lines``: number, channel and the number's region, in the order of the sweep."""

    case_id: str
    region: str
    lines: tuple[tuple[str, Channel, str], ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class FirstStep:
    """``look_at``: when the clock alone changes something about it, the alert before its deadline first."""

    action: NextAction
    look_at: datetime


FirstAction = Callable[[Arrival], FirstStep]
"""What the case waits for. Every door passes the workflow's (``dialer.arrivals``), which knows clocks, hours and holidays."""


def first_action(arrival: Arrival) -> FirstStep:
    """For a store without a dialer beside it, which knows neither hours nor holidays: weekends are its only days off."""
    action = _weekdays_only(arrival.case_id, bool(arrival.lines), arrival.at)
    return FirstStep(action, action.latest)


def _weekdays_only(case_id: str, has_number: bool, now: datetime) -> NextAction:
    if has_number:
        return NextAction(
            case_id=case_id,
            action="sweep",
            earliest=now,
            latest=_working_days_on(now, 2),
            owner="dialer",
            escalation="D+3 unswept → team leader",
            reason_en="New placement: every permitted number is tried once, in SOP order",
            reason_zh="新转案件：按电催顺序对每个可拨号码首催一次",
        )
    return NextAction(
        case_id=case_id,
        action="look-up",
        earliest=now,
        latest=_working_days_on(now, 5),
        owner="data-clerk",
        escalation="nothing found → registry or visit",
        reason_en="No valid number on file: look one up from lawful sources",
        reason_zh="号码全无效：从合法来源查找电话",
    )


def _working_days_on(now: datetime, days: int) -> datetime:
    while days:
        now += timedelta(days=1)
        days -= now.weekday() < 5
    return now
