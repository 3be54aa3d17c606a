"""The carrier's bill: a file in the carrier's own columns, time zone, rounding and number format (``BillSettings``)."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from python_calamine import CalamineWorkbook

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
    """

    line: int
    starts: tuple[datetime, ...]
    callee: str
    seconds: int
    answered: bool
    reference: str = ""


def read_bill(path: Path, settings: BillSettings) -> list[BillRow]:
    """Every row, or ``BadBill`` that names line, field, shape and remedy: a bill is read whole or not at all."""
    missing = [name for name in _NEEDED if name not in settings.columns]
    if missing:
        raise BadSetting("a column is not mapped", field=f"bill.columns.{missing[0]}", remedy="name the bill's header")
    zone = _zone(settings.timezone)
    return [_row(line, cells, settings, zone) for line, cells in _cells(path, settings)]


def _cells(path: Path, settings: BillSettings) -> Iterator[tuple[int, dict[str, object]]]:
    """``(line, our field → cell)`` of each row that is not blank."""
    try:
        rows = _sheet(path) if path.suffix.lower() in _XLSX else _csv(path, settings)
        for place, (line, row) in enumerate(rows):
            if place == 0:
                header = [str(cell).strip() for cell in row]
                where = {field: _find(header, name, field) for field, name in settings.columns.items()}
            elif any(str(cell).strip() for cell in row):
                yield line, {field: row[at] if at < len(row) else "" for field, at in where.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadBill(
            f"the bill cannot be read: {type(error).__name__}",
            field="carrier-bill",
            remedy="check path and bill.encoding",
        ) from error


def _csv(path: Path, settings: BillSettings) -> Iterator[tuple[int, list[object]]]:
    with path.open(encoding=settings.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=settings.delimiter)
        for row in reader:
            yield reader.line_num, list(row)


def _sheet(path: Path) -> Iterator[tuple[int, list[object]]]:
    sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
    for line, row in enumerate(sheet.to_python(), start=1):
        yield line, list(row)


def _find(header: list[str], name: str, field: str) -> int:
    if name not in header:
        raise BadBill(
            "the bill has no such column",
            field=f"bill.columns.{field}",
            shape=f"{len(header)} columns",
            remedy="give the header as it stands in the bill's first line",
        )
    return header.index(name)


def _row(line: int, cells: Mapping[str, object], settings: BillSettings, zone: ZoneInfo) -> BillRow:
    try:
        seconds = _seconds(cells["seconds"], settings.duration)
        said = str(cells.get("answered", "")).strip().lower()
        return BillRow(
            line=line,
            starts=_starts(cells["started_at"], settings.time_format, zone),
            callee=normal_number(_text(cells["callee"]), settings.number_format, settings.region),
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


def _seconds(cell: object, duration: str) -> int:
    text = str(cell).strip()
    try:
        if duration == "clock" and ":" in text:
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


def _text(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


@lru_cache(maxsize=65536)
def normal_number(text: str, number_format: str, region: str) -> str:
    """E.164 where the number can be understood, else its bare digits (service numbers). Raises on no digits."""
    digits = re.sub(r"[^0-9+]", "", text)
    digits = digits[:1] + digits[1:].replace("+", "")
    if not digits.strip("+"):
        raise _BadCell("callee", "no number", "check bill.columns.callee")
    if not digits.startswith("+"):
        if digits.startswith("00"):
            digits = "+" + digits[2:]
        elif number_format in ("e164", "digits"):
            digits = "+" + digits
    own = _parsed(digits, region)
    if own is None and number_format == "auto" and not digits.startswith("+"):
        own = _parsed("+" + digits, region)
    return own or digits.lstrip("+")


def _parsed(digits: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadSetting(
            "no such time zone", field="bill.timezone", shape=describe_shape(name), remedy="such as Asia/Shanghai"
        ) from None


def billed_at_most(talk_seconds: float, settings: BillSettings) -> int:
    """The longest duration a carrier may bill for this talk: tolerance first, then rounding up."""
    allowed = math.ceil(talk_seconds + settings.duration_tolerance_seconds)
    return -(-allowed // settings.rounding_seconds) * settings.rounding_seconds
