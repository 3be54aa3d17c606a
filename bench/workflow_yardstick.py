"""The SOP's windows a second time, counted on the fingers: what ``bench.workflow_year`` holds the workflow's answers against.

Knows nothing of the workflow's table, slots or windows: days are walked one by one, hours are put on the wall with plain ``datetime``, and
the working days of China's year 2026 are written out from the State Council's notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from config.calendars import Calendar

DAY = timedelta(days=1)

CALL_DAYS: dict[str, tuple[int, int]] = {
    "SELF_NEGOTIATING": (1, 7),
    "THIRD_PARTY_NEGOTIATING": (1, 7),
    "MESSAGE_LEFT_1": (2, 7),
    "MESSAGE_LEFT_2": (3, 7),
    "CALLED_BACK": (1, 7),
    "HOLD_RELEASED": (1, 7),
    "FRAUD_REJECTED": (1, 7),
    "LEADER_DECIDED": (1, 7),
    "FRAUD_CLAIM": (0, 7),
}
"""Outcome → first and last local day after it on which somebody is to be called."""

DESK_DAYS: dict[str, tuple[str, str]] = {
    "LOOKUP_EMPTY": ("D", "2W"),
    "REGISTRY_EMPTY": ("D", "2W"),
    "VISIT_ORDER": ("D", "2W"),
    "VISIT_APPROVED": ("D", "10W"),
    "FRAUD_DECLARED": ("D", "2W"),
    "FRAUD_PACKET_SENT": ("D", "10W"),
    "REGISTRY_CHECK": ("1", "2"),
    "ALL_INVALID": ("D", "P5W"),
    "LOST_CONTACT": ("D", "P5W"),
    "DISPUTE": ("D", "0"),
    "COMPLAINT": ("D", "0"),
    "HARDSHIP": ("D", "0"),
    "DECEASED": ("D", "0"),
}
"""Outcome → window of desk work: so many calendar days, ``W`` working days, ``P`` from the placement."""

SWEEPS = ("NEW", "NUMBER_FOUND")
"""Every permitted number once, D0 to D+2 working days."""

PARTS = (time(12), time(14), time(18))
"""Where noon, afternoon and evening begin."""

OFF_2026 = (
    ((1, 1), (1, 3)), ((2, 15), (2, 23)), ((4, 4), (4, 6)), ((5, 1), (5, 5)), ((6, 19), (6, 21)), ((9, 25), (9, 27)),
    ((10, 1), (10, 7)),
)  # fmt: skip
WORKED_2026 = ((1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10))


def china_2026(day: date) -> bool:
    """Whether the day is worked in China, by the notice for 2026."""
    here = (day.month, day.day)
    if here in WORKED_2026:
        return True
    return day.weekday() < 5 and not any(first <= here <= last for first, last in OFF_2026)


@dataclass(frozen=True)
class Span:
    """``earliest`` included, ``latest`` not."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True)
class Yardstick:
    """One debtor's wall: hours, days off for calls, working days."""

    zone: ZoneInfo
    opens: time
    closes: time
    shut: Callable[[date], bool]  # no calls to the debtor that day
    calendar: Calendar
    chinese: bool

    def today(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def wall(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, tzinfo=self.zone).astimezone(UTC)

    def works(self, day: date) -> bool:
        return china_2026(day) if self.chinese and day.year == 2026 else self.calendar.is_working_day(day)

    def working_days(self, day: date, count: int) -> date:
        while count:
            day += DAY
            count -= self.works(day)
        return day

    def is_open(self, day: date, now: datetime) -> bool:
        """Whether the day still has a permitted instant at or after ``now``."""
        return not self.shut(day) and now < self.wall(day, self.closes)

    def call(self, first: date, last: date, now: datetime) -> Span | None:
        """The permitted stretch of these days; None: there is none, and the team leader must hear of it."""
        days = [first + n * DAY for n in range((last - first).days + 1) if self.is_open(first + n * DAY, now)]
        if not days:
            return None
        return Span(max(now, self.wall(days[0], self.opens)), self.wall(days[-1], self.closes))

    def desk(self, first: date, last: date, now: datetime) -> Span:
        earliest = max(now, self.wall(first, time(0)))
        latest = self.wall(last, self.closes)
        return Span(earliest, latest if latest > earliest else self.wall(last + DAY, time(0)))

    def of_call(self, outcome: str, now: datetime) -> Span | None:
        first, last = CALL_DAYS[outcome]
        return self.call(self.today(now) + first * DAY, self.today(now) + last * DAY, now)

    def of_desk(self, outcome: str, now: datetime, placed: date) -> Span:
        today = self.today(now)
        marks = [self._mark(mark, today, placed) for mark in DESK_DAYS[outcome]]
        return self.desk(marks[0], max(today, marks[1]), now)

    def of_sweep(self, now: datetime) -> Span | None:
        today = self.today(now)
        return self.call(today, self.working_days(today, 2), now)

    def next_part(self, now: datetime) -> datetime | None:
        """The first permitted instant in a later part of today, else tomorrow's opening."""
        today = self.today(now)
        for begins in PARTS:
            at = self.wall(today, begins)
            if at > now and begins < self.closes and not self.shut(today):
                return at
        tomorrow = today + DAY
        return None if self.shut(tomorrow) else self.wall(tomorrow, self.opens)

    def part(self, at: datetime) -> int:
        wall = at.astimezone(self.zone).time()
        return sum(begins <= wall for begins in PARTS)

    def _mark(self, mark: str, today: date, placed: date) -> date:
        if mark == "D":
            return today
        anchor = placed if mark.startswith("P") else today
        count = int(mark.strip("PW"))
        return self.working_days(anchor, count) if mark.endswith("W") else anchor + count * DAY
