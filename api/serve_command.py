"""``onrecord serve``: the doors, and with a trunk the dialer behind them.

What a crash left on the lines is ended first: by the first words (see ``entry``), then by signalling, which is loaded and
awake in a fraction of the time the whole node takes.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from api.dialog_journal import with_dialog_journal
from api.speaking import Json, say
from config.clock import SystemClock
from config.settings import Settings, load_settings
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.engines.sip.first_words import FirstWords
from dialer.media.client import MediaRelay


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: web.host")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: web.port; 0: any free port")] = None,
    as_json: Json = False,
) -> None:
    """Open the doors: the page for people, HTTP and WebSocket for programs."""
    settings = load_settings()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"web": settings.web.model_copy(update=given)})

    def ready(url: str) -> None:
        say(as_json, {"url": url}, lambda console: console.print(f"onrecord listens on {url}"))
        sys.stdout.flush()

    asyncio.run(_serve(settings, ready, context.obj))


async def _serve(settings: Settings, ready: Any, first_words: FirstWords | None) -> None:
    if not settings.trunks:
        await import_module("api.serving_house").serve_house(settings, ready)
        return
    settings = with_dialog_journal(settings)
    engine = SipTrunkEngine(settings, SystemClock(), MediaRelay.from_settings(settings), first_words=first_words)
    engine.begin()
    await import_module("api.serving_house").serve_centre(settings, engine, ready)
