"""Working days, local days and dayparts at the callee.

Public holidays come from the ``holidays`` library, which knows China's make-up working days (调休). A TOML file
may override it, because a State Council notice is often out before a library release::

    [CN.2027]
    holidays = ["2027-02-06"]
    working_days = ["2027-02-14"]

A year the library does not know yet follows the weekday rule plus whatever fixed holidays it computes, and is
reported by ``Calendar.is_known``: the caller shows the flag, nothing is silently wrong.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays

from config.errors import BadInput, describe_shape

NOON_BEGINS = time(12)
AFTERNOON_BEGINS = time(14)
EVENING_BEGINS = time(18)
_DAY = timedelta(days=1)


class BadCalendar(BadInput):
    """A calendar override, a region or a time zone that cannot be read."""

    error_id = "bad-calendar"


class Daypart(StrEnum):
    """SOP: morning to 12:00, noon 12:00-14:00, afternoon 14:00-18:00, evening from 18:00 (local time)."""

    MORNING = "morning"  # 上午
    NOON = "noon"  # 中午
    AFTERNOON = "afternoon"  # 下午
    EVENING = "evening"  # 晚上


DAYPART_BEGINS: tuple[tuple[Daypart, time], ...] = (
    (Daypart.MORNING, time(0)),
    (Daypart.NOON, NOON_BEGINS),
    (Daypart.AFTERNOON, AFTERNOON_BEGINS),
    (Daypart.EVENING, EVENING_BEGINS),
)


def daypart_of(local: time) -> Daypart:
    """The part of the day a local wall time falls into."""
    if local < NOON_BEGINS:
        return Daypart.MORNING
    if local < AFTERNOON_BEGINS:
        return Daypart.NOON
    return Daypart.AFTERNOON if local < EVENING_BEGINS else Daypart.EVENING


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name; ``BadCalendar`` if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadCalendar(
            "unknown time zone", field="time_zone", shape=describe_shape(name), remedy="use an IANA name: Asia/Shanghai"
        ) from None


def local_day(instant: datetime, where: ZoneInfo) -> date:
    """The calendar day on the wall at ``where``; D0 of the SOP is the debtor's."""
    return instant.astimezone(where).date()


def local_instant(day: date, at: time, where: ZoneInfo) -> datetime:
    """The wall time ``at`` on ``day`` as UTC. A time skipped by daylight saving is the first instant after the gap;
    a repeated one is its first occurrence."""
    wall = datetime.combine(day, at, tzinfo=where)
    instant = wall.astimezone(UTC)
    if instant.astimezone(where).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    # PEP 495: fold=0 reads a skipped time with the offset before the gap and fold=1 with the one after it;
    # the gap's own instant lies between the two, on the minute.
    low, high = wall.replace(fold=1).astimezone(UTC), instant
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(where).replace(tzinfo=None) >= wall.replace(tzinfo=None):
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def day_begins(day: date, where: ZoneInfo) -> datetime:
    return local_instant(day, time(0), where)


@dataclass(frozen=True, slots=True)
class YearOverride:
    """What a notice says about one year of one region; a year named here counts as known."""

    holidays: frozenset[date] = frozenset()
    working_days: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Calendar:
    """Working days of one region (ISO 3166 alpha-2, or alpha-2 and subdivision: ``US-NY``)."""

    region: str
    overrides: Mapping[int, YearOverride] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.region, tuple(sorted(self.overrides))))

    def __post_init__(self) -> None:
        _library(self.region, 2026)

    def is_known(self, year: int) -> bool:
        """Whether holidays *and* make-up days of the year are published; False: weekday rule, show the flag."""
        if year in self.overrides:
            return True
        return _library(self.region, year).known

    def is_holiday(self, day: date) -> bool:
        """A public holiday, make-up rest days and the weekend days inside a festival included; plain weekends are not."""
        override = self.overrides.get(day.year)
        if override is not None:
            if day in override.holidays:
                return True
            if day in override.working_days:
                return False
        return day in _library(self.region, day.year).holidays

    def is_working_day(self, day: date) -> bool:
        override = self.overrides.get(day.year)
        if override is not None:
            if day in override.working_days:
                return True
            if day in override.holidays:
                return False
        year = _library(self.region, day.year)
        if day in year.make_up_days:
            return True
        return day.weekday() < 5 and day not in year.holidays

    def working_days_after(self, day: date, count: int) -> date:
        """The ``count``-th working day after ``day`` (``day`` itself is not counted); count 0 is ``day``."""
        while count > 0:
            day += _DAY
            if self.is_working_day(day):
                count -= 1
        return day

    def working_day_before(self, day: date) -> date:
        """The last working day before ``day``."""
        day -= _DAY
        while not self.is_working_day(day):
            day -= _DAY
        return day


@dataclass(frozen=True, slots=True)
class _Year:
    holidays: frozenset[date]
    make_up_days: frozenset[date]
    known: bool


@lru_cache(maxsize=512)
def _library(region: str, year: int) -> _Year:
    country, _, subdivision = region.partition("-")
    try:
        if len(country) != 2:  # the library also answers to "China", for which nothing here would know make-up days
            raise KeyError(country)
        table = holidays.country_holidays(country, subdiv=subdivision or None, years=[year])
    except (NotImplementedError, KeyError):
        raise BadCalendar(
            "no holidays are known for this region",
            field="region",
            shape=describe_shape(region),
            remedy="use ISO 3166: CN, US, US-NY, GB-ENG",
        ) from None
    make_up = frozenset(day for day in getattr(table, "weekend_workdays", set()) if day.year == year)
    # China publishes next year's arrangement in the autumn before; a year without any make-up day is one that the
    # library has only computed, not read (every published year since 2007 has some).
    known = bool(make_up) if country == "CN" else year <= _LAST_RELIABLE_YEAR
    rest = frozenset(day for day in table if day.year == year)
    return _Year(rest | _weekends_within(rest, make_up, year), make_up, known)


def _weekends_within(rest: frozenset[date], make_up: frozenset[date], year: int) -> set[date]:
    """Weekend days with a holiday on either side belong to the festival, though the library lists weekdays only."""
    found: set[date] = set()
    for day in rest:
        following = day + _DAY
        span = []
        while following.weekday() >= 5 and following not in rest and following not in make_up:
            span.append(following)
            following += _DAY
        if following in rest:
            found.update(each for each in span if each.year == year)
    return found


_LAST_RELIABLE_YEAR = 2100  # elsewhere holidays follow from fixed rules; the library computes them to 2100


def load_calendar(region: str, override_file: Path | None = None) -> Calendar:
    """A region's calendar with the file's corrections. ``BadCalendar`` names the entry that cannot be read."""
    if override_file is None:
        return Calendar(region)
    return Calendar(region, read_corrections(override_file).get(region, {}))


def read_corrections(file: Path) -> dict[str, Mapping[int, YearOverride]]:
    """Region → year → what a notice says, of the whole file. ``BadCalendar`` names the first entry that cannot be read."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadCalendar(
            "the calendar override cannot be read", field="calendar", shape=type(error).__name__, remedy="give TOML"
        ) from None
    return {region: _years(region, entry) for region, entry in tree.items()}


def _years(region: str, entry: object) -> dict[int, YearOverride]:
    Calendar(region)  # a region nobody knows is refused here
    years: dict[int, YearOverride] = {}
    for key, said in _mapping(entry, region).items():
        where = f"{region}.{key}"
        if not key.isdigit() or len(key) != 4:
            raise BadCalendar("not a year", field=where, shape=describe_shape(key), remedy="write [CN.2027]")
        table = _mapping(said, where)
        if extra := set(table) - {"holidays", "working_days"}:
            raise BadCalendar(
                "unknown entry",
                field=where,
                shape=describe_shape(sorted(extra)[0]),
                remedy="use holidays and working_days",
            )
        years[int(key)] = YearOverride(
            _days(table.get("holidays", []), f"{where}.holidays", int(key)),
            _days(table.get("working_days", []), f"{where}.working_days", int(key)),
        )
    return years


def calendar_at(address: str, corrections: Mapping[str, Mapping[int, YearOverride]] | None = None) -> Calendar:
    """The working days at an address (``CN-LN``, ``GB-LND``, ``US-CA``): of the subdivision where it has holidays of
    its own, else of its country. A correction of the country's year holds in all of it. ``BadCalendar`` where nobody
    knows the country's."""
    said = corrections or {}
    country = address.partition("-")[0]
    known = {**said.get(country, {}), **said.get(address, {})}
    if address != country:
        try:
            return Calendar(address, known)
        except BadCalendar:
            pass  # no holidays of its own
    return Calendar(country, known)


def _mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadCalendar("must be a table", field=where, shape=describe_shape(value), remedy="write [CN.2027]")
    return value


def _days(value: object, where: str, year: int) -> frozenset[date]:
    if not isinstance(value, list):
        raise BadCalendar("must be a list of dates", field=where, shape=describe_shape(value), remedy="write [..]")
    days = set()
    for entry in value:
        try:
            day = entry if isinstance(entry, date) else date.fromisoformat(entry)
        except (TypeError, ValueError):
            raise BadCalendar(
                "not a date", field=where, shape=describe_shape(entry), remedy="write 2027-02-06"
            ) from None
        if day.year != year:
            raise BadCalendar("lies in another year", field=where, shape=describe_shape(str(day)), remedy="move it")
        days.add(day)
    return frozenset(days)
