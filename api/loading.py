"""What every command that loads a file shows: a bar, every row's fate, and whose words the header is read in."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EISDIR
from os import strerror
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from case_store.bank_files import FileReport
from case_store.intake.placement import shielded
from case_store.placements import ImportReport, RowFate
from config.errors import BadInput, describe_shape
from config.settings import Settings

_HEAD = ("row", "case_ref", "fate", "numbers", "fields", "problems", "remedies")


def loading_bar(as_json: bool) -> Progress:
    """On a terminal's standard error; nothing at all beside ``--json``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=as_json,
        transient=True,
    )


def say_if_unknown(settings: Settings, client: str, as_json: bool) -> None:
    """A house without clients in its settings takes any name: it says so, and how it reads the file then."""
    if settings.clients or as_json:
        return
    Console(stderr=True).print(
        f"No client is in settings: the file is read as {escape(client)!r} with plain headers, numbers of region CN and "
        f'the usual order of channels. \\[\\[clients]] name = "{escape(client)}" in onrecord.toml settles it.'
    )


def must_be_writable(path: Path, option: str) -> None:
    """Asked before a file is loaded: what it refuses cannot be told a second time. Raises ``BadInput``."""
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, strerror(EISDIR))
        probe = path.with_name(f".{path.name}.partial")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})",
            field=option,
            shape=describe_shape(str(path)),
            remedy="name a file in a folder that exists and may be written",
        ) from error


def keep_rejects(report: ImportReport | FileReport, path: Path | None) -> Path | None:
    """Write what was refused; where the file was loaded before, its rows are not known again and ``path`` stays as it is."""
    if path is None or report.already_loaded:
        return None
    report.write_rejects(path)
    return path


@contextmanager
def row_report(path: Path) -> Iterator[Callable[[RowFate], None]]:
    """Write each row's fate as it is known; nothing is held. A reader never finds half a file."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_HEAD)

        def write(fate: RowFate) -> None:
            parts = ("; ".join(getattr(one, name) for one in fate.reasons) for name in ("field", "problem", "remedy"))
            writer.writerow((fate.row, shielded(fate.case_ref), fate.fate, fate.numbers, *map(shielded, parts)))

        yield write
    partial.replace(path)
