"""What a workbook's number is shown as: a figure, a date, an elapsed time (ECMA-376 Part 1, 18.8.30 and 18.17.4)."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from enum import Enum

from case_store.intake.rows import number_text

# Dates and times of every language, and those of the Chinese, Japanese and Korean tables.
_DATES = frozenset([*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)])
_ELAPSED = 46
_LAST_DAY = 2_958_465  # 9999-12-31
_NO_SUCH_DAY = 60  # 1900 has a 29 February there, for the sake of an older program
_EPOCH, _EPOCH_BEFORE, _EPOCH_1904 = (datetime.fromisoformat(day) for day in ("1899-12-30", "1899-12-31", "1904-01-01"))
_LITERALS = re.compile(r'\\.|_.|\*.|"[^"]*"?')
_HOURS = re.compile(r"\[(?:h+|m+|s+)\]", re.I)
_BRACKETS = re.compile(r"\[[^\]]*\]?")
_PART_OF_A_DATE = re.compile(r"[dmhys]|am/pm|a/p", re.I)


class NumberFormat(Enum):
    NUMBER = "number"
    DATE = "date"
    ELAPSED = "elapsed"


def shown(number: float, kind: NumberFormat | None, *, from_1904: bool) -> str:
    """A figure as it is, a serial date as ISO 8601 (a day, a time, or both, to the millisecond)."""
    if kind is None or kind is NumberFormat.NUMBER or not 0 <= number < _LAST_DAY + 1:
        return number_text(number)
    past = timedelta(milliseconds=math.floor(number * 86_400_000 + 0.5))
    if kind is NumberFormat.ELAPSED:
        return str(past)
    epoch = _EPOCH_1904 if from_1904 else _EPOCH if number > _NO_SUCH_DAY else _EPOCH_BEFORE
    try:
        moment = epoch + past
    except OverflowError:
        return number_text(number)
    if number < 1:
        return (_EPOCH + past).time().isoformat()
    return moment.date().isoformat() if number.is_integer() else moment.isoformat()


def built_in(code: str) -> NumberFormat:
    if not code.isdecimal():
        return NumberFormat.NUMBER
    if int(code) == _ELAPSED:
        return NumberFormat.ELAPSED
    return NumberFormat.DATE if int(code) in _DATES else NumberFormat.NUMBER


def format_of(code: str) -> NumberFormat:
    """What a format code shows a number as, by its first section: what is quoted, escaped or in brackets is no part of it."""
    first = _LITERALS.sub("", code).partition(";")[0]
    date = _PART_OF_A_DATE.search(_BRACKETS.sub("", first))
    hours = _HOURS.search(first)
    if hours is not None:
        return NumberFormat.ELAPSED
    return NumberFormat.DATE if date is not None else NumberFormat.NUMBER
