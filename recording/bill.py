"""The carrier's bill: a file in the carrier's own columns, time zone, rounding and number format (``BillSettings``)."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from python_calamine import CalamineError, CalamineWorkbook

from config.errors import BadInput, BadSetting, describe_shape
from config.settings import BillSettings

_NEEDED = ("started_at", "callee", "seconds")
_NOT_ANSWERED = {
    "0",
    "no",
    "n",
    "false",
    "unanswered",
    "no answer",
    "noanswer",
    "failed",
    "busy",
    "否",
    "未接通",
    "未接",
}
_XLSX = {".xlsx", ".xls", ".xlsb", ".ods"}


class BadBill(BadInput):
    """The bill cannot be read as the settings say."""

    error_id = "bad-bill"


@dataclass(frozen=True, kw_only=True, slots=True)
class BillRow:
    """``starts`` are UTC: two where the local time came twice (the end of daylight saving time).

    ``seconds`` is as billed, rounded up by the carrier. ``line`` is the row's number in the file, 1 for the header.
    ``or_else``: other numbers the digits may be where the bill has neither + nor 00: 6591234359 is Singapore's or ours.
    """

    line: int
    starts: tuple[datetime, ...]
    callee: str
    seconds: int
    answered: bool
    reference: str = ""
    or_else: tuple[str, ...] = ()


def read_bill(path: Path, settings: BillSettings) -> list[BillRow]:
    """Every row, or ``BadBill`` that names line, field, shape and remedy: a bill is read whole or not at all."""
    missing = [name for name in _NEEDED if name not in settings.columns]
    if missing:
        raise BadSetting("a column is not mapped", field=f"bill.columns.{missing[0]}", remedy="name the bill's header")
    zone = _zone(settings.timezone)
    return [_row(line, cells, settings, zone) for line, cells in _cells(path, settings)]


_HEADER_WITHIN = 50  # lines of title before the header
_DELIMITERS = (",", ";", "\t", "|")


def _cells(path: Path, settings: BillSettings) -> Iterator[tuple[int, dict[str, object]]]:
    """``(line, our field → cell)`` of each row that may be a call: a total below the last call is none."""
    try:
        rows = list(_sheet(path)) if path.suffix.lower() in _XLSX else _csv(path, settings)
    except (OSError, UnicodeError, LookupError, csv.Error, CalamineError) as error:
        raise BadBill(
            f"the bill cannot be read: {type(error).__name__}",
            field="carrier-bill",
            remedy="check path and bill.encoding",
        ) from error
    start, where = _header(rows, settings)
    found = [
        (line, {field: row[at] if at < len(row) else "" for field, at in where.items()})
        for line, row in rows[start:]
        if any(_words(cell) for cell in row)
    ]
    while found and not _words(found[-1][1]["callee"]):
        cells = found[-1][1]
        if _words(cells["started_at"]) and _is_time(cells, settings):
            break  # a call without a number: its line will say so
        found.pop()
    yield from found


def _csv(path: Path, settings: BillSettings) -> list[tuple[int, list[object]]]:
    text = _decoded(path.read_bytes(), settings.encoding)
    chosen = _DELIMITERS if settings.delimiter == "auto" else (settings.delimiter,)
    tried: list[tuple[int, list[object]]] = []
    for delimiter in chosen:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        tried = [(reader.line_num, list(row)) for row in reader]
        if _find_header(tried, settings) is not None:
            break
    return tried


def _decoded(data: bytes, encoding: str) -> str:
    if encoding != "auto":
        return data.decode(encoding)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030")


def _sheet(path: Path) -> Iterator[tuple[int, list[object]]]:
    sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
    for line, row in enumerate(sheet.to_python(), start=sheet.start[0] + 1 if sheet.start else 1):
        yield line, list(row)


def _header(rows: list[tuple[int, list[object]]], settings: BillSettings) -> tuple[int, dict[str, int]]:
    """Where the calls begin, and our field → its column. Raises ``BadBill`` for a header that lacks one."""
    found = _find_header(rows, settings)
    if found is not None:
        return found
    nearest = max((_columns(row, settings) for _, row in rows[:_HEADER_WITHIN]), key=len, default={})
    field = next(field for field in settings.columns if field not in nearest)
    raise BadBill(
        "the bill has no such column",
        field=f"bill.columns.{field}",
        shape=f"{len(nearest)} of {len(settings.columns)} columns found in one line",
        remedy="give the header as it stands in the bill's first line, or check bill.delimiter and bill.encoding",
    )


def _find_header(rows: list[tuple[int, list[object]]], settings: BillSettings) -> tuple[int, dict[str, int]] | None:
    for place, (_, row) in enumerate(rows[:_HEADER_WITHIN]):
        where = _columns(row, settings)
        if len(where) == len(settings.columns):
            return place + 1, where
    return None


def _columns(row: list[object], settings: BillSettings) -> dict[str, int]:
    heads = [_words(cell) for cell in row]
    return {str(field): heads.index(_words(name)) for field, name in settings.columns.items() if _words(name) in heads}


def _words(cell: object) -> str:
    """A cell as it is compared: full-width letters, case and stray spaces do not matter."""
    return " ".join(unicodedata.normalize("NFKC", str(cell)).replace("\ufeff", "").casefold().split())


def _is_time(cells: Mapping[str, object], settings: BillSettings) -> bool:
    try:
        _starts(_moment(cells), settings.time_format, _zone(settings.timezone))
    except _BadCell:
        return False
    return True


def _moment(cells: Mapping[str, object]) -> object:
    """The start's cell, joined with the time of day where that has a column of its own."""
    day, clock = cells["started_at"], cells.get("started_time")
    if clock is None or not _words(clock):
        return day
    if isinstance(day, datetime):
        day = day.date()
    if isinstance(day, date) and isinstance(clock, time):
        return datetime.combine(day, clock)
    return f"{str(day).strip()} {str(clock).strip()}"


def _row(line: int, cells: Mapping[str, object], settings: BillSettings, zone: ZoneInfo) -> BillRow:
    try:
        seconds = _seconds(cells["seconds"], settings.duration)
        said = str(cells.get("answered", "")).strip().lower()
        callee, *or_else = readings(_text(cells["callee"]), settings.number_format, settings.region, settings.prefixes)
        return BillRow(
            line=line,
            starts=_starts(_moment(cells), settings.time_format, zone),
            callee=callee,
            or_else=tuple(or_else),
            seconds=seconds,
            answered=seconds > 0 and said not in _NOT_ANSWERED,
            reference=_text(cells.get("reference", "")),
        )
    except _BadCell as error:
        raise BadBill(
            f"line {line}: {error.problem}",
            field=settings.columns.get(error.field, error.field),  # type: ignore[call-overload]  # a plain str is one of its keys
            shape=describe_shape(cells.get(error.field)),
            remedy=error.remedy,
        ) from None


class _BadCell(Exception):
    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.field, self.problem, self.remedy = field, problem, remedy


_UNITS = re.compile(r"(?:(\d+)(?:h|时|小时))?(?:(\d+)(?:m|min|分|分钟))?(?:(\d+)(?:s|sec|秒))?")


def _seconds(cell: object, duration: str) -> int:
    text = "".join(_words(cell).split())
    if isinstance(cell, datetime | time):  # a sheet's own clock
        text, duration = f"{cell.hour}:{cell.minute}:{cell.second}", "clock"
    if isinstance(cell, timedelta):
        text, duration = str(cell.total_seconds()), "seconds"
    try:
        if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
            text = text.replace(",", "")
        units = _UNITS.fullmatch(text) if text else None
        if units is not None:
            hours, minutes, rest = (int(part or 0) for part in units.groups())
            total: float = hours * 3600 + minutes * 60 + rest
        elif duration == "clock" and ":" in text:
            parts = [float(part) for part in text.split(":")]
            total = sum(part * 60.0**power for power, part in enumerate(reversed(parts)))
        else:
            total = float(text or "0") * (60 if duration == "minutes" else 1)
    except ValueError:
        total = -1
    if not 0 <= total < 7 * 86400:
        raise _BadCell("seconds", "not a duration", "set bill.duration to seconds, clock or minutes")
    return round(total)


def _starts(cell: object, time_format: str | None, zone: ZoneInfo) -> tuple[datetime, ...]:
    try:
        if isinstance(cell, datetime):
            moment = cell
        elif isinstance(cell, date):
            raise ValueError
        else:
            text = str(cell).strip()
            moment = datetime.strptime(text, time_format) if time_format else datetime.fromisoformat(text)  # noqa: DTZ007  # the zone is bill.timezone, attached below
    except ValueError:
        raise _BadCell("started_at", "not a time", "set bill.time_format, such as %Y/%m/%d %H:%M:%S") from None
    if moment.tzinfo is not None:
        return (moment.astimezone(UTC),)
    both = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return tuple(dict.fromkeys(both))


_SCIENTIFIC = re.compile(r"(\d)(?:[.,](\d+))?e\+?(\d+)", re.IGNORECASE)


def _text(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def normal_number(text: str, number_format: str, region: str, prefixes: tuple[str, ...] = ()) -> str:
    """The likeliest of its ``readings``."""
    return readings(text, number_format, region, prefixes)[0]


@lru_cache(maxsize=65536)
def readings(text: str, number_format: str, region: str, prefixes: tuple[str, ...] = ()) -> tuple[str, ...]:
    """E.164 where the number can be understood, else its bare digits (service numbers); the likeliest first.

    Several where bare digits may be a national number or begin with a country's code: one that is given out comes
    before one that merely has a possible length. Raises on no digits, on a number with digits hidden, and on one that a spreadsheet rounded: matched by what is
    left of it, every call would seem to have been made outside.
    """
    plain = _unmangled(unicodedata.normalize("NFKC", text).strip())
    if re.search(r"\d[*xX#]{2,}|[*xX#]{2,}\d", plain):
        raise _BadCell("callee", "digits of the number are hidden", "ask the carrier for a bill with whole numbers")
    plain = re.sub(r"^(tel|sips?):", "", plain, flags=re.IGNORECASE).partition("@")[0].partition(";")[0]
    digits = re.sub(r"[^0-9+]", "", plain.replace("(0)", "") if "+" in plain else plain)
    digits = digits[:1] + digits[1:].replace("+", "")
    prefix = next((one for one in prefixes if digits.startswith(one)), "")
    digits = digits[len(prefix) :]
    if not digits.strip("+"):
        raise _BadCell("callee", "no number", "check bill.columns.callee")
    if not digits.startswith("+"):
        if digits.startswith("00"):
            digits = "+" + digits[2:]
        elif number_format in ("e164", "digits"):
            digits = "+" + digits
    spelt = [digits]
    if number_format == "auto" and not digits.startswith(("+", "0")):
        spelt.append("+" + digits)
    found = [number for number in (_parsed(one, region) for one in spelt) if number is not None]
    found.sort(key=lambda number: not phonenumbers.is_valid_number(number))
    said = (str(phonenumbers.format_number(one, phonenumbers.PhoneNumberFormat.E164)) for one in found)
    return tuple(dict.fromkeys(said)) or (digits.lstrip("+"),)


def _unmangled(text: str) -> str:
    """A number as it was before a spreadsheet took it for a figure: 1.3812345678E+10, 13812345678.00."""
    if re.fullmatch(r"\d{5,}[.,]0{1,2}", text):
        return text[:-3] if text[-3] in ".," else text[:-2]
    found = _SCIENTIFIC.fullmatch(text)
    if found is None:
        return text
    first, rest, power = found[1], found[2] or "", int(found[3])
    if len(rest) < power:
        remedy = "give the column the format Text in the spreadsheet, from the carrier's own file"
        raise _BadCell("callee", "a spreadsheet rounded the number", remedy)
    return first + rest[:power]


def _parsed(digits: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(number) else None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadSetting(
            "no such time zone", field="bill.timezone", shape=describe_shape(name), remedy="such as Asia/Shanghai"
        ) from None


def billed_at_most(talk_seconds: float, settings: BillSettings) -> int:
    """The longest duration a carrier may bill for this talk: tolerance, the first step, then rounding up."""
    allowed = math.ceil(talk_seconds + settings.duration_tolerance_seconds)
    beyond = max(0, allowed - settings.first_seconds)
    return settings.first_seconds + -(-beyond // settings.rounding_seconds) * settings.rounding_seconds
