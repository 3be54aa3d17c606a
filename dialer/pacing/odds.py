"""The chance that one more call finds nobody free, when both free agents and answers are uncertain.

Free agents are a fixed number plus independent chances ``free``; answers before the new call's are independent
chances ``answer``; both at K horizons. ``surplus`` S = free - answers; the new call costs a drop when S <= 0.
Exact for small floors (characteristic function), a normal with skewness correction above.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
EXACT_UP_TO = 90  # independent chances; above, the corrected normal is as good and cheaper
_REACH = 7.0  # standard deviations either side that are told apart; beyond lies less than a part in 10^10

_ROOT_TWO = math.sqrt(2.0)
_ONES = np.ones(4096)  # a sum down a column is a product with these, which is the quickest way to have it


@lru_cache(maxsize=4096)
def _roots(points: int, lowest: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Half of the roots of unity (the other half is conjugate) and the weights that sum P(lowest <= S <= 0)."""
    half = points // 2 + 1
    roots = np.exp(2j * np.pi * np.arange(half) / points)
    weights = np.zeros(half, dtype=complex)
    for value in range(lowest, 1):
        weights += roots ** (-value)
    double = np.full(half, 2.0)
    double[0] = 1.0
    if points % 2 == 0:
        double[-1] = 1.0
    return roots, weights * double / points


class Chances:
    """Independent chances at K horizons with their second and third cumulants beside them, (rows, 3 K + 1): chance,
    chance (1 - chance), chance (1 - chance)(1 - 2 chance), and one more column that is not looked at here."""

    __slots__ = ("_columns", "_width")

    def __init__(self, columns: Array) -> None:
        self._columns = columns
        self._width = columns.shape[1] // 3

    @classmethod
    def of(cls, chances: Array, beside: Array | None = None) -> Chances:
        """From plain chances (rows, K)."""
        spread = chances * (1.0 - chances)
        last = np.zeros((len(chances), 1)) if beside is None else beside
        return cls(np.concatenate([chances, spread, spread * (1.0 - 2.0 * chances), last], axis=1))

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def columns(self) -> Array:
        return self._columns

    @property
    def chances(self) -> Array:
        return self._columns[:, : self._width]

    @property
    def beside(self) -> Array:
        return self._columns[:, -1:]

    def cumulants(self) -> tuple[Array, Array, Array]:
        sums, width = summed(self._columns), self._width
        return sums[:width], sums[width : 2 * width], sums[2 * width : 3 * width]


def summed(rows: Array) -> Array:
    """The sum of each column."""
    found: Array = _ONES[: len(rows)].dot(rows) if len(rows) <= len(_ONES) else np.add.reduce(rows)
    return found


def risks(fixed: int, free: Chances, answer: Array, new: Array, weights: Array, most: int, limit: float) -> list[float]:
    """What the first, second, ... new call costs in drops if it is answered, each given those before it, while its
    risk is at most ``limit``.

    The risk is the chance that nobody is free when it is answered, and decides. The cost also counts that it may
    take the agent whom a call answered later would have had (the chance is at least the highest at any horizon
    from then on), and is what must be accounted for; deciding by it would be worse in the Markov version.

    ``free`` (agents, K), ``answer`` (calls, K), ``new`` (K): the chance that a new call has been answered by each
    horizon; ``weights`` (K): when it is answered itself, summing to at most 1. At most ``most`` entries.
    """
    if most <= 0:
        return []
    if len(free) + len(answer) <= EXACT_UP_TO:
        return _exact(fixed, free, answer, new, weights, most, limit)
    return _normal(fixed, free, answer, new, weights, most, limit)


def _exact(
    fixed: int, free: Chances, answer: Array, new: Array, weights: Array, most: int, limit: float
) -> list[float]:
    extra = min(most, 12)
    lowest = fixed - len(answer) - extra
    highest = fixed + len(free)
    certain = float(weights.sum())
    if highest <= 0:  # nobody can be free in time
        return [certain] * most if certain <= limit else []
    if lowest > 0:
        return [0.0] * extra
    mean, variance, _ = free.cumulants()
    first = np.add.reduce(answer)
    centre = (mean + (fixed - first)).tolist()
    spread = variance + first - np.add.reduce(answer * answer) + extra * new * (1.0 - new)
    reach = _REACH * math.sqrt(max(spread.tolist())) + 2.0
    ahead = new.tolist()
    lowest = max(lowest, math.floor(min(one - extra * own for one, own in zip(centre, ahead, strict=True)) - reach))
    highest = min(highest, math.ceil(max(centre) + reach))
    if lowest > 0:
        return [0.0] * extra
    roots, kernel = _roots(highest - lowest + 1, lowest)
    up = roots - 1.0
    down = up.conj()
    value = np.repeat((roots**fixed)[None, :], len(new), axis=0)
    if len(free):
        value = value * np.multiply.reduce(1.0 + free.chances[:, :, None] * up)
    if len(answer):
        value = value * np.multiply.reduce(1.0 + answer[:, :, None] * down)
    step = 1.0 + new[:, None] * down
    found: list[float] = []
    for _ in range(extra):
        nobody = (value @ kernel).real
        risk = min(certain, max(0.0, float(weights @ nobody)))
        if risk < 1e-12:
            risk = 0.0
        if risk > limit:
            break
        cost = min(certain, float(weights @ _from_then_on(nobody))) if risk else 0.0
        found.append(max(cost, found[-1] if found else 0.0))
        value = value * step
    return found


def _from_then_on(nobody: Array) -> Array:
    """The highest value at this horizon or a later one."""
    return np.maximum.accumulate(nobody[..., ::-1], axis=-1)[..., ::-1]


def _normal(
    fixed: int, free: Chances, answer: Array, new: Array, weights: Array, most: int, limit: float
) -> list[float]:
    # Few calls at few horizons: plain numbers are worked out before an array of them is set up.
    mean, variance, third = _surplus(fixed, free, answer)
    horizons = []
    for at, own in enumerate(new.tolist()):
        spread = own * (1.0 - own)
        horizons.append(
            (float(weights[at]), mean[at], variance[at], third[at], own, spread, spread * (1.0 - 2.0 * own))
        )
    horizons.reverse()
    found: list[float] = []
    highest = dearest = 0.0
    for calls in range(most):
        risk = cost = from_then_on = 0.0
        for weight, middle, width, skew, own, spread, own_skew in horizons:
            nobody = _tail(middle - calls * own, width + calls * spread, skew - calls * own_skew)
            risk += weight * nobody
            from_then_on = max(from_then_on, nobody)
            cost += weight * from_then_on
        highest = max(highest, risk)
        if highest > limit:
            break
        dearest = max(dearest, cost)
        found.append(dearest)
    return found


def _surplus(fixed: int, free: Chances, answer: Array) -> tuple[list[float], list[float], list[float]]:
    """Mean, variance and third cumulant of the surplus at each horizon."""
    mean, variance, third = free.cumulants()
    square = answer * answer
    first, second, cube = summed(answer), summed(square), summed(square * answer)
    return (
        (mean + (fixed - first)).tolist(),
        (variance + first - second).tolist(),
        (third - (first - 3.0 * second + 2.0 * cube)).tolist(),
    )


def _tail(mean: float, variance: float, third: float) -> float:
    """P(S <= 0) with corrections for continuity and skewness. The skewness bends z (Cornish and Fisher) and not the
    probability (Edgeworth), which in the far tail, where targets of 0.1% live, would turn negative."""
    deviation = math.sqrt(max(variance, 1e-6))
    z = (0.5 - mean) / deviation
    bent = z - third / (6.0 * deviation**3) * (min(z * z, 25.0) - 1.0)
    return 0.5 * math.erfc(-bent / _ROOT_TWO)
