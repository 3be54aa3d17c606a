"""So many a second, with a little saved up. Pure: time comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """``rate`` tokens a second, at most ``depth`` saved up; starts full."""

    rate: float
    depth: float
    tokens: float
    at: float

    @staticmethod
    def full(rate: float, now: float) -> TokenBucket:
        depth = max(1.0, rate)
        return TokenBucket(rate=rate, depth=depth, tokens=depth, at=now)

    def _fill(self, now: float) -> None:
        self.tokens = min(self.depth, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = max(self.at, now)

    def ready(self, now: float) -> bool:
        self._fill(now)
        return self.tokens >= 1.0 - 1e-9

    def take(self, now: float) -> None:
        self._fill(now)
        self.tokens -= 1.0

    def wait(self, now: float) -> float:
        self._fill(now)
        return max(0.0, (1.0 - self.tokens) / self.rate)
