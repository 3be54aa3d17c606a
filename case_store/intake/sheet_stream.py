"""An XLSX workbook as a stream: one row after another, whatever its size (ECMA-376 Part 1, 18.3 and 18.4).

The sheet's XML is read from the archive in pieces and each row handed on as it ends, so memory does not grow with the rows.
Why neither openpyxl nor calamine: docs/decisions/0005-streamed-workbooks.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from case_store.intake.number_format import NumberFormat, built_in, format_of, shown
from case_store.intake.rows import LONGEST_CELL, Row, plain_text
from case_store.intake.shared_texts import SharedTexts
from case_store.intake.workbook_archive import (
    ELEMENTS,
    LONGEST_TEXT,
    WorkbookArchive,
    WorkbookDamaged,
    new_parser,
    unescaped,
)

_MOST_ROWS, _MOST_COLUMNS = 1 << 20, 1 << 14


class NotStreamable(Exception):
    """The archive is another kind of workbook (XLSB, ODS)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    name: str
    part: str  # its place in the archive
    visible: bool


class StreamedWorkbook:
    """The sheets of an XLSX file and their rows. Raises ``NotStreamable`` and ``WorkbookDamaged``."""

    def __init__(self, path: Path) -> None:
        self._archive = WorkbookArchive(path)
        try:
            part = self._workbook_part()
            related = self._archive.related(part)
            self._texts: SharedTexts | None = None
            self._texts_part = next((target for kind, target in related.values() if kind == "sharedStrings"), None)
            self._formats = self._read_formats(next((one for kind, one in related.values() if kind == "styles"), None))
            self._from_1904 = False
            self.sheets = tuple(self._read_sheets(part, related))
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> StreamedWorkbook:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._archive.close()
        if self._texts is not None:
            self._texts.close()

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """The rows that hold a cell, top to bottom, with the numbers a spreadsheet shows."""
        if self._texts is None:
            self._texts = SharedTexts(self._archive, self._texts_part)
        reader = _RowReader(self._texts, self._formats, self._from_1904)
        for _ in self._archive.parsed(sheet.part, reader.parser):
            yield from reader.finished
            reader.finished.clear()

    def height(self, sheet: Sheet) -> int:
        """How many rows the sheet holds, by its row ends (0: not told); reads it whole once, which proves its checksum."""
        count, tail, end = 0, b"", b"</row>"
        for chunk in self._archive.chunks(sheet.part):
            count += (tail + chunk).count(end)
            tail = chunk[1 - len(end) :]
        return count

    def _workbook_part(self) -> str:
        part = next((one for kind, one in self._archive.related("").values() if kind == "officeDocument"), None)
        part = part or "xl/workbook.xml"
        if part not in self._archive or part.endswith(".bin"):
            raise NotStreamable
        return part

    def _read_sheets(self, part: str, related: Mapping[str, tuple[str, str]]) -> Iterator[Sheet]:
        for name, said in self._archive.elements(part):
            if name == "workbookPr":
                self._from_1904 = said.get("date1904", "0").lower() in ("1", "true", "on")
            elif name == "sheet":
                kind, target = related.get(said.get("id", ""), ("", ""))
                if kind == "worksheet":  # a chart or a macro sheet has no rows
                    visible = said.get("state", "visible") == "visible"
                    yield Sheet(name=said.get("name", ""), part=target, visible=visible)

    def _read_formats(self, part: str | None) -> tuple[NumberFormat, ...]:
        if part is None or part not in self._archive:
            return ()
        own: dict[str, NumberFormat] = {}
        used: list[NumberFormat] = []
        within = ""
        for name, said in self._archive.elements(part):
            if name in ("cellXfs", "cellStyleXfs", "dxfs", "cellStyles"):
                within = name
            elif name == "numFmt" and within != "dxfs":
                own[said.get("numFmtId", "")] = format_of(said.get("formatCode", ""))
            elif name == "xf" and within == "cellXfs":
                code = said.get("numFmtId", "0")
                used.append(own.get(code) or built_in(code))
        return tuple(used)


class _RowReader:
    """The events of a sheet's XML as rows."""

    def __init__(self, texts: SharedTexts, formats: tuple[NumberFormat, ...], from_1904: bool) -> None:
        self.finished: list[Row] = []
        self._texts = texts
        self._formats = {str(place): one for place, one in enumerate(formats) if one is not NumberFormat.NUMBER}
        self._from_1904 = from_1904
        self._number = 0
        self._row_name = ""
        self._in_row = self._in_cell = False
        self._cells: list[str] = []
        self._column = self._next = 0
        self._type = self._style = ""
        self._value: list[str] = []
        self._inline: list[str] = []
        self._into: list[str] | None = None
        self._phonetic = False
        self._length = 0
        self._columns: dict[str, int] = {}
        self.parser = new_parser()
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._start, self._end
        self.parser.CharacterDataHandler = self._data

    def _start(self, name: str, said: dict[str, str]) -> None:
        kind = ELEMENTS.get(name)
        if kind == "c" and self._in_row:
            self._in_cell = True
            self._type, self._style = said.get("t", ""), said.get("s", "")
            self._value, self._inline, self._length = [], [], 0
            place = said.get("r")
            self._column = self._next if place is None else self._column_of(place)
            if self._column < self._next:
                raise WorkbookDamaged("the cells of a row are not in order")
            self._next = self._column + 1
        elif kind == "v":
            self._into = self._value if self._in_cell else None
        elif kind == "t":
            self._into = self._inline if self._in_cell and not self._phonetic else None
        elif kind == "rPh":
            self._phonetic = True
        elif kind == "row":
            number = said.get("r")
            following = self._number + 1
            if number is not None and not number.isdecimal():
                raise WorkbookDamaged("a row has no number")
            self._number = following if number is None else int(number)
            if not following <= self._number <= _MOST_ROWS:
                raise WorkbookDamaged("the rows of a sheet are not in order")
            self._in_row, self._row_name, self._cells, self._next = True, str(self._number), [], 0

    def _data(self, text: str) -> None:
        if self._into is not None:
            self._length += len(text)
            if self._length > LONGEST_TEXT:
                raise WorkbookDamaged("a text is longer than any cell holds")
            self._into.append(text)

    def _end(self, name: str) -> None:
        kind = ELEMENTS.get(name)
        if kind == "c" and self._in_cell:
            self._in_cell = False
            text = self._text()
            if text:
                self._cells += [""] * (self._column - len(self._cells))
                self._cells.append(text)
        elif kind in ("v", "t"):
            self._into = None
        elif kind == "rPh":
            self._phonetic = False
        elif kind == "row":
            self._in_row = False
            if self._cells:
                long = len(max(self._cells, key=len)) > LONGEST_CELL
                problem = f"a cell is longer than {LONGEST_CELL} characters" if long else None
                self.finished.append(Row(number=self._number, cells=tuple(self._cells), problem=problem))

    def _column_of(self, place: str) -> int:
        if not place.endswith(self._row_name):
            raise WorkbookDamaged("a cell stands in a row that is not its own")
        letters = place[: -len(self._row_name)]
        column = self._columns.get(letters)
        if column is None:
            if not re.fullmatch(r"[A-Za-z]{1,3}", letters):
                raise WorkbookDamaged("a cell has no place")
            column = 0
            for letter in letters.upper():
                column = column * 26 + ord(letter) - 64
            if column > _MOST_COLUMNS:
                raise WorkbookDamaged("a cell lies beyond the last column")
            self._columns[letters] = column
        return column - 1

    def _text(self) -> str:
        """A cell's text. A formula counts by the value it was saved with; without one it is empty."""
        if self._inline and self._type in ("", "inlineStr"):
            return plain_text(unescaped("".join(self._inline)))
        value = "".join(self._value)
        if not value:
            return ""
        kind = self._type
        if kind == "s":
            if not value.isdecimal():
                raise WorkbookDamaged("a cell refers to a shared text that is not there")
            return plain_text(self._texts[int(value)])
        if kind in ("", "n"):
            return self._number_text(value)
        if kind == "str":
            return plain_text(unescaped(value))
        if kind == "b":
            return "FALSE" if value == "0" else "TRUE"
        if kind in ("e", "d"):  # what a formula failed with (#N/A); a date in ISO 8601
            return value.strip()
        raise WorkbookDamaged("a cell is of a kind that is not known")

    def _number_text(self, value: str) -> str:
        try:
            number = float(value)
        except ValueError:
            return plain_text(value)
        if "_" in value or value != value.strip() or number - number != 0:  # no number of XML Schema
            return plain_text(value)
        return shown(number, self._formats.get(self._style), from_1904=self._from_1904)
