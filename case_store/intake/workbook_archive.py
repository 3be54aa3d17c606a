"""The parts of an Office Open XML archive, each read as a stream of bounded size (ECMA-376 Part 2).

A document type is refused, as defusedxml would do; nothing that a file says makes us hold more than a cell.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from xml.parsers import expat

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"  # "Strict Open XML Spreadsheet" of the save dialog
_CHUNK = 1 << 16
_LARGEST_PART = 4 << 30  # bytes of XML; a full sheet of 1,048,576 rows of twelve cells has about 1
_LARGEST_TOKEN = 1 << 20  # bytes of one tag or cell text that is held
LONGEST_TEXT = 200_000  # a spreadsheet's own limit is 32,767
_ESCAPED = re.compile(
    r"_x00([01][0-9A-Fa-f]|5[Ff])_"
)  # a control character that XML cannot hold, or the escape's own _

ELEMENTS = {f"{space} {name}": name for space in (_MAIN, _STRICT) for name in ("row", "c", "v", "is", "t", "si", "rPh")}
"""The elements of sheets and shared texts as the parser names them → their local names."""


class WorkbookDamaged(Exception):
    """The workbook contradicts itself or is cut off; ``str()`` says where, without any value."""


class WorkbookArchive:
    """The parts of a zip archive, each read as a stream of bounded size."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        # Some writers use backslashes or another case than the relationships say.
        self._parts = {one.filename.replace("\\", "/").lower(): one for one in self._zip.infolist()}

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._parts

    def close(self) -> None:
        self._zip.close()

    def chunks(self, part: str) -> Iterator[bytes]:
        found = self._parts.get(part.lower())
        if found is None:
            raise WorkbookDamaged("a part that it refers to is missing")
        if found.file_size > _LARGEST_PART:
            raise WorkbookDamaged("it unpacks to more than any sheet holds")
        try:
            with self._zip.open(found) as xml:
                while chunk := xml.read(_CHUNK):
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise WorkbookDamaged(f"it cannot be unpacked ({type(error).__name__})") from error

    def parsed(self, part: str, parser: expat.XMLParserType) -> Generator[None]:
        """Feed a part to a parser, piece by piece."""
        fed = 0
        try:
            for chunk in self.chunks(part):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > _LARGEST_TOKEN:
                    raise WorkbookDamaged("one of its tags never ends")
                yield
            parser.Parse(b"", True)
            yield
        except expat.ExpatError as error:
            raise WorkbookDamaged(f"its XML cannot be read ({type(error).__name__})") from error

    def elements(self, part: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Every element as it begins: its name and attributes, without their namespaces."""
        begun: list[tuple[str, dict[str, str]]] = []

        def start(name: str, said: dict[str, str]) -> None:
            begun.append((_local(name), {_local(key): value for key, value in said.items()}))

        parser = new_parser()
        parser.StartElementHandler = start
        for _ in self.parsed(part, parser):
            yield from begun
            begun.clear()

    def related(self, part: str) -> dict[str, tuple[str, str]]:
        """What a part refers to: id → (kind, place in the archive)."""
        folder, name = posixpath.split(part)
        table = posixpath.join(folder, "_rels", f"{name}.rels")
        if table not in self:
            return {}
        return {
            said.get("Id", ""): (
                said.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, said.get("Target", ""))).lstrip("/"),
            )
            for element, said in self.elements(table)
            if element == "Relationship" and said.get("TargetMode") != "External"
        }


def new_parser() -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_document_type
    return parser


def _refuse_document_type(*_: object) -> None:
    raise WorkbookDamaged("it declares a document type, which no workbook has")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x00" in text else text
