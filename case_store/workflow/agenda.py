"""The day's work from next actions: what is due, what waits, what is overdue, and when to look again.

Pure and stateless: everything follows from the actions and the instant, so restarts and clock steps lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from case_store.model import NextAction
from config.calendars import day_begins


class Due(StrEnum):
    OVERDUE = "overdue"  # its window is over: visible until somebody acts
    NOW = "now"
    LATER_TODAY = "later-today"
    COMING = "coming"


@dataclass(frozen=True, slots=True)
class AgendaLine:
    due: Due
    action: NextAction


_ORDER = {each: place for place, each in enumerate(Due)}


def due_of(action: NextAction, now: datetime, house: ZoneInfo) -> Due:
    """``earliest`` is included in the window, ``latest`` is not; "today" is the house's day."""
    if now >= action.latest:
        return Due.OVERDUE
    if now >= action.earliest:
        return Due.NOW
    tomorrow = day_begins(now.astimezone(house).date() + timedelta(days=1), house)
    return Due.LATER_TODAY if action.earliest < tomorrow else Due.COMING


def agenda(actions: Iterable[NextAction], now: datetime, house: ZoneInfo, owner: str | None = None) -> list[AgendaLine]:
    """Overdue first, then what is due now, then the rest of today, each by its deadline; coming days last."""
    lines = [AgendaLine(due_of(each, now, house), each) for each in actions if owner is None or each.owner == owner]
    return sorted(lines, key=lambda line: (_ORDER[line.due], line.action.latest, line.action.case_id))


def on_day(lines: Iterable[AgendaLine], day: date, house: ZoneInfo) -> list[AgendaLine]:
    """Lines whose window touches ``day``, and everything overdue."""
    begins, ends = day_begins(day, house), day_begins(day + timedelta(days=1), house)
    return [
        line
        for line in lines
        if line.due is Due.OVERDUE or (line.action.earliest < ends and line.action.latest > begins)
    ]


def next_look(actions: Iterable[NextAction], now: datetime) -> datetime | None:
    """The next instant at which some action becomes due or overdue; None if none is ahead."""
    edges = (edge for each in actions for edge in (each.earliest, each.latest) if edge > now)
    return min(edges, default=None)
