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


def half_hour_began(clock: Clock) -> float:
    """When the half-hour of the clock under way began, in seconds of ``monotonic``. Zones a quarter of an hour off the
    world's hours take the world's."""
    return clock.monotonic() - clock.now().timestamp() % 1800.0


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
    """Stands still until ``advance`` or ``go_to``; sleepers wake in due order. For simulations and tests."""

    def __init__(self, start: datetime) -> None:
        self._start = self._now = _aware(start)
        self._elapsed = self._told = 0.0  # ``_now`` is the instant of ``_told``
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, _Sleeper]] = []

    def now(self) -> datetime:
        if self._told != self._elapsed:
            self._told = self._elapsed
            self._now = self._start + timedelta(seconds=self._elapsed)
        return self._now

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
        while self._wake_next(target):
            await self._settle()
        self._elapsed = target
        await self._settle()

    def go_to(self, target: float, settle: Callable[[], None]) -> None:
        """``advance`` for a loop that nothing outside can wake: ``settle`` runs it until nothing is left to run."""
        settle()
        while self._wake_next(target):
            settle()
        self._elapsed = target

    def _wake_next(self, target: float) -> bool:
        """The next sleeper due at ``target`` or before; False: there is none."""
        sleepers = self._sleepers
        while sleepers and sleepers[0][0] <= target:
            due, _, sleeper = heapq.heappop(sleepers)
            if (act := sleeper.act) is not None:
                self._elapsed = due
                act()
                return True
        return False

    async def _settle(self) -> None:
        # Long enough for a chain of event, reaction and next event to run through before time goes on.
        for _ in range(12):
            await asyncio.sleep(0)


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise InvariantBroken("a naive time reached the clock", remedy="attach a time zone where it is made")
    return instant.astimezone(UTC)
