"""The engine of a fault drive's node, begun: it ends the lines the last node left up while the house is still being loaded."""

from __future__ import annotations

from pathlib import Path

from dialer.engines.sip.engine import SipTrunkEngine
from dialer.engines.sip.first_words import FirstWords
from dialer.media.client import MediaRelay
from tests.faults.plan import Plan
from tests.faults.set_clock import SetClock


async def run(folder: Path, first_words: FirstWords) -> None:
    plan = Plan.read(folder)
    settings, clock = plan.settings(folder), SetClock(folder / "clock")
    engine = SipTrunkEngine(settings, clock, MediaRelay.from_settings(settings), first_words=first_words)
    engine.begin()
    from tests.faults import house  # the whole centre: it takes longer to load than all before

    await house.run(folder, plan, settings, clock, engine)
