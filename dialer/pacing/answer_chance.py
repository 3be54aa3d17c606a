"""Each number's own answer chance, learnt from every outcome: who is dialed, when, over which carrier.

A logistic model over categories with a Gaussian belief for each weight, updated once an outcome (an extended
Kalman step on the diagonal). A category never seen weighs nothing; one seen often moves little. What it says goes
into ``FloorView.next_chance`` and, as it was when the call was placed, into ``ringing_chance``; the pacer still
learns a common factor on top, so a wrong level costs little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from config.errors import BadInput

_PRIOR_LEVEL = 0.0  # log-odds: 0.5, pessimistic is high
_LEVEL_VARIANCE = 4.0
_WEIGHT_VARIANCE = 0.5
_DRIFT = 2e-5  # variance a weight regains with each outcome it takes part in: yesterday tells less than today
_LOWEST, _HIGHEST = 0.002, 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberFacts:
    """What is known of a number before it is dialed; nothing in it identifies the person.

    ``hour`` is the callee's local hour (0-23), ``silent_attempts`` dials without an answer since the last one
    answered, ``answered_before`` whether it ever was.
    """

    hour: int
    number_type: str = "unknown"  # mobile, workplace, home, ...
    carrier: str = "unknown"
    silent_attempts: int = 0
    answered_before: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.hour <= 23:
            raise BadInput("not an hour", field="hour", shape=str(self.hour), remedy="0 to 23, the callee's local time")
        if self.silent_attempts < 0:
            raise BadInput("below zero", field="silent_attempts", shape="negative", remedy="0 or more")

    def categories(self) -> tuple[str, ...]:
        silent = (
            str(self.silent_attempts) if self.silent_attempts < 3 else ("3-5" if self.silent_attempts < 6 else "6+")
        )
        return (
            "level",
            f"hour {self.hour}",
            f"type {self.number_type}",
            f"carrier {self.carrier}",
            f"history {'answered' if self.answered_before else 'never'} {silent}",
            f"type {self.number_type} hour {self.hour // 3}",
        )


class AnswerChance:
    """``chance`` before the call, ``observe`` after it."""

    def __init__(self) -> None:
        self._weights: dict[str, tuple[float, float]] = {}  # mean, variance

    def chance(self, facts: NumberFacts) -> float:
        """P(a person answers), averaged over what is uncertain."""
        mean, variance = self._sum(facts.categories())
        shrunk = mean / math.sqrt(1.0 + math.pi / 8.0 * variance)
        return min(_HIGHEST, max(_LOWEST, _logistic(shrunk)))

    def observe(self, facts: NumberFacts, answered: bool) -> None:
        """The outcome of a call that rang to its end; do not report calls that were given up."""
        names = facts.categories()
        mean, variance = self._sum(names)
        likely = _logistic(mean)
        slope = max(likely * (1.0 - likely), 1e-4)
        gain = 1.0 / (1.0 / slope + variance)  # precision of the outcome, in log-odds
        surprise = (float(answered) - likely) / slope
        for name in names:
            weight, doubt = self._weight(name)
            weight += doubt * gain * surprise
            doubt = doubt * (1.0 - doubt * gain) + _DRIFT
            self._weights[name] = (weight, doubt)

    def _sum(self, names: tuple[str, ...]) -> tuple[float, float]:
        pairs = [self._weight(name) for name in names]
        return sum(mean for mean, _ in pairs), sum(doubt for _, doubt in pairs)

    def _weight(self, name: str) -> tuple[float, float]:
        found = self._weights.get(name)
        if found is not None:
            return found
        return (_PRIOR_LEVEL, _LEVEL_VARIANCE) if name == "level" else (0.0, _WEIGHT_VARIANCE)

    def as_record(self) -> dict[str, Any]:
        return {name: list(pair) for name, pair in self._weights.items()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> AnswerChance:
        made = cls()
        made._weights = {name: (pair[0], pair[1]) for name, pair in record.items()}
        return made


def _logistic(value: float) -> float:
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)
