"""The house a fault drive's node opens: the product's own centre over a begun engine; only its collectors are simulated."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from case_store.intake.placement import parse_placement
from case_store.model import Channel
from case_store.outcomes import NewOutcome
from case_store.sweep import Campaign
from config.clock import Clock
from config.errors import OnrecordError
from config.settings import ClientSettings, Settings
from dialer.centre import CallToConclude, Centre, CentreParts
from dialer.dialing import DialPlan
from dialer.engine import SipEngine
from dialer.simulated.collector import conclude
from dialer.switchboard import CallInFlight
from tests.faults.plan import Plan


async def collect(call: CallToConclude) -> NewOutcome:
    said = conclude(channel=Channel(call.channel), balance=call.balance, heard=None)
    return NewOutcome(
        case_id=call.case_id,
        code=said.outcome,
        agent_id=call.agent_id,
        call_id=call.call_id,
        number_id=call.number_id,
        note=said.said,
    )


async def run(folder: Path, plan: Plan, settings: Settings, clock: Clock, engine: SipEngine) -> None:
    """Until the sweep is finished and every call sealed. ``engine`` has begun."""
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    parts = CentreParts(engine=engine, clock=clock, concluder=collect, people=False, kept_tapes=kept)
    async with Centre.open(settings, parts) as centre:
        await centre.open_floor()
        campaign = await _campaign(centre, folder)
        talking = asyncio.create_task(_collectors(centre, plan))
        await centre.start_campaign(
            campaign.id, DialPlan(lines=plan.agents, ring_seconds=15, set_up_seconds=30, redials=False)
        )
        while (await centre.store.sweep.get(campaign.id)).state != "finished":  # noqa: ASYNC110  # the store tells nobody
            await asyncio.sleep(0.5)
        await centre.switchboard.quiet()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


async def _campaign(centre: Centre, folder: Path) -> Campaign:
    """The one an earlier start made, or a new one."""
    if known := await centre.store.sweep.all():
        return known[0]
    parsed = parse_placement(folder / "numbers.csv", ClientSettings(name="fault-bank"))
    loaded = await centre.store.placements.load(parsed, centre.clock.now())
    return await centre.create_campaign("faults", [loaded.placement_id])


async def _collectors(centre: Centre, plan: Plan) -> None:
    """They hold the line where the plan says so, and hang up when everything is said."""
    held: dict[str, int] = {}
    while True:
        now = time.monotonic()
        for call in list(centre.switchboard):
            if call.answered_mono is not None and call.leg is not None:
                with suppress(OnrecordError):  # it ended in this very moment
                    await _tend(centre, plan, call, now - call.answered_mono, held)
        await asyncio.sleep(0.1)


async def _tend(centre: Centre, plan: Plan, call: CallInFlight, talked: float, held: dict[str, int]) -> None:
    one = plan.callees[call.order.callee]
    assert call.leg is not None
    if talked > one.seconds + (3.0 if one.way == "hangs-up" else 0.0):
        await centre.switchboard.hang_up(call)
    elif one.way == "near-hold":
        step = (talked > one.seconds * 0.4) + (talked > one.seconds * 0.7)
        if step > held.get(call.call_id, 0):
            held[call.call_id] = step
            await centre.engine.hold(call.leg, step == 1)
