"""``onrecord import``: a placement file goes in, its bad rows come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from api.loading import keep_rejects, loading_bar, must_be_writable, row_report, say_if_unknown
from api.speaking import BAD_INPUT, Json, say, table
from api.store_house import client_of
from case_store.intake.identity import house_key, keyed_by
from case_store.intake.placement import parse_placement
from case_store.placements import ImportReport, RowFate
from case_store.store import CaseStore
from config.clock import SystemClock
from config.settings import load_settings
from dialer.arrivals import first_steps


def register(app: typer.Typer) -> None:
    app.command("import")(import_placement)


def import_placement(
    file: Annotated[Path, typer.Argument(help="CSV or XLSX, as the client sent it")],
    client: Annotated[str, typer.Option(help="Who entrusts: a client in settings")],
    strict: Annotated[bool, typer.Option("--strict", help="Refuse the whole file for one bad row or field")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every row, write nothing")] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="Write what was refused to this CSV, to correct and load")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option("--report", help="Write every row's fate to this CSV; with --dry-run what would be")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The placement's name; default: the file's")] = None,
    as_json: Json = False,
) -> None:
    """Load a placement file: good rows go in together, bad ones come back with field and remedy."""
    for path, option in ((rejected, "--rejected"), (rows, "--report")):
        if path is not None:
            must_be_writable(path, option)
    with contextlib.ExitStack() as stack:
        each = stack.enter_context(row_report(rows)) if rows is not None else None
        report = asyncio.run(_import(file, client, name, strict, dry_run, as_json, each))
    rejected = keep_rejects(report, rejected)
    say(as_json, _import_facts(report), lambda console: _draw_import(console, report, rejected))
    if report.rejected_row_count and not report.cases and not report.existing:
        raise typer.Exit(BAD_INPUT)


async def _import(
    file: Path,
    client: str,
    name: str | None,
    strict: bool,
    dry_run: bool,
    as_json: bool,
    each: Callable[[RowFate], None] | None,
) -> ImportReport:
    settings = load_settings()
    say_if_unknown(settings, client, as_json)
    parsed = parse_placement(file, client_of(settings, client), name=name)
    store = await CaseStore.open(settings.store.url)
    try:
        with loading_bar(as_json) as progress:
            task = progress.add_task("loading", total=parsed.table.lines or None)
            report = await store.placements.load(
                parsed,
                SystemClock().now(),
                plan=first_steps(settings),
                identity=keyed_by(house_key(settings.store.identity_key)),
                strict=strict,
                dry_run=dry_run,
                progress=lambda rows: progress.update(task, completed=rows),
                each=each,
            )
        if not dry_run:
            await store.sweep.first_for(report.placement_id, report.name, report.client, SystemClock().now())
        return report
    finally:
        await store.close()


def _import_facts(report: ImportReport) -> dict[str, Any]:
    plain = ("placement_id", "name", "client", "rows", "cases", "numbers", "existing", "already_loaded", "dry_run")
    return {
        **{key: getattr(report, key) for key in plain},
        "unknown_columns": list(report.unknown_columns),
        "rejected_rows": [asdict(one) for one in report.rejected_rows],
        "rejected_fields": [asdict(one) for one in report.rejected_fields],
    }


def _draw_import(console: Console, report: ImportReport, rejected: Path | None) -> None:
    if report.already_loaded:
        console.print("This very file was loaded before; nothing changed.")
    if report.unknown_columns:
        console.print(f"Columns that were not read: {escape(', '.join(report.unknown_columns))}")
    word = "would go in" if report.dry_run else "went in"
    console.print(
        f"{report.name}: {report.rows} rows; {report.cases} cases and {report.numbers} numbers {word}, "
        f"{report.existing} were there already"
    )
    refused = (*report.rejected_rows, *report.rejected_fields)
    if refused:
        rows = [
            (one.row, escape(one.field), escape(one.problem), escape(one.shape), escape(one.remedy))
            for one in refused[:50]
        ]
        console.print(table("Refused", ("row", "field", "problem", "looks like", "what to do"), rows))
        if len(refused) > 50:
            console.print(f"… and {len(refused) - 50} more")
        if report.already_loaded:
            console.print("What it refused then came back then: correct that file and import it.")
            return
        where = f"They are in {rejected}" if rejected else "Write them to a file with --rejected OUT.csv"
        console.print(f"{where}: correct it and import it again.")
