"""Phone numbers as banks write them → E.164, or a refusal. The raw text is kept; nothing is guessed.

Refused: what a spreadsheet mangled (exponents and what they were rounded to, a trailing ``.0``, a lost leading zero),
what is masked, what no numbering plan knows, and lines nobody may be dialed on (emergency, short, service, premium, of
no country).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from case_store.intake.errors import FieldRefused
from case_store.intake.fitness import says_nothing
from case_store.intake.rows import NumericCell
from config.errors import InvariantBroken

_EXPONENT = re.compile(r"^[+-]?\d+([.,]\d+)?[eE][+-]?\d+$")
_DECIMAL_TAIL = re.compile(r"^\d{5,}\.\d+$")
_EXTENSION = re.compile(
    r"^(?P<main>.+?)\s*\(?(?:转分机|分机号?|转|;ext=|extension|ext\.?|x|#|,|\*)\s*[:：.]?\s*(?P<ext>\d{1,7})\)?$", re.I
)
_PREFIX = re.compile(r"^(?:tel:|\(\s*(?=\+\d{1,3}\s*\)))", re.I)
_MASKED = re.compile(r"\d[*xX•●]{2,}|[*xX•●]{2,}\d")
_ROUNDED = re.compile(r"^\d{3,}0{5}$")
_DASHED_EXTENSION = re.compile(r"^(?P<main>\(?0\d{2,3}\)?[-\s]?\d{7,8})-(?P<ext>\d{1,6})$")
_SEVERAL = re.compile(r"[/;、；\n|]|,\s*(?=[+0-9]{7})")
_ALLOWED = re.compile(r"^[+]?[\d\s().\-‐‑–—]+$")
_EMERGENCY = frozenset({"110", "112", "119", "120", "122", "911", "999"})


def _plan_of_china(kind: str) -> re.Pattern[str]:
    """The numbering plan's own pattern for ``mobile`` or ``fixed_line``: most of a file is one, and needs no parse."""
    plan = PhoneMetadata.metadata_for_region("CN")
    described = getattr(plan, kind, None)
    if described is None or described.national_number_pattern is None:
        raise InvariantBroken("the numbering plan of China is missing", remedy="install phonenumbers again")
    return re.compile(described.national_number_pattern)


_CN_MOBILE = _plan_of_china("mobile")
_CN_FIXED = _plan_of_china("fixed_line")
_CN_FIXED_TEXT = re.compile(r"0(\d{2,3})-?(\d{7,8})")
_NEVER_DIALED = frozenset({PhoneNumberType.PREMIUM_RATE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A dialable line: ``region`` is ISO 3166 alpha-2; ``extension`` is kept apart, never dialed blind."""

    e164: str
    region: str
    extension: str | None = None


def read_numbers(raw: str, *, field: str, region: str) -> list[Line | FieldRefused]:
    """Every number a cell holds, in order; a part that is refused does not take the others with it.

    A cell that says that there is no number (无, N/A) holds none.
    """
    plain = _plainly_chinese(raw) if region == "CN" else None
    if plain is not None:
        return [plain]
    text = raw if isinstance(raw, NumericCell) else unicodedata.normalize("NFKC", raw).strip()
    if says_nothing(text):
        return []
    if not isinstance(text, NumericCell) and _SEVERAL.search(text):
        parts = [part.strip() for part in _SEVERAL.split(text) if part.strip()]
    else:
        parts = [text]
    found: list[Line | FieldRefused] = []
    for part in parts:
        try:
            found.append(read_number(part, field=field, region=region))
        except FieldRefused as refused:
            found.append(refused)
    return found


def read_number(raw: str, *, field: str, region: str) -> Line:
    """One number. Raises ``FieldRefused`` with the shape of what was there and what to do."""
    text = raw if isinstance(raw, NumericCell) else unicodedata.normalize("NFKC", raw).strip()
    plain = _plainly_chinese(text) if region == "CN" else None
    if plain is not None:
        return plain
    outcome = _cached(str(text), isinstance(text, NumericCell), region)
    if isinstance(outcome, Line):
        return outcome
    problem, remedy = outcome
    raise FieldRefused(problem, field=field, value=str(raw), remedy=remedy)


def _plainly_chinese(text: str) -> Line | None:
    """A mobile or a fixed line as nearly every cell of a Chinese file writes it, by the plan's own patterns; else None.

    A tenth of what the library's parse costs, and the same judgement (a property test compares them).
    """
    if not text.isascii() or (isinstance(text, NumericCell) and text.endswith("00000")):
        return None
    if _CN_MOBILE.fullmatch(text):
        return Line(e164="+86" + text, region="CN")
    if (fixed := _CN_FIXED_TEXT.fullmatch(text)) and _CN_FIXED.fullmatch(fixed[1] + fixed[2]):
        return Line(e164=f"+86{fixed[1]}{fixed[2]}", region="CN")
    return None


@lru_cache(maxsize=50_000)
def _cached(text: str, numeric: bool, region: str) -> Line | tuple[str, str]:
    """The judgement on one text: a line, or (problem, remedy). Cached: a workplace stands in many rows."""
    if _EXPONENT.match(text):
        return "a spreadsheet turned this number into an exponent", "format the column as text and export it again"
    if _DECIMAL_TAIL.match(text):
        return "a spreadsheet turned this number into a decimal", "format the column as text and export it again"
    if numeric and _ROUNDED.match(text):
        return (
            "a workbook's number that ends in five zeros may be an exponent's rest",
            "format the column as text and give the whole number",
        )
    if _MASKED.search(text):
        return "this number is masked", "ask for the whole number"
    main, extension = _split_extension(_PREFIX.sub("", text))
    if main.startswith("+"):
        main = main.replace(")", " ", 1) if "(" not in main else main
    if not _ALLOWED.match(main):
        return "this is not a phone number", "give digits, with + and country code for foreign numbers"
    digits = re.sub(r"\D", "", main)
    if digits in _EMERGENCY or phonenumbers.is_emergency_number(digits, region):
        return "this is an emergency line", "remove it: it must never be dialed"
    if len(digits) < 7:
        return "this number is too short to be a person's line", "give the full number with its area code"
    if len(digits) > 17:
        return "this is longer than any phone number", "put / or ; between several numbers"
    try:
        parsed = phonenumbers.parse(main, region)
    except phonenumbers.NumberParseException:
        return "no numbering plan reads this as a phone number", "give the full number with its area or country code"
    if not phonenumbers.is_valid_number(parsed):
        return (
            "no numbering plan knows this number",
            "check its length; give the area code, or + and country code for foreign numbers",
        )
    if phonenumbers.number_type(parsed) in _NEVER_DIALED:
        return "this is a premium-rate line", "remove it: it must never be dialed"
    home = phonenumbers.region_code_for_number(parsed)
    if home == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return "this line belongs to no country: nobody can tell the hour at the callee", "give a line of a country"
    if _is_service_line(parsed):
        return "this is a service line behind an area code, no person's", "remove it"
    if _lost_a_zero(main, digits, parsed):
        return (
            "the number's leading zero is missing: it may be another number",
            "write it with its area code's 0, or with + and country code",
        )
    if numeric and extension:
        return "a spreadsheet cell of numbers cannot hold an extension", "format the column as text and export it again"
    return Line(
        e164=phonenumbers.format_number(parsed, PhoneNumberFormat.E164),
        region=home or region,
        extension=extension,
    )


def _is_service_line(parsed: phonenumbers.PhoneNumber) -> bool:
    """``010-12306``, ``021-95588``: China's plan knows them, but what follows the area code is no subscriber's number."""
    national = phonenumbers.national_significant_number(parsed)
    if parsed.country_code != 86 or (national.startswith(("1", "400", "800")) and not national.startswith("10")):
        return False
    area = 2 if national.startswith(("10", "2")) else 3
    return len(national) - area < 7


def _split_extension(text: str) -> tuple[str, str | None]:
    found = _EXTENSION.match(text) or _DASHED_EXTENSION.match(text)
    return (found["main"].strip(), found["ext"]) if found else (text, None)


def _lost_a_zero(main: str, digits: str, parsed: phonenumbers.PhoneNumber) -> bool:
    """Whether the plan writes a trunk prefix that this text lacks, so that the text is not the whole number."""
    if main.startswith("+") or digits.startswith("00"):
        return False
    national = re.sub(r"\D", "", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    international = f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"
    if digits in (national, international):
        return False
    return len(digits) < len(national)
