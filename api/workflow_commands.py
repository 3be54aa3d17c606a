"""``onrecord workflow`` (why is the next action what it is; what if) and ``onrecord agenda`` (the day)."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape

from api.speaking import BAD_INPUT, Json, say, table
from case_store.store import CaseStore
from case_store.workflow.agenda import AgendaLine, agenda
from case_store.workflow.explain import explain, explain_table
from config.calendars import day_begins
from config.clock import SystemClock
from config.errors import BadInput, describe_shape
from config.settings import load_settings
from dialer.followup import standing_of
from dialer.policy.replay import as_text, replay
from dialer.policy.replay_file import read_replays, schema

app = typer.Typer(invoke_without_command=True, help="The collections workflow: explain a case, replay a what-if")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="workflow")
    root.command("agenda")(show_agenda)


@app.callback()
def workflow(
    context: typer.Context,
    case: Annotated[str | None, typer.Option("--explain", help="A case: why its next action is what it is")] = None,
    show_table: Annotated[bool, typer.Option("--table", help="The SOP's table as the product runs it")] = False,
    as_json: Json = False,
) -> None:
    """Explain a case in Chinese and English, or print the table of transitions."""
    if context.invoked_subcommand is not None:
        return
    if case is not None:
        text, facts = asyncio.run(_explain(case))
        say(as_json, facts, lambda console: console.print(text, markup=False))
    elif show_table:
        say(as_json, {"table": explain_table()}, lambda console: console.print(explain_table(), markup=False))
    else:
        raise BadInput("nothing was asked", field="workflow", remedy="give --explain CASE, --table, or: replay FILE")


async def _explain(case: str) -> tuple[str, dict[str, Any]]:
    settings = load_settings()
    store = await CaseStore.open(settings.store.url)
    try:
        state = await standing_of(store, settings, case, SystemClock().now())
        text = explain(state)
        return text, {"case_id": state.case_id, "stage": state.stage.value, "text": text, "state": state.to_dict()}
    finally:
        await store.close()


@app.command("replay")
def replay_file(
    file: Annotated[Path, typer.Argument(help="A case, its calendar, policy sets and dated events: docs/workflow.md")],
    as_json: Json = False,
) -> None:
    """What would come next? A file may hold a list of cases. Exit code 2 when an event of the file is refused."""
    read = read_replays(file)
    listed = isinstance(read, tuple)
    results = [replay(case) for case in (read if isinstance(read, tuple) else (read,))]

    def draw(console: Console) -> None:
        for result in results:
            console.print(as_text(result) + ("\n" if listed else ""), markup=False, highlight=False, soft_wrap=True)

    say(as_json, {"cases": results} if listed else results[0], draw)
    if any(result["refusals"] for result in results):
        raise typer.Exit(BAD_INPUT)


@app.command("schema")
def show_schema(as_json: Json = False) -> None:
    """The JSON schema of a replay file."""
    say(as_json, schema(), lambda console: console.print_json(data=schema()))


def show_agenda(
    day: Annotated[str | None, typer.Option(help="YYYY-MM-DD; default: today at the house")] = None,
    owner: Annotated[str | None, typer.Option(help="dialer, collector, team-leader, data-clerk, compliance, …")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines; the total is always shown")] = 500,
    as_json: Json = False,
) -> None:
    """The day: what is overdue, what is due now, what comes later today; the first to lapse at the head."""
    settings = load_settings()
    house = ZoneInfo(settings.timezone)
    now = SystemClock().now()
    try:
        wanted = date.fromisoformat(day) if day else now.astimezone(house).date()
    except ValueError:
        raise BadInput("is no day", field="--day", shape=describe_shape(day), remedy="write it as YYYY-MM-DD") from None
    lines, total = asyncio.run(_agenda(settings.store.url, wanted, owner, house, limit))
    facts = [
        {
            "due": line.due.value,
            "case_id": line.action.case_id,
            "action": line.action.action,
            "earliest": line.action.earliest,
            "latest": line.action.latest,
            "owner": line.action.owner,
            "agent": line.action.agent_id,
            "escalation": line.action.escalation,
            "reason_en": line.action.reason_en,
            "reason_zh": line.action.reason_zh,
        }
        for line in lines
    ]

    def draw(console: Console) -> None:
        rows = [
            (
                line.due.value,
                line.action.case_id,
                line.action.action,
                f"{line.action.earliest.astimezone(house):%m-%d %H:%M}",
                f"{line.action.latest.astimezone(house):%m-%d %H:%M}",
                f"{line.action.owner} {line.action.agent_id or ''}".strip(),
                escape(line.action.reason_zh),
            )
            for line in lines
        ]
        heads = ("due", "case", "action", "earliest", "latest", "owner", "原因")
        console.print(table(f"Agenda 日程 {wanted}", heads, rows) if rows else f"Nothing is due on {wanted}.")
        if total > len(rows):
            console.print(f"{len(rows)} of {total} are shown: --limit {total} shows all.")

    say(as_json, {"day": wanted, "total": total, "items": facts}, draw)


async def _agenda(url: str, day: date, owner: str | None, house: ZoneInfo, limit: int) -> tuple[list[AgendaLine], int]:
    store = await CaseStore.open(url)
    now = SystemClock().now()
    begins, ends = day_begins(day, house), day_begins(day + timedelta(days=1), house)
    try:
        actions, total = await store.agenda.of_day(begins, ends, now, owner=owner, limit=limit)
        return agenda(actions, now, house), total
    finally:
        await store.close()
