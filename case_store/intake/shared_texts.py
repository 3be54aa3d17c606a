"""A workbook's shared texts (ECMA-376 Part 1, 18.4), unpacked only as far as a cell asks for one, and not into memory."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Generator
from functools import lru_cache
from typing import IO

from case_store.intake.workbook_archive import (
    ELEMENTS,
    LONGEST_TEXT,
    WorkbookArchive,
    WorkbookDamaged,
    new_parser,
    unescaped,
)

_TEXTS_A_BLOCK = 16
_BLOCKS_KEPT = 2048
_SPOOL = 1 << 20  # bytes that stay in memory before there is a file


class SharedTexts:
    """The workbook's shared texts by their place, read on as far as they are asked for."""

    def __init__(self, archive: WorkbookArchive, part: str | None) -> None:
        # Unnamed, gone with the process: it holds what the workbook holds.
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_SPOOL)  # noqa: SIM115
        self._begins = array("Q")
        self._ends = 0
        self._open: list[str] = []  # the block that is not full yet
        self._parts: list[str] = []
        self._collecting = self._phonetic = False
        self._length = 0
        parser = new_parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._data
        self._ahead = archive.parsed(part, parser) if part is not None and part in archive else _nothing()
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._read_block)

    def close(self) -> None:
        self._ahead.close()
        self._file.close()

    def __getitem__(self, place: int) -> str:
        block, within = divmod(place, _TEXTS_A_BLOCK)
        while block >= len(self._begins):
            if block == len(self._begins) and within < len(self._open):
                return self._open[within]
            if next(self._ahead, self) is self:
                raise WorkbookDamaged("a cell refers to a shared text that is not there")
        return self._block(block)[within]

    def _read_block(self, block: int) -> list[str]:
        self._file.seek(self._begins[block])
        ends = self._begins[block + 1] if block + 1 < len(self._begins) else self._ends
        return self._file.read(ends - self._begins[block]).decode("utf-8", "surrogatepass").split("\x00")

    def _start(self, name: str, _: dict[str, str]) -> None:
        kind = ELEMENTS.get(name)
        if kind == "si":
            self._parts = []
            self._length = 0
        elif kind == "rPh":
            self._phonetic = True
        elif kind == "t":
            self._collecting = not self._phonetic

    def _data(self, text: str) -> None:
        if self._collecting:
            self._length += len(text)
            if self._length > LONGEST_TEXT:
                raise WorkbookDamaged("a text is longer than any cell holds")
            self._parts.append(text)

    def _end(self, name: str) -> None:
        kind = ELEMENTS.get(name)
        if kind == "t":
            self._collecting = False
        elif kind == "rPh":
            self._phonetic = False
        elif kind == "si":
            self._open.append(unescaped("".join(self._parts)))
            if len(self._open) == _TEXTS_A_BLOCK:
                begins = self._file.seek(0, 2)
                self._ends = begins + self._file.write("\x00".join(self._open).encode("utf-8", "surrogatepass"))
                self._begins.append(begins)
                self._open = []


def _nothing() -> Generator[None]:
    yield from ()
