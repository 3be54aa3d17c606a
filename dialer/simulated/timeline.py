"""One thread, one epoll, one heap of timers: everything a simulated peer does happens here.

Not asyncio: a hundred calls are five thousand packets a second, and a peer under test must not be the slow one.
"""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Protocol


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class Timer:
    """A thing to do at a monotonic time, unless cancelled."""

    __slots__ = ("action", "at", "cancelled")

    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timeline:
    """``run`` until ``stop``. Times are ``time.monotonic`` seconds."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False
        self.now = time.monotonic()

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        return self.at(time.monotonic() + seconds, action)

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        timer = Timer(when, action)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def read(self, source: _HasFileno, action: Callable[[], None]) -> None:
        self._readers[source.fileno()] = action
        self._epoll.register(source.fileno(), select.EPOLLIN)

    def forget(self, source: _HasFileno) -> None:
        """Before the source is closed."""
        if self._readers.pop(source.fileno(), None) is not None:
            self._epoll.unregister(source.fileno())

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        while not self._stopped:
            self.turn()

    def turn(self, at_most: float = 1.0) -> None:
        """Wait for the next datagram or timer and serve what is due."""
        wait = at_most if not self._heap else min(max(self._heap[0][0] - time.monotonic(), 0.0), at_most)
        for descriptor, _ in self._epoll.poll(wait):
            reader = self._readers.get(descriptor)
            if reader is not None:
                reader()
        self.now = time.monotonic()
        while self._heap and self._heap[0][0] <= self.now:
            timer = heapq.heappop(self._heap)[2]
            if not timer.cancelled:
                timer.action()

    def close(self) -> None:
        self._epoll.close()
