"""`onrecord demo`: the main job on the simulated carrier, or the acceptance test of a real one."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from case_store.intake.placement import ParsedPlacement
from case_store.model import CallRecord
from config.errors import BadInput, Refused
from config.logging import quiet_console
from config.settings import load_settings
from dialer.demo import DemoOrder, DemoProgress, read_desk, read_placements, run_demo, trunk_of
from dialer.sweep_report import PlacementReport, SweepReport
from dialer.switchboard import CallInFlight
from recording.recordings import Recording

_SHOWN = 12
NOT_FINISHED = 3


class Interrupted(Refused):
    """Ctrl-C or SIGTERM, before there was anything to report."""

    error_id = "interrupted"


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    trunk: Annotated[
        str | None, typer.Option(help="sip:HOST:PORT, or a trunk's name in onrecord.toml; none: simulated")
    ] = None,
    placement: Annotated[list[Path] | None, typer.Option(help="CSV or XLSX; none: the shipped sample")] = None,
    agent: Annotated[list[str] | None, typer.Option(help="sip:NAME@HOST:PORT of an agent's phone")] = None,
    agents: Annotated[int, typer.Option(min=1, max=200, help="Simulated agents where no --agent is given")] = 16,
    lines: Annotated[int | None, typer.Option(min=1, max=500, help="Calls at once; default: one an agent")] = None,
    ring_seconds: Annotated[float | None, typer.Option(min=1, max=120, help="Ringing before we give up")] = None,
    talk_seconds: Annotated[float | None, typer.Option(min=1, max=3600, help="A simulated agent's patience")] = None,
    keep_tapes: Annotated[Path | None, typer.Option(help="Keep raw tapes and plain sound files here")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the run; an earlier one goes on where it stopped")
    ] = None,
    client: Annotated[str, typer.Option(help="Whose column map and caller ID apply (settings.clients)")] = "demo-bank",
    seed: Annotated[int, typer.Option(help="Of the simulated carrier")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output")] = False,
) -> None:
    """Load a placement, sweep it over SIP from recorded lines, seal the tapes, show what came of it."""
    settings = load_settings()
    if trunk is not None:
        trunk_of(trunk, settings)
    for number, uri in enumerate(agent or (), 1):
        read_desk(uri, number)
    order = DemoOrder(
        data=data or Path("var") / "demo" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        placements=tuple(placement or ()),
        trunk=trunk,
        agents=tuple(agent or ()),
        simulated_agents=agents,
        lines=lines,
        ring_seconds=ring_seconds,
        talk_seconds=talk_seconds,
        keep_tapes=keep_tapes,
        client=client,
        settings=settings,
        seed=seed,
    )
    parsed = read_placements(order)
    if keep_tapes is not None:
        _make_folder(keep_tapes, "--keep-tapes")
    _make_folder(order.data, "--data")
    quiet_console(order.data / "onrecord.log")
    screen = _Screen(Console(stderr=as_json, highlight=False), live=not as_json and sys.stdout.isatty(), silent=as_json)
    report = asyncio.run(_run(order, parsed, screen))
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), ensure_ascii=False) + "\n")
    else:
        screen.show(report)
    if not report.finished:
        raise typer.Exit(NOT_FINISHED)


def _make_folder(path: Path, option: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise BadInput(
            f"the folder cannot be written ({error.strerror})", field=option, remedy="name a folder you may write to"
        ) from None


async def _run(order: DemoOrder, parsed: Sequence[ParsedPlacement], screen: _Screen) -> SweepReport:
    """The first Ctrl-C or SIGTERM ends calls and seals tapes, during the start it ends the start; the second ends all."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(run_demo(order, parsed, screen.progress, stop))

    def asked_to_end() -> None:
        if stop.is_set() or not screen.progress.numbers:
            task.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_end)
    with screen:
        try:
            return await task
        except asyncio.CancelledError:
            raise Interrupted(
                "the demo was ended before its report", remedy="run it again with the same --data"
            ) from None


class _Screen:
    """Live progress on a terminal, plain lines elsewhere, the tables at the end."""

    def __init__(self, console: Console, *, live: bool, silent: bool) -> None:
        self.console = console
        self.progress = DemoProgress(on_change=self._changed)
        self._silent = silent
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(console=console, refresh_per_second=4, transient=True) if live else None
        self._printed = 0
        self._told = ""

    def __enter__(self) -> _Screen:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def _changed(self, progress: DemoProgress) -> None:
        if self._silent:
            return
        self._bar.update(
            self._task, description=progress.phase, completed=progress.done, total=progress.numbers or None
        )
        if self._live is not None:
            self._live.update(Group(self._calls(progress), self._bar))
            return
        if progress.phase != self._told:
            self._told = progress.phase
            self.console.print(f"· {progress.phase}", style="dim")
        for line in progress.lines[self._printed :]:
            self.console.print(_plain(*line), soft_wrap=True)
        self._printed = len(progress.lines)

    def _calls(self, progress: DemoProgress) -> Table:
        table = Table(title=f"onrecord demo · {progress.clock}", title_justify="left", box=None, pad_edge=False)
        for column in ("number", "line", "status", "network", "talk", "concluded", "tape"):
            table.add_column(column, no_wrap=True)
        for call, record, recording, code in progress.lines[-_SHOWN:]:
            table.add_row(
                call.masked,
                call.channel,
                str(record.sip_status or "—"),
                Text(record.category or "—", style="green" if record.answered else "dim"),
                f"{record.talk_seconds or 0:.1f} s" if record.answered else "",
                code or "—",
                f"{recording.seconds:.1f} s {recording.classification}" if recording else "no seal",
            )
        return table

    def show(self, report: SweepReport) -> None:
        console = self.console
        for placement in report.placements:
            console.print(_placement_table(placement))
            _show_rejected(console, placement)
        console.print(_counts("Outcomes", report.outcomes))
        console.print(_actions_table(report))
        seconds = sum(one.seconds for one in report.recordings)
        answered = sum(call.answered for call in report.calls)
        console.print(
            f"\n[bold]{len(report.calls)}[/] calls, {answered} answered; [bold]{len(report.recordings)}[/] recordings, "
            f"{seconds / 60:.1f} minutes, encrypted in [bold]{report.directory}/shelf[/], attached to their cases in "
            f"[bold]{report.directory}/onrecord.db[/]. Clock: {report.clock}."
        )
        if "tapes" in report.extra:
            console.print(f"Raw tapes and plain sound files: [bold]{report.extra['tapes']}[/].")
        if not report.finished:
            console.print(f"[yellow]Not finished: {report.stopped_because}.[/]")


def _plain(call: CallInFlight, record: CallRecord, recording: Recording | None, code: str | None) -> str:
    tape = f"{recording.seconds:.1f} s {recording.classification}" if recording else "no seal"
    talk = f"{record.talk_seconds or 0:5.1f} s" if record.answered else "       "
    return (
        f"{call.masked:<16} {call.channel:<10} {record.sip_status or '—'!s:<4} {record.category or '—':<15} "
        f"{talk} {code or '—':<24} tape {tape}"
    )


def _placement_table(placement: PlacementReport) -> Table:
    table = Table(title=f"\nCoverage 覆盖率 · {placement.name}", title_justify="left")
    for column in ("rows", "cases", "numbers", "permitted", "attempted", "refused"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_row(
        str(placement.rows),
        str(placement.cases),
        str(placement.numbers),
        str(placement.permitted),
        str(placement.attempted),
        str(len(placement.refused)),
    )
    for rule, count in Counter(one.rule for one in placement.refused).most_common():
        table.add_row("", "", "", "", f"[dim]{rule}[/]", f"[dim]{count}[/]")
    return table


def _show_rejected(console: Console, placement: PlacementReport) -> None:
    rejected = placement.rejected
    if not rejected:
        return
    console.print(f"[yellow]{len(rejected)} rows or fields did not go in:[/]")
    for one in rejected[:_SHOWN]:
        what = "row refused" if one.whole_row else "field refused"
        console.print(f"  row {one.row}, {one.field}: {one.problem} (got {one.shape}) — {what}. {one.remedy}")
    if len(rejected) > _SHOWN:
        console.print(f"  … and {len(rejected) - _SHOWN} more: see --json")


def _counts(title: str, counts: dict[str, int]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left")
    table.add_column("outcome", overflow="fold")
    table.add_column("calls", justify="right")
    for name, count in counts.items():
        table.add_row(name, str(count))
    return table


def _actions_table(report: SweepReport) -> Table:
    table = Table(title="\nNext actions 下一步", title_justify="left")
    for column in ("action", "cases", "earliest", "latest", "owner"):
        table.add_column(column, overflow="fold")
    kinds: dict[tuple[str, str, str, str], int] = {}
    for one in report.next_actions:
        key = (one.action, f"{one.earliest:%Y-%m-%d}", f"{one.latest:%Y-%m-%d}", one.owner)
        kinds[key] = kinds.get(key, 0) + 1
    for (action, earliest, latest, owner), count in sorted(kinds.items(), key=lambda item: (item[0][2], item[0])):
        table.add_row(action, str(count), earliest, latest, owner)
    return table
