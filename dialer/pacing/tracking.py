"""A rate that may jump: several memories side by side, each believed as far as it predicted well of late.

Used for the answer chance (events: answers; exposure: answers expected at chance 1) and for the pace at which
talks end (events: ends; exposure: agent-seconds). Both are "events per exposure" and both can halve within a
minute; one memory is either slow or noisy.
"""

from __future__ import annotations

import math
from typing import Any

MEMORIES = (25.0, 80.0, 250.0, 800.0, 2500.0)  # in events
_FORGET = 0.995  # of the evidence for each memory, an event
_SHARE = 0.003  # of the belief shared out evenly, an event: lets a memory come back after a jump


class RateTracker:
    """Events per unit of exposure. ``first`` is the guess before any event, worth ``weight`` events."""

    def __init__(self, first: float, weight: float = 1.0, memories: tuple[float, ...] = MEMORIES) -> None:
        self._memories = memories
        self._events = [weight] * len(memories)
        self._exposure = [weight / first] * len(memories)
        self._log_belief = [0.0] * len(memories)
        self._rates = [first] * len(memories)
        self.rate = first
        self.seen = 0.0  # events in all

    def observe(self, events: float, exposure: float) -> None:
        """So many events in so much exposure, since the last call."""
        if exposure <= 0.0 and events <= 0.0:
            return
        exposure = max(exposure, 1e-9)
        passed = min(1.0, self.rate * exposure)
        forget = _FORGET**passed
        beliefs, rates = self._log_belief, self._rates
        for index, rate in enumerate(rates):
            beliefs[index] = beliefs[index] * forget + events * math.log(rate) - rate * exposure
        top = max(beliefs)
        weights = [math.exp(max(belief - top, -30.0)) for belief in beliefs]
        total = sum(weights)
        even = _SHARE * passed / len(weights)
        weights = [(1.0 - _SHARE * passed) * weight / total + even for weight in weights]
        self._log_belief = [math.log(weight) for weight in weights]
        self.seen += events
        longer = self.rate
        blend = 0.0
        for index in range(len(self._memories) - 1, -1, -1):
            keep = math.exp(-passed / self._memories[index])
            self._events[index] = self._events[index] * keep + events
            self._exposure[index] = self._exposure[index] * keep + exposure
            # each shorter memory leans on the next longer one with the weight of one event
            longer = (self._events[index] + 1.0) / (self._exposure[index] + 1.0 / longer)
            rates[index] = longer
            blend += weights[index] * longer
        self.rate = blend

    def as_record(self) -> dict[str, Any]:
        return {
            "memories": list(self._memories),
            "events": list(self._events),
            "exposure": list(self._exposure),
            "log_belief": list(self._log_belief),
            "rates": list(self._rates),
            "rate": self.rate,
            "seen": self.seen,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RateTracker:
        made = cls(1.0, memories=tuple(record["memories"]))
        made._events, made._exposure = list(record["events"]), list(record["exposure"])
        made._log_belief, made._rates = list(record["log_belief"]), list(record["rates"])
        made.rate, made.seen = record["rate"], record["seen"]
        return made
