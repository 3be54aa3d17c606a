"""One row of a bank's table, whatever the file was: its number and its cells as text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

LONGEST_CELL = 4000


class NumericCell(str):
    """Text of a cell that the workbook holds as a number: a leading zero may have been lost before we saw it."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """``number`` is the line as a spreadsheet counts it (the header is 1). ``problem``: the row itself is broken."""

    number: int
    cells: tuple[str, ...]
    problem: str | None = None


def plain_text(cell: str) -> str:
    """Spreadsheets mark a number that is text with an apostrophe, our own reject files shield = + - @ with one."""
    cell = cell.strip()
    if len(cell) > 1 and cell[0] in "'’＇" and (cell[1] in "=+-@" or cell[1].isdecimal()):
        return cell[1:]
    return cell


def number_text(value: float) -> NumericCell:
    """Beyond 15 digits a workbook's number is no longer what was typed: the exponent is left to be refused."""
    if abs(value) < 1e15:
        return NumericCell(int(value) if float(value).is_integer() else repr(value))
    return NumericCell(f"{value:e}")


def cell_text(cell: Any) -> str:
    """A workbook's cell as the readers hand it over."""
    if isinstance(cell, str):
        return plain_text(cell)
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, (int, float)):
        return number_text(cell)
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    return "" if cell is None else str(cell)
