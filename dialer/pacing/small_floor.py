"""The optimum itself, for a handful of agents whose customers' ringing has no memory.

With up to a dozen agents the problem of ``bound`` is small enough to be solved while the floor runs. Where ringing times
look exponential, the age of a call says nothing, and the state (talking, wrapping, ringing) is all there is to know:
then nothing beats the solution. (Where ages tell something, the hazard pacer's odds use them and this stands aside.)

The best policy within a share of drops alternates between two neighbours: one a little freer, one a little stricter
than the price at the optimum. An account of *expected* drops says which is due. The solution is worked out a few
sweeps a second, never at one stroke: a floor with media in its hands must not be held up.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialer.pacing.bound import MarkovFloor, neighbours

MOST_AGENTS = 12
_SLICE = 3  # pauses of 20 sweeps a sample: 2 to 11 ms
_MANY, _SLICE_OF_MANY = 3, 1  # agents; above, a pause is 2 to 11 ms alone
_PRICE_STEP = 1.1  # between the optimum's price and its neighbours'
_TOLERANCE = 2e-4  # of utilisation
_FINE, _COARSE = math.log(1.06), math.log(1.12)
_MOST_ACCOUNT = 3.0  # expected drops saved or owed
_KEPT = 400  # solutions
_MOST_RINGING = 2000  # calls at once that so few agents are ever worth; figures that want more are no floor's

Policy = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Pair:
    """``ring_up_to[talking, wrapping, ringing]`` of both neighbours, for ``agents``."""

    agents: int
    freer: Policy
    stricter: Policy


_Key = tuple[int, int, int, int, int, int]
_solved: dict[_Key, tuple[_Pair, int]] = {}  # with the slices it took: a known answer comes no earlier than a new one


class SmallFloor:
    """Told the figures of the floor at every sample; says how many calls should ring."""

    def __init__(self) -> None:
        self.account = 0.0
        self._pair: _Pair | None = None
        self._pair_key: _Key | None = None
        self._key: _Key | None = None
        self._work: Generator[None, None, _Pair] | None = None
        self._slices = 0

    def begin_anew(self) -> None:
        """Forget the solution, not the account: so that one restored from a record goes on as this one will."""
        account = self.account
        self.__init__()  # type: ignore[misc]  # a fresh one is just what is wanted
        self.account = account

    def consider(self, *, agents: int, chance: float, ring: float, talk: float, wrap: float, aim: float) -> None:
        """Work a little on the solution for these figures (chance 0 to 1, mean seconds, share of answers)."""
        key = (
            agents,
            _rounded(chance, _FINE, self._key, 1),
            _rounded(ring, _COARSE, self._key, 2),
            _rounded(talk, _COARSE, self._key, 3),
            _rounded(max(wrap, 0.5), _COARSE, self._key, 4),
            _rounded(aim, _COARSE, self._key, 5),
        )
        if key == self._pair_key:
            self._key, self._work = key, None
            return
        if (floor := _floor(key)).most_ringing() > _MOST_RINGING:
            self.begin_anew()
            return
        if key != self._key:
            self._key, self._slices = key, 0
            self._work = None if key in _solved else _solve(floor)
        self._slices += 1
        if self._work is None:
            pair, slices = _solved[key]
            if self._slices >= slices:
                self._pair, self._pair_key = pair, key
            return
        try:
            for _ in range(_SLICE if agents <= _MANY else _SLICE_OF_MANY):
                next(self._work)
        except StopIteration as done:
            if len(_solved) >= _KEPT:
                del _solved[next(iter(_solved))]
            _solved[key] = (done.value, self._slices)
            self._pair, self._pair_key, self._work = done.value, key, None

    def ready(self, agents: int) -> bool:
        return self._pair is not None and self._pair.agents == agents

    def ring_up_to(self, talking: int, wrapping: int, ringing: int, *, careful: bool) -> int:
        """How many calls should ring now, never fewer than do."""
        assert self._pair is not None
        policy = self._pair.freer if self.account > 0.0 and not careful else self._pair.stricter
        return max(ringing, int(policy[talking, wrapping, min(ringing, policy.shape[2] - 1)]))

    def passed(self, answers: float, drops: float, aim: float) -> None:
        """So many answers and drops were to be expected since the last sample."""
        self.account = min(_MOST_ACCOUNT, max(-_MOST_ACCOUNT, self.account + aim * answers - drops))

    def as_record(self) -> dict[str, Any]:
        return {"account": self.account}


def _rounded(value: float, step: float, before: _Key | None, place: int) -> int:
    """On a grid of ratios; what was said before stands while it is not further off than three quarters of a step."""
    exact = math.log(value) / step
    if before is not None and abs(exact - before[place]) < 0.75:
        return before[place]
    return round(exact)


def _floor(key: _Key) -> MarkovFloor:
    agents, chance, ring, talk, wrap, aim = key
    floor = MarkovFloor(
        agents=agents,
        answer_rate=min(0.98, math.exp(chance * _FINE)),
        ring=math.exp(ring * _COARSE),
        talk=math.exp(talk * _COARSE),
        wrap=math.exp(wrap * _COARSE),
        abandonment=math.exp(aim * _COARSE),
    )
    usual = agents * floor.ring / floor.service / floor.answer_rate  # calls that must ring to keep all of them busy
    return replace(floor, most=math.ceil(3.0 * usual + 3.0 * math.sqrt(usual)) + 5 + agents)


def _solve(floor: MarkovFloor) -> Generator[None, None, _Pair]:
    freer, stricter = yield from neighbours(floor, tolerance=_TOLERANCE, between=_PRICE_STEP)
    return _Pair(floor.agents, freer, stricter)
