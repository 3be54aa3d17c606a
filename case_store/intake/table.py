"""A file as rows of text: CSV in any of the encodings banks use, or the one sheet of a workbook that holds the table.

Read twice as a stream, never held: once to tell encoding and hash, once for the rows. Titles above the header are
passed over, hidden sheets are not read; where two sheets could be meant, nothing is chosen.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from case_store.intake.errors import FileUnreadable
from case_store.intake.rows import LONGEST_CELL, Row, plain_text
from case_store.intake.workbook import open_workbook

DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_TITLE_ROWS = 30  # how far down a header may stand
_SURELY_A_HEADER = 3  # known cells
_REMEDY = "save it again as CSV (UTF-8) or XLSX"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFile:
    """What was found out about a file. ``encoding`` and ``delimiter`` are None for a workbook."""

    path: Path
    sha256: str
    bytes: int
    header: tuple[str, ...]
    encoding: str | None = None
    delimiter: str | None = None
    header_row: int = 1  # as a spreadsheet counts; what stands above it is a title
    sheet: str | None = None  # of a workbook
    lines: int = 0  # below the header, by the file's line ends: what a progress bar shows, not a count of rows

    def rows(self) -> Iterator[Row]:
        """The rows below the header; blank ones are skipped."""
        source = self._workbook_rows() if self.encoding is None else self._csv_rows()
        for row in source:
            if row.number > self.header_row and (any(row.cells) or row.problem is not None):
                yield row

    def _workbook_rows(self) -> Iterator[Row]:
        assert self.sheet is not None
        with open_workbook(self.path) as book:
            yield from book.rows(self.sheet)

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
        return _open_workbook(path, digest, size, known_headers)
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:5].lower().startswith((b"<", b"%pdf", b"{\\rtf")):
        raise FileUnreadable("the file is a page or a document, not a table", field="file", remedy=_REMEDY)
    encoding = _encoding(path, head)
    with path.open(encoding=encoding, newline="") as text:
        start = text.read(1 << 16)
    _refuse_garbage(start)
    delimiter, row = _delimiter(start, known_headers)
    return TableFile(
        path=path,
        sha256=digest,
        bytes=size,
        header=row.cells,
        header_row=row.number,
        encoding=encoding,
        delimiter=delimiter,
        lines=max(0, ends - 1),
    )


def _open_workbook(path: Path, digest: str, size: int, known_headers: Any) -> TableFile:
    found: list[tuple[int, str, Row]] = []
    with open_workbook(path) as book:
        for name in book.visible:
            row, score = _header_of(book.rows(name), known_headers)
            if row is not None:
                found.append((score, name, row))
        if not found:
            raise FileUnreadable("no visible sheet of the workbook holds anything", field="file", remedy=_REMEDY)
        tables = [name for score, name, _ in found if score >= _SURELY_A_HEADER]
        if len(tables) > 1:
            raise FileUnreadable(
                "more than one sheet of the workbook holds a table",
                field="file",
                shape=f"{len(tables)} sheets with a header",
                remedy="save each sheet as a file of its own, or hide those that are not meant",
            )
        score, name, row = max(found, key=lambda one: one[0])
        return TableFile(
            path=path,
            sha256=digest,
            bytes=size,
            header=row.cells,
            header_row=row.number,
            sheet=name,
            lines=book.height(name),
        )


def _header_of(rows: Iterator[Row], known_headers: Any) -> tuple[Row | None, int]:
    """The header among the first rows, and how many of its cells are known; the first row where none is known better."""
    first: Row | None = None
    best: Row | None = None
    most = 0
    for row in itertools.islice((row for row in rows if any(row.cells)), _TITLE_ROWS):
        first = first or row
        score = known_headers(row.cells) if known_headers else 0
        if score > most:
            best, most = row, score
    # A recall may have one column under its title.
    wholly = best is not None and most == sum(1 for cell in best.cells if cell)
    return (best, most) if best is not None and (most >= 2 or wholly) else (first, most)


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


def _delimiter(start: str, known_headers: Any) -> tuple[str, Row]:
    best: tuple[int, str, Row] | None = None
    for delimiter in DELIMITERS:
        row, known = _header_of(_csv_records(io.StringIO(start, newline=""), delimiter), known_headers)
        if row is None:
            continue
        score = known * 1000 + len(row.cells)
        if best is None or score > best[0]:
            best = (score, delimiter, row)
    if best is None:
        raise FileUnreadable("the file has no header", field="file", remedy=_REMEDY)
    return best[1], best[2]


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
            if len(cell) > LONGEST_CELL:
                problem = "a cell is longer than 4000 characters: a quote is probably left open"
            elif "\x00" in cell:
                problem = "a cell holds a zero byte"
        yield Row(number=number, cells=tuple(plain_text(cell) for cell in cells), problem=problem)
