"""Where is the callee's clock? The number's own region, else the case's address, else every candidate at once."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import PhoneNumberType
from phonenumbers import timezone as number_zones

_UNKNOWN = "Etc/Unknown"
_PLACED = (PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


@lru_cache(maxsize=65536)
def candidate_zones(e164: str, address_region: str | None) -> tuple[ZoneInfo, ...]:
    """Every time zone the callee may be in; a rule on hours must hold in all of them. Empty: nobody knows.

    A number with one zone, or a geographic one, speaks for itself. One that may be anywhere in its country
    (toll-free, mobile of a country of many zones) is placed by the address, if that lies in the same country.
    """
    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return _as_zones(zones_of_region(address_region)) if address_region else ()
    names = tuple(name for name in number_zones.time_zones_for_number(number) if name != _UNKNOWN)
    if len(names) == 1 or (names and phonenumbers.number_type(number) in _PLACED):
        return _as_zones(names)
    if address_region:
        of_address = zones_of_region(address_region)
        if of_address and (
            not names or address_region[:2] in phonenumbers.region_codes_for_country_code(number.country_code or 0)
        ):
            return _as_zones(of_address)
    return _as_zones(names)


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
    ours = tomllib.loads(resources.files("dialer.policy").joinpath("regions.toml").read_text(encoding="utf-8"))
    found.update({region: tuple(names) for region, names in ours.items()})
    return found


@lru_cache(maxsize=4096)
def _as_zones(names: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    return tuple(ZoneInfo(name) for name in names)
