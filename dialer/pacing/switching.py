"""A rate that may jump, followed by what is likely at each of its possible values.

The belief lies on a grid of logarithms. Between observations it spreads a little (drift) and a little of it jumps
anywhere near; an observation (so many events in so much exposure) weighs every value by its Poisson likelihood. That
is the best that can be known of a rate which holds for long and then jumps: a few events too many are enough after a
jump, and while it holds all that was ever seen counts. What is *not* known (``doubt``) is known too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP = 0.04  # of the logarithm
_LOW, _HIGH = math.log(0.003), math.log(8.0)  # answers per call at chance 0.5; or per call at its own chance
_LOGS = np.arange(_LOW, _HIGH + _STEP / 2, _STEP)
_RATES = np.exp(_LOGS)
_LIKELY = np.stack([_LOGS, _RATES])  # logarithm of a Poisson likelihood, an event and an exposure of nothing
_MOMENTS = np.stack([_RATES, _RATES * _RATES, np.ones(len(_RATES))], axis=1)
_JUMP = 0.9  # standard deviation of a jump, of the logarithm: halved and doubled are common, three times as much is no wonder
_EACH_SECONDS = 600.0  # a jump is expected so often in lively times
_EACH_EVENTS = 50.0  # but no oftener than this: with few events one would see jumps in noise
_CALM = 0.02  # of it in calm times
_TURN = 1.0 / 800.0  # of calm times turning lively or back, an event
_DRIFT = 2e-6  # variance of the logarithm, an event


def _landings() -> NDArray[np.float64]:
    """Where a jump leads, by the cell of the grid it starts from: worked out once, for it is looked up every second."""
    near = np.exp((_LOGS[None, :] - _LOGS[:, None]) ** 2 * (-0.5 / _JUMP**2))
    landed: NDArray[np.float64] = near / near.sum(axis=1, keepdims=True)
    return landed


_LANDS = _landings()


class SwitchingRate:
    """Events per unit of exposure. ``first`` is the guess before any event, worth ``weight`` events; ``lively`` how surely
    the rate is taken to jump before anything was seen, 0 to 1."""

    def __init__(self, first: float, weight: float = 1.0, lively: float = 0.5) -> None:
        spread = min(1.0, 1.0 / math.sqrt(max(weight, 1e-6)))
        belief = np.exp(-0.5 * ((_LOGS - math.log(first)) / spread) ** 2)
        belief /= belief.sum()
        self._belief = np.stack([(1.0 - lively) * belief, lively * belief])  # in calm times, in lively ones
        self.rate = self.doubt = self.lively = 0.0
        self._judge()

    def _judge(self) -> None:
        """``lively``: how surely these are times in which the rate jumps, 0 to 1."""
        (calm_rate, calm_square, _), (rate, square, self.lively) = (self._belief @ _MOMENTS).tolist()
        self.rate = calm_rate + rate
        self.doubt = math.sqrt(max(0.0, (calm_square + square) / (self.rate * self.rate) - 1.0))

    def observe(self, events: float, exposure: float, seconds: float, *, turning: float = 1.0) -> None:
        """So many events in so much exposure and time, since the last call. ``turning``: how much calm times are suspected,
        0 to 1, of a jump of their own and of turning lively: one who sees few events would find both in noise."""
        if exposure <= 0.0 and events <= 0.0:
            return
        exposure = max(exposure, 1e-9)
        passed = self.rate * exposure
        jump = min(0.5, seconds / _EACH_SECONDS, passed / _EACH_EVENTS)
        drift = min(0.25, 0.5 * _DRIFT * passed / _STEP**2)
        turn = 0.5 * _TURN * turning * min(1.0, passed)
        calm_jump = jump * _CALM * turning
        lively = self.lively + turn * (1.0 - 2.0 * self.lively)
        calm_stays, lively_stays = 1.0 - calm_jump, 1.0 - jump
        moved = (
            np.array(
                [[(1.0 - turn) * calm_stays, turn * calm_stays], [turn * lively_stays, (1.0 - turn) * lively_stays]]
            )
            @ self._belief
        )
        drifting = drift * moved
        moved -= 2.0 * drifting
        moved[:, 1:] += drifting[:, :-1]
        moved[:, :-1] += drifting[:, 1:]
        start = min(len(_LANDS) - 1, max(0, round((math.log(self.rate) - _LOW) / _STEP)))
        moved += np.array([[(1.0 - lively) * calm_jump], [lively * jump]]) * _LANDS[start]
        likely = np.array([events, -exposure]) @ _LIKELY
        likely -= np.maximum.reduce(likely)
        moved *= np.exp(likely)
        moved /= np.add.reduce(moved, axis=None)
        self._belief = moved
        self._judge()

    def as_record(self) -> dict[str, Any]:
        return {"belief": self._belief.tolist()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> SwitchingRate:
        """Raises ValueError for what is no belief."""
        made = cls(1.0)
        belief = np.asarray(record["belief"], dtype=float)
        if belief.shape != made._belief.shape or not belief.min() >= 0.0 or abs(float(belief.sum()) - 1.0) > 1e-6:
            raise ValueError("shares of a belief are not below nought and add up to one")
        made._belief = belief
        made._judge()
        return made
