"""Numbers are split after their country code; the library that reads any text must come to the same."""

from __future__ import annotations

import random

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from phonenumbers import timezone as number_zones

from dialer.policy import regions
from dialer.policy.regions import _read, _zone_names, candidate_zones

_KINDS = range(11)
_LIKE_EACH = 20


def _numbers_of(region: str) -> list[str]:
    """Examples of every kind the region has, and as many with other last digits: most of some kind, some of none."""
    chance = random.Random(region)
    found: list[str] = []
    for kind in _KINDS:
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            continue
        e164 = phonenumbers.format_number(example, PhoneNumberFormat.E164)
        found.append(e164)
        for _ in range(_LIKE_EACH):
            changed = chance.randrange(1, 9)
            found.append(e164[:-changed] + "".join(chance.choices("0123456789", k=changed)))
    return found


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_is_read_as_the_library_reads_it(region: str) -> None:
    for e164 in _numbers_of(region):
        try:
            parsed = phonenumbers.parse(e164)
        except phonenumbers.NumberParseException:
            with pytest.raises(phonenumbers.NumberParseException):
                _read(e164)
            continue
        number, kind = _read(e164)
        assert (number, kind) == (parsed, phonenumbers.number_type(parsed)), e164
        assert _zone_names(number, kind) == tuple(number_zones.time_zones_for_number(parsed)), e164


@pytest.mark.parametrize("text", ["", "+", "+8", "+86", "+86x", "8613812345678", "+٨٦13812345678", "+8613812345678x1"])
def test_what_is_no_e164_is_left_to_the_library(text: str) -> None:
    try:
        parsed = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        with pytest.raises(phonenumbers.NumberParseException):
            _read(text)
    else:
        assert _read(text)[0] == parsed


def _is_of_a_kind(e164: str) -> bool:
    try:
        return phonenumbers.number_type(phonenumbers.parse(e164)) != PhoneNumberType.UNKNOWN
    except phonenumbers.NumberParseException:
        return False


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_country_of_one_clock_needs_no_kind_of_number(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [one for one in _numbers_of(region) if _is_of_a_kind(one)]
    at_once = [candidate_zones.__wrapped__(one, address) for one in known for address in (None, "CN", "US-CA")]
    monkeypatch.setattr(regions, "_only_clock", lambda _e164: None)
    assert at_once == [candidate_zones.__wrapped__(one, address) for one in known for address in (None, "CN", "US-CA")]


def test_a_number_of_no_known_kind_is_placed_by_its_country_where_that_has_one_clock() -> None:
    assert [zone.key for zone in candidate_zones("+8610000000", "US-CA")] == ["Asia/Shanghai"]
