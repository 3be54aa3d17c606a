"""The sample placement and who answers its numbers: ``python -m dialer.simulated.placement [DIRECTORY] [--seed N]``.

One seed gives the same four files every time: ``placement.csv`` (a bank's file, with rows that must be refused),
``placement-second-bank.xlsx``, ``directory.json`` (number → person, for the simulated carrier), and ``facts.json`` (what
an import must find). People are invented; foreign numbers come from ranges kept for fiction where a country has one.
Nobody is ever called but on loopback.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import xlsxwriter

from dialer.simulated.directory import Directory, write_directory
from dialer.simulated.personas import Person, Persona

SAMPLE = Path(__file__).parent / "sample"
SEED = 20260701

HEADER = (
    "案件编号",
    "姓名",
    "余额",
    "币种",
    "单位电话",
    "持卡人手机",
    "宅电",
    "亲属1姓名",
    "亲属1电话",
    "亲属2姓名",
    "亲属2电话",
    "紧急联系人姓名",
    "紧急联系人电话",
)
_PHONES = {
    "单位电话": "workplace",
    "持卡人手机": "mobile",
    "宅电": "home",
    "亲属1电话": "relative",
    "亲属2电话": "relative",
    "紧急联系人电话": "emergency",
}
_NAMED = {"亲属1电话": "亲属1姓名", "亲属2电话": "亲属2姓名", "紧急联系人电话": "紧急联系人姓名"}

_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN = (
    "伟",
    "芳",
    "娜",
    "秀英",
    "敏",
    "静",
    "丽",
    "强",
    "磊",
    "军",
    "洋",
    "勇",
    "艳",
    "杰",
    "娟",
    "涛",
    "明",
    "超",
    "霞",
    "平",
)
_ABROAD = {
    "US": ("USD", "+1 212-555-01{:02d}"),
    "GB": ("GBP", "+44 20 7946 0{:03d}"),
    "JP": ("JPY", "+81 90-1234-{:04d}"),
    "SG": ("SGD", "+65 9123 {:04d}"),
    "HK": ("HKD", "+852 9123 {:04d}"),
    "DE": ("EUR", "+49 30 23125 {:03d}"),
    "AU": ("AUD", "+61 491 570 {:03d}"),
}

Weighted = tuple[tuple[int, dict[str, Any]], ...]


def _announced(name: str, status: int, q850: int | None = None, **more: Any) -> dict[str, Any]:
    return {"persona": Persona.ANNOUNCEMENT, "announcement": name, "status": status, "q850": q850, **more}


def _speaks(persona: Persona, greeting: str, *says: str, goodbye: str = "goodbye-m") -> dict[str, Any]:
    return {"persona": persona, "greeting": greeting, "says": says, "goodbye": goodbye}


_DEBTOR: Weighted = (
    (30, _speaks(Persona.CARDHOLDER, "greeting-m", "debtor-negotiates-m")),
    (20, _speaks(Persona.CARDHOLDER, "greeting-f", "debtor-negotiates-f", goodbye="goodbye-f")),
    (18, _speaks(Persona.CARDHOLDER, "greeting-m", "debtor-promises-500-m")),
    (14, _speaks(Persona.CARDHOLDER, "greeting-f", "debtor-promises-1000-f", goodbye="goodbye-f")),
    (18, _speaks(Persona.CARDHOLDER, "greeting-m", "debtor-raises-funds-m")),
)
_DEBTOR_ABROAD: Weighted = (
    (60, _speaks(Persona.CARDHOLDER, "greeting-en", "debtor-negotiates-en", goodbye="goodbye-en")),
    (40, _speaks(Persona.CARDHOLDER, "greeting-en", "debtor-promises-200-en", goodbye="goodbye-en")),
)
_OTHERS = {
    "relative": _speaks(Persona.RELATIVE, "greeting-f", "relative-passes-on-f", goodbye="goodbye-f"),
    "spouse": _speaks(Persona.RELATIVE, "greeting-f", "relative-negotiates-f", goodbye="goodbye-f"),
    "refuses": _speaks(Persona.RELATIVE, "greeting-m", "relative-refuses-m"),
    "wrong": _speaks(Persona.WRONG_NUMBER, "greeting-f", "wrong-number-f", goodbye="goodbye-f"),
    "colleague": _speaks(Persona.COLLEAGUE, "greeting-office", "colleague-out-m"),
    "left": _speaks(Persona.COLLEAGUE, "greeting-office", "colleague-left-m"),
}
_OTHERS_ABROAD = {
    "relative": _speaks(Persona.RELATIVE, "greeting-en", "relative-passes-on-en", goodbye="goodbye-en"),
    "wrong": _speaks(Persona.WRONG_NUMBER, "greeting-en", "wrong-number-en", goodbye="goodbye-en"),
    "colleague": _speaks(Persona.COLLEAGUE, "greeting-en", "colleague-out-en", goodbye="goodbye-en"),
}
_OFF = _announced("switched-off", 480, 20)
_EMPTY = _announced("not-in-service", 404, 1)
_STOPPED = _announced("suspended", 480)
_OUT_OF_REACH = _announced("unreachable", 480, 18)
_IN_A_CALL = _announced("in-a-call", 486, 17)
_NOBODY = _announced("no-answer", 480, 19)
_PAUSED = _announced("service-paused", 403)
_BARRED = _announced("barred", 403, 54)
_CROWDED = _announced("network-busy", 503, 34)
_HELD = _announced("switched-off", 480, None, holds_line=True)

# parts of a hundred by kind of line; "debtor", "relative" … are drawn further
_BY_KIND: dict[str, tuple[tuple[int, str | dict[str, Any]], ...]] = {
    "workplace": (
        (20, "colleague"),
        (5, "left"),
        (4, "debtor"),
        (34, {"persona": Persona.RINGS_OUT}),
        (14, {"persona": Persona.BUSY}),
        (10, _EMPTY),
        (8, _OUT_OF_REACH),
        (5, {"persona": Persona.UNAVAILABLE}),
    ),
    "mobile": (
        (52, "debtor"),
        (14, {"persona": Persona.RINGS_OUT}),
        (9, _OFF),
        (6, _IN_A_CALL),
        (4, _STOPPED),
        (4, _EMPTY),
        (5, {"persona": Persona.DECLINED}),
        (3, _NOBODY),
        (3, _OUT_OF_REACH),
    ),
    "home": (
        (14, "relative"),
        (6, "debtor"),
        (42, {"persona": Persona.RINGS_OUT}),
        (16, _EMPTY),
        (8, _PAUSED),
        (7, {"persona": Persona.NOT_FOUND}),
        (7, {"persona": Persona.BUSY}),
    ),
    "relative": (
        (11, "relative"),
        (4, "spouse"),
        (4, "refuses"),
        (4, "wrong"),
        (32, {"persona": Persona.RINGS_OUT}),
        (14, _OFF),
        (10, {"persona": Persona.BUSY}),
        (8, {"persona": Persona.DECLINED}),
        (7, _CROWDED),
    ),
}
_BY_KIND["emergency"] = _BY_KIND["relative"]

# one of each that chance might leave out: (row of the good cases, column, person)
_CERTAIN: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (0, "持卡人手机", _speaks(Persona.CARDHOLDER, "greeting-m", "debtor-promises-500-m")),
    (1, "持卡人手机", {"persona": Persona.NEVER_RTP}),
    (2, "持卡人手机", _speaks(Persona.ONE_WAY, "greeting-m", "debtor-negotiates-m")),
    (3, "持卡人手机", {"persona": Persona.HANGS_UP_EARLY}),
    (4, "宅电", {"persona": Persona.MACHINE, "greeting": "machine-greeting"}),
    (5, "宅电", {"persona": Persona.CONGESTED, "status": 503, "retry_after": 1}),
    (6, "宅电", {"persona": Persona.NOT_FOUND}),
    (7, "单位电话", {"persona": Persona.UNAVAILABLE}),
    (8, "单位电话", {"persona": Persona.BUSY}),
    (9, "持卡人手机", {"persona": Persona.DECLINED}),
    (10, "持卡人手机", {**_speaks(Persona.COLOUR_RING, "greeting-m", "debtor-negotiates-m"), "answer_after": 3.0}),
    (11, "宅电", {"persona": Persona.HOLDS}),
    (12, "持卡人手机", _HELD),
    (13, "持卡人手机", _STOPPED),
    (14, "宅电", _EMPTY),
    (15, "持卡人手机", _BARRED),
    (16, "持卡人手机", {"persona": Persona.ANSWERS_INTO_CANCEL}),
    (17, "单位电话", _OTHERS["colleague"]),
    (18, "宅电", _OTHERS["relative"]),
    (19, "宅电", {"persona": Persona.RINGS_OUT}),
    (22, "持卡人手机", _OUT_OF_REACH),
    (23, "持卡人手机", _IN_A_CALL),
    (24, "持卡人手机", _OFF),
    (25, "持卡人手机", _NOBODY),
)


@dataclass(slots=True)
class Sample:
    """Rows as written (header not among them), people by E.164, and what an import must find.

    ``bad_rows`` maps a row as a spreadsheet counts it (the header is 1) to the column at fault and the reason.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    people: dict[str, Person] = field(default_factory=dict)
    numbers: set[tuple[str, str]] = field(default_factory=set)  # (case, E.164) of rows without a fault
    bad_rows: dict[int, tuple[str, str]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        personas = Counter(self.people[number].persona.value for _, number in self.numbers)
        return {
            "rows": len(self.rows),
            "cases": len({case for case, _ in self.numbers}),
            "numbers": len(self.numbers),
            "bad_rows": [{"row": row, "column": column, "why": why} for row, (column, why) in self.bad_rows.items()],
            "personas": dict(sorted(personas.items())),
        }


def make_sample(seed: int = SEED, cases: int = 50) -> Sample:
    """The first bank's placement."""
    rng = Random(seed)  # noqa: S311  # the same sample every time
    sample = Sample()
    regions = [None] * (cases - 2 * len(_ABROAD)) + [*_ABROAD] * 2
    for at, region in enumerate(regions):
        row = _row(rng, f"YH2026{at + 1:05d}", region, at)
        _note(rng, sample, row, region, at)
        sample.rows.append(row)
    _share_a_number(sample)
    _add_bad_rows(rng, sample)
    return sample


def make_second_bank(sample: Sample, seed: int = SEED, cases: int = 8) -> list[dict[str, str]]:
    """A small second placement; its people join the sample's directory."""
    rng = Random(seed + 1)  # noqa: S311  # the same sample every time
    rows = []
    other = Sample(people=sample.people)
    for at in range(cases):
        row = _row(rng, f"DF{at + 1:04d}", None, 1000 + at)
        _note(rng, other, row, None, 1000 + at)
        rows.append(row)
    return rows


def _row(rng: Random, case: str, region: str | None, at: int) -> dict[str, str]:
    currency = _ABROAD[region][0] if region else "CNY"
    balance = rng.randrange(150_000, 9_000_000) / 100
    row = dict.fromkeys(HEADER, "")
    row |= {"案件编号": case, "姓名": _name(rng), "余额": f"{balance:.2f}", "币种": currency}
    wanted = [
        "持卡人手机",
        *rng.sample([column for column in _PHONES if column != "持卡人手机"], rng.choice((2, 3, 3, 4))),
    ]
    wanted += [column for row_at, column, _ in _CERTAIN if row_at == at and column not in wanted]
    for column in _PHONES:
        if column in wanted:
            row[column] = _written(rng, column, region)
            if column in _NAMED:
                row[_NAMED[column]] = _name(rng)
    if at == 20:
        row["单位电话"] = "0755-8612" + f"{rng.randrange(10_000):04d}" + "转801"
    if at == 21 and row["持卡人手机"]:
        row["紧急联系人姓名"], row["紧急联系人电话"] = row["姓名"], row["持卡人手机"]  # the same number twice in a row
    return row


def _name(rng: Random) -> str:
    return rng.choice(_SURNAMES) + rng.choice(_GIVEN)


def _written(rng: Random, column: str, region: str | None) -> str:
    """A number as banks write it: with and without dashes, spaces, country code."""
    if region is not None:
        form = _ABROAD[region][1]
        width = int(form[form.index(":0") + 2])
        return form.format(rng.randrange(10**width))
    if column in ("单位电话", "宅电"):
        area, digits = rng.choice((("010", 8), ("021", 8), ("0755", 8), ("0571", 8), ("028", 8), ("0311", 8)))
        local = "6" + "".join(str(rng.randrange(10)) for _ in range(digits - 1))
        return rng.choice((f"{area}-{local}", f"{area}{local}", f"({area}){local}", f"+86 {area[1:]} {local}"))
    mobile = rng.choice(("138", "139", "150", "186", "177", "199")) + f"{rng.randrange(10**8):08d}"
    return rng.choice(
        (
            mobile,
            mobile,
            f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
            f"+86 {mobile}",
            f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}",
        )
    )


def e164(written: str) -> str:
    """How our own writings read; the product's intake is the judge of everybody else's."""
    main = written.partition("转")[0]
    digits = "".join(ch for ch in main if ch.isdigit())
    if main.startswith("+"):
        return "+" + digits
    return "+86" + digits.removeprefix("0")


def _note(rng: Random, sample: Sample, row: dict[str, str], region: str | None, at: int) -> None:
    """Give each of the row's numbers a person."""
    certain = {column: person for row_at, column, person in _CERTAIN if row_at == at}
    for column, kind in _PHONES.items():
        if not row[column]:
            continue
        number = e164(row[column])
        sample.numbers.add((row["案件编号"], number))
        if number not in sample.people:
            figures = certain.get(column) or _drawn(rng, kind, region is not None)
            while certain and column not in certain and _promises(figures):
                figures = _drawn(rng, kind, region is not None)  # a promise would stop the sweep before the certain one
            sample.people[number] = _person(rng, figures)


def _promises(figures: dict[str, Any]) -> bool:
    return any("promises" in clip for clip in figures.get("says", ()))


def _drawn(rng: Random, kind: str, abroad: bool) -> dict[str, Any]:
    choices = _BY_KIND[kind]
    chosen = rng.choices([entry for _, entry in choices], weights=[share for share, _ in choices])[0]
    if isinstance(chosen, str):
        if chosen == "debtor":
            people = _DEBTOR_ABROAD if abroad else _DEBTOR
            return rng.choices([entry for _, entry in people], weights=[share for share, _ in people])[0]
        return _OTHERS_ABROAD.get(chosen, _OTHERS_ABROAD["relative"]) if abroad else _OTHERS[chosen]
    if abroad and chosen.get("announcement") in ("not-in-service", "switched-off", "unreachable"):
        return {**chosen, "announcement": f"{chosen['announcement']}-en"}
    return chosen


def _person(rng: Random, figures: dict[str, Any]) -> Person:
    timing = {
        "ring_after": round(rng.uniform(0.1, 0.4), 2),
        "answer_after": round(rng.uniform(0.8, 2.4), 2),
        "announced_for": round(rng.uniform(4.0, 5.5), 2),
        "listens": 2.5,
    }
    return Person(**(timing | {key: value for key, value in figures.items() if value is not None}))


def _share_a_number(sample: Sample) -> None:
    """Two cases with the same relative: one person, counted once by the caps."""
    first = next(row for row in sample.rows if row["亲属1电话"] and row["币种"] == "CNY")
    second = next(row for row in sample.rows if not row["亲属1电话"] and row["币种"] == "CNY")
    second["亲属1姓名"], second["亲属1电话"] = first["亲属1姓名"], first["亲属1电话"]
    sample.numbers.add((second["案件编号"], e164(second["亲属1电话"])))


def _add_bad_rows(rng: Random, sample: Sample) -> None:
    """Rows that must come back with a reason, each with one fault."""
    faults: tuple[tuple[str, str, str], ...] = (
        ("余额", "", "no balance"),
        ("持卡人手机", "1.38E+10", "a number mangled by a spreadsheet"),
        ("持卡人手机", "12345", "an impossible number"),
        ("案件编号", "", "no case id"),
        ("案件编号", sample.rows[0]["案件编号"], "a case id that another row has"),
        ("余额", "-120.50", "a negative balance"),
        ("余额", "壹万元", "a balance that is no amount"),
        ("币种", "RMBX", "no such currency"),
    )
    for at, (column, value, why) in enumerate(faults):
        row = dict.fromkeys(HEADER, "")
        row |= {
            "案件编号": f"YH2026{90001 + at}",
            "姓名": _name(rng),
            "余额": "3200.00",
            "币种": "CNY",
            "持卡人手机": f"1350000{at:04d}",
        }
        row[column] = value
        sample.rows.append(row)
        sample.bad_rows[len(sample.rows) + 1] = (column, why)


def as_csv(rows: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_workbook(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with xlsxwriter.Workbook(str(path)) as book:
        book.set_properties({"created": datetime(2026, 7, 1)})  # noqa: DTZ001  # the format has no zone; fixed, so that the file is the same every time
        sheet = book.add_worksheet("委案")
        sheet.write_row(0, 0, HEADER)
        for at, row in enumerate(rows, start=1):
            for column, name in enumerate(HEADER):
                if name == "余额":
                    sheet.write_number(at, column, float(row[name]))
                else:
                    sheet.write_string(at, column, row[name])


def write_sample(directory: Path, seed: int = SEED) -> Sample:
    directory.mkdir(parents=True, exist_ok=True)
    sample = make_sample(seed)
    second = make_second_bank(sample, seed)
    (directory / "placement.csv").write_text(as_csv(sample.rows), encoding="utf-8-sig", newline="")
    write_workbook(directory / "placement-second-bank.xlsx", second)
    write_directory(Directory(sample.people, seed), directory / "directory.json")
    facts = json.dumps(sample.facts(), ensure_ascii=False, indent=1)
    (directory / "facts.json").write_text(facts + "\n", encoding="utf-8")
    return sample


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dialer.simulated.placement", description="Write the sample placement")
    parser.add_argument("directory", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)
    sample = write_sample(given.directory, given.seed)
    sys.stdout.write(json.dumps(sample.facts(), ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
