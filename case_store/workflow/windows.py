"""Windows: D0 is the debtor's local calendar day of the outcome; windows are calendar days, inclusive.

"Latest" is the end of permitted hours on the last day. A last day without a permitted slot pulls the action earlier,
never later; a window without any slot is blocked, which the team leader gets to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from case_store.workflow.transitions import Reach
from config.calendars import DAYPART_BEGINS, Calendar, day_begins, local_day, local_instant
from config.errors import InvariantBroken

_DAY = timedelta(days=1)


class PermittedSlots(Protocol):
    """What the calling policy leaves of a local day, for one party of one case (or, with ``number_id``, for that number
    alone). Declared here because the policy lives in a room above; times are aware UTC."""

    def first(self, day: date, reach: Reach, not_before: datetime, number_id: str | None = None) -> datetime | None:
        """The first permitted instant on the debtor's local ``day`` at or after ``not_before``; None if there is none."""
        ...

    def last(self, day: date, reach: Reach, number_id: str | None = None) -> datetime | None:
        """The end of the last permitted interval of ``day`` (that instant excluded); None if the day has none."""
        ...

    def closing(self, day: date) -> datetime | None:
        """The end of permitted hours on ``day`` whoever might be called: when desk work is due; None: no rule on hours."""
        ...


@dataclass(frozen=True)
class FixedHours:
    """The plainest slots: the same hours every day for everybody, some days shut. For simulations and what-ifs."""

    zone: ZoneInfo
    opens: time = time(8)
    closes: time = time(22)
    shut: Callable[[date, Reach], bool] | None = None

    def first(self, day: date, reach: Reach, not_before: datetime, number_id: str | None = None) -> datetime | None:
        if self.shut is not None and self.shut(day, reach):
            return None
        opens = max(local_instant(day, self.opens, self.zone), not_before)
        return opens if opens < local_instant(day, self.closes, self.zone) else None

    def last(self, day: date, reach: Reach, number_id: str | None = None) -> datetime | None:
        if self.shut is not None and self.shut(day, reach):
            return None
        return local_instant(day, self.closes, self.zone)

    def closing(self, day: date) -> datetime | None:
        return local_instant(day, self.closes, self.zone)


@dataclass(frozen=True, slots=True)
class Window:
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Days:
    """A window before policy has spoken: local days, first and last included."""

    first: date
    last: date


def days_of(
    earliest: str, latest: str, *, today: date, placed_on: date, agreed: date | None, calendar: Calendar
) -> Days:
    """The marks of a table row as local days. A deadline that already lies behind is due today."""
    first = max(_mark(earliest, today, placed_on, agreed, calendar), today)
    last = max(_mark(latest, today, placed_on, agreed, calendar), today)
    return Days(min(first, last), last)


def _mark(mark: str, today: date, placed_on: date, agreed: date | None, calendar: Calendar) -> date:
    if mark in ("D", "daypart"):
        return today
    if mark == "date":
        if agreed is None:
            raise InvariantBroken("a row with an agreed date met an outcome without one", remedy="validate the outcome")
        return agreed
    anchor, _, count = mark.partition("+")
    day = today if anchor == "D" else placed_on
    if count.endswith("W"):
        return calendar.working_days_after(day, int(count[:-1]))
    return day + timedelta(days=int(count))


def fit(
    days: Days, reach: Reach, now: datetime, zone: ZoneInfo, slots: PermittedSlots, number_id: str | None = None
) -> Window | None:
    """Lay the permitted slots over the days; None: every slot of the window is forbidden (``WINDOW_BLOCKED``)."""
    if reach is Reach.DESK:
        return _desk(days, now, zone, slots)
    earliest = None
    day = days.first
    while day <= days.last:
        earliest = slots.first(day, reach, now, number_id)
        if earliest is not None:
            break
        day += _DAY
    if earliest is None:
        return None
    back = days.last
    while back >= day:
        latest = slots.last(back, reach, number_id)
        if latest is not None and latest > earliest:
            return Window(earliest, latest)
        back -= _DAY
    return None


def _desk(days: Days, now: datetime, zone: ZoneInfo, slots: PermittedSlots) -> Window:
    """Desk work needs no permission to call: it ends with the day's calling hours while they last, else with the day."""
    earliest = max(now, day_begins(days.first, zone))
    latest = slots.closing(days.last)
    if latest is None or latest <= earliest:
        latest = day_begins(days.last + _DAY, zone)
    return Window(earliest, latest)


def next_daypart(
    now: datetime, reach: Reach, zone: ZoneInfo, slots: PermittedSlots, number_id: str | None = None
) -> datetime | None:
    """The first permitted instant in a later part of today, else tomorrow's first; None: neither day has one."""
    today = local_day(now, zone)
    for _, begins in DAYPART_BEGINS[1:]:
        start = local_instant(today, begins, zone)
        if start > now and (slot := slots.first(today, reach, start, number_id)) is not None:
            return slot
    return slots.first(today + _DAY, reach, now, number_id)


def in_daypart(
    day: date, begins: time, ends: time | None, reach: Reach, now: datetime, zone: ZoneInfo, slots: PermittedSlots
) -> Window | None:
    """What is permitted between two wall times of a day; ``ends`` None is the end of the day."""
    start = max(local_instant(day, begins, zone), now)
    stop = local_instant(day, ends, zone) if ends is not None else day_begins(day + _DAY, zone)
    last = slots.last(day, reach)
    earliest = slots.first(day, reach, start)
    if last is None or earliest is None or earliest >= min(stop, last):
        return None
    return Window(earliest, min(stop, last))


def as_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise InvariantBroken("a naive time reached the workflow", remedy="attach a time zone where it is made")
    return instant.astimezone(UTC)
