"""The streamed reading of workbooks, held against calamine's over many made ones, and against hostile ones. Category: unit."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from case_store.intake.errors import FileUnreadable
from case_store.intake.rows import NumericCell, cell_text
from case_store.intake.sheet_stream import StreamedWorkbook
from case_store.intake.table import TableFile, open_table
from case_store.intake.workbook import open_workbook

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATED = "http://schemas.openxmlformats.org/package/2006/relationships"
_KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_CODES = [
    "General", "0.00", "@", "yyyy-mm-dd", 'yyyy"年"m"月"d"日"', "[h]:mm:ss", "[$-804]yyyy/m/d;@", "#,##0.00_);[Red](#,##0.00)",
    '0.00"day"', "h:mm AM/PM", "[mm]:ss", r"\Y000000", "#,##0*y", "[Red]0", "m/d/yy h:mm", '"¥"#,##0.00', "[>=100][Magenta][s].00",
    "00000000", "000-0000-0000", "0.0E+00", r"0_ ;[Red]\-0\ ", "mmm d", "[Blue][h]:mm;[Red]0", "上午/下午h:mm",
]  # fmt: skip


def _archive(
    path: Path,
    sheet: str,
    *,
    texts: str | None = None,
    styles: str = "",
    properties: str = "",
    main: str = _MAIN,
    head: str = "",
    workbook: str = "xl/workbook.xml",
) -> Path:
    """A workbook of one sheet, its XML as given."""
    related = [("1", "worksheet", "worksheets/sheet1.xml"), ("2", "styles", "styles.xml")]
    related += [("3", "sharedStrings", "/xl/sharedStrings.xml")] if texts is not None else []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_RELATED}"><Relationship Id="a" Type="{_KINDS}/officeDocument" Target="{workbook}"/>'
            "</Relationships>",
        )
        out.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{_KINDS}"><workbookPr {properties}/>'
            '<sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        out.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{_RELATED}">'
            + "".join(f'<Relationship Id="r{n}" Type="{_KINDS}/{kind}" Target="{to}"/>' for n, kind, to in related)
            + "</Relationships>",
        )
        out.writestr("xl/styles.xml", f'<styleSheet xmlns="{main}">{styles}</styleSheet>')
        if texts is not None:
            out.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{texts}</sst>')
        out.writestr("xl/worksheets/sheet1.xml", head + f'<worksheet xmlns="{main}">{sheet}</worksheet>')
    return path


def _streamed(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    with StreamedWorkbook(path) as book:
        return [(row.number, row.cells) for row in book.rows(book.sheets[0])]


def _held(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """By calamine, without the blanks it fills up with."""
    found = []
    for number, cells in enumerate(CalamineWorkbook.from_path(path).get_sheet_by_index(0).iter_rows(), start=1):
        texts = [cell_text(cell) for cell in cells]
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            found.append((number, tuple(texts)))
    return found


def _same(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    ours, theirs = _streamed(path), _held(path)
    assert ours == theirs
    kinds = [[type(cell) for cell in cells] for _, cells in ours]
    assert kinds == [[type(cell) for cell in cells] for _, cells in theirs]  # a number is known to be one
    return ours


_KEPT = 'xml:space="preserve"'
_LETTERS = "aB7 &<>\"'=+-@_x000D_\t汉字é🙂\u200b\u3000１２,;"


def _text(dice: random.Random) -> str:
    return escape("".join(dice.choice(_LETTERS) for _ in range(dice.randrange(12))))


def _number(dice: random.Random, dated: bool) -> str:
    if dated:
        return repr(dice.choice([dice.uniform(61, 2_958_000), dice.randrange(61, 60_000), dice.random(), 46112.75]))
    return repr(
        dice.choice([dice.uniform(-1e6, 1e6), dice.randrange(10**11), dice.uniform(0, 1e20), 0.1 + 0.2, 1e-9, 0])
    )


def _any_cell(style: int, dice: random.Random) -> tuple[str, str]:
    """The attributes and the inside of a cell of any kind."""
    text = _text(dice)
    match dice.randrange(11):
        case 0 | 1:
            return f't="n" s="{style}"', f"<v>{_number(dice, style > 0)}</v>"
        case 2 | 3:
            return f's="{style}"', f"<v>{_number(dice, style > 0)}</v>"
        case 4:
            return 't="str"', f"<f>A1&amp;B1</f><v>{text}</v>"
        case 5:
            return 't="inlineStr"', f'<is><t xml:space="preserve">{text}</t></is>'
        case 6:
            rich = f"<r><rPr><b/></rPr><t {_KEPT}>{text}</t></r><r><t {_KEPT}>{_text(dice)}</t></r><rPh sb='0' eb='1'><t>ph</t></rPh>"
            return 't="inlineStr"', f"<is>{rich}</is>"
        case 7:
            return 't="b"', f"<v>{dice.randrange(2)}</v>"
        case 8:
            return 't="s"', f"<v>{dice.randrange(20)}</v>"
        case 9:
            return "", "<f>NOW()</f>"
    return "", "<v>no number</v>"


@pytest.mark.parametrize("seed", range(60))
def test_any_sheet_reads_as_calamine_reads_it(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # samples, not secrets
    own = "".join(
        f"<numFmt numFmtId={quoteattr(str(164 + place))} formatCode={quoteattr(code)}/>"
        for place, code in enumerate(_CODES)
    )
    codes = [0, 1, 4, 14, 22, 45, 46, 47, 49, *(164 + place for place in range(len(_CODES)))]
    used = "".join(f'<xf numFmtId="{code}"/>' for code in codes)
    shared = "".join(
        f'<si><t xml:space="preserve">{_text(dice)}</t></si>'
        if place % 3
        else f"<si><r><t {_KEPT}>{_text(dice)}</t></r><r><rPr><i/></rPr><t>b</t></r><rPh sb='0' eb='1'><t>ph</t></rPh></si>"
        for place in range(20)
    )
    rows, number = [], 0
    for _ in range(40):
        number += dice.randrange(1, 4)
        cells, column = [f'<c r="A{number}" t="str"><v>key</v></c>'], 0
        for _ in range(dice.randrange(6)):
            column += dice.randrange(1, 9)
            said, inside = _any_cell(dice.randrange(len(codes)), dice)
            place = chr(65 + column) if column < 26 else f"A{chr(65 + column - 26)}"
            cells.append(f'<c r="{place}{number}" {said}>{inside}</c>')
        rows.append(f'<row r="{number}" spans="1:9">{"".join(cells)}</row>')
    path = _archive(
        tmp_path / "b.xlsx",
        f"<sheetData>{''.join(rows)}</sheetData>",
        texts=shared,
        styles=f"<numFmts>{own}</numFmts><cellStyleXfs><xf numFmtId='14'/></cellStyleXfs><cellXfs>{used}</cellXfs>",
        properties='date1904="1"' if seed % 2 else "",
    )
    assert len(_same(path)) == 40


@pytest.mark.parametrize("constant_memory", [True, False])
@pytest.mark.parametrize("from_1904", [True, False])
def test_what_a_writer_writes_reads_the_same(tmp_path: Path, constant_memory: bool, from_1904: bool) -> None:
    dice = random.Random(5)  # a sample, not a secret
    path = tmp_path / "file.xlsx"
    with xlsxwriter.Workbook(str(path), {"constant_memory": constant_memory, "date_1904": from_1904}) as book:
        sheet = book.add_worksheet()
        formats = [book.add_format({"num_format": code}) for code in _CODES]
        bold = book.add_format({"bold": True})
        for row in range(0, 900, 3):
            sheet.write(row, 0, f"案{row}")
            sheet.write_number(
                row, 1, dice.choice([13800138000, 1.38e10, 0.1 + 0.2, -5, 46112.5, 1e300, 12345678901234567])
            )
            sheet.write_datetime(
                row,
                2,
                datetime.fromisoformat(f"2026-03-31T14:{dice.randrange(10, 60)}"),
                formats[dice.choice([3, 4, 14])],
            )
            sheet.write_datetime(row, 3, date(2026, 1, dice.randrange(1, 32)), formats[3])
            sheet.write_datetime(row, 4, time(dice.randrange(24), 5), formats[9])
            sheet.write_formula(row, 5, "=B1*2", None, dice.choice([7, "seven", True, ""]))
            sheet.write_rich_string(row, 6, "plain ", bold, "bold", " & <tail>")
            sheet.write_blank(row, 9, None, bold)
            sheet.write_string(
                row,
                11,
                dice.choice(
                    ["a\tb", " 021-62345678转801 ", "x_x000D_y", "_x005F_", "\u200b零宽", "🙂", "'0138", "=1+1"]
                ),
            )
        if not constant_memory:
            sheet.merge_range("M1:N2", "merged")
    rows = _same(path)
    assert len(rows) == 300
    assert rows[0][1][3].startswith("2026-01-")


def test_texts_are_found_wherever_they_are_asked_for(tmp_path: Path) -> None:
    """A sorted sheet asks for its texts in any order, more of them than are kept decoded or in memory."""
    dice = random.Random(3)
    places = list(range(60_000))
    dice.shuffle(places)
    texts = "".join(f"<si><t>text {place}{'汉' * (place % 40)}</t></si>" for place in range(60_000))
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="s"><v>{place}</v></c></row>' for n, place in enumerate(places[:20_000], start=1)
    )
    path = _archive(tmp_path / "b.xlsx", f"<sheetData>{rows}</sheetData>", texts=texts)
    assert _streamed(path) == [
        (n, (f"text {place}{'汉' * (place % 40)}",)) for n, place in enumerate(places[:20_000], 1)
    ]


def test_the_strict_dialect_prefixes_and_missing_places_are_read(tmp_path: Path) -> None:
    strict = "http://purl.oclc.org/ooxml/spreadsheetml/main"
    path = _archive(
        tmp_path / "b.xlsx",
        "<sheetData><row><c/><c t='inlineStr'><is><t>b</t></is></c></row><row/><row><c><v>7</v></c></row></sheetData>",
        main=strict,
    )
    assert _streamed(path) == [(1, ("", "b")), (3, ("7",))]
    assert open_table(path).lines == 2
    prefixed = _archive(
        tmp_path / "c.xlsx",
        f"<x:sheetData xmlns:x='{_MAIN}'><x:row r='4'><x:c r='B4'><x:v>7</x:v></x:c></x:row></x:sheetData>",
    )
    assert _streamed(prefixed) == [(4, ("", "7"))]


@pytest.mark.parametrize("code", [27, 31, 36, 50, 57, 58])
def test_dates_of_the_chinese_format_table_are_dates(tmp_path: Path, code: int) -> None:
    path = _archive(
        tmp_path / "b.xlsx",
        "<sheetData><row r='1'><c r='A1' s='0'><v>46112</v></c></row></sheetData>",
        styles=f"<cellXfs><xf numFmtId='{code}'/></cellXfs>",
    )
    assert _streamed(path) == [(1, ("2026-03-31",))]


def test_what_a_formula_failed_with_is_not_taken_for_an_empty_cell(tmp_path: Path) -> None:
    path = _archive(
        tmp_path / "b.xlsx", "<sheetData><row r='1'><c r='A1' t='e'><f>1/0</f><v>#N/A</v></c></row></sheetData>"
    )
    assert _streamed(path) == [(1, ("#N/A",))]


def _row(inside: str, number: str = "1") -> str:
    return f"<sheetData><row r='{number}'>{inside}</row></sheetData>"


@pytest.mark.parametrize(
    ("sheet", "says"),
    [
        (_row("<c r='A1' t='s'><v>5</v></c>"), "not there"),
        (_row("<c r='A1' t='s'><v>-1</v></c>"), "not there"),
        (_row("<c r='B1'><v>1</v></c><c r='A1'><v>2</v></c>"), "not in order"),
        (_row("<c r='A1'><v>1</v></c><c r='A1'><v>2</v></c>"), "not in order"),
        (_row("<c r='A2'><v>1</v></c>"), "not its own"),
        (_row("<c r='1'><v>1</v></c>"), "no place"),
        (_row("<c r='ZZZ1'><v>1</v></c>"), "last column"),
        (_row("<c r='A1' t='odd'><v>1</v></c>"), "not known"),
        (_row("<c r='A0'><v>1</v></c>", "0"), "not in order"),
        (_row("", "9999999"), "not in order"),
        (_row("", "x"), "no number"),
        ("<sheetData><row r='2'/><row r='1'/></sheetData>", "not in order"),
        (_row(f"<c r='A1' t='str'><v>{'x' * 300_000}</v></c>"), "longer than any cell"),
        (_row(f"<c r='A1' t='{'x' * 3_000_000}'/>"), "never ends"),
        ("<sheetData><row>", "ExpatError"),
    ],
)
def test_a_workbook_that_contradicts_itself_is_refused(tmp_path: Path, sheet: str, says: str) -> None:
    path = _archive(tmp_path / "b.xlsx", sheet, texts="<si><t>one</t></si>")
    with open_workbook(path) as book, pytest.raises(FileUnreadable, match=says) as caught:
        _read(book.rows("S"), path)
    assert caught.value.remedy


def _read(rows: object, path: Path) -> None:
    with open_workbook(path) as book:
        list(book.rows("S"))


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    path = _archive(tmp_path / "b.xlsx", _row("<c r='A1' t='str'><v>&b;</v></c>"), head=bomb)
    with pytest.raises(FileUnreadable, match="document type"):
        _read(None, path)


def test_a_text_of_gigabytes_is_refused_before_it_is_held(tmp_path: Path) -> None:
    """A few kilobytes that unpack to one endless cell."""
    path = tmp_path / "b.xlsx"
    _archive(path, _row("<c r='A1' t='s'><v>0</v></c>"), texts="<si><t>" + "x" * 50_000_000 + "</t></si>")
    assert path.stat().st_size < 200_000
    with pytest.raises(FileUnreadable, match="longer than any cell"):
        _read(None, path)


@pytest.mark.parametrize("spoil", ["cut", "flip", "part"])
def test_a_broken_archive_is_refused_before_a_row_goes_in(tmp_path: Path, spoil: str) -> None:
    rows = "".join(f"<row><c t='str'><v>案{row * 7919}</v></c></row>" for row in range(9000))
    path = _archive(tmp_path / "b.xlsx", f"<sheetData>{rows}</sheetData>")
    raw = bytearray(path.read_bytes())
    if spoil == "cut":
        raw = raw[: len(raw) // 2]
    elif spoil == "flip":
        with zipfile.ZipFile(path) as archive:
            found = archive.getinfo("xl/worksheets/sheet1.xml")
        raw[found.header_offset + found.compress_size - 20] ^= 0xFF
    else:
        raw = bytearray(bytes(raw).replace(b"xl/worksheets/sheet1.xml", b"xl/worksheets/sheet9.xml"))
    path.write_bytes(bytes(raw))
    with pytest.raises(FileUnreadable) as caught:
        open_table(path)
    assert caught.value.remedy


def test_a_cell_longer_than_a_cell_makes_its_row_bad(tmp_path: Path) -> None:
    path = _archive(tmp_path / "b.xlsx", _row(f"<c r='A1' t='str'><v>{'x' * 5000}</v></c>"))
    with open_workbook(path) as book:
        (row,) = book.rows("S")
    assert row.problem is not None


def test_a_workbook_of_another_kind_is_held_up_to_a_size(tmp_path: Path) -> None:
    """An ODS is read by calamine; one that unpacks to more than it may hold is refused with the way out."""
    table = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        '<table:table table:name="S"><table:table-row><table:table-cell office:value-type="string"><text:p>案件编号</text:p>'
        "</table:table-cell></table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"
    )

    def ods(name: str, filler: str) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
            out.writestr("META-INF/manifest.xml", manifest)
            out.writestr("content.xml", table + filler)
        return tmp_path / name

    assert open_table(ods("small.ods", "")).header == ("案件编号",)
    with pytest.raises(FileUnreadable, match="held in memory") as caught:
        open_table(ods("large.ods", " " * (65 << 20)))
    assert "XLSX" in caught.value.remedy


@pytest.mark.parametrize(
    "write",
    [
        lambda sheet, row: sheet.write_string(row, 0, f"案{row:08d}"),
        lambda sheet, row: sheet.write_number(row, 0, row),
    ],
)
def test_the_table_counts_its_rows_for_the_bar(tmp_path: Path, write: Callable[[object, int], object]) -> None:
    path = tmp_path / "file.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for row in range(5000):
            write(sheet, row)
    table: TableFile = open_table(path)
    assert table.lines == 5000
    assert [row.number for row in table.rows()] == list(range(2, 5001))
    assert all(isinstance(row.cells[0], NumericCell) or row.cells[0].startswith("案") for row in table.rows())
