"""Where is the callee's clock? The number's own region, else the case's address, else every candidate at once."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import PhoneNumberType
from phonenumbers import timezone as number_zones
from phonenumbers.tzdata import TIMEZONE_DATA

_UNKNOWN = "Etc/Unknown"
_NORTH_AMERICA = 1
_E164_DIGITS = range(7, 16)
_PLACED = (PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


@lru_cache(maxsize=65536)
def candidate_zones(e164: str, address_region: str | None) -> tuple[ZoneInfo, ...]:
    """Every time zone the callee may be in; a rule on hours must hold in all of them. Empty: nobody knows.

    A number of a country with one clock, one with one zone, or a geographic one, speaks for itself. One that may be anywhere in its country
    (toll-free, mobile of a country of many zones) is placed by the address, if that lies in the same country.
    """
    if (clock := _only_clock(e164)) is not None:
        return _as_zones(clock)
    try:
        number, kind = _read(e164)
    except phonenumbers.NumberParseException:
        return _as_zones(zones_of_region(address_region)) if address_region else ()
    names = tuple(name for name in _zone_names(number, kind) if name != _UNKNOWN)
    if names and number.country_code == _NORTH_AMERICA:
        names = _split_area(str(number.national_number)) or names
    if len(names) == 1 or (names and kind in _PLACED):
        return _as_zones(names)
    if address_region:
        of_address = zones_of_region(address_region)
        if of_address and (
            not names or address_region[:2] in phonenumbers.region_codes_for_country_code(number.country_code or 0)
        ):
            return _as_zones(of_address)
    return _as_zones(names)


def _only_clock(e164: str) -> tuple[str] | None:
    """The clock of a country that has one, whatever kind of number it is: most countries, and a tenth of the work."""
    digits = e164[1:]
    if e164[:1] != "+" or not (digits.isascii() and digits.isdigit() and len(digits) in _E164_DIGITS):
        return None
    countries = _countries_of_one_clock()
    return countries.get(digits[:2]) or countries.get(digits[:3])


@lru_cache(maxsize=1)
def _countries_of_one_clock() -> dict[str, tuple[str]]:
    """By calling code of two or three digits; those of one digit, North America's and Russia's, have many."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for prefix, names in TIMEZONE_DATA.items():
        code = next((c for c in (prefix[:2], prefix[:3]) if int(c) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), None)
        if code is not None and int(prefix[0]) not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            found.setdefault(code, set()).add(names)
    return {code: (names[0],) for code, ways in found.items() if len(ways) == 1 for names in ways if len(names) == 1}


def _read(e164: str) -> tuple[phonenumbers.PhoneNumber, int]:
    """The number and its kind. What is E.164 already need only be split after its country code, which is a third of the
    work; the library's reading of text is for the rest: a nought that Italy keeps, a number of no known kind."""
    for length in (1, 2, 3):
        country, national = e164[1 : 1 + length], e164[1 + length :]
        if country.isdigit() and int(country) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            if e164[0] == "+" and national.isdigit() and national.isascii() and national[0] != "0":
                number = phonenumbers.PhoneNumber(country_code=int(country), national_number=int(national))
                if (kind := phonenumbers.number_type(number)) != PhoneNumberType.UNKNOWN:
                    return number, kind
            break
    number = phonenumbers.parse(e164)
    return number, phonenumbers.number_type(number)


def _zone_names(number: phonenumbers.PhoneNumber, kind: int) -> tuple[str, ...]:
    if kind != PhoneNumberType.UNKNOWN and phonenumbers.is_number_type_geographical(kind, number.country_code or 0):
        return tuple(number_zones.time_zones_for_geographical_number(number))
    return tuple(number_zones.time_zones_for_number(number))


def _split_area(national: str) -> tuple[str, ...]:
    """Both clocks of an area code that has two, where the library knows the exchange no closer than its area code.

    For an exchange it does not list the library answers with one clock of the area: 270-999 would be called by New
    York's, an hour too early for most of western Kentucky.
    """
    longest = next((n for n in range(len(national), 2, -1) if f"1{national[:n]}" in TIMEZONE_DATA), 0)
    return _area_codes().get(national[:3], ()) if longest <= 3 else ()


@lru_cache(maxsize=1)
def _area_codes() -> dict[str, tuple[str, ...]]:
    """North American area codes with more than one clock: as the library's exchanges show them, overlays as we know them."""
    found: dict[str, set[str]] = {}
    for prefix, names in TIMEZONE_DATA.items():
        if prefix.startswith("1") and len(prefix) >= 4:
            found.setdefault(prefix[1:4], set()).update(names)
    for overlay, of in _tables()["overlays"].items():
        found.setdefault(overlay, set()).update(*(found.get(area, set()) for area in of))
    return {area: tuple(sorted(names)) for area, names in found.items() if len(names) > 1}


@lru_cache(maxsize=1024)
def zones_of_region(region: str) -> tuple[str, ...]:
    """IANA names for ``CN`` or ``US-CA``; a subdivision we have no table for falls back to its whole country."""
    table = _regions()
    return table.get(region) or table.get(region.partition("-")[0], ())


@lru_cache(maxsize=1)
def _regions() -> dict[str, tuple[str, ...]]:
    """Countries from the time-zone database's own zone.tab, corrected and refined by ``regions.toml``."""
    found: dict[str, tuple[str, ...]] = {}
    tab = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in tab.splitlines():
        if line and not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            found[country] = (*found.get(country, ()), name)
    found.update({region: tuple(names) for region, names in _tables().items() if region != "overlays"})
    return found


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(resources.files("dialer.policy").joinpath("regions.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=4096)
def _as_zones(names: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    return tuple(ZoneInfo(name) for name in names)
