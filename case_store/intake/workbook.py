"""A workbook as rows of text, whatever its format: XLSX is streamed, older and rarer formats are held, up to a size."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from case_store.intake.errors import FileUnreadable
from case_store.intake.rows import Row, cell_text
from case_store.intake.sheet_stream import NotStreamable, StreamedWorkbook
from case_store.intake.workbook_archive import WorkbookDamaged

_LARGEST_HELD = 64 << 20  # bytes unpacked: some 60,000 rows of twelve cells as ODS, an XLS's 65,536 rows
_SAVE_AGAIN = "save it again as XLSX or CSV"


class Workbook(Protocol):
    """``rows`` may skip blank rows; their numbers stay those a spreadsheet shows."""

    @property
    def visible(self) -> tuple[str, ...]: ...

    def rows(self, name: str) -> Iterator[Row]: ...

    def height(self, name: str) -> int: ...


@contextmanager
def open_workbook(path: Path) -> Iterator[Workbook]:
    """Raises ``FileUnreadable``, also while rows are read."""
    try:
        if zipfile.is_zipfile(path):
            try:
                with StreamedWorkbook(path) as book:
                    yield _Streamed(book)
                return
            except NotStreamable:
                pass
        yield _Held(path)
    except WorkbookDamaged as damage:
        raise FileUnreadable(f"the workbook is damaged: {damage}", field="file", remedy=_SAVE_AGAIN) from damage
    except OSError as error:
        raise FileUnreadable(
            f"the workbook cannot be unpacked ({error.strerror or type(error).__name__})",
            field="file",
            remedy="check that the folder for temporary files (TMPDIR) has room, or save it again as CSV",
        ) from error
    except (CalamineError, ValueError, zipfile.BadZipFile) as error:
        raise FileUnreadable(
            f"the workbook cannot be read ({type(error).__name__})", field="file", remedy=_SAVE_AGAIN
        ) from error


class _Streamed:
    def __init__(self, book: StreamedWorkbook) -> None:
        self._book = book
        self._sheets = {sheet.name: sheet for sheet in book.sheets if sheet.visible}

    @property
    def visible(self) -> tuple[str, ...]:
        return tuple(self._sheets)

    def rows(self, name: str) -> Iterator[Row]:
        return self._book.rows(self._sheets[name])

    def height(self, name: str) -> int:
        return self._book.height(self._sheets[name])


class _Held:
    """XLS, XLSB and ODS by calamine, which holds a whole sheet: larger ones are refused."""

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = max((part.file_size for part in archive.infolist()), default=0)
        if size > _LARGEST_HELD:
            raise FileUnreadable(
                "a workbook of this format is held in memory, and this one is too large for that",
                field="file",
                shape=f"{size >> 20} MB unpacked",
                remedy="save it as XLSX or CSV, which are read as a stream",
            )
        self._book = CalamineWorkbook.from_path(path)

    @property
    def visible(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._book.sheets_metadata if one.visible is SheetVisibleEnum.Visible)

    def rows(self, name: str) -> Iterator[Row]:
        sheet = self._book.get_sheet_by_name(name)
        if sheet.start is None:
            return
        # iter_rows starts with the sheet's first row, whatever the used range.
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            yield Row(number=number, cells=tuple(cell_text(cell) for cell in cells))

    def height(self, name: str) -> int:
        return self._book.get_sheet_by_name(name).height
