"""Working days, make-up days, overrides, dayparts, and clocks that jump."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from config.calendars import (
    BadCalendar,
    Calendar,
    Daypart,
    calendar_at,
    daypart_of,
    load_calendar,
    local_day,
    local_instant,
    read_corrections,
    zone,
)


def test_chinese_make_up_days_are_working_days_and_festivals_are_not() -> None:
    china = Calendar("CN")
    assert china.is_working_day(date(2026, 2, 14))  # a Saturday
    assert not china.is_working_day(date(2026, 2, 18))  # a Wednesday
    assert china.is_holiday(date(2026, 10, 4))  # the Sunday inside the National Day week
    assert not china.is_holiday(date(2026, 3, 7))
    assert china.working_days_after(date(2026, 2, 13), 2) == date(2026, 2, 24)
    assert china.working_day_before(date(2026, 3, 9)) == date(2026, 3, 6)


def test_a_year_without_published_make_up_days_is_flagged_and_follows_weekdays() -> None:
    china = Calendar("CN")
    assert china.is_known(2026)
    assert not china.is_known(2041)
    assert china.is_working_day(date(2041, 3, 4))
    assert not china.is_working_day(date(2041, 3, 2))


def test_an_override_file_wins_and_makes_the_year_known(tmp_path: Path) -> None:
    file = tmp_path / "days.toml"
    file.write_text('[CN.2041]\nholidays = ["2041-03-04"]\nworking_days = ["2041-03-02"]\n', encoding="utf-8")
    china = load_calendar("CN", file)
    assert china.is_known(2041)
    assert not china.is_working_day(date(2041, 3, 4))
    assert china.is_working_day(date(2041, 3, 2))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[CN.2041]\nholidays = ['2041-13-04']", "CN.2041.holidays"),
        ("[CN.2041]\nholidays = ['2040-03-04']", "CN.2041.holidays"),
        ("[CN.2041]\nholiday = []", "CN.2041"),
        ("[CN.year]\n", "CN.year"),
        ("[CN", "calendar"),
    ],
)
def test_a_malformed_override_is_refused_by_name_of_the_field(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "days.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadCalendar) as caught:
        load_calendar("CN", file)
    assert caught.value.field == field


def test_unknown_regions_and_zones_are_refused() -> None:
    for region in ("ZZ", "China", "CHN", ""):  # the holidays library would answer to the middle two
        with pytest.raises(BadCalendar):
            Calendar(region)
    with pytest.raises(BadCalendar):
        zone("Mars/Olympus")


@pytest.mark.parametrize(
    ("wall", "part"),
    [
        (time(8), Daypart.MORNING),
        (time(11, 59), Daypart.MORNING),
        (time(12), Daypart.NOON),
        (time(14), Daypart.AFTERNOON),
        (time(17, 59), Daypart.AFTERNOON),
        (time(18), Daypart.EVENING),
    ],
)
def test_dayparts(wall: time, part: Daypart) -> None:
    assert daypart_of(wall) is part


def test_local_day_and_clocks_that_jump() -> None:
    new_york = zone("America/New_York")
    assert local_day(datetime(2026, 3, 2, 17, tzinfo=UTC), zone("Asia/Shanghai")) == date(2026, 3, 3)
    assert local_instant(date(2026, 3, 8), time(2, 30), new_york) == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert local_instant(date(2026, 11, 1), time(1, 30), new_york) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)


def test_the_working_days_at_an_address_are_its_own_or_its_countrys(tmp_path: Path) -> None:
    liaoning = calendar_at("CN-LN")  # no holidays of its own: the country's, make-up days too
    assert liaoning.is_working_day(date(2026, 2, 14))
    assert not liaoning.is_working_day(date(2026, 2, 16))
    cesar_chavez = date(2026, 3, 31)  # California's own
    assert calendar_at("US-CA").is_working_day(cesar_chavez) is not calendar_at("US-NY").is_working_day(cesar_chavez)
    assert calendar_at("GB-LND").is_working_day(date(2026, 3, 2))
    with pytest.raises(BadCalendar):
        calendar_at("ZZ-01")
    file = tmp_path / "days.toml"
    file.write_text(
        "[CN.2041]\nholidays = ['2041-02-04']\n[US-NY.2041]\nworking_days = ['2041-02-02']\n", encoding="utf-8"
    )
    corrections = read_corrections(file)
    assert not calendar_at("CN-LN", corrections).is_working_day(date(2041, 2, 4))
    assert calendar_at("US-NY", corrections).is_working_day(date(2041, 2, 2))
    assert not calendar_at("US-CA", corrections).is_working_day(date(2041, 2, 2))
    file.write_text("[CN.2041]\nholidays = []\n[XX.2041]\n", encoding="utf-8")
    with pytest.raises(BadCalendar):
        read_corrections(file)
