"""Time as a dependency: production, the demo and simulations run the same code on different clocks."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from config.errors import InvariantBroken


class Alarm(Protocol):
    """What ``call_later`` gives; cancelled, it does nothing."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """``now`` is aware UTC; ``monotonic`` is seconds and never steps back. ``call_later`` calls on the running loop, without
    a task of its own."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def call_later(self, seconds: float, act: Callable[[], None]) -> Alarm: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, act: Callable[[], None]) -> Alarm:
        return asyncio.get_running_loop().call_later(seconds, act)


class ShiftedClock:
    """Runs at wall speed from a chosen instant; ``advance_to`` jumps forward (the demo skips its nights)."""

    def __init__(self, start: datetime) -> None:
        self._offset = _aware(start) - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, act: Callable[[], None]) -> Alarm:
        return asyncio.get_running_loop().call_later(seconds, act)

    def advance_to(self, instant: datetime) -> None:
        ahead = _aware(instant) - self.now()
        if ahead > timedelta(0):
            self._offset += ahead


class _Sleeper:
    """Somebody who waits for an instant: woken once, unless cancelled."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None] | None) -> None:
        self.act = act

    def cancel(self) -> None:
        self.act = None


class VirtualClock:
    """Stands still until ``advance``; sleepers wake in due order. For simulations and tests.

    ``in_memory``: no socket, thread or process can wake anything on this loop, so that time may go on as soon as
    nothing is left to run; otherwise a few turns of the loop are waited in any case.
    """

    def __init__(self, start: datetime, *, in_memory: bool = False) -> None:
        self._start = _aware(start)
        self._in_memory = in_memory
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, _Sleeper]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = self.call_later(seconds, lambda: waiter.set_result(None))
        try:
            await waiter
        finally:
            sleeper.cancel()  # whoever is cancelled in its sleep is waited for no more

    def call_later(self, seconds: float, act: Callable[[], None]) -> _Sleeper:
        sleeper = _Sleeper(act)
        heapq.heappush(self._sleepers, (self._elapsed + max(0.0, seconds), next(self._order), sleeper))
        return sleeper

    def next_due(self) -> float | None:
        """Seconds on the monotonic scale at which the next sleeper wakes, or None."""
        while self._sleepers and self._sleepers[0][2].act is None:
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Move forward, waking each sleeper at its own instant."""
        target = self._elapsed + seconds
        await self._settle()
        while (due := self.next_due()) is not None and due <= target:
            self._elapsed = due
            act = heapq.heappop(self._sleepers)[2].act
            if act is not None:
                act()
            await self._settle()
        self._elapsed = target
        await self._settle()

    async def _settle(self) -> None:
        # Long enough for a chain of event, reaction and next event to run through before time goes on.
        ready = getattr(asyncio.get_running_loop(), "_ready", None) if self._in_memory else None
        for _ in range(12):
            if ready is not None and not ready:  # only this task runs, and nothing is scheduled
                return
            await asyncio.sleep(0)


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise InvariantBroken("a naive time reached the clock", remedy="attach a time zone where it is made")
    return instant.astimezone(UTC)
