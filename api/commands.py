"""The command line: ``onrecord``. Every command takes ``--json``; problems go to stderr with their remedy.

A command pays only for what it needs: its module is imported when its word is on the line, all of them for the help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from typer.exceptions import TyperException

from api.speaking import OUR_FAULT, Json, complain
from config.errors import BadInput, OnrecordError

# The module in ``api`` that registers each word.
_MODULES = {
    "serve": "serve_command",
    "demo": "demo_command",
    "import": "import_command",
    "doctor": "doctor_command",
    "campaign": "campaign_commands",
    "agent": "agent_commands",
    "desk": "desk_commands",
    "simulate": "simulate_commands",
    "workflow": "workflow_commands",
    "agenda": "workflow_commands",
    "approvals": "approval_commands",
    "verify": "proof_commands",
    "reconcile": "proof_commands",
    "retain": "proof_commands",
    "export": "proof_commands",
    "evidence": "proof_commands",
    "anchor": "proof_commands",
    "keys": "proof_commands",
    "hold": "proof_commands",
    "mask": "proof_commands",
    "payments": "bank_file_commands",
    "update": "bank_file_commands",
    "recall": "bank_file_commands",
    "history": "bank_file_commands",
    "results": "bank_file_commands",
    "coverage": "bank_file_commands",
}


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command line as far as ``words`` need it."""
    app = typer.Typer(
        name="onrecord",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Every call on the record: SIP dialer and call recorder for a collections call centre.",
    )
    app.callback()(_root)
    word = next((one for one in words if not one.startswith("-")), "")
    wanted = [_MODULES[word]] if word in _MODULES else list(dict.fromkeys(_MODULES.values()))
    for module in wanted:
        import_module(f"api.{module}").register(app)
    return app


def _root(as_json: Json = False) -> None:
    """``--json`` before the command means the same as after it; ``main`` moves it there."""


def run(arguments: Sequence[str], first_words: Any = None) -> int:
    """Run one command; returns the exit code. ``first_words`` (``dialer.engines.sip.first_words``) are for ``serve`` to take over."""
    words = _with_config(list(arguments))
    as_json = "--json" in words
    if words[:1] == ["--json"]:
        words = [*words[1:], "--json"] if len(words) > 1 else words
    try:
        code = typer.main.get_command(app_for(words)).main(
            words, prog_name="onrecord", standalone_mode=False, obj=first_words
        )
    except OnrecordError as error:
        return complain(error, as_json)
    except typer.Abort:
        return 130
    except typer.Exit as asked:
        return asked.exit_code
    except KeyboardInterrupt:
        return 130
    except TyperException as error:
        return complain(_as_bad_input(error, words), as_json)
    return code if isinstance(code, int) else 0


def _with_config(words: list[str]) -> list[str]:
    """``--config FILE`` anywhere names the settings file of this run."""
    if "--config" not in words:
        return words
    at = words.index("--config")
    file = words[at + 1] if at + 1 < len(words) else ""
    os.environ["ONRECORD_CONFIG"] = file
    return words[:at] + words[at + 2 :]


def _as_bad_input(error: TyperException, words: Sequence[str]) -> BadInput:
    said = getattr(error, "format_message", lambda: str(error))()
    parameter = getattr(error, "param", None)
    context = getattr(error, "ctx", None)
    command = context.command_path.removeprefix("onrecord").strip() if context is not None else ""
    return BadInput(
        said.rstrip(".") or "no command",
        field=getattr(parameter, "name", None),
        remedy=f"see onrecord {command} --help".replace("  ", " "),
    )


def main(first_words: Any = None) -> None:
    """The entry point. A fault of ours leaves a traceback and exit code 70."""
    try:
        code = run(sys.argv[1:], first_words)
    except Exception:
        Console(stderr=True).print_exception()
        code = OUR_FAULT
    raise SystemExit(code)
