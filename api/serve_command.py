"""``onrecord serve``: the doors, and with a trunk the dialer behind them."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer

from api.centre_house import CentreCampaigns, plan_of
from api.serving import serve_doors
from api.speaking import Json, say
from api.store_house import house_over
from case_store.store import CaseStore
from config.clock import SystemClock
from config.settings import Settings, load_settings
from dialer.centre import Centre, CentreParts
from dialer.engines.sip import SipTrunkEngine
from dialer.media.client import MediaRelay


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
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

    asyncio.run(_serve(settings, ready))


async def _serve(settings: Settings, ready: Any) -> None:
    if settings.trunks:
        await _serve_centre(settings, ready)
        return
    store = await CaseStore.open(settings.store.url)
    try:
        await serve_doors(house_over(store, settings, SystemClock()), ready=ready)
    finally:
        await store.close()


async def _serve_centre(settings: Settings, ready: Any) -> None:
    """With a trunk this process dials too: the centre and its doors, ended together."""
    clock = SystemClock()
    settings = with_dialog_journal(settings)
    engine = SipTrunkEngine(settings, clock, MediaRelay.from_settings(settings))
    async with Centre.open(settings, CentreParts(engine=engine, clock=clock)) as centre:
        await centre.open_floor()
        await centre.resume_campaigns(plan_of(centre))
        house = house_over(
            centre.store, settings, clock, campaigns=CentreCampaigns(centre), calling=centre, registry=centre.registry
        )
        await serve_doors(house, ready=ready)


def with_dialog_journal(settings: Settings) -> Settings:
    """A node always knows which lines it has up, so that its next start ends what a crash left: beside the tapes by default."""
    if settings.sip.journal is not None:
        return settings
    place = settings.recording.directory.parent / "dialogs.journal"
    return settings.model_copy(update={"sip": settings.sip.model_copy(update={"journal": place})})
