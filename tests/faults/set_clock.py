"""A wall clock that a fault drive sets at any moment: it stands in a file that the drive and its node share."""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.clock import Alarm

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

    def call_later(self, seconds: float, act: Callable[[], None]) -> Alarm:
        return asyncio.get_running_loop().call_later(seconds, act)
