"""``onrecord doctor``: is this machine fit to place calls?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from api.doctor import Finding, findings, setting_lines
from api.speaking import NOT_HEALTHY, Json, say, table
from case_store.database import ping
from case_store.store import CaseStore
from config.errors import OnrecordError
from config.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    settings_too: Annotated[
        bool, typer.Option("--settings", help="Print every setting, its value and meaning")
    ] = False,
    as_json: Json = False,
) -> None:
    """Is this machine fit to place calls? Exit code 1 when something is not."""
    settings = load_settings()
    if settings_too:
        lines = setting_lines(settings)
        rows = [(one.name, escape(str(one.value)), escape(one.description)) for one in lines]
        say(
            as_json,
            {"settings": [asdict(one) for one in lines]},
            lambda console: console.print(table("Settings", ("setting", "value", "meaning"), rows)),
        )
        return
    found = [*findings(settings), asyncio.run(_store_finding(settings))]
    healthy = all(one.ok for one in found)

    def draw(console: Console) -> None:
        rows = [
            ("[green]ok[/]" if one.ok else "[red]NO[/]", one.name, escape(one.note), escape(one.remedy or ""))
            for one in found
        ]
        console.print(table("", ("", "part", "seen", "what to do"), rows))

    say(as_json, {"healthy": healthy, "findings": [asdict(one) for one in found]}, draw)
    if not healthy:
        raise typer.Exit(NOT_HEALTHY)


async def _store_finding(settings: Settings) -> Finding:
    try:
        store = await CaseStore.open(settings.store.url)
    except OnrecordError as error:
        return Finding(name="store", ok=False, note=error.problem, remedy=error.remedy)
    try:
        await ping(store.database)
        return Finding(name="store", ok=True, note=f"{store.database.dialect} answers, its schema is current")
    finally:
        await store.close()
