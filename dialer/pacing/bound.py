"""The optimum of the Markov version: no pacer can do better, and by how much one falls short.

Ring, talk and wrap-up are exponential; a ring ends after a mean of ``ring`` seconds, answered with chance p; an
answer that finds nobody free is dropped at once. State: agents talking ``t``, wrapping ``w``, calls ringing
``r``; action: raise ``r`` at any event. Maximise the mean of (t + w)/n subject to drops <= a x answers.

The constraint goes into the reward with a price: (t + w)/n + price x (a x answer - drop). For every price the
gain of that unconstrained problem is an upper bound, and the lowest over prices is the optimum (strong duality
of constrained Markov decision processes). Each gain is found by relative value iteration on the value *after*
the maximisation; started on the value before it, "never dial" would hold the gain at 0.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.errors import BadInput

Grid = NDArray[np.float64]
_Result = TypeVar("_Result")
SWEEPS = 20  # between two pauses
_MOST_SWEEPS = 200_000
_PRICES = 14  # tried side by side
_ALL_IN_FULL = 5  # agents; with more the prices are found with talk and wrap-up merged


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkovFloor:
    """The problem. ``merged``: talk and wrap-up as one exponential of their summed mean (for many agents).
    ``most``: calls that may ring at once; None: far more than are ever worth it."""

    agents: int
    answer_rate: float
    ring: float = 15.0
    talk: float = 90.0
    wrap: float = 15.0
    abandonment: float = 0.03
    merged: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        if self.agents < 1 or self.agents > 1000:
            raise BadInput("out of range", field="agents", shape=str(self.agents), remedy="Between 1 and 1000")
        for name in ("answer_rate", "abandonment"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise BadInput("out of range", field=name, shape=f"{value:g}", remedy="Above 0 and at most 1")
        for name in ("ring", "talk", "wrap"):
            value = getattr(self, name)
            if not (0.0 < value <= 86_400.0 or (name == "wrap" and value == 0.0)):
                raise BadInput("out of range", field=name, shape=f"{value:g}", remedy="Seconds, above 0")

    @property
    def service(self) -> float:
        return self.talk + self.wrap

    def most_ringing(self) -> int:
        if self.most is not None:
            return self.most
        calls = self.agents * self.ring / self.service / self.answer_rate
        return math.ceil(2.0 * calls + 6.0 * math.sqrt(calls) + 6.0 / math.sqrt(self.answer_rate) + 6.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """``gain`` bounds the utilisation from above; ``price`` is utilisation-seconds a drop costs;
    ``ring_up_to[t, w, r]`` (``w`` always 0 when merged) the number of ringing calls the optimum wants."""

    gain: float
    price: float
    ring_up_to: NDArray[np.int64]
    iterations: int


class _Problem:
    def __init__(self, floor: MarkovFloor) -> None:
        self.floor = floor
        n = floor.agents
        self.merged = floor.merged or floor.wrap == 0.0
        waps = 1 if self.merged else n + 1
        most = floor.most_ringing()
        t = np.arange(n + 1, dtype=float)[:, None, None]
        w = np.arange(waps, dtype=float)[None, :, None]
        r = np.arange(most + 1, dtype=float)[None, None, :]
        self.shape = (n + 1, waps, most + 1)
        self.possible = np.broadcast_to(t + w <= n, self.shape)
        full = np.broadcast_to(t + w >= n, self.shape)
        answer = r * floor.answer_rate / floor.ring
        silent = r * (1.0 - floor.answer_rate) / floor.ring
        talked = t / (floor.service if self.merged else floor.talk)
        wrapped = np.zeros_like(w) if self.merged else w / floor.wrap
        total = answer + silent + talked + wrapped
        self.pace = float(np.where(self.possible, np.broadcast_to(total, self.shape), 0.0).max()) * 1.001
        self.to_served = np.where(full, 0.0, answer / self.pace)
        self.to_lost = np.broadcast_to(silent / self.pace, self.shape) + np.where(full, answer / self.pace, 0.0)
        self.to_talked = talked / self.pace
        self.to_wrapped = wrapped / self.pace
        self.stays = 1.0 - self.to_served - self.to_lost - self.to_talked - self.to_wrapped
        self.busy = (t + w) / n
        self.credit = floor.abandonment * answer - np.where(full, answer, 0.0)
        self.after = np.zeros(self.shape)

    def step(self, value: Grid, reward: Grid) -> Grid:
        """One step of the value after the maximisation, in units of the uniformised clock. Both may have a first axis
        of prices."""
        out: Grid = self.stays * value + reward
        out[..., :-1, :, 1:] += self.to_served[:-1, :, 1:] * value[..., 1:, :, :-1]
        out[..., 1:] += self.to_lost[:, :, 1:] * value[..., :-1]
        if self.merged:
            out[..., 1:, :, :] += self.to_talked[1:] * value[..., :-1, :, :]
        else:
            out[..., 1:, :-1, :] += self.to_talked[1:] * value[..., :-1, 1:, :]
            out[..., 1:, :] += self.to_wrapped[:, 1:] * value[..., :-1, :]
        return out

    def solve(
        self, price: float, start: Grid, tolerance: float
    ) -> Generator[None, None, tuple[float, Grid, Grid, int]]:
        """Pauses every 20 sweeps, so that a running floor can have it done a little at a time."""
        reward = np.where(self.possible, (self.busy + price * self.credit) / self.pace, 0.0)
        value = start
        mask = self.possible
        tight = tolerance / self.pace
        for iteration in range(1, _MOST_SWEEPS + 1):
            after = self.step(value, reward)
            best = np.maximum.accumulate(after[:, :, ::-1], axis=2)[:, :, ::-1]
            if iteration % SWEEPS == 0:
                change = (best - value)[mask]
                low, high = float(change.min()), float(change.max())
                if high - low < tight:
                    return high * self.pace, best - best[0, 0, 0], after, iteration
                yield
            value = best - best[0, 0, 0]
        raise _unsettled()

    def solve_many(
        self, prices: Grid, tolerance: float, start: Grid | None = None
    ) -> Generator[None, None, tuple[Grid, Grid]]:
        """``solve`` for several prices side by side (gains, values of placing), where arrays are so small that the sweep
        costs more than what it sweeps over."""
        reward = np.where(self.possible, (self.busy + prices[:, None, None, None] * self.credit) / self.pace, 0.0)
        value: Grid = np.zeros((len(prices), *self.shape)) if start is None else start
        tight = tolerance / self.pace
        for iteration in range(1, _MOST_SWEEPS + 1):
            after = self.step(value, reward)
            best = np.maximum.accumulate(after[..., ::-1], axis=-1)[..., ::-1]
            if iteration % SWEEPS == 0:
                change = (best - value)[:, self.possible]
                high = change.max(axis=1)
                if float((high - change.min(axis=1)).max()) < tight:
                    return high * self.pace, after
                yield
            value = best - best[:, :1, :1, :1]
        raise _unsettled()


def _unsettled() -> BadInput:
    return BadInput(
        "the iteration did not settle", field="tolerance", remedy="Allow a larger tolerance or fewer agents"
    )


def solve_bound(floor: MarkovFloor, *, tolerance: float = 2e-5, prices: int = 24) -> Solution:
    """The lowest gain over prices, by golden section over the logarithm of the price (the gain is convex in the
    price). ``tolerance`` is in utilisation; ``prices`` bounds the number of prices tried."""
    return finish(search(floor, tolerance=tolerance, prices=prices))


def finish(work: Generator[None, None, _Result]) -> _Result:
    """The result of a computation that pauses, without the pauses."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: _Result = done.value
            return found


def search(floor: MarkovFloor, *, tolerance: float, prices: int = 24) -> Generator[None, None, Solution]:
    """``solve_bound`` that pauses every 20 sweeps."""
    problem = _Problem(floor)
    value: Grid = np.zeros(problem.shape)
    scale = floor.service / floor.agents  # utilisation-seconds that one served call brings
    spent = 0
    golden = (math.sqrt(5.0) - 1.0) / 2.0

    def gain(log_price: float) -> Generator[None, None, float]:
        nonlocal value, spent
        found, value, _, iterations = yield from problem.solve(math.exp(log_price) * scale, value, tolerance)
        spent += iterations
        return found

    low, high = math.log(0.02), math.log(200.0)
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left = yield from gain(left)
    at_right = yield from gain(right)
    for _ in range(prices):
        if high - low < 0.02:
            break
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = yield from gain(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = yield from gain(right)
    best = left if at_left <= at_right else right
    found, _, after, iterations = yield from problem.solve(math.exp(best) * scale, value, tolerance)
    return Solution(
        gain=min(found, at_left, at_right),
        price=math.exp(best) * scale,
        ring_up_to=ring_up_to(after),
        iterations=spent + iterations,
    )


def policy_at(floor: MarkovFloor, price: float, *, tolerance: float = 1e-4) -> NDArray[np.int64]:
    """``ring_up_to`` at one price (utilisation-seconds a drop)."""
    problem = _Problem(floor)
    _, _, after, _ = finish(problem.solve(price, np.zeros(problem.shape), tolerance))
    return ring_up_to(after)


def values(floor: MarkovFloor, price: float, *, tolerance: float) -> tuple[Grid, Grid]:
    """Of every state (talking, wrapping, ringing), before more is placed: its value in seconds of utilisation, and what a
    second in it is worth: utilisation, ``price`` for every drop less than the share allows, and the mean change of the
    value."""
    problem = _Problem(floor)
    _, best, _, _ = finish(problem.solve(price, np.zeros(problem.shape), tolerance))
    reward = np.where(problem.possible, (problem.busy + price * problem.credit) / problem.pace, 0.0)
    drift: Grid = (problem.step(best, reward) - best) * problem.pace
    return best, drift


def neighbours(
    floor: MarkovFloor, *, tolerance: float, between: float
) -> Generator[None, None, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """``ring_up_to`` at a price a little below the optimum's and a little above (ratio ``between`` to it), for a floor of
    a few agents; pauses every 20 sweeps. Prices are tried side by side: far apart first, then near the best. With more
    than five agents talk and wrap-up are merged for that, and only what is found so is worked out in full."""
    guided = floor.agents > _ALL_IN_FULL and not floor.merged and floor.wrap > 0.0
    problem = _Problem(replace(floor, merged=True) if guided else floor)
    scale = floor.service / floor.agents
    logs: NDArray[Any] = np.linspace(math.log(0.02), math.log(200.0), _PRICES)
    gains, _ = yield from problem.solve_many(np.exp(logs) * scale, 4.0 * tolerance)
    best, reach = float(logs[int(np.argmin(gains))]), float(logs[1] - logs[0])
    steps = math.ceil(reach / math.log(between)) + 1
    logs = best + math.log(between) * np.arange(-steps, steps + 1)
    gains, after = yield from problem.solve_many(np.exp(logs) * scale, tolerance)
    at = min(max(int(np.argmin(gains)), 1), len(logs) - 2)
    if guided:
        near = slice(at - 1, at + 2)
        start = _unmerged(after[near], floor.agents)
        _, after = yield from _Problem(floor).solve_many(np.exp(logs[near]) * scale, tolerance, start)
        at = 1
    return ring_up_to(after[at - 1]), ring_up_to(after[at + 1])


def _unmerged(after: Grid, agents: int) -> Grid:
    """Values by agents busy, as a first guess of those by agents talking and in wrap-up."""
    best = np.maximum.accumulate(after[..., ::-1], axis=-1)[..., ::-1]
    busy = np.minimum(np.add.outer(np.arange(agents + 1), np.arange(agents + 1)), agents)
    guess: Grid = (best - best[:, :1, :1, :1])[:, busy, 0, :]
    return guess


def ring_up_to(after: NDArray[Any]) -> NDArray[np.int64]:
    """For each state the best r' >= r: the position of the running maximum from the right (the smallest one)."""
    best = np.maximum.accumulate(after[:, :, ::-1], axis=2)[:, :, ::-1]
    places = np.where(after >= best - 1e-12, np.arange(after.shape[2]), after.shape[2] - 1)
    return np.asarray(np.minimum.accumulate(places[:, :, ::-1], axis=2)[:, :, ::-1], dtype=np.int64)
