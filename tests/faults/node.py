"""The node of a fault drive: ``python -m tests.faults.node FOLDER``. The product's own centre, engine, relay and workers.

Started again after each kill, as a supervisor does, it ends the lines the last one left up (first of all, as ``onrecord
serve`` does), recovers, resumes its campaign and ends with 0 when the sweep is finished and every call sealed. Its wall
clock stands in ``FOLDER/clock``, set by the drive at any moment.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

from dialer.engines.sip import SipTrunkEngine
from dialer.media.client import MediaRelay
from tests.faults.plan import Plan

SHIFT = struct.Struct("<d")


class SetClock:
    """The machine's wall clock, off by the seconds that stand in a shared file at this very moment."""

    def __init__(self, place: Path) -> None:
        with place.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SHIFT.size)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=SHIFT.unpack_from(self._map)[0])

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def run(folder: Path) -> None:
    plan = Plan.read(folder)
    settings, clock = plan.settings(folder), SetClock(folder / "clock")
    engine = SipTrunkEngine(settings, clock, MediaRelay.from_settings(settings))
    engine.begin()
    await import_module("tests.faults.house").run(folder, plan, settings, clock, engine)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
