"""How often a log-in may fail. Pure: time comes in as an argument, memory is bounded."""

from __future__ import annotations

from collections import OrderedDict, deque

_MOST_KEYS = 10_000


class Throttle:
    """At most ``failures`` per key within ``window_seconds``. The oldest keys are forgotten beyond 10,000."""

    def __init__(self, failures: int, window_seconds: float) -> None:
        self._failures = failures
        self._window = window_seconds
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, key: str, now: float) -> float:
        """0 when another attempt may be made now, else how long to wait."""
        failed = self._failed.get(key)
        if failed is None:
            return 0.0
        while failed and failed[0] <= now - self._window:
            failed.popleft()
        if len(failed) < self._failures:
            return 0.0
        return failed[0] + self._window - now

    def fail(self, key: str, now: float) -> None:
        failed = self._failed.setdefault(key, deque(maxlen=self._failures))
        failed.append(now)
        self._failed.move_to_end(key)
        while len(self._failed) > _MOST_KEYS:
            self._failed.popitem(last=False)

    def succeed(self, key: str) -> None:
        self._failed.pop(key, None)
