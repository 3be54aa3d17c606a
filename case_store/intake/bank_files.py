"""What a bank sends after the placement: payments, updates, recalls, and calls it made before. Parsed row by row.

The same rules as for placements: headers by the client's own map first, then by the words banks use; nothing is
guessed, and whatever is refused comes back with its row, its field and what to do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from case_store.intake.columns import Layout, known_headers, plain, read_layout, refuse_twins
from case_store.intake.errors import FieldRefused, HeaderUnknown, Rejection
from case_store.intake.fitness import formula_failed, says_nothing, unfit
from case_store.intake.money import read_money
from case_store.intake.phone import Line, read_numbers
from case_store.intake.placement import ParsedNumber, RefusedRow, RowReader
from case_store.intake.rows import NumericCell, Row
from case_store.intake.table import TableFile, open_table
from case_store.model import Money
from case_store.network import ProgressCategory
from config.calendars import local_instant
from config.settings import ClientSettings


class FileKind(StrEnum):
    PAYMENTS = "payments"
    UPDATE = "update"
    RECALL = "recall"
    HISTORY = "history"


class Status(StrEnum):
    """What an update says about a case as a whole."""

    PAID = "paid"
    RECALLED = "recalled"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class PaymentLine:
    """``amount`` is above zero; ``reverses`` names the payment a reversal takes back."""

    row: int
    cells: tuple[str, ...]
    case_ref: str
    bank_ref: str
    money: Money
    paid_on: date
    reverses: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateLine:
    row: int
    cells: tuple[str, ...]
    case_ref: str
    balance: Money | None
    numbers: tuple[ParsedNumber, ...]
    status: Status | None
    refused: tuple[Rejection, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallLine:
    row: int
    cells: tuple[str, ...]
    case_ref: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryLine:
    """A call somebody made before us. It counts in the caps like our own."""

    row: int
    cells: tuple[str, ...]
    case_ref: str
    e164: str
    at: datetime
    category: ProgressCategory
    conversation: bool


BankLine = PaymentLine | UpdateLine | RecallLine | HistoryLine

_CASE_REF = "案件编号 案件号 案号 委案编号 委案号 案件序列号 案件id 合同号 合同编号 借据号 借据编号 case caseid caseno caseref casenumber casereference ref reference clientref loanid loanno"
_WORDS: dict[FileKind, dict[str, str]] = {
    FileKind.PAYMENTS: {
        "case_ref": _CASE_REF,
        "bank_ref": "流水号 交易流水号 还款流水号 交易编号 入账流水 凭证号 paymentid paymentref paymentreference transactionid transactionno transactionref bankref receiptno",
        "amount": "还款金额 金额 入账金额 交易金额 回款金额 amount paymentamount paid amountpaid",
        "paid_on": "还款日期 入账日期 交易日期 还款时间 入账时间 回款日期 日期 paidon paymentdate postingdate postedon date valuedate",
        "currency": "币种 货币 currency ccy currencycode",
        "type": "类型 交易类型 还款类型 标志 type transactiontype kind",
        "reverses": "原流水号 原交易流水号 冲正流水号 被冲正流水号 reverses originalid originalref originalreference originaltransaction reversalof",
    },
    FileKind.RECALL: {
        "case_ref": _CASE_REF,
        "reason": "原因 退案原因 撤案原因 备注 reason recallreason note remark",
    },
    FileKind.HISTORY: {
        "case_ref": _CASE_REF,
        "phone": "电话 号码 电话号码 被叫号码 被叫 拨打号码 联系电话 phone phonenumber number callee called dialed msisdn",
        "at": "拨打时间 通话时间 呼叫时间 开始时间 时间 calledat callat calltime starttime startedat time datetime timestamp",
        "result": "结果 通话结果 拨打结果 呼叫结果 状态 result outcome status callresult disposition",
        "seconds": "时长 通话时长 通话秒数 时长秒 duration seconds durationseconds talkseconds",
    },
}
_STATUS_WORDS: Mapping[str, Status | None] = {
    **dict.fromkeys(("结清", "已结清", "还清", "paid", "paidinfull", "settled"), Status.PAID),
    **dict.fromkeys(("退案", "撤案", "召回", "recall", "recalled", "withdrawn"), Status.RECALLED),
    **dict.fromkeys(("结案", "关闭", "已关闭", "closed", "close"), Status.CLOSED),
    **dict.fromkeys(("在催", "正常", "有效", "open", "active", "live"), None),
}
_STATUS_HEADERS = frozenset(["状态", "案件状态", "status", "casestatus"])
_REVERSAL = frozenset(["冲正", "撤销", "退回", "冲销", "红冲", "抹账", "reversal", "reversed", "chargeback"])
_PAYMENT = frozenset(["还款", "入账", "回款", "payment", "repayment", "credit"])
_RESULTS: Mapping[str, ProgressCategory] = {
    **dict.fromkeys(("接通", "已接通", "已接", "接听", "answered", "connected", "talked"), ProgressCategory.ANSWERED),
    **dict.fromkeys(
        ("无人接听", "无人接", "未接", "未接通", "noanswer", "notanswered", "rna"), ProgressCategory.NO_ANSWER
    ),
    **dict.fromkeys(("占线", "忙", "用户忙", "busy"), ProgressCategory.BUSY),
    **dict.fromkeys(("拒接", "挂断", "rejected", "declined"), ProgressCategory.REJECTED),
    **dict.fromkeys(("关机", "已关机", "switchedoff", "off"), ProgressCategory.SWITCHED_OFF),
    **dict.fromkeys(("无法接通", "不在服务区", "unreachable"), ProgressCategory.UNREACHABLE),
    **dict.fromkeys(("停机", "欠费停机", "suspended"), ProgressCategory.SUSPENDED),
    **dict.fromkeys(("空号", "notinservice", "invalidnumber"), ProgressCategory.NOT_IN_SERVICE),
    **dict.fromkeys(("语音信箱", "留言", "machine", "voicemail"), ProgressCategory.MACHINE),
}
_NEEDED: dict[FileKind, tuple[str, ...]] = {
    FileKind.PAYMENTS: ("case_ref", "bank_ref", "amount", "paid_on"),
    FileKind.RECALL: ("case_ref",),
    FileKind.HISTORY: ("case_ref", "phone", "at"),
}
_DATE = re.compile(r"^(\d{4})(?:-|/|\.|年)(\d{1,2})(?:-|/|\.|月)(\d{1,2})[日号]?$|^(\d{4})(\d{2})(\d{2})$")
_TIME = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?$")


@dataclass(frozen=True, kw_only=True, slots=True)
class BankFile:
    """A file that can be read. ``lines()`` streams it; nothing of it is held."""

    kind: FileKind
    client: ClientSettings
    table: TableFile
    columns: Mapping[str, int]
    zone: ZoneInfo  # of times that carry no offset of their own
    layout: Layout | None = None  # of an update: its number columns
    unknown: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        return self.table.sha256

    def lines(self) -> Iterator[BankLine | RefusedRow]:
        read = _Lines(self)
        for row in self.table.rows():
            yield read.line(row)


def parse_bank_file(path: Path, kind: FileKind, client: ClientSettings, house_zone: str) -> BankFile:
    """Open a bank's file of one kind. Raises ``FileUnreadable`` and ``HeaderUnknown``; rows are judged later."""
    chosen = client.file_columns.get(kind.value, {})
    mapped = {plain(title) for title in chosen.values()}
    zone = ZoneInfo(house_zone)
    if kind is FileKind.UPDATE:
        return _update_file(path, client, chosen, mapped, zone)
    words = {word: field for field, listed in _WORDS[kind].items() for word in listed.split()}
    table = open_table(path, lambda cells: sum(1 for cell in cells if plain(cell) in words or plain(cell) in mapped))
    columns, unknown = _columns(table.header, words, chosen)
    missing = [name for name in _NEEDED[kind] if name not in columns]
    if missing:
        raise HeaderUnknown(
            f"no column is known as {' and '.join(missing)}",
            field="header",
            shape=f"{len(table.header)} columns, {len(columns)} known",
            remedy=f'name them in settings: [clients.file_columns.{kind.value}] {missing[0]} = "…"',
        )
    return BankFile(kind=kind, client=client, table=table, columns=columns, zone=zone, unknown=unknown)


def _update_file(
    path: Path, client: ClientSettings, chosen: Mapping[str, str], mapped: set[str], zone: ZoneInfo
) -> BankFile:
    table = open_table(path, lambda cells: known_headers(cells) + sum(1 for cell in cells if plain(cell) in mapped))
    status_title = chosen.get("status")
    status = next(
        (
            place
            for place, title in enumerate(table.header)
            if plain(title) in _STATUS_HEADERS or (status_title is not None and plain(title) == plain(status_title))
        ),
        None,
    )
    given = {**client.columns, **{field: title for field, title in chosen.items() if field != "status"}}
    layout = read_layout(table.header, given, client.name, needs=frozenset({"case_ref"}))
    columns = {} if status is None else {"status": status}
    if status is None and not layout.balances and not layout.numbers and not layout.long:
        raise HeaderUnknown(
            "the file updates nothing: no balance, no number and no status",
            field="header",
            shape=f"{len(table.header)} columns",
            remedy="name its columns in settings: [clients.file_columns.update]",
        )
    unknown = tuple(title for title in layout.unknown if plain(title) not in _STATUS_HEADERS)
    return BankFile(
        kind=FileKind.UPDATE, client=client, table=table, columns=columns, zone=zone, layout=layout, unknown=unknown
    )


def _columns(
    header: Sequence[str], words: Mapping[str, str], chosen: Mapping[str, str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Field → column, and the titles nobody reads. Of several titles for one field the one our list names first counts."""
    places = {plain(title): place for place, title in enumerate(header)}
    found = {field: places[plain(title)] for field, title in chosen.items() if plain(title) in places}
    taken = set(found.values())
    refuse_twins(header, lambda place, word: place not in taken and word in words)
    for word, field in words.items():  # in the order of the list
        if word in places and places[word] not in taken:
            found.setdefault(field, places[word])
    read = {*found.values()}
    unknown = (
        title
        for place, title in enumerate(header)
        if place not in read and plain(title) and not plain(title).startswith("onrecord")
    )
    return found, tuple(unknown)


class _Lines:
    """One row at a time: a line, or the row with its reasons."""

    def __init__(self, file: BankFile) -> None:
        self._file = file
        self._reader = RowReader(file.layout, file.client, file.table.header) if file.layout is not None else None

    def line(self, row: Row) -> BankLine | RefusedRow:
        problem = unfit(row, self._file.table.header)
        if problem is not None:
            return _refused(row, problem)
        try:
            match self._file.kind:
                case FileKind.PAYMENTS:
                    return self._payment(row)
                case FileKind.RECALL:
                    return RecallLine(
                        row=row.number,
                        cells=row.cells,
                        case_ref=self._needed(row, "case_ref"),
                        reason=self._text(row, "reason")[:64],
                    )
                case FileKind.HISTORY:
                    return self._call(row)
                case FileKind.UPDATE:
                    return self._update(row)
        except FieldRefused as refused:
            return _refused(row, refused.at(row.number))

    def _payment(self, row: Row) -> PaymentLine:
        case_ref, bank_ref = self._needed(row, "case_ref"), self._needed(row, "bank_ref")
        raw = self._raw(row, "amount")
        text = self._text(row, "amount")
        bracketed = text.startswith("(") and text.endswith(")")
        said = plain(self._text(row, "type"))
        reverses = self._text(row, "reverses") or None
        negative = text.lstrip("¥￥$€£ ").startswith(("-", "−")) or text.startswith(("-", "−")) or bracketed
        if said and said not in _REVERSAL and said not in _PAYMENT:
            raise FieldRefused(
                "it is neither a payment nor a reversal",
                field="type",
                value=said,
                remedy="write payment or reversal (还款 / 冲正)",
            )
        reversal = negative or said in _REVERSAL
        money = read_money(
            re.sub(r"[-−]", "", text.strip("()"), count=1)
            if negative
            else (raw if isinstance(raw, NumericCell) else text),
            field="amount",
            said=self._text(row, "currency"),
            region=self._file.client.default_region,
        )
        if money.amount <= 0:
            raise FieldRefused("the amount is zero", field="amount", value=text, remedy="leave the row out")
        if reversal and reverses is None:
            raise FieldRefused(
                "a reversal must name the payment it takes back",
                field="reverses",
                value="",
                remedy="give the bank's reference of the original payment",
            )
        if reverses is not None and not reversal:
            raise FieldRefused(
                "it names a payment to take back but is no reversal",
                field="type",
                value=said,
                remedy="give a negative amount or the type reversal, or clear the reference",
            )
        return PaymentLine(
            row=row.number,
            cells=row.cells,
            case_ref=case_ref,
            bank_ref=bank_ref,
            money=money,
            paid_on=self._day(self._text(row, "paid_on"), "paid_on"),
            reverses=reverses,
        )

    def _call(self, row: Row) -> HistoryLine:
        outcomes = read_numbers(self._raw(row, "phone"), field="phone", region=self._file.client.default_region)
        if not outcomes:
            raise FieldRefused("it is missing", field="phone", value="", remedy="give the number that was called")
        first = outcomes[0]
        if not isinstance(first, Line):
            raise first
        if len(outcomes) > 1:
            raise FieldRefused(
                "a call has one number", field="phone", value="several numbers", remedy="give each call its own row"
            )
        said = self._text(row, "result")
        seconds = self._text(row, "seconds")
        category = _RESULTS.get(plain(said))
        if said and category is None:
            raise FieldRefused(
                "the result is not known", field="result", value=said, remedy="use a word such as 接通, 无人接听, busy"
            )
        length = None if not seconds else _seconds(seconds)
        if category is None:
            if length is None:
                raise FieldRefused(
                    "nothing says what came of the call", field="result", value="", remedy="give a result or a length"
                )
            category = ProgressCategory.ANSWERED if length > 0 else ProgressCategory.NO_ANSWER
        return HistoryLine(
            row=row.number,
            cells=row.cells,
            case_ref=self._needed(row, "case_ref"),
            e164=first.e164,
            at=self._instant(self._text(row, "at"), "at"),
            category=category,
            conversation=category is ProgressCategory.ANSWERED and length != 0,
        )

    def _update(self, row: Row) -> UpdateLine | RefusedRow:
        assert self._reader is not None
        read = self._reader.read_update(row)
        if isinstance(read, RefusedRow):
            return read
        case_ref, money, numbers, refused = read
        place = self._file.columns.get("status")
        said = row.cells[place] if place is not None and place < len(row.cells) else ""
        if said and plain(said) not in _STATUS_WORDS:
            raise FieldRefused(
                "the status is not known",
                field="status",
                value=said,
                remedy="use paid, recalled, closed or open (结清, 退案, 结案, 在催)",
            )
        return UpdateLine(
            row=row.number,
            cells=row.cells,
            case_ref=case_ref,
            balance=money,
            numbers=numbers,
            status=_STATUS_WORDS[plain(said)] if said else None,
            refused=refused,
        )

    def _raw(self, row: Row, field: str) -> str:
        place = self._file.columns.get(field)
        return row.cells[place] if place is not None and place < len(row.cells) else ""

    def _text(self, row: Row, field: str) -> str:
        return unicodedata.normalize("NFKC", self._raw(row, field)).strip()

    def _needed(self, row: Row, field: str) -> str:
        value = self._text(row, field)
        if not value or says_nothing(value):
            raise FieldRefused("it is missing", field=field, value=value, remedy="fill it in")
        if formula_failed(value):
            raise FieldRefused(
                "a formula of the spreadsheet failed here",
                field=field,
                value=value,
                remedy="correct the formula and export again",
            )
        if len(value) > 128 or re.match(r"^[+-]?\d+([.,]\d+)?[eE][+-]?\d+$", value):
            raise FieldRefused(
                "a spreadsheet turned it into a number it was not" if len(value) <= 128 else "it is too long",
                field=field,
                value=value,
                remedy="format the column as text and export it again",
            )
        return value

    def _day(self, text: str, field: str) -> date:
        """A day, or that of a time on it: at the house, where the time carries an offset."""
        day_text, _, clock = text.replace("T", " ", 1).partition(" ")
        if clock:
            return self._instant(text, field).astimezone(self._file.zone).date()
        found = _DATE.match(day_text)
        if found is not None:
            year, month, day = (int(part) for part in found.groups() if part is not None)
            try:
                return date(year, month, day)
            except ValueError:
                pass  # falls to the refusal below: 2026-02-30
        raise FieldRefused(
            "this is no date, or one that can be read in two ways", field=field, value=text, remedy="write 2026-03-31"
        )

    def _instant(self, text: str, field: str) -> datetime:
        day_text, _, clock = text.replace("T", " ", 1).partition(" ")
        try:
            given = datetime.fromisoformat(text)
        except ValueError:
            given = None
        if given is not None and given.tzinfo is not None:
            return given.astimezone(UTC)
        day = self._day(day_text, field)
        found = _TIME.match(clock.strip())
        if found is None or not (int(found[1]) < 24 and int(found[2]) < 60 and int(found[3] or 0) < 60):
            raise FieldRefused(
                "the time of day is missing or cannot be read",
                field=field,
                value=text,
                remedy="write 2026-03-31 14:05:00, or with an offset",
            )
        return local_instant(day, time(int(found[1]), int(found[2]), int(found[3] or 0)), self._file.zone)


def _seconds(text: str) -> float:
    """A talk's length: whole seconds, or hours, minutes and seconds. Two figures (1:05) may be either. Raises ``FieldRefused``."""
    if re.fullmatch(r"\d{1,6}(\.\d+)?(秒|s|sec)?", text):
        return float(re.sub(r"[^\d.]", "", text))
    if (found := re.fullmatch(r"(\d{1,2}):([0-5]\d):([0-5]\d)", text)) is not None:
        hours, minutes, seconds = map(int, found.groups())
        return hours * 3600 + minutes * 60 + seconds
    raise FieldRefused("this is no length", field="seconds", value=text, remedy="give whole seconds, or 00:01:05")


def _refused(row: Row, *reasons: Rejection) -> RefusedRow:
    return RefusedRow(row=row.number, reasons=reasons, cells=row.cells)


def zero(money: Money | None) -> bool:
    """Whether a balance says that nothing is owed any more."""
    return money is not None and money.amount == Decimal(0)


__all__ = [
    "BankFile",
    "BankLine",
    "FileKind",
    "HistoryLine",
    "PaymentLine",
    "RecallLine",
    "Status",
    "UpdateLine",
    "parse_bank_file",
    "zero",
]
