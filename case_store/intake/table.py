"""A file as rows of text: CSV in any of the encodings banks use, or the first sheet of a workbook.

Read twice as a stream, never held: once to tell encoding and hash, once for the rows.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

from case_store.intake.errors import FileUnreadable

DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_LONGEST_CELL = 4000
_REMEDY = "save it again as CSV (UTF-8) or XLSX"


class NumericCell(str):
    """Text of a cell that the workbook holds as a number: a leading zero may have been lost before we saw it."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """``number`` is the line as a spreadsheet counts it (the header is 1). ``problem``: the row itself is broken."""

    number: int
    cells: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFile:
    """What was found out about a file. ``encoding`` and ``delimiter`` are None for a workbook."""

    path: Path
    sha256: str
    bytes: int
    header: tuple[str, ...]
    encoding: str | None = None
    delimiter: str | None = None
    lines: int = 0  # below the header, by the file's line ends: what a progress bar shows, not a count of rows

    def rows(self) -> Iterator[Row]:
        """The rows below the header; blank ones are skipped."""
        source = _workbook_rows(self.path) if self.encoding is None else self._csv_rows()
        past_header = False
        for row in source:
            if not any(row.cells) and row.problem is None:
                continue
            if not past_header:
                past_header = True
                continue
            yield row

    def _csv_rows(self) -> Iterator[Row]:
        assert self.encoding is not None
        assert self.delimiter is not None
        with self.path.open(encoding=self.encoding, newline="") as text:
            yield from _csv_records(text, self.delimiter)


def open_table(path: Path, known_headers: Any = None) -> TableFile:
    """Look at a file. ``known_headers(cells) -> int`` says how many of a header's cells it knows; it picks the delimiter.

    Raises ``FileUnreadable``.
    """
    try:
        digest, size, head, ends = _hash(path)
    except OSError as error:
        raise FileUnreadable(
            f"the file cannot be opened ({error.strerror})", field="file", remedy="check its name and permissions"
        ) from error
    if size == 0:
        raise FileUnreadable("the file is empty", field="file", remedy="export it again")
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        rows = _workbook_rows(path)
        header = next((row.cells for row in rows if any(row.cells)), ())
        return TableFile(path=path, sha256=digest, bytes=size, header=header, lines=sum(1 for _ in rows))
    encoding = _encoding(path, head)
    with path.open(encoding=encoding, newline="") as text:
        start = text.read(1 << 16)
    _refuse_garbage(start)
    delimiter, header = _delimiter(start, known_headers)
    return TableFile(
        path=path,
        sha256=digest,
        bytes=size,
        header=header,
        encoding=encoding,
        delimiter=delimiter,
        lines=max(0, ends - 1),
    )


def _hash(path: Path) -> tuple[str, int, bytes, int]:
    """Digest, size, first bytes, and how many line ends."""
    digest, size, head, ends = hashlib.sha256(), 0, b"", 0
    with path.open("rb") as raw:
        while chunk := raw.read(_CHUNK):
            head = head or chunk[:4096]
            size += len(chunk)
            ends += chunk.count(b"\n")
            digest.update(chunk)
    return digest.hexdigest(), size, head, ends


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith(codecs.BOM_UTF8):
        candidates = ["utf-8-sig"]
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    elif b"\x00" in head:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if max(even, odd) < len(head) // 8 or min(even, odd) > len(head) // 64:
            raise FileUnreadable("the file holds zero bytes: it is not a text table", field="file", remedy=_REMEDY)
        candidates = ["utf-16-le" if odd > even else "utf-16-be"]
    else:
        candidates = ["utf-8", "gb18030"]
    for encoding in candidates:
        if _decodes(path, encoding):
            return encoding
    raise FileUnreadable("the file's text encoding cannot be told", field="file", remedy=_REMEDY)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        with path.open("rb") as raw:
            while chunk := raw.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_garbage(text: str) -> None:
    if any(ch < " " and ch not in "\t\r\n" for ch in text) or any("\ue000" <= ch <= "\uf8ff" for ch in text):
        raise FileUnreadable("the file holds control characters: it is not a text table", field="file", remedy=_REMEDY)


def _delimiter(start: str, known_headers: Any) -> tuple[str, tuple[str, ...]]:
    best: tuple[int, int, str, tuple[str, ...]] | None = None
    for place, delimiter in enumerate(DELIMITERS):
        header = next(
            (row.cells for row in _csv_records(io.StringIO(start, newline=""), delimiter) if any(row.cells)), ()
        )
        score = (known_headers(header) if known_headers else 0) * 1000 + len(header)
        if best is None or score > best[0]:
            best = (score, place, delimiter, header)
    assert best is not None
    if not best[3]:
        raise FileUnreadable("the file has no header", field="file", remedy=_REMEDY)
    return best[2], best[3]


def _csv_records(text: Any, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number=number, cells=(), problem=f"the row's quoting is broken ({error})")
            continue
        problem = None
        for cell in cells:
            if len(cell) > _LONGEST_CELL:
                problem = "a cell is longer than 4000 characters: a quote is probably left open"
            elif "\x00" in cell:
                problem = "a cell holds a zero byte"
        yield Row(number=number, cells=tuple(_plain(cell) for cell in cells), problem=problem)


def _plain(cell: str) -> str:
    # Spreadsheets mark a number that is text with an apostrophe, our own reject files shield = + - @ with one.
    cell = cell.strip()
    if len(cell) > 1 and cell[0] in "'’＇" and (cell[1] in "=+-@" or cell[1].isdecimal()):
        return cell[1:]
    return cell


def _workbook_rows(path: Path) -> Iterator[Row]:
    try:
        sheet = CalamineWorkbook.from_path(path).get_sheet_by_index(0)
        if sheet.start is None:
            return
        # Rows above the used range are not delivered; the number shown must still be the spreadsheet's.
        for number, cells in enumerate(sheet.iter_rows(), start=sheet.start[0] + 1):
            yield Row(number=number, cells=tuple(_cell_text(cell) for cell in cells))
    except (CalamineError, OSError, ValueError) as error:
        raise FileUnreadable(
            f"the workbook cannot be read ({type(error).__name__})", field="file", remedy="save it again as XLSX or CSV"
        ) from error


def _cell_text(cell: Any) -> str:
    if isinstance(cell, str):
        return _plain(cell)
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, (int, float)):
        # Beyond 15 digits a workbook's number is no longer what was typed: leave the exponent to be refused.
        if float(cell).is_integer() and abs(cell) < 1e15:
            return NumericCell(int(cell))
        return NumericCell(repr(cell) if abs(cell) < 1e15 else f"{cell:e}")
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    return "" if cell is None else str(cell)
