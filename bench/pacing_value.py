"""What a day of the Markov version was worth, as the optimum's own values judge every state it went through.

In that version ringing, talk and wrap-up have no memory: after every state the mean of what comes is known, whatever the
seed. Along any trajectory ``V(now) - V(start)`` less what was to be expected of it at every moment is a martingale, 0 on
average for any function V and any pacer (Dynkin's formula; Henderson & Glynn 2002 make a control variate of it). With V of
the optimum hardly anything but what the pacer's own decisions lost is left: days whose utilisation differs by a point by
chance differ by some hundredths of one. The estimate is without bias even where V is not exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialer.pacing.bound import MarkovFloor, finish, search, values
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.scenario import Scenario
from dialer.pacing.state import Pace, PacingEvent

_SHARE = 0.027  # of answers dropped, at which the optimum's values are taken: near what pacers realise
_ROOMY = 3  # times the calls that are ever worth it: a pacer that has yet to learn may ring so many
_FEWEST = 8  # days
MOST_AGENTS = 10  # with more the optimum is known with talk and wrap-up merged only


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """``value[talking, wrapping, ringing]`` in seconds of utilisation; ``drift``: what a second in that state is worth, the
    mean change of the value included; ``price``: of a drop, in seconds of utilisation."""

    value: NDArray[np.float64]
    drift: NDArray[np.float64]
    price: float


class Worth(NamedTuple):
    """Of one day: the mean a second of utilisation and of ``price`` for every drop less than the share of ``_SHARE``; the
    answers and drops that were to be expected of what rang."""

    gain: float
    answers: float
    drops: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """In %: utilisation and its standard error, and the share of answers whose drop was to be expected."""

    mean: float
    se: float
    dropped: float


@functools.lru_cache(maxsize=16)
def values_of(agents: int, rate: float) -> Values:
    floor = MarkovFloor(agents=agents, answer_rate=rate, abandonment=_SHARE)
    floor = replace(floor, most=_ROOMY * floor.most_ringing())
    merged = replace(floor, merged=True)
    price = finish(search(merged if agents > 5 else floor, tolerance=1e-4)).price
    value, drift = values(floor, price, tolerance=1e-4)
    return Values(value=value, drift=drift, price=price)


class ValuedFloor(FastFloor):
    """A ``FastFloor`` of the Markov version that keeps account of what its day was worth."""

    def __init__(self, scenario: Scenario, seed: int, values: Values) -> None:
        self._values = values
        self._worth = self._answers_expected = self._drops_expected = 0.0
        self._answers_each = scenario.answer_rate / scenario.ring  # a second, of a call that rings
        super().__init__(scenario, seed)

    def carry_out(self, pace: Pace, now: float) -> list[PacingEvent]:
        self._reach(now)
        before = float(self._values.value[self._state()])
        events = super().carry_out(pace, now)
        self._worth += float(self._values.value[self._state()]) - before
        return events

    def worth(self, end: float) -> Worth:
        """Of the day until ``end`` (seconds)."""
        self._reach(end)
        value = self._values.value
        ends = float(value[0, 0, 0] - value[self._state()])
        return Worth((self._worth + ends) / end, self._answers_expected, self._drops_expected)

    def _reach(self, now: float) -> None:
        spell = now - self.now
        if spell > 0.0:
            state = self._state()
            answers = spell * state[2] * self._answers_each
            self._answers_expected += answers
            if not self._idle:
                self._drops_expected += answers
            self._worth += spell * float(self._values.drift[state])
        super()._reach(now)

    def _state(self) -> tuple[int, int, int]:
        return len(self._talk_start), len(self._wrap_start), len(self._ringing)


def judged(days: Sequence[Worth], values: Values, seconds: float) -> Judged | None:
    """Days of so many ``seconds`` together; None where there are too few for a standard error."""
    if len(days) < _FEWEST:
        return None
    gains, answers, drops = (np.array(one) for one in zip(*days, strict=True))
    share = float(drops.sum() / answers.sum())
    credit = values.price * (_SHARE - share) * float(answers.mean()) / seconds
    return Judged(
        mean=100.0 * (float(gains.mean()) - credit),
        se=100.0 * float(gains.std(ddof=1)) / math.sqrt(len(days)),
        dropped=100.0 * share,
    )
