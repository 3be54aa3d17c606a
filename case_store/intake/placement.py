"""A placement file as cases: parsed row by row, each row whole, in part, or refused with its reasons."""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from phonenumbers import SUPPORTED_REGIONS

from case_store.intake.columns import Layout, NumberColumns, channel_of, is_self, known_headers, read_layout
from case_store.intake.errors import FieldRefused, FileUnreadable, Rejection
from case_store.intake.fitness import formula_failed, says_nothing, unfit
from case_store.intake.money import read_money
from case_store.intake.phone import Line, read_numbers
from case_store.intake.rows import Row
from case_store.intake.table import TableFile, open_table
from case_store.model import Channel, Money
from config.calendars import BadCalendar, calendar_at
from config.settings import ClientSettings

OWN_COLUMNS = ("onrecord_row", "onrecord_field", "onrecord_problem", "onrecord_shape", "onrecord_remedy")
SELF = "本人"
_REGION_WORDS = {
    "中国": "CN", "CHINA": "CN", "CHN": "CN", "美国": "US", "USA": "US", "UNITEDSTATES": "US", "英国": "GB", "UK": "GB",
    "UNITEDKINGDOM": "GB", "香港": "HK", "HONGKONG": "HK", "澳门": "MO", "台湾": "TW", "新加坡": "SG", "SINGAPORE": "SG",
    "日本": "JP", "JAPAN": "JP",
}  # fmt: skip
_REGION = re.compile(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
_AS_TEXT = "format the column as text and export it again"
_FAILED = "a formula of the spreadsheet failed here"
_CORRECT_FORMULA = "correct the formula and export again"
_NO_LENGTH = "this is too short or too long for an identity number"
_MANGLED = re.compile(r"^[+-]?\d+([.,]\d+)?[eE][+-]?\d+$|^\d{5,}\.0+$")
_SOP_PLACE = {channel: place for place, channel in enumerate(Channel)}
_LONGEST_NAME = 200
_NAME_SUFFIX = re.compile(r"([._-](rejected|rejects|corrected))+$", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedNumber:
    line: Line
    raw: str
    channel: Channel
    position: int  # order within its channel as the file has it, 0-based
    contact_name: str
    relation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedRow:
    """A row that goes in, perhaps without some of its fields (``refused``)."""

    row: int
    case_ref: str
    account_ref: str
    debtor_name: str
    identity_key: str | None
    balances: tuple[tuple[str, Money], ...]
    region: str
    address: str | None
    numbers: tuple[ParsedNumber, ...]
    refused: tuple[Rejection, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedRow:
    """A row that does not go in at all."""

    row: int
    reasons: tuple[Rejection, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedPlacement:
    """A file that can be read as a placement. ``rows()`` streams it; nothing of it is held."""

    name: str
    client: ClientSettings
    table: TableFile
    layout: Layout

    @property
    def sha256(self) -> str:
        return self.table.sha256

    def rows(self) -> Iterator[ParsedRow | RefusedRow]:
        reader = RowReader(self.layout, self.client, self.table.header)
        empty = True
        for row in self.table.rows():
            empty = False
            yield reader.read(row)
        if empty:
            raise FileUnreadable(
                "the file holds a header and no row", field="file", remedy="export it again with its cases"
            )


def placement_name(path: Path) -> str:
    """A placement's name by its file's: what came back of it and was corrected belongs to it."""
    return _NAME_SUFFIX.sub("", path.stem)


def parse_placement(path: Path, client: ClientSettings, *, name: str | None = None) -> ParsedPlacement:
    """Open a placement file. Its name defaults to the file's, without ``.rejected`` and ``.corrected``.

    Raises ``FileUnreadable`` and ``HeaderUnknown``; rows are judged later, one by one.
    """
    mapped = set(client.columns.values())
    table = open_table(path, lambda cells: known_headers(cells) + sum(1 for cell in cells if cell in mapped))
    layout = read_layout(table.header, client.columns, client.name)
    called = name or placement_name(path)
    if len(called) > _LONGEST_NAME:
        raise FileUnreadable(
            "the placement's name is too long",
            field="name",
            shape=f"{len(called)} characters",
            remedy=f"give one of at most {_LONGEST_NAME} with --name",
        )
    return ParsedPlacement(name=called, client=client, table=table, layout=layout)


class RowReader:
    def __init__(self, layout: Layout, client: ClientSettings, header: Sequence[str]) -> None:
        self._layout = layout
        self._client = client
        self._header = tuple(header)

    def read(self, row: Row) -> ParsedRow | RefusedRow:
        problem = unfit(row, self._header)
        if problem is not None:
            return RefusedRow(row=row.number, reasons=(problem,), cells=row.cells)
        fatal: list[Rejection] = []
        refused: list[Rejection] = []
        case_ref = self._required(row, "case_ref", fatal)
        name = self._name(row, fatal)
        region = self._region(row, refused)
        identity = self._identity(row, refused)
        balances = self._balances(row, region, fatal)
        if not self._layout.long and not name and identity is None:
            fatal.append(
                Rejection(
                    row=row.number,
                    field="name",
                    problem="the row names no debtor",
                    shape="empty text",
                    remedy="give a name or an identity number",
                )
            )
        account = self._text(row, "account_ref", 128, fatal) or case_ref
        if fatal:
            return RefusedRow(row=row.number, reasons=tuple(fatal + refused), cells=row.cells)
        numbers = tuple(self._long(row, region, refused) if self._layout.long else self._wide(row, region, refused))
        debtor = name
        if self._layout.long and "contact_name" not in self._layout.single:
            relation = self._layout.get(row.cells, "relation")
            own = is_self(relation) or (not relation and bool(numbers) and numbers[0].channel.is_debtors_own)
            debtor = name if own or not numbers else ""
        return ParsedRow(
            row=row.number,
            case_ref=case_ref,
            account_ref=account,
            debtor_name=debtor,
            identity_key=identity,
            balances=tuple(balances),
            region=region,
            address=self._layout.get(row.cells, "address") or None,
            numbers=_once(numbers),
            refused=tuple(refused),
            cells=row.cells,
        )

    def read_update(
        self, row: Row
    ) -> tuple[str, Money | None, tuple[ParsedNumber, ...], tuple[Rejection, ...]] | RefusedRow:
        """A row of an update file: case, new balance if one is given, numbers that join, fields that do not go in."""
        fatal: list[Rejection] = []
        refused: list[Rejection] = []
        case_ref = self._required(row, "case_ref", fatal)
        region = self._region(row, refused)
        owed = self._balances(row, region, fatal, needed=False)
        if fatal:
            return RefusedRow(row=row.number, reasons=tuple(fatal + refused), cells=row.cells)
        numbers = tuple(self._long(row, region, refused) if self._layout.long else self._wide(row, region, refused))
        return case_ref, owed[0][1] if owed else None, _once(numbers), tuple(refused)

    def _name(self, row: Row, fatal: list[Rejection]) -> str:
        name = self._text(row, "name", 200, fatal)
        if name or "last_name" not in self._layout.single:
            return name
        parts = [self._text(row, field, 99, fatal) for field in ("first_name", "last_name")]
        chinese = any("\u4e00" <= ch <= "\u9fff" for ch in "".join(parts))
        return "".join(reversed(parts)) if chinese else " ".join(part for part in parts if part)

    def _required(self, row: Row, field: str, fatal: list[Rejection]) -> str:
        value = self._text(row, field, 128, fatal)
        if not value and not any(one.field == field for one in fatal):
            fatal.append(
                Rejection(row=row.number, field=field, problem="it is missing", shape="empty text", remedy="fill it in")
            )
        return value

    def _text(self, row: Row, field: str, longest: int, fatal: list[Rejection]) -> str:
        value = unicodedata.normalize("NFKC", self._layout.get(row.cells, field)).strip()
        if len(value) > longest:
            fatal.append(
                FieldRefused(
                    "it is too long", field=field, value=value, remedy=f"give at most {longest} characters"
                ).at(row.number)
            )
            return ""
        if formula_failed(value):
            fatal.append(FieldRefused(_FAILED, field=field, value=value, remedy=_CORRECT_FORMULA).at(row.number))
            return ""
        if field in ("case_ref", "account_ref") and _looks_mangled(value):
            fatal.append(
                FieldRefused(
                    "a spreadsheet turned it into a number it was not",
                    field=field,
                    value=value,
                    remedy="format the column as text and export it again",
                ).at(row.number)
            )
            return ""
        return value

    def _region(self, row: Row, refused: list[Rejection]) -> str:
        said = self._layout.get(row.cells, "region")
        if not said:
            return self._client.default_region
        word = re.sub(r"\s", "", unicodedata.normalize("NFKC", said)).upper()
        word = _REGION_WORDS.get(word, word)
        if _REGION.match(word) and word[:2] in SUPPORTED_REGIONS and _has_working_days(word):
            return word
        refused.append(
            FieldRefused(
                "this is not a country or region code",
                field="region",
                value=said,
                remedy="give ISO 3166, such as CN or US-CA",
            ).at(row.number)
        )
        return self._client.default_region

    def _identity(self, row: Row, refused: list[Rejection]) -> str | None:
        number = self._layout.get(row.cells, "id_number")
        plain = re.sub(r"[\s\-]", "", unicodedata.normalize("NFKC", number)).upper()
        if plain and not says_nothing(number):
            problem = _identity_problem(plain)
            if problem is None:
                return hashlib.sha256(f"id:{plain}".encode()).hexdigest()
            remedy = _AS_TEXT if "spreadsheet" in problem else "give the whole number, or clear the cell"
            refused.append(FieldRefused(problem, field="id_number", value=number, remedy=remedy).at(row.number))
        key = self._layout.get(row.cells, "person_key")
        if key and not _names_nobody(key):
            return hashlib.sha256(f"key:{self._client.name}:{key}".encode()).hexdigest()
        return None

    def _balances(
        self, row: Row, region: str, fatal: list[Rejection], *, needed: bool = True
    ) -> list[tuple[str, Money]]:
        found: list[tuple[str, Money]] = []
        said = self._layout.get(row.cells, "currency")
        for place, currency, label in self._layout.balances:
            text = row.cells[place] if place < len(row.cells) else ""
            if not text:
                continue
            try:
                found.append((label[:64], read_money(text, field=label, currency=currency, said=said, region=region)))
            except FieldRefused as refused:
                fatal.append(refused.at(row.number))
        if not found and not fatal and needed and not self._layout.long:
            fatal.append(
                Rejection(
                    row=row.number,
                    field=self._layout.balances[0][2],
                    problem="no balance is given",
                    shape="empty text",
                    remedy="give the amount that is owed",
                )
            )
        if needed and found and not any(money.amount for _, money in found):
            fatal.append(
                Rejection(
                    row=row.number,
                    field=found[0][0],
                    problem="nothing is owed: the balance is zero",
                    shape="zero",
                    remedy="leave the case out, or give what is owed",
                )
            )
        # The case's own balance is the first of which something is left.
        return sorted(found, key=lambda one: not one[1].amount)

    def _wide(self, row: Row, region: str, refused: list[Rejection]) -> Iterator[ParsedNumber]:
        positions: dict[Channel, int] = {}
        for columns in self._layout.numbers:
            text = row.cells[columns.phone] if columns.phone < len(row.cells) else ""
            if not text:
                continue
            relation = _cell(row, columns.relation)
            channel = columns.channel or channel_of("", relation) or Channel.EMERGENCY
            contact, relation = self._contact(row, columns, channel, relation)
            for outcome in read_numbers(text, field=channel.value, region=region[:2]):
                if isinstance(outcome, FieldRefused):
                    refused.append(replace(outcome.at(row.number), field=self._title(columns, channel)))
                    continue
                position = positions.get(channel, 0)
                positions[channel] = position + 1
                yield ParsedNumber(
                    line=outcome,
                    raw=str(text)[:128],
                    channel=channel,
                    position=position,
                    contact_name=contact,
                    relation=relation,
                )

    def _contact(self, row: Row, columns: NumberColumns, channel: Channel, relation: str) -> tuple[str, str]:
        if channel.is_debtors_own:
            return self._layout.get(row.cells, "name"), SELF
        default = "亲属" if channel is Channel.RELATIVE else "紧急联系人"
        name = _cell(row, columns.name)
        return "" if says_nothing(name) or formula_failed(name) else name[:200], (relation or default)[:64]

    @staticmethod
    def _title(columns: NumberColumns, channel: Channel) -> str:
        return f"{channel.value} (column {columns.phone + 1})"

    def _long(self, row: Row, region: str, refused: list[Rejection]) -> Iterator[ParsedNumber]:
        text = self._layout.get(row.cells, "phone")
        if not text:
            return
        relation = self._layout.get(row.cells, "relation")
        said = self._layout.get(row.cells, "channel")
        channel = channel_of(said, relation)
        if channel is None:
            refused.append(
                FieldRefused(
                    "nothing says whose number this is",
                    field="channel",
                    value=said,
                    remedy="give workplace, mobile, home, relative or emergency",
                ).at(row.number)
            )
            return
        named = "contact_name" if "contact_name" in self._layout.single else "name"
        contact = self._layout.get(row.cells, named)
        for outcome in read_numbers(text, field="phone", region=region[:2]):
            if isinstance(outcome, FieldRefused):
                refused.append(outcome.at(row.number))
                continue
            yield ParsedNumber(
                line=outcome,
                raw=str(text)[:128],
                channel=channel,
                position=0,
                contact_name=contact[:200],
                relation=SELF if channel.is_debtors_own else (relation or said)[:64],
            )


def _cell(row: Row, place: int | None) -> str:
    return row.cells[place].strip() if place is not None and place < len(row.cells) else ""


def _once(numbers: Sequence[ParsedNumber]) -> tuple[ParsedNumber, ...]:
    """A number that stands twice in a case is kept once, at its first place in SOP order."""
    if len({(one.line.e164, one.line.extension) for one in numbers}) == len(numbers):
        return tuple(numbers)
    kept: dict[tuple[str, str | None], ParsedNumber] = {}
    for one in numbers:
        key = (one.line.e164, one.line.extension)
        if key not in kept or _SOP_PLACE[one.channel] < _SOP_PLACE[kept[key].channel]:
            kept[key] = one
    return tuple(kept.values())


def _looks_mangled(value: str) -> bool:
    return _MANGLED.match(value) is not None


@lru_cache(maxsize=256)
def _has_working_days(region: str) -> bool:
    """Deadlines are counted in the working days at the address: one that nobody knows them for is refused at the door."""
    try:
        calendar_at(region)
    except BadCalendar:
        return False
    return True


def _names_nobody(key: str) -> bool:
    """What stands in many rows for want of a key would make one person of them all."""
    return _looks_mangled(key) or says_nothing(key) or formula_failed(key) or not key.strip("0 ")


def _identity_problem(plain: str) -> str | None:
    if formula_failed(plain):
        return _FAILED
    if _looks_mangled(plain):
        return "a spreadsheet turned this identity number into another number"
    if len(plain) < 4 or len(plain) > 40:
        return _NO_LENGTH
    if re.fullmatch(r"\d{15}000", plain) and not _id_checksum_holds(plain):
        return "a spreadsheet cut this identity number to fifteen digits"
    if len(set(plain)) == 1 or not any(sign.isdigit() for sign in plain):
        return "this stands where an identity number should: it is nobody's"
    return None


def _id_checksum_holds(number: str) -> bool:
    """GB 11643-1999: weighted sum modulo 11."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))
    return "10X98765432"[total % 11] == number[17]


def write_rejects(
    path: Path, header: Sequence[str], rows: Sequence[tuple[tuple[str, ...], tuple[Rejection, ...]]]
) -> None:
    """The rows that did not go in (or not whole), as a file to correct and load again.

    Our columns come first and are ignored when it is loaded; a cell that a spreadsheet would run as a formula is
    shielded with an apostrophe, which loading takes off again.
    """
    places = [place for place, title in enumerate(header) if title not in OWN_COLUMNS]
    partial = path.with_name(f".{path.name}.partial")  # a reader never finds half a file
    with partial.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*OWN_COLUMNS, *(shielded(header[place]) for place in places)])
        for cells, reasons in rows:
            writer.writerow(
                [
                    reasons[0].row if reasons else "",
                    "; ".join(reason.field for reason in reasons),
                    "; ".join(reason.problem for reason in reasons),
                    "; ".join(reason.shape for reason in reasons),
                    "; ".join(reason.remedy for reason in reasons),
                    *(shielded(cells[place]) if place < len(cells) else "" for place in places),
                ]
            )
    partial.replace(path)


def shielded(cell: str) -> str:
    """A cell no spreadsheet runs as a formula."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
