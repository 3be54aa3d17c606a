"""Files as other banks write them: titles, twins, totals, cover sheets, odd numbers and amounts. Category: unit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import xlsxwriter

from case_store.intake.bank_files import FileKind, PaymentLine, parse_bank_file
from case_store.intake.errors import FieldRefused, FileUnreadable, HeaderUnknown
from case_store.intake.money import read_money
from case_store.intake.phone import Line, read_numbers
from case_store.intake.placement import ParsedPlacement, ParsedRow, RefusedRow, parse_placement
from case_store.intake.rows import NumericCell
from case_store.model import Channel
from config.settings import ClientSettings

BANK = ClientSettings(name="bank")
HEADER = "案件编号,姓名,证件号,欠款金额,币种,手机"
TITLES = HEADER.split(",")
LINE = "A1,张三,110101199003077774,800.50,CNY,13800138000"


def _csv(folder: Path, *lines: str) -> ParsedPlacement:
    path = folder / "file.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return parse_placement(path, BANK)


def _book(folder: Path, fill: Callable[[xlsxwriter.Workbook], None]) -> Path:
    path = folder / "file.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        fill(book)
    return path


def _sheet(book: xlsxwriter.Workbook, *rows: list[object], name: str | None = None, top: int = 0) -> object:
    sheet = book.add_worksheet(name)
    for number, cells in enumerate(rows, start=top):
        sheet.write_row(number, 0, cells)
    return sheet


def _only(file: ParsedPlacement) -> ParsedRow:
    (row,) = file.rows()
    assert isinstance(row, ParsedRow), row
    return row


@pytest.mark.parametrize(
    "above",
    [
        ["XX银行委外清单（2026年11月）,,,,,", "批次：20261101,,,,,"],
        ["委外清单"],
        ["", ",,,,,", "客户：XX银行,,,,,"],
    ],
)
def test_titles_above_the_header_are_passed_over_and_rows_keep_their_numbers(tmp_path: Path, above: list[str]) -> None:
    file = _csv(tmp_path, *above, HEADER, LINE)
    assert file.table.header_row == len(above) + 1
    row = _only(file)
    assert (row.row, row.case_ref, row.numbers[0].line.e164) == (len(above) + 2, "A1", "+8613800138000")


def test_the_line_that_names_the_delimiter_is_no_header(tmp_path: Path) -> None:
    row = _only(_csv(tmp_path, "sep=;", HEADER.replace(",", ";"), LINE.replace(",", ";")))
    assert (row.case_ref, row.balances[0][1].amount) == ("A1", Decimal("800.50"))


@pytest.mark.parametrize(
    ("header", "line", "name", "numbers"),
    [
        ("案件　编号,姓　名,欠款金额（元）,手机号码（本人）", "A1,张三,800.50,13800138000", "张三", 1),
        (
            "Case Number,First Name,Last Name,Amount Owed,Ccy,Phone 1,Phone 2",
            "A1,San,Zhang,800.50,CNY,13800138000,021-62345678",
            "San Zhang",
            2,
        ),
        (
            "Loan Number,Customer Full Name,Current Balance (CNY),Mobile Phone Number,Home Phone Number",
            "A1,Zhang San,800.50,13800138000,021-62345678",
            "Zhang San",
            2,
        ),
        ("案号,姓,名,结欠金额 (RMB),电话1", "A1,张,三,800.50,13800138000", "张三", 1),
    ],
)
def test_headers_other_banks_use(tmp_path: Path, header: str, line: str, name: str, numbers: int) -> None:
    row = _only(_csv(tmp_path, header, line))
    assert (row.case_ref, row.debtor_name, len(row.numbers)) == ("A1", name, numbers)
    (_, money), *_ = row.balances
    assert (money.amount, money.currency) == (Decimal("800.50"), "CNY")


def test_of_several_titles_for_one_field_the_foremost_word_counts_not_the_first_column(tmp_path: Path) -> None:
    file = _csv(tmp_path, "合同号,案件编号,姓名,欠款金额,手机", "H9,A1,张三,800,13800138000")
    assert _only(file).case_ref == "A1"
    assert file.layout.unknown == ("合同号",)


@pytest.mark.parametrize("twin", ["案件编号", "姓名", "欠款金额", "证件号"])
def test_two_columns_of_one_title_are_not_chosen_between(tmp_path: Path, twin: str) -> None:
    with pytest.raises(HeaderUnknown, match="same title") as caught:
        _csv(tmp_path, f"{HEADER},{twin}", f"{LINE},B1")
    assert caught.value.field == twin


def test_a_phone_column_may_stand_twice(tmp_path: Path) -> None:
    assert len(_only(_csv(tmp_path, f"{HEADER},手机", f"{LINE},13900139000")).numbers) == 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("合计,2,,1600,,", "totals"),
        (",,总计：,1600,,", "totals"),
        (HEADER, "header again"),
        ("A2,李四,,0,CNY,13800138001", "zero"),
        ("A2,李四,,-500,CNY,13800138001", "negative"),
        ("A2,李四,,(500.00),CNY,13800138001", "negative"),
        ("A2,李四,,12.345,CNY,13800138001", "thousands or decimals"),
        ("A2,李四,,$800,,13800138001", "currency is not known"),
        ("A2,李四,,800,XYZ,13800138001", "currency is not known"),
    ],
)
def test_rows_that_are_no_case_are_refused_and_say_why(tmp_path: Path, line: str, problem: str) -> None:
    good, bad = _csv(tmp_path, HEADER, LINE, line).rows()
    assert isinstance(good, ParsedRow)
    assert isinstance(bad, RefusedRow)
    assert any(problem in reason.problem for reason in bad.reasons)
    assert all(reason.remedy for reason in bad.reasons)


def test_a_cell_under_no_header_is_not_lost_in_silence(tmp_path: Path) -> None:
    fine, bad = _csv(tmp_path, HEADER + ",", LINE + ",", LINE.replace("A1", "A2") + ",13900139000").rows()
    assert isinstance(fine, ParsedRow)
    assert isinstance(bad, RefusedRow)
    assert bad.reasons[0].problem == "a cell stands under no header"


def test_a_header_alone_is_no_placement(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="no row"):
        list(_csv(tmp_path, HEADER).rows())


def test_the_cases_balance_is_the_first_of_which_something_is_left(tmp_path: Path) -> None:
    row = _only(_csv(tmp_path, "案件编号,姓名,人民币余额,美元余额,手机", "A1,张三,0,50,13800138000"))
    assert [(money.amount, money.currency) for _, money in row.balances] == [(50, "USD"), (0, "CNY")]


def test_a_region_that_is_none_is_refused_alone(tmp_path: Path) -> None:
    row = _only(_csv(tmp_path, f"{HEADER},地区", f"{LINE},XX"))
    assert [one.field for one in row.refused] == ["region"]


@pytest.mark.parametrize("start", ["<html><table>", "%PDF-1.4", "{\\rtf1", "\ufeff<?xml version='1.0'?>"])
def test_pages_and_documents_are_no_tables(tmp_path: Path, start: str) -> None:
    with pytest.raises(FileUnreadable, match="page or a document"):
        _csv(tmp_path, start + HEADER, LINE)


def test_a_cover_sheet_and_a_hidden_sheet_are_not_read(tmp_path: Path) -> None:
    def fill(book: xlsxwriter.Workbook) -> None:
        _sheet(book, ["XX银行委外"], name="封面")
        old = _sheet(book, TITLES, ["OLD", "张三", "", 1, "CNY", "13800138009"], name="旧")
        old.hide()  # type: ignore[attr-defined]
        _sheet(book, ["标题"], TITLES, LINE.split(","), name="数据", top=2)

    file = parse_placement(_book(tmp_path, fill), BANK)
    assert (file.table.sheet, file.table.header_row) == ("数据", 4)
    row = _only(file)
    assert (row.case_ref, row.row) == ("A1", 5)


def test_two_sheets_with_a_table_are_not_chosen_between(tmp_path: Path) -> None:
    def fill(book: xlsxwriter.Workbook) -> None:
        for name in ("一", "二"):
            _sheet(book, TITLES, LINE.split(","), name=name)

    with pytest.raises(FileUnreadable, match="more than one sheet"):
        parse_placement(_book(tmp_path, fill), BANK)


def test_an_empty_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="no visible sheet"):
        parse_placement(_book(tmp_path, lambda book: _sheet(book) and None), BANK)


@pytest.mark.parametrize("value", [1.38e10, 13801000000, 13800100000])
def test_a_workbooks_number_that_may_be_an_exponents_rest_is_refused(value: float) -> None:
    (outcome,) = read_numbers(NumericCell(int(value)), field="f", region="CN")
    assert isinstance(outcome, FieldRefused)
    assert "five zeros" in outcome.problem
    (kept,) = read_numbers(NumericCell(13800138000), field="f", region="CN")
    assert isinstance(kept, Line)


@pytest.mark.parametrize(
    ("raw", "e164", "extension"),
    [
        ("(+86)13800138000", "+8613800138000", None),
        ("（+86）138 0013 8000", "+8613800138000", None),
        ("(+86) 21-62345678", "+862162345678", None),
        ("tel:+8613800138000", "+8613800138000", None),
        ("021-62345678（分机801）", "+862162345678", "801"),
        ("021-62345678*801", "+862162345678", "801"),
        ("0086-21-62345678", "+862162345678", None),
        ("+44 (0)20 7946 0018", "+442079460018", None),
    ],
)
def test_spellings_of_a_number(raw: str, e164: str, extension: str | None) -> None:
    (line,) = read_numbers(raw, field="f", region="CN")
    assert isinstance(line, Line), line
    assert (line.e164, line.extension) == (e164, extension)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("138****5678", "masked"),
        ("138xxxx5678", "masked"),
        ("021-95588", "service line"),
        ("010-12306", "service line"),
        ("+86 21 12345", "service line"),
        ("+86 10 96110", "service line"),
        ("+881612345678", "no country"),
        ("+80012345678", "no country"),
        ("+979123456789", "premium"),
        ("13800138000 13900139000", "longer than any"),
        ("空号", "not a phone number"),
    ],
)
def test_numbers_nobody_should_be_dialed_on(raw: str, problem: str) -> None:
    (outcome,) = read_numbers(raw, field="f", region="CN")
    assert isinstance(outcome, FieldRefused), outcome
    assert problem in outcome.problem


@pytest.mark.parametrize("emergency", ["110", "119", "120", "122", "112", "911", "999", "000", "111", "995", "117"])
@pytest.mark.parametrize("region", ["CN", "US", "GB", "HK", "JP", "SG", "AU"])
def test_no_spelling_makes_an_emergency_line_dialable(emergency: str, region: str) -> None:
    spaced = "-".join(emergency)
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in emergency)
    spellings = [emergency, spaced, wide, f"+{emergency}", f"0{emergency}", f"00{emergency}", f"({emergency})"]
    spellings += [f"{emergency}转1", f"021-{emergency}", f"+86{emergency}", f"+1 {emergency}", f"+44{emergency}"]
    spellings += [f"0086{emergency}", f"+86 10 {emergency}", f"{emergency}/{emergency}", f"tel:{emergency}"]
    for text in spellings:
        outcomes = read_numbers(text, field="f", region=region)
        assert outcomes
        assert all(isinstance(outcome, FieldRefused) for outcome in outcomes), (text, outcomes)
    assert isinstance(read_numbers(NumericCell(emergency), field="f", region=region)[0], FieldRefused)


@pytest.mark.parametrize("nothing", ["无", "暂无", "N/A", "-", "—", "none", "NULL", "不详"])
def test_a_cell_that_says_there_is_no_number_is_empty(tmp_path: Path, nothing: str) -> None:
    row = _only(_csv(tmp_path, HEADER, LINE.replace("13800138000", nothing)))
    assert (row.numbers, row.refused) == ((), ())


@pytest.mark.parametrize(
    ("text", "said", "region", "amount", "currency"),
    [
        ("US$100", "", "CN", "100", "USD"),
        ("HK$1,000.50", "", "CN", "1000.50", "HKD"),
        ("RMB 100", "", "CN", "100", "CNY"),
        ("100 CNY", "CNY", "CN", "100", "CNY"),
        ("100美元", "", "CN", "100", "USD"),
        ("100元整", "", "CN", "100", "CNY"),
        ("$100", "USD", "CN", "100", "USD"),
        ("$100", "", "US", "100", "USD"),
        ("¥100", "", "JP", "100", "JPY"),
        ("¥100", "JPY", "CN", "100", "JPY"),
    ],
)
def test_spellings_of_an_amount(text: str, said: str, region: str, amount: str, currency: str) -> None:
    money = read_money(text, field="balance", said=said, region=region)
    assert (money.amount, money.currency) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    ("text", "said", "region"),
    [
        ("$100", "", "CN"),
        ("¥100", "", "US"),
        ("US$100", "CNY", "CN"),
        ("100美元", "CNY", "CN"),
        ("100 CNY", "USD", "CN"),
    ],
)
def test_a_sign_never_becomes_another_currency(text: str, said: str, region: str) -> None:
    with pytest.raises(FieldRefused):
        read_money(text, field="balance", said=said, region=region)


def test_channels_of_unnamed_phones_are_the_debtors_own(tmp_path: Path) -> None:
    row = _only(_csv(tmp_path, "case id,name,balance,phone 1,phone 2", "A1,Ann,5,13800138000,021-62345678"))
    assert [one.channel for one in row.numbers] == [Channel.MOBILE, Channel.MOBILE]


def _payment(folder: Path, header: str, line: str) -> object:
    path = folder / "payments.csv"
    path.write_text(f"{header}\n{line}\n", encoding="utf-8")
    (found,) = parse_bank_file(path, FileKind.PAYMENTS, BANK, "Asia/Shanghai").lines()
    return found


def test_an_amount_in_brackets_is_a_reversal_and_must_name_its_payment(tmp_path: Path) -> None:
    header = "案件编号,流水号,还款金额,还款日期,原流水号"
    line = _payment(tmp_path, header, "A1,R2,(500.00),2026-11-20,R1")
    assert isinstance(line, PaymentLine)
    assert (line.money.amount, line.reverses) == (Decimal("500.00"), "R1")
    refused = _payment(tmp_path, header, "A1,R2,(500.00),2026-11-20,")
    assert isinstance(refused, RefusedRow)
    assert refused.reasons[0].field == "reverses"


def test_a_bank_files_twin_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HeaderUnknown, match="same title"):
        _payment(tmp_path, "案件编号,流水号,还款金额,还款金额,还款日期", "A1,R1,1,2,2026-11-20")


@pytest.mark.parametrize("number", ["", "无", ";", "/"])
def test_a_past_call_without_a_number_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"案件编号,电话,拨打时间,结果\nA1,{number},2026-11-20 10:00,接通\n", encoding="utf-8")
    (row,) = parse_bank_file(path, FileKind.HISTORY, BANK, "Asia/Shanghai").lines()
    assert isinstance(row, RefusedRow)
    assert row.reasons[0].field == "phone"
