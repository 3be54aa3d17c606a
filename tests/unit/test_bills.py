"""Bills as carriers really send them: every habit read, every mangled number refused, nothing matched by luck."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from xlsxwriter import Workbook

from config.settings import BillSettings
from recording.bill import BadBill, BillRow, billed_at_most, normal_number, read_bill
from recording.reconcile import RecordedFact, SignalledCall, reconcile

NUMBER = "+8613812345678"
ANSWERED = datetime(2026, 11, 24, 2, 0, 0, tzinfo=UTC)  # 10:00 in Shanghai


def call(n: int = 0, talk: float = 30.0, answered: datetime | None = ANSWERED, callee: str = NUMBER) -> SignalledCall:
    placed = (answered or ANSWERED) - timedelta(seconds=8)
    return SignalledCall(
        call_id=f"call_{n}",
        callee=callee,
        placed_at=placed,
        answered_at=answered,
        ended_at=(answered or placed) + timedelta(seconds=talk),
        talk_seconds=talk,
        recording_id=f"rec_{n}",
        customer_leg=f"leg_{n}",
    )


def recorded(of: SignalledCall) -> RecordedFact:
    return RecordedFact(
        recording_id=of.recording_id or "",
        call_id=of.call_id,
        started_at=of.answered_at or of.placed_at,
        seconds=of.talk_seconds,
        sealed_at=of.ended_at + timedelta(seconds=5),
        agent_sound=True,
        customer_sound=True,
    )


def found(calls: list[SignalledCall], bill: list[BillRow], chosen: BillSettings | None = None) -> list[tuple[str, Any]]:
    report = reconcile(calls, [recorded(one) for one in calls], bill, chosen or BillSettings())
    assert set(report.as_json()) == {"calls", "clean", "gaps"}
    for gap in report.as_json()["gaps"]:
        assert set(gap) == {"class", "call_id", "leg", "channel", "detail"}
    return [(gap.gap_class.value, gap.call_id) for gap in report.gaps]


def bill(tmp_path: Path, text: str | bytes, **chosen: Any) -> list[BillRow]:
    path = tmp_path / "bill.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_bill(path, BillSettings(**chosen))


def one_row(tmp_path: Path, text: str | bytes, **chosen: Any) -> BillRow:
    [row] = bill(tmp_path, text, **chosen)
    return row


CHINESE = {"started_at": "起始时间", "callee": "被叫号码", "seconds": "时长(秒)"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found(tmp_path: Path, encoding: str, delimiter: str) -> None:
    lines = [["话单号", "起始时间", "被叫号码", "时长(秒)"], ["1", "2026-11-24 10:00:00", "13812345678", "30"]]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    data = ("\ufeff" + text if encoding == "utf-16-le" else text).encode(encoding)
    row = one_row(tmp_path, data, columns=CHINESE)
    assert (row.starts, row.callee, row.seconds) == ((ANSWERED,), NUMBER, 30)


def test_titles_above_and_totals_below_are_no_calls(tmp_path: Path) -> None:
    rows = bill(
        tmp_path,
        "Example Telecom,,\nBill of November,,\n\n Started  AT ,ＣＡＬＬＥＥ,Seconds\n"
        "2026-11-24 10:00:00,13812345678,30\n,,\nTotal,,30\n,,printed 2026-12-01\n",
        columns={"started_at": "started at", "callee": "callee", "seconds": "seconds"},
    )
    assert [(row.line, row.seconds) for row in rows] == [(5, 30)]


def test_a_call_without_a_number_is_never_dropped(tmp_path: Path) -> None:
    with pytest.raises(BadBill, match="line 2") as caught:
        bill(tmp_path, "started_at,callee,seconds\n2026-11-24 10:00:00,,30\n")
    assert caught.value.field == "callee"
    with pytest.raises(BadBill, match="line 2"):
        bill(tmp_path, "started_at,callee,seconds\nTotal,,\n2026-11-24 10:00:00,13812345678,30\n")


def test_day_and_time_in_two_columns(tmp_path: Path) -> None:
    columns = {"started_at": "日期", "started_time": "时间", "callee": "被叫", "seconds": "秒"}
    row = one_row(
        tmp_path,
        "日期,时间,被叫,秒\n2026/11/24,10:00:00,13812345678,30\n",
        columns=columns,
        time_format="%Y/%m/%d %H:%M:%S",
    )
    assert row.starts == (ANSWERED,)


def test_a_sheet_with_its_own_dates_times_and_durations(tmp_path: Path) -> None:
    path = tmp_path / "bill.xlsx"
    with Workbook(path) as book:
        sheet, clock = book.add_worksheet(), book.add_format({"num_format": "hh:mm:ss"})
        sheet.write_row(1, 0, ["日期", "时间", "被叫", "时长"])
        sheet.write_datetime(2, 0, date(2026, 11, 24), book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_datetime(2, 1, time(10, 0, 0), clock)
        sheet.write_number(2, 2, 8613812345678)
        sheet.write_datetime(2, 3, time(0, 1, 30), clock)
    columns = {"started_at": "日期", "started_time": "时间", "callee": "被叫", "seconds": "时长"}
    [row] = read_bill(path, BillSettings(columns=columns))
    assert (row.starts, row.callee, row.seconds, row.line) == ((ANSWERED,), NUMBER, 90, 3)


@pytest.mark.parametrize(
    "text",
    [
        "13812345678",
        "013812345678",
        "8613812345678",
        "008613812345678",
        "+8613812345678",
        "+86 138 1234 5678",
        "+86-138-1234-5678",
        "+86 (0) 13812345678",
        "(86)13812345678",
        "tel:+86-138-1234-5678",
        "sip:+8613812345678@192.0.2.7:5060;user=phone",
        "'13812345678",
        '="13812345678"',
        "１３８１２３４５６７８",
        "13812345678.0",
        "13812345678.00",
        "1.3812345678E+10",
        "1.3812345678e10",
        "8.613812345678E+12",
        "\u202a+8613812345678\u202c",
        "997713812345678",
    ],
)
def test_one_number_in_every_spelling(text: str) -> None:
    assert normal_number(text, "auto", "CN", ("9977",)) == NUMBER


@pytest.mark.parametrize(
    "text", ["+862164104558", "02164104558", "21 6410 4558", "0086-21-64104558", "+86 (0)21 64104558"]
)
def test_a_fixed_line_too(text: str) -> None:
    assert normal_number(text, "auto", "CN") == "+862164104558"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1.38123E+10", "rounded"),
        ("1.38E+10", "rounded"),
        ("8.61381E+12", "rounded"),
        ("1.381234567E+10", "rounded"),
        ("138****5678", "hidden"),
        ("138xxxx5678", "hidden"),
        ("anonymous", "no number"),
    ],
)
def test_a_number_that_lost_digits_is_refused_not_guessed(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BadBill, match=problem) as caught:
        bill(tmp_path, f"started_at,callee,seconds\n2026-11-24 10:00:00,{text},30\n")
    assert "5678" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "duration", "seconds"),
    [
        ("30", "seconds", 30),
        ("30.0", "seconds", 30),
        ("1,234", "seconds", 1234),
        ("30秒", "seconds", 30),
        ("1分30秒", "seconds", 90),
        ("1时2分3秒", "clock", 3723),
        ("1m30s", "seconds", 90),
        ("00:01:30", "clock", 90),
        ("1:30", "clock", 90),
        ("2", "minutes", 120),
        ("", "seconds", 0),
    ],
)
def test_durations_in_every_spelling(tmp_path: Path, text: str, duration: str, seconds: int) -> None:
    row = one_row(tmp_path, f"started_at;callee;seconds\n2026-11-24 10:00:00;13812345678;{text}\n", duration=duration)
    assert row.seconds == seconds


@pytest.mark.parametrize("text", ["00:01:30", "-5", "nan", "999999999", "long"])
def test_a_duration_in_another_spelling_than_said_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadBill):
        bill(tmp_path, f"started_at,callee,seconds\n2026-11-24 10:00:00,13812345678,{text}\n")


@pytest.mark.parametrize(
    ("first", "step", "talk", "most"),
    [
        (0, 1, 30.2, 31),
        (0, 6, 30.2, 36),
        (6, 6, 1.0, 6),
        (60, 6, 5.0, 60),
        (60, 6, 61.0, 66),
        (0, 60, 61.0, 120),
        (30, 6, 30.0, 30),
    ],
)
def test_rounding_up_by_first_and_further_steps(first: int, step: int, talk: float, most: int) -> None:
    chosen = BillSettings(first_seconds=first, rounding_seconds=step, duration_tolerance_seconds=0)
    assert billed_at_most(talk, chosen) == most


def row(seconds: int = 30, at: timedelta = timedelta(0), line: int = 2, callee: str = NUMBER) -> BillRow:
    return BillRow(line=line, starts=(ANSWERED + at,), callee=callee, seconds=seconds, answered=seconds > 0)


def test_rounded_bills_are_no_finding_and_a_step_more_is() -> None:
    for first, step, billed in ((6, 6, 36), (60, 60, 60), (60, 6, 60), (0, 60, 60)):
        chosen = BillSettings(first_seconds=first, rounding_seconds=step)
        assert found([call(talk=30.0)], [row(billed)], chosen) == []
        assert found([call(talk=30.0)], [row(billed + 12 + step)], chosen) == [("short", "call_0")]


def test_an_answered_call_billed_with_nothing_is_known_and_no_gap() -> None:
    assert found([call(talk=2.0)], [row(0)]) == []
    assert found([call(talk=0.0)], [row(0)]) == []


def test_a_line_of_no_seconds_that_we_never_placed_was_still_a_call_outside() -> None:
    assert found([call()], [row(), row(0, timedelta(hours=1), 3, "+8613900000001")]) == [("unknown_to_us", None)]


def test_a_talk_that_is_not_on_the_bill_is_named() -> None:
    calls = [
        call(0),
        call(1, answered=ANSWERED + timedelta(minutes=5), callee="+8613900000001"),
        call(2, answered=ANSWERED + timedelta(minutes=9)),
    ]
    bill_rows = [row(), row(at=timedelta(minutes=9), line=3)]
    assert found(calls, bill_rows) == [("not_billed", "call_1")]
    assert found([replace(one, talk_seconds=0.4) if one.call_id == "call_1" else one for one in calls], bill_rows) == []


def test_the_bill_says_nothing_of_calls_outside_its_hours() -> None:
    assert found([call(0), call(1, answered=ANSWERED + timedelta(days=2))], [row()]) == []


def test_two_calls_to_one_number_within_a_minute_are_told_apart() -> None:
    calls = [call(0, 5.0), call(1, 20.0, ANSWERED + timedelta(seconds=25))]
    rows = [row(5, timedelta(seconds=7)), row(20, timedelta(seconds=32), 3)]
    assert found(calls, rows) == []
    assert found(calls, [*rows, row(10, timedelta(seconds=50), 4)]) == [("unknown_to_us", None)]
    assert found([*calls, call(2, 8.0, ANSWERED + timedelta(seconds=48))], rows) == [("not_billed", "call_2")]


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Asia/Shanghai", "2026-11-24 23:59:58", datetime(2026, 11, 24, 15, 59, 58, tzinfo=UTC)),
        ("America/New_York", "2026-11-24 00:00:10", datetime(2026, 11, 24, 5, 0, 10, tzinfo=UTC)),
        # the clock goes back: 01:30 twice; the bill means the second, or the first
        ("Europe/London", "2026-10-25 01:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("Europe/London", "2026-10-25 01:30:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        # the clock goes forward: carriers that forget to move theirs write a time that never was
        ("Europe/London", "2026-03-29 01:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        ("Europe/London", "2026-03-29 01:30:00", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
    ],
)
def test_calls_over_midnight_and_over_a_change_of_clocks(tmp_path: Path, zone: str, local: str, utc: datetime) -> None:
    rows = bill(tmp_path, f"started_at,callee,seconds\n{local},13812345678,3600\n", timezone=zone)
    assert found([call(talk=3600.0, answered=utc)], rows) == []
    assert found([call(talk=3600.0, answered=utc + timedelta(hours=4))], rows) == [("unknown_to_us", None)]


def test_the_same_local_time_twice_is_two_calls(tmp_path: Path) -> None:
    text = "started_at,callee,seconds\n2026-10-25 01:30:00,13812345678,30\n2026-10-25 01:30:00,13812345678,40\n"
    rows = bill(tmp_path, text, timezone="Europe/London")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert found([call(0, 30.0, first), call(1, 40.0, first + timedelta(hours=1))], rows) == []
    assert found([call(0, 30.0, first)], rows) == [("unknown_to_us", None)]


def test_an_answered_call_of_no_seconds_still_owes_a_recording() -> None:
    one = call(talk=0.0)
    assert [gap.gap_class.value for gap in reconcile([one], [], None, BillSettings()).gaps] == ["not_recorded"]
    assert reconcile([one], [recorded(one)], None, BillSettings()).gaps == []
    silent = replace(one, answered_at=None)
    assert reconcile([silent], [], None, BillSettings()).gaps == []


@pytest.mark.parametrize(
    "callee", ["+442079460159", "+6591234359", "+12125550177", "+85291237058", "+61491570597", "+819012344278"]
)
def test_bare_digits_abroad_are_the_number_that_was_called(tmp_path: Path, callee: str) -> None:
    """A sheet keeps a number as a figure, without its +; read as national digits these would be calls made outside."""
    rows = bill(tmp_path, f"started_at,callee,seconds\n2026-10-30 17:00:00,{callee[1:]},30\n")
    ours = call(answered=rows[0].starts[0], callee=callee)
    assert found([ours], rows) == []
    elsewhere = call(answered=rows[0].starts[0], callee="+8613900001111")
    assert {name for name, _ in found([elsewhere], rows)} == {"unknown_to_us", "not_billed"}
