"""How a command speaks: tables for people, one JSON object for programs, problems with their remedy on stderr.

Exit codes: 0 done, 1 something is not healthy or not clean, 2 the input is at fault, 70 our own fault.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, SecretStr
from rich.console import Console
from rich.table import Table

from config.errors import BadInput, InvariantBroken, OnrecordError, Refused

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")]

_PIPE_COLUMNS = 200
_IN_ONE_PIECE = frozenset({"id", "user name"})

DONE, NOT_HEALTHY, BAD_INPUT, OUR_FAULT = 0, 1, 2, 70


def say(as_json: bool, facts: Any, people: Callable[[Console], None]) -> None:
    """Print ``facts`` as JSON, or let ``people`` draw it."""
    if as_json:
        sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=2, default=plain) + "\n")
    else:
        console = Console()
        # Into a pipe or a file nothing is cut to a terminal's width that is not there.
        people(console if console.is_terminal else Console(width=max(console.width, _PIPE_COLUMNS)))


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    drawn = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for head in heads:
        # What the next command wants to be given stays in one piece; everything else is folded, never cut.
        drawn.add_column(head, no_wrap=head in _IN_ONE_PIECE, overflow="fold")
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    return drawn


def plain(value: object) -> Any:
    """What JSON cannot say by itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | Path | StrEnum):
        return str(value)
    if isinstance(value, SecretStr):
        return "hidden" if value.get_secret_value() else ""
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    raise InvariantBroken(f"{type(value).__name__} has no JSON form", remedy="give it one in api.speaking.plain")


def exit_code(error: OnrecordError) -> int:
    """2 for input and refusals (another input would do), 1 for what is not healthy, 70 for our own fault."""
    if isinstance(error, BadInput | Refused):
        return BAD_INPUT
    return OUR_FAULT if isinstance(error, InvariantBroken) else NOT_HEALTHY


def complain(error: OnrecordError, as_json: bool) -> int:
    """Say on stderr what is wrong and what to do; with ``--json`` as an object. Returns the exit code."""
    if as_json:
        sys.stderr.write(json.dumps({"error": error.as_problem()}, ensure_ascii=False) + "\n")
    else:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        where = f"{error.field}: " if error.field else ""
        got = f" (got {error.shape})" if error.shape else ""
        console.print(f"[bold red]error[/] {_safe(where + error.problem + got)} [dim]\\[{error.error_id}][/]")
        console.print(f"[bold]what to do[/] {_safe(error.remedy)}")
    return exit_code(error)


def _safe(text: str) -> str:
    return text.replace("[", "\\[")
