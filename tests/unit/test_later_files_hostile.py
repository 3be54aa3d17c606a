"""Payments, updates, recalls and past calls as other banks write them. Category: unit."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from case_store.intake.bank_files import (
    BankFile,
    BankLine,
    FileKind,
    HistoryLine,
    PaymentLine,
    RecallLine,
    UpdateLine,
    parse_bank_file,
)
from case_store.intake.placement import ParsedRow, RefusedRow, parse_placement
from config.settings import ClientSettings

BANK = ClientSettings(name="bank")
PAYMENTS = "案件编号,流水号,还款金额,还款日期"
CALLS = "案件编号,被叫号码,拨打时间,通话结果,通话时长"


def _file(folder: Path, kind: FileKind, *lines: str, encoding: str = "utf-8") -> BankFile:
    path = folder / "file.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return parse_bank_file(path, kind, BANK, "Asia/Shanghai")


def _payment(folder: Path, line: str) -> BankLine | RefusedRow:
    (found,) = _file(folder, FileKind.PAYMENTS, PAYMENTS, line).lines()
    return found


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-11-20 10:00:00", date(2026, 11, 20)),
        ("2026年11月20号", date(2026, 11, 20)),
        ("２０２６－１１－２０", date(2026, 11, 20)),
        ("2026-11-20T18:00:00Z", date(2026, 11, 21)),  # the day is the house's
        ("2026-11-20 10:00+05:00", date(2026, 11, 20)),
    ],
)
def test_a_day_may_carry_its_time(tmp_path: Path, written: str, day: date) -> None:
    line = _payment(tmp_path, f"A1,P1,10,{written}")
    assert isinstance(line, PaymentLine), line
    assert line.paid_on == day


@pytest.mark.parametrize("written", ["2026-11-20 上午", "2026-11-20 25:00", "2026-11-20 and 21", "20/11/2026", "46112"])
def test_what_follows_a_day_is_not_passed_over(tmp_path: Path, written: str) -> None:
    line = _payment(tmp_path, f"A1,P1,10,{written}")
    assert isinstance(line, RefusedRow), line
    assert [one.field for one in line.reasons] == ["paid_on"]


@pytest.mark.parametrize("reference", ["", "无", "-", "N/A", "null", "#N/A", "#REF!", "1.23E+15"])
def test_what_stands_for_a_reference_is_none(tmp_path: Path, reference: str) -> None:
    """Or the second payment without one would count as the first one's repetition."""
    line = _payment(tmp_path, f"A1,{reference},10,2026-11-20")
    assert isinstance(line, RefusedRow), line
    assert [one.field for one in line.reasons] == ["bank_ref"]


def test_of_several_titles_for_one_field_the_foremost_counts_and_the_others_are_named(tmp_path: Path) -> None:
    header = "合同号,案件编号,流水号,金额,还款金额,还款日期,入账日期"
    file = _file(tmp_path, FileKind.PAYMENTS, header, "H9,A1,P1,9,1000,2026-11-20,2026-11-21")
    (line,) = file.lines()
    assert isinstance(line, PaymentLine)
    assert (line.case_ref, str(line.money.amount), line.paid_on) == ("A1", "1000", date(2026, 11, 20))
    assert file.unknown == ("合同号", "金额", "入账日期")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("合计,,1000,", "totals"),
        (",,总计：,1000", "totals"),
        (PAYMENTS, "header again"),
        ("A1,P1,10,2026-11-20,more", "more cells"),
    ],
)
def test_rows_that_are_no_payment_say_so(tmp_path: Path, line: str, problem: str) -> None:
    found = _payment(tmp_path, line)
    assert isinstance(found, RefusedRow), found
    assert problem in found.reasons[0].problem


def test_a_recall_of_one_column_under_its_title(tmp_path: Path) -> None:
    lines = list(_file(tmp_path, FileKind.RECALL, "退案清单", "案号", "A4", encoding="gb18030").lines())
    assert [(line.row, line.case_ref) for line in lines if isinstance(line, RecallLine)] == [(3, "A4")]


@pytest.mark.parametrize("title", ["当前余额", "最新余额", "New Balance", "余额（元）", "updated balance"])
def test_titles_of_a_new_balance(tmp_path: Path, title: str) -> None:
    (line,) = _file(tmp_path, FileKind.UPDATE, f"案件编号,{title}", 'A1,"11,000.00"').lines()
    assert isinstance(line, UpdateLine)
    assert line.balance is not None
    assert str(line.balance.amount) == "11000.00"


@pytest.mark.parametrize(
    ("length", "talked"), [("65", True), ("65秒", True), ("00:01:05", True), ("0:00:00", False), ("0", False)]
)
def test_lengths_of_a_past_call(tmp_path: Path, length: str, talked: bool) -> None:
    (line,) = _file(tmp_path, FileKind.HISTORY, CALLS, f"A1,13800138000,2026-11-20 10:00,接通,{length}").lines()
    assert isinstance(line, HistoryLine), line
    assert (line.conversation, line.at) == (talked, datetime(2026, 11, 20, 2, tzinfo=UTC))


@pytest.mark.parametrize("length", ["1:05", "1分5秒", "-3", "00:61:00", "long"])
def test_a_length_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, length: str) -> None:
    (line,) = _file(tmp_path, FileKind.HISTORY, CALLS, f"A1,13800138000,2026-11-20 10:00,接通,{length}").lines()
    assert isinstance(line, RefusedRow), line
    assert [one.field for one in line.reasons] == ["seconds"]


_STAND_INS = ["#N/A", "NULL", "none", "unknown", "N/A", "00000000", "0000"]


@pytest.mark.parametrize(
    ("column", "key"),
    [*(("客户编号", key) for key in _STAND_INS), *(("证件号", key) for key in [*_STAND_INS, "XXXXXXXX", "1111111111"])],
)
def test_what_stands_for_an_identity_merges_nobody(tmp_path: Path, key: str, column: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"案件编号,姓名,{column},欠款金额,手机\nA1,张三,{key},10,13800138000\n", encoding="utf-8")
    (row,) = parse_placement(path, BANK).rows()
    assert isinstance(row, ParsedRow), row
    assert row.identity_key is None


@pytest.mark.parametrize("field", ["案件编号", "姓名"])
def test_what_a_formula_failed_with_is_no_value(tmp_path: Path, field: str) -> None:
    path = tmp_path / "file.csv"
    row = {"案件编号": "A1", "姓名": "张三", "欠款金额": "10", "手机": "13800138000", field: "#N/A"}
    path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n", encoding="utf-8")
    (found,) = parse_placement(path, BANK).rows()
    assert isinstance(found, RefusedRow)
    assert "formula" in found.reasons[0].problem
