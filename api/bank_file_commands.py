"""``onrecord payments|update|recall|history FILE --client``, ``results PLACEMENT --out`` and ``coverage``."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
import xlsxwriter
from rich.console import Console
from rich.markup import escape

from api.casework import CoverageReport, coverage_report
from api.loading import keep_rejects, loading_bar, must_be_writable, say_if_unknown
from api.speaking import BAD_INPUT, NOT_HEALTHY, Json, say, table
from api.store_house import client_of
from case_store.bank_files import FileReport
from case_store.casework import CaseResult
from case_store.intake.bank_files import FileKind, parse_bank_file
from case_store.intake.placement import shielded
from case_store.store import CaseStore
from case_store.workflow.coverage import Alarm
from config.clock import SystemClock
from config.errors import BadInput, describe_shape
from config.settings import Settings, load_settings
from dialer.followup import follow_up_over

FileArgument = Annotated[Path, typer.Argument(help="CSV or XLSX, as the client sent it")]
Client = Annotated[str, typer.Option(help="Whose file it is: a client in settings")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the whole file for one bad row")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Judge every row, write nothing")]
Rejected = Annotated[Path | None, typer.Option(help="Write what was refused to this CSV, to correct and load")]

_HELP = {
    FileKind.PAYMENTS: "Load the bank's payment file: promises settle, paid cases end, reversals take back.",
    FileKind.UPDATE: "Load an update file: new balances, numbers that join the sweep, cases that are closed.",
    FileKind.RECALL: "Load a recall: every action of its cases is cancelled at once; calls under way end by themselves.",
    FileKind.HISTORY: "Load calls made before the placement: they count in the caps like our own.",
}


def register(root: typer.Typer) -> None:
    for kind in FileKind:
        root.command(kind.value, help=_HELP[kind])(_command(kind))
    root.command("results")(results)
    root.command("coverage")(coverage)


def _command(kind: FileKind) -> Callable[..., None]:
    def load(
        file: FileArgument,
        client: Client,
        strict: Strict = False,
        dry_run: DryRun = False,
        rejected: Rejected = None,
        as_json: Json = False,
    ) -> None:
        if rejected is not None:
            must_be_writable(rejected, "--rejected")
        report = asyncio.run(_load(kind, file, client, strict, dry_run, as_json))
        rejected = keep_rejects(report, rejected)
        say(as_json, _facts(report), lambda console: _draw(console, report, rejected))
        if report.rejected and not report.taken and not report.already:
            raise typer.Exit(BAD_INPUT)

    return load


async def _load(kind: FileKind, file: Path, client: str, strict: bool, dry_run: bool, as_json: bool) -> FileReport:
    settings = load_settings()
    say_if_unknown(settings, client, as_json)
    parsed = parse_bank_file(file, kind, client_of(settings, client), settings.timezone)
    store = await CaseStore.open(settings.store.url)
    try:
        with loading_bar(as_json) as progress:
            task = progress.add_task("loading", total=parsed.table.lines or None)
            return await store.bank_files.load(
                parsed,
                SystemClock().now(),
                follow_up_over(store, settings).conclude,
                by="this-machine",
                strict=strict,
                dry_run=dry_run,
                progress=lambda rows: progress.update(task, completed=rows),
            )
    finally:
        await store.close()


def _facts(report: FileReport) -> dict[str, Any]:
    plain = ("client", "rows", "taken", "already", "cases", "already_loaded", "dry_run")
    return {
        "kind": report.kind.value,
        **{name: getattr(report, name) for name in plain},
        "unknown_columns": list(report.unknown_columns),
        "rejected": [asdict(one) for one in report.rejected],
    }


def _draw(console: Console, report: FileReport, rejected: Path | None) -> None:
    if report.already_loaded:
        console.print("This very file was loaded before; nothing changed.")
    word = "would change something" if report.dry_run else "changed something"
    console.print(
        f"{report.kind.value}: {report.rows} rows; {report.taken} {word} on {report.cases} cases, "
        f"{report.already} were known"
    )
    if not report.rejected:
        return
    rows = [
        (one.row, escape(one.field), escape(one.problem), escape(one.shape), escape(one.remedy))
        for one in report.rejected[:50]
    ]
    console.print(table("Refused", ("row", "field", "problem", "looks like", "what to do"), rows))
    if len(report.rejected) > 50:
        console.print(f"… and {len(report.rejected) - 50} more")
    if report.already_loaded:
        console.print("What it refused then came back then: correct that file and load it.")
        return
    where = f"They are in {rejected}" if rejected else "Write them to a file with --rejected OUT.csv"
    console.print(f"{where}: correct it and load it again.")


# Result files

_RESULT_HEAD = (
    "case_ref",
    "account_ref",
    "state",
    "reason",
    "balance",
    "currency",
    "attempts",
    "conversations",
    "action_code",
    "outcome",
    "outcome_at",
    "promised_amount",
    "promised_on",
    "promise_state",
    "next_action",
    "next_by",
)


def results(
    placement: Annotated[str, typer.Argument(help="A placement: its id or name")],
    out: Annotated[Path, typer.Option("--out", help="Where to write it: .csv or .xlsx")],
    as_json: Json = False,
) -> None:
    """Write the result file for the bank: every case with its newest outcome as the bank's own action code."""
    if out.suffix.lower() not in (".csv", ".xlsx"):
        raise BadInput("is no table", field="--out", shape=describe_shape(out.name), remedy="name a .csv or .xlsx file")
    must_be_writable(out, "--out")
    written, unmapped = asyncio.run(_results(load_settings(), placement, out))
    say(
        as_json,
        {"placement": placement, "out": str(out), "cases": written, "outcomes_without_code": sorted(unmapped)},
        lambda console: console.print(
            f"{written} cases written to {out}"
            + (f"; outcomes without a code in settings: {', '.join(sorted(unmapped))}" if unmapped else "")
        ),
    )


async def _results(settings: Settings, placement: str, out: Path) -> tuple[int, set[str]]:
    store = await CaseStore.open(settings.store.url)
    try:
        found = await store.placements.get(placement)
        codes = client_of(settings, found.client).result_codes
        house = ZoneInfo(settings.timezone)
        written, unmapped = 0, set[str]()
        partial = out.with_name(f".{out.name}.partial")
        with _Sheet(partial, out.suffix.lower()) as sheet:
            sheet.row(_RESULT_HEAD)
            async for one in store.casework.results(found.id):
                if one.outcome is not None and codes and one.outcome not in codes:
                    unmapped.add(one.outcome)
                sheet.row(_cells(one, codes, house))
                written += 1
        partial.replace(out)  # a reader never finds half a file
        return written, unmapped
    finally:
        await store.close()


def _cells(one: CaseResult, codes: dict[str, str], house: ZoneInfo) -> tuple[str, ...]:
    at = one.outcome_at.astimezone(house).strftime("%Y-%m-%d %H:%M:%S") if one.outcome_at else ""
    by = one.next_latest.astimezone(house).strftime("%Y-%m-%d %H:%M:%S") if one.next_latest else ""
    code = "" if one.outcome is None else codes.get(one.outcome, "" if codes else one.outcome)
    return (
        one.client_ref,
        one.account_ref,
        one.state,
        one.state_reason or "",
        one.balance,
        one.currency,
        str(one.attempts),
        str(one.conversations),
        code,
        one.outcome or "",
        at,
        one.promised_amount or "",
        one.promised_on.isoformat() if one.promised_on else "",
        one.promise_state or "",
        one.next_action or "",
        by,
    )


class _Sheet:
    """Rows of text on their way to a CSV or a workbook; a spreadsheet runs none of them as a formula."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._path = path
        self._suffix = suffix
        self._rows = 0

    def __enter__(self) -> _Sheet:
        if self._suffix == ".csv":
            self._file = self._path.open("w", encoding="utf-8-sig", newline="")
            self._csv = csv.writer(self._file)
        else:
            self._book = xlsxwriter.Workbook(str(self._path), {"constant_memory": True, "strings_to_formulas": False})
            self._sheet = self._book.add_worksheet("results")
        return self

    def row(self, cells: tuple[str, ...]) -> None:
        if self._suffix == ".csv":
            self._csv.writerow([shielded(cell) for cell in cells])
        else:
            for column, cell in enumerate(cells):
                self._sheet.write_string(self._rows, column, cell)
        self._rows += 1

    def __exit__(self, *_: object) -> None:
        if self._suffix == ".csv":
            self._file.close()
        else:
            self._book.close()


# Coverage


def coverage(
    placement: Annotated[str | None, typer.Option(help="A placement: its id or name; default: every one")] = None,
    as_json: Json = False,
) -> None:
    """No cherry-picking: what share of permitted numbers was tried, what was not and why. Exit 1 on a broken deadline."""
    settings = load_settings()
    report = asyncio.run(_coverage(settings, placement))
    facts = {
        "by": {by: [{**asdict(line), "share": line.share} for line in lines] for by, lines in report.by.items()},
        "alerts": [asdict(one) for one in report.alerts],
        "fairness": {**asdict(report.fairness), "distribution": dict(report.fairness.distribution)},
    }
    say(as_json, facts, lambda console: _draw_coverage(console, report, ZoneInfo(settings.timezone)))
    if any(one.alarm is Alarm.BROKEN for one in report.alerts):
        raise typer.Exit(NOT_HEALTHY)


async def _coverage(settings: Settings, placement: str | None) -> CoverageReport:
    store = await CaseStore.open(settings.store.url)
    try:
        return await coverage_report(store, settings, SystemClock().now(), placement)
    finally:
        await store.close()


def _draw_coverage(console: Console, report: CoverageReport, house: ZoneInfo) -> None:
    heads = ("", "cases", "permitted", "attempted", "reached", "share", "never tried because")
    for by, lines in report.by.items():
        rows = [
            (
                line.key,
                line.cases,
                line.permitted,
                line.attempted,
                line.reached,
                f"{line.share:.1%}",
                ", ".join(f"{reason}: {count}" for reason, count in line.reasons) or "–",
            )
            for line in lines
        ]
        console.print(table(f"By {by}", heads, rows))
    fair = report.fairness
    console.print(
        f"Open cases: {fair.cases}; days since last work: longest {fair.longest_days:.1f} "
        f"({fair.longest_case_id or '–'}), median {fair.median_days:.1f}, 90th percentile {fair.p90_days:.1f}; "
        f"never worked {fair.never_worked}"
    )
    spread = ", ".join(f"{days} d: {count}" for days, count in fair.distribution if count)
    console.print(f"Days since last work: {spread or '–'}")
    for one in report.alerts[:50]:
        console.print(
            f"[red]{one.alarm.value}[/] {one.case_id}: first sweep due {one.due.astimezone(house):%m-%d %H:%M}"
        )
