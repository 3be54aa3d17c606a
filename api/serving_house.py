"""The whole node behind ``onrecord serve``: what takes its time to load."""

from __future__ import annotations

import asyncio
from typing import Any

from api.centre_floor import CentreFloor
from api.centre_house import CentreCampaigns, plan_of
from api.serving import serve_doors
from api.store_house import house_over
from case_store.store import CaseStore
from config.clock import SystemClock
from config.settings import Settings
from dialer.centre import Centre, CentreParts
from dialer.engine import SipEngine
from dialer.followup import follow_up_over
from dialer.schedule import Scheduler, run_beside


async def serve_house(settings: Settings, ready: Any) -> None:
    """The doors, and the clock that settles promises and raises what is due: no trunk, no dialing."""
    store = await CaseStore.open(settings.store.url)
    try:
        clock = SystemClock()
        scheduler = Scheduler(store, follow_up_over(store, settings), clock, f"{settings.vault.node}-doors")
        looking = asyncio.create_task(run_beside(scheduler), name="scheduler")
        try:
            await serve_doors(house_over(store, settings, clock), ready=ready)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    finally:
        await store.close()


async def serve_centre(settings: Settings, engine: SipEngine, ready: Any) -> None:
    """With a trunk this process dials too: the centre and its doors, ended together. ``engine`` may have begun."""
    clock = SystemClock()
    async with Centre.open(settings, CentreParts(engine=engine, clock=clock)) as centre:
        await centre.open_floor()
        await centre.resume_campaigns(plan_of(centre))
        house = house_over(
            centre.store,
            settings,
            clock,
            campaigns=CentreCampaigns(centre),
            calling=centre,
            floor=CentreFloor(centre),
            registry=centre.registry,
        )
        await serve_doors(house, ready=ready)
