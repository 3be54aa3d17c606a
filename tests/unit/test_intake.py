"""Placement files: what is taken, what is refused, and that nothing is guessed. Category: unit."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import phonenumbers
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from case_store.intake.columns import read_layout
from case_store.intake.errors import FieldRefused, FileUnreadable, HeaderUnknown
from case_store.intake.money import read_money
from case_store.intake.phone import Line, read_number, read_numbers
from case_store.intake.placement import ParsedRow, RefusedRow, parse_placement, shielded, write_rejects
from case_store.intake.rows import NumericCell
from case_store.model import Channel
from config.settings import ClientSettings

BANK = ClientSettings(name="bank")
HEADER = "案件编号,姓名,证件号,欠款金额,币种,单位电话,手机,亲属1姓名,亲属1电话,亲属1关系,紧急联系人,紧急联系人电话"
LINE = 'A1,张三,110101199003077774,"12,345.60",CNY,021-62345678转801,13800138000,李四,13900139000,妻子,王五,+44 20 7946 0018'


def _rows(path: Path, client: ClientSettings = BANK) -> list[ParsedRow | RefusedRow]:
    return list(parse_placement(path, client).rows())


def _file(folder: Path, text: str, encoding: str = "utf-8", name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def _good(row: ParsedRow | RefusedRow) -> ParsedRow:
    assert isinstance(row, ParsedRow), row
    return row


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_encoding_and_delimiter_reads_the_same(tmp_path: Path, encoding: str, delimiter: str) -> None:
    text = "\n".join((HEADER, LINE)).replace('"12,345.60"', "12345.60").replace(",", delimiter)
    (row,) = _rows(_file(tmp_path, text, encoding))
    row = _good(row)
    assert (row.case_ref, row.debtor_name, row.balances[0][1].amount) == ("A1", "张三", Decimal("12345.60"))
    assert [(number.channel, number.line.e164, number.contact_name) for number in row.numbers] == [
        (Channel.WORKPLACE, "+862162345678", "张三"),
        (Channel.MOBILE, "+8613800138000", "张三"),
        (Channel.RELATIVE, "+8613900139000", "李四"),
        (Channel.EMERGENCY, "+442079460018", "王五"),
    ]
    assert row.numbers[0].line.extension == "801"
    assert row.numbers[0].raw == "021-62345678转801"


@pytest.mark.parametrize(
    "header",
    [
        "case_id,name,balance,mobile",
        "Account Number;Customer Name;Amount Due;Mobile Phone",
        "合同号|持卡人姓名|委案金额|持卡人手机",
        "案件号\t客户姓名\t余额\t手机号码",
        "Case Ref,Debtor,Outstanding Balance,Cell",
        "case_id,name,balance,phone",
    ],
)
def test_headers_banks_use(tmp_path: Path, header: str) -> None:
    delimiter = next(sign for sign in ",;|\t" if sign in header)
    (row,) = _rows(_file(tmp_path, f"{header}\n{delimiter.join(['7', 'Ann', '10', '13800138000'])}"))
    assert [number.channel for number in _good(row).numbers] == [Channel.MOBILE]


def test_a_long_file_has_one_row_a_number(tmp_path: Path) -> None:
    text = (
        "case_ref,name,relation,phone,balance\n"
        "A1,张三,本人,13800138000,100\nA1,李四,妻子,13900139000,\nA1,王五,朋友,13700137000,\nA1,前台,单位,021-62345678,\n"
    )
    rows = [_good(row) for row in _rows(_file(tmp_path, text))]
    assert [row.numbers[0].channel for row in rows] == [
        Channel.MOBILE,
        Channel.RELATIVE,
        Channel.EMERGENCY,
        Channel.WORKPLACE,
    ]
    assert rows[0].debtor_name == "张三"
    assert rows[1].debtor_name == ""
    text = "案件编号,号码类型,电话,余额\nA1,手机,13800138000,100\nA1,不知道,13900139000,100\n"
    first, second = [_good(row) for row in _rows(_file(tmp_path, text))]
    assert len(first.numbers) == 1
    assert second.refused[0].field == "channel"


def test_the_clients_own_column_map_wins(tmp_path: Path) -> None:
    client = ClientSettings(
        name="odd",
        columns={
            "case_ref": "K1",
            "name": "K2",
            "balance": "K3",
            "mobile": "K4",
            "relative_2": "K5",
            "relative_2_name": "K6",
        },
    )
    (row,) = _rows(_file(tmp_path, "K1,K2,K3,K4,K5,K6\nA1,Ann,10,13800138000,13900139000,Bob"), client)
    assert [(one.channel, one.contact_name) for one in _good(row).numbers] == [
        (Channel.MOBILE, "Ann"),
        (Channel.RELATIVE, "Bob"),
    ]
    with pytest.raises(HeaderUnknown) as caught:
        read_layout(("a",), {"nonsense": "a"}, "odd")
    assert caught.value.field == "clients[odd].columns"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("1.38E+10", "exponent"),
        ("1.38001e+10", "exponent"),
        ("13800138000.0", "decimal"),
        ("2162345678", "leading zero"),
        ("110", "emergency"),
        ("120", "emergency"),
        ("911", "emergency"),
        ("95588", "too short"),
        ("1380013800", "no numbering plan"),
        ("138001380000", "no numbering plan"),
        ("+1 900 555 1234", "premium"),
        ("张三", "not a phone number"),
        ("=cmd()", "not a phone number"),
        ("+999 1234567", "numbering plan"),
    ],
)
def test_numbers_that_are_refused(raw: str, problem: str) -> None:
    with pytest.raises(FieldRefused, match=problem) as caught:
        read_number(raw, field="mobile", region="CN")
    assert raw not in str(caught.value) or len(raw) < 5, "an error shows the shape, never the number"


@pytest.mark.parametrize(
    ("raw", "region", "e164", "extension"),
    [
        ("１３８００１３８０００", "CN", "+8613800138000", None),
        ("8613800138000", "CN", "+8613800138000", None),
        ("+86 138-0013-8000", "CN", "+8613800138000", None),
        ("(021)62345678", "CN", "+862162345678", None),
        ("010-88886666-801", "CN", "+861088886666", "801"),
        ("010-88886666 ext. 12", "CN", "+861088886666", "12"),
        ("010-88886666 x12", "CN", "+861088886666", "12"),
        ("00442079460018", "CN", "+442079460018", None),
        ("2125550123", "US", "+12125550123", None),
        ("+852 2345 6789", "CN", "+85223456789", None),
    ],
)
def test_numbers_that_are_taken(raw: str, region: str, e164: str, extension: str | None) -> None:
    line = read_number(raw, field="mobile", region=region)
    assert (line.e164, line.extension) == (e164, extension)


def test_a_spreadsheets_apostrophe_is_no_part_of_a_number_but_may_be_of_a_name(tmp_path: Path) -> None:
    line = LINE.replace("13800138000", "'13800138000").replace("110101199003077774", "’110101199003077774")
    plain, marked = (_good(_rows(_file(tmp_path, f"{HEADER}\n{text}"))[0]) for text in (LINE, line))
    assert marked.numbers == plain.numbers
    assert marked.identity_key == plain.identity_key
    assert marked.refused == ()
    dutch = _good(_rows(_file(tmp_path, f"{HEADER}\n{LINE.replace('张三', chr(39) + 't Hooft')}"))[0])
    assert dutch.debtor_name == "'t Hooft"


def test_a_file_says_how_long_it_is_for_the_bar(tmp_path: Path) -> None:
    assert parse_placement(_file(tmp_path, "\n".join((HEADER, LINE, LINE, ""))), BANK).table.lines == 2


def test_a_cell_of_several_numbers_gives_each_its_own_judgement() -> None:
    first, second = read_numbers("021-62345678/9", field="f", region="CN")
    assert isinstance(first, Line)
    assert isinstance(second, FieldRefused)
    assert len(read_numbers("13800138000、13900139000", field="f", region="CN")) == 2


@given(st.integers(10_000_000_000, 19_999_999_999))
def test_the_short_way_for_mobiles_agrees_with_the_numbering_plan(number: int) -> None:
    text = str(number)
    try:
        parsed = phonenumbers.parse(text, "CN")
        mobile = (
            phonenumbers.is_valid_number_for_region(parsed, "CN")
            and phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.MOBILE
        )
    except phonenumbers.NumberParseException:
        mobile = False  # 12xxx and the like lead out of the country or nowhere
    (outcome,) = read_numbers(text, field="f", region="CN")
    if mobile:
        assert outcome == Line(e164=f"+86{text}", region="CN")
    if isinstance(outcome, Line) and outcome.e164.startswith("+861"):
        assert phonenumbers.is_valid_number(phonenumbers.parse(outcome.e164))


@given(st.integers(10, 999), st.integers(1_000_000, 99_999_999), st.sampled_from(["", "-"]))
def test_the_short_way_for_landlines_agrees_with_the_numbering_plan(area: int, local: int, dash: str) -> None:
    text = f"0{area}{dash}{local}"
    (outcome,) = read_numbers(text, field="f", region="CN")
    parsed = phonenumbers.parse(text, "CN")
    if isinstance(outcome, Line):
        assert phonenumbers.is_valid_number(parsed)
        assert outcome.e164 == phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        assert outcome.region == phonenumbers.region_code_for_number(parsed)
    else:
        assert not phonenumbers.is_valid_number(parsed)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader_or_comes_out_as_an_impossible_number(text: str) -> None:
    for outcome in read_numbers(text, field="f", region="CN"):
        if isinstance(outcome, Line):
            assert phonenumbers.is_valid_number(phonenumbers.parse(outcome.e164))
            assert outcome.extension is None or outcome.extension.isdecimal()


@given(st.decimals(min_value=0, max_value=10**12, places=2, allow_nan=False, allow_infinity=False))
def test_amounts_come_in_exactly(amount: Decimal) -> None:
    for text in (f"{amount:f}", f"{amount:,f}", f"¥{amount:,f}", f"{amount:f}元"):
        assert read_money(text, field="balance").amount == amount


@pytest.mark.parametrize(
    "text", ["1,23.4", "12.345,60", "-5", "1e5", "12 345,6", "abc", "NaN", "Infinity", "1.2.3", "", "5万"]
)
def test_amounts_that_are_refused(text: str) -> None:
    with pytest.raises(FieldRefused):
        read_money(text, field="balance")


def test_a_currency_is_never_guessed_against_what_is_said() -> None:
    assert read_money("10", field="balance", said="美元").currency == "USD"
    assert read_money("10", field="balance", currency="HKD").currency == "HKD"
    with pytest.raises(FieldRefused, match="disagree"):
        read_money("¥10", field="balance", said="USD")
    with pytest.raises(FieldRefused, match="currency"):
        read_money("10", field="balance", said="dollars")


def test_several_balances_and_currencies(tmp_path: Path) -> None:
    (row,) = _rows(_file(tmp_path, "case_id,name,balance_cny,balance_usd,mobile\nA1,Ann,10,20,13800138000"))
    assert [(money.amount, money.currency) for _, money in _good(row).balances] == [(10, "CNY"), (20, "USD")]


def test_rows_without_identity_or_balance_are_refused_whole_the_rest_goes_in(tmp_path: Path) -> None:
    text = "\n".join(
        (
            "案件编号,姓名,欠款金额,手机",
            ",张三,100,13800138000",
            "A2,,100,13800138000",
            "A3,张三,,13800138000",
            "A4,张三,很多,13800138000",
            "1.1E+20,张三,100,13800138000",
            "A6,张三,100,13800138000,多余",
            "A7,张三,100,110",
        )
    )
    rows = _rows(_file(tmp_path, text))
    assert [(row.row, row.reasons[0].field) for row in rows if isinstance(row, RefusedRow)] == [
        (2, "case_ref"),
        (3, "name"),
        (4, "欠款金额"),
        (5, "欠款金额"),
        (6, "case_ref"),
        (7, "row"),
    ]
    assert _good(rows[-1]).numbers == ()
    assert "emergency" in _good(rows[-1]).refused[0].problem


def test_an_identity_number_that_a_spreadsheet_cut_merges_nobody(tmp_path: Path) -> None:
    text = "案件编号,姓名,证件号,欠款金额,手机\nA1,张三,110101199003070000,1,13800138000\nA2,张三,1.10101E+17,1,13800138000\n"
    for row in _rows(_file(tmp_path, text)):
        assert _good(row).identity_key is None
        assert _good(row).refused[0].field == "id_number"


def test_a_number_that_stands_twice_is_kept_once_where_it_comes_first(tmp_path: Path) -> None:
    (row,) = _rows(
        _file(
            tmp_path,
            "案件编号,姓名,余额,手机,单位电话,紧急联系人电话\nA1,张三,1,13800138000,13800138000,+8613800138000",
        )
    )
    assert [number.channel for number in _good(row).numbers] == [Channel.WORKPLACE]


def test_quoted_newlines_are_one_cell_and_an_open_quote_is_one_bad_row(tmp_path: Path) -> None:
    (row,) = _rows(_file(tmp_path, '案件编号,姓名,余额,手机,地址\nA1,张三,1,13800138000,"一号楼\n二单元"\n'))
    assert _good(row).address == "一号楼\n二单元"
    rows = _rows(_file(tmp_path, '案件编号,姓名,余额,手机\nA1,张三,1,13800138000\nA2,"李四,1,13800138001\n'))
    assert isinstance(rows[0], ParsedRow)
    assert isinstance(rows[1], RefusedRow)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02\x03" * 50,
        b"\x7fELF\x02\x01\x01\x00" + b"\x00" * 64,
        b"PK\x03\x04not a workbook",
        b"\xff\xfe\xfd",
        b"a\x07b,c\n1,2\n",
    ],
)
def test_what_is_no_table_is_refused_clearly(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises((FileUnreadable, HeaderUnknown)) as caught:
        parse_placement(path, BANK)
    assert caught.value.remedy


def test_a_missing_file_and_an_unknown_header_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="cannot be opened"):
        parse_placement(tmp_path / "none.csv", BANK)
    with pytest.raises(HeaderUnknown, match="case_ref and balance") as caught:
        parse_placement(_file(tmp_path, "foo,bar\n1,2"), BANK)
    assert "clients.columns" in caught.value.remedy


@given(
    st.lists(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=12), min_size=4, max_size=4
    )
)
def test_no_row_of_text_breaks_the_parser(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "file.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["案件编号", "姓名", "余额", "手机"], cells])
    try:
        rows = _rows(path)
    except FileUnreadable:
        return  # control characters: refused whole, before any row
    assert len(rows) <= 1


def test_a_workbook_keeps_text_and_refuses_what_numbers_lost(tmp_path: Path) -> None:
    path = tmp_path / "file.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["案件编号", "姓名", "证件号", "欠款金额", "手机", "单位电话"])
        sheet.write_row(1, 0, ["A1", "张三", "110101199003077774", 12345.6, 13800138000, "021-62345678"])
        sheet.write_row(2, 0, [10002, "李四", 110101199003077774, 100, "13900139000", 2162345678])
    first, second = [_good(row) for row in _rows(path)]
    assert first.balances[0][1].amount == Decimal("12345.6")
    assert [number.line.e164 for number in first.numbers] == ["+8613800138000", "+862162345678"]
    assert second.case_ref == "10002"
    assert second.identity_key is None
    assert {one.field.split()[0] for one in second.refused} == {"id_number", "workplace"}
    assert read_number(NumericCell("13800138000"), field="f", region="CN").e164 == "+8613800138000"


def test_rejects_can_be_corrected_and_loaded_and_run_no_formula(tmp_path: Path) -> None:
    header = ("案件编号", "姓名", "余额", "手机")
    bad = RefusedRow(row=2, reasons=(), cells=("=HYPERLINK(1)", "张三", "100", "+8613800138000"))
    path = tmp_path / "placement.rejected.csv"
    write_rejects(path, header, [(bad.cells, bad.reasons)])
    text = path.read_text(encoding="utf-8-sig")
    assert "'=HYPERLINK" in text
    parsed = parse_placement(path, BANK)
    assert parsed.name == "placement"
    (row,) = parsed.rows()
    assert _good(row).case_ref == "=HYPERLINK(1)"
    assert _good(row).numbers[0].line.e164 == "+8613800138000"


@given(st.text(max_size=20))
def test_a_shielded_cell_never_starts_a_formula(cell: str) -> None:
    assert shielded(cell)[:1] not in ("=", "+", "-", "@", "\t", "\r")
