"""How long things last, learnt from those that ended: histograms over the logarithm of time / scale.

Kept relative to a scale, the shape survives when all talks become half as long again; the scale follows
quickly (``tracking``), the shape slowly. Nothing is cut off: the last bin is open, and beyond what was ever
seen the prior's tail remains.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOW, _HIGH, _STEP = -4.5, 3.5, 0.1  # natural logarithms of time / scale
_EDGES = np.arange(_LOW, _HIGH + _STEP / 2, _STEP)
_EDGE_TIMES = np.exp(_EDGES)
_MIDDLES = np.exp(_EDGES[:-1] + _STEP / 2)
_HUGE = 1e12


class Durations:
    """A distribution of positive times. ``scale`` in seconds; the prior is lognormal with that mean and ``cv``,
    worth ``weight`` observations; observations fade with ``memory`` (in observations).

    ``own_scale``: the scale is the running mean of what was observed here; otherwise the caller sets it.
    """

    def __init__(self, scale: float, cv: float, weight: float, memory: float, own_scale: bool = True) -> None:
        self.scale = scale
        self.seen = 0
        self._own_scale = own_scale
        self._keep = math.exp(-1.0 / memory)
        self._mass = _prior(cv) * weight
        self._total = float(self._mass.sum())
        self._grain = 1.0
        self._sum, self._count = scale * weight, weight

    def observe(self, seconds: float) -> None:
        seconds = max(seconds, 1e-3)
        self.seen += 1
        if self._own_scale:
            self._sum = self._sum * self._keep + seconds
            self._count = self._count * self._keep + 1.0
            self.scale = self._sum / self._count
        place = (math.log(seconds / self.scale) - _LOW) / _STEP
        self._grain /= self._keep  # growing what comes is the same as shrinking what was
        self._mass[min(max(int(place), 0), len(self._mass) - 1)] += self._grain
        self._total += self._grain
        if self._grain > 1e9:
            self._mass /= self._grain
            self._grain = 1.0
            self._total = float(self._mass.sum())

    @property
    def weight(self) -> float:
        """Observations remembered, the prior's included."""
        return self._total / self._grain

    def distribution(self, seconds: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """P(duration <= seconds), for each; below 1 everywhere."""
        share = self._mass / self._mass.sum()
        mean = 1.0 if self._own_scale else float(share @ _MIDDLES)
        cumulated = np.concatenate([[0.0], np.cumsum(share)])
        found = np.interp(seconds * (mean / self.scale), _EDGE_TIMES, cumulated, left=0.0)
        return np.asarray(np.minimum(found, 1.0 - 1e-9))

    def spread(self) -> float:
        """The coefficient of variation."""
        share = self._mass / self._mass.sum()
        mean = float(share @ _MIDDLES)
        return math.sqrt(max(0.0, float(share @ _MIDDLES**2) / mean**2 - 1.0))

    def as_record(self) -> dict[str, Any]:
        self._total = float(self._mass.sum())  # one restored from this counts afresh as well
        return {
            "scale": self.scale,
            "seen": self.seen,
            "own_scale": self._own_scale,
            "keep": self._keep,
            "mass": self._mass.tolist(),
            "grain": self._grain,
            "sum": self._sum,
            "count": self._count,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Durations:
        """Raises ValueError for what is no distribution of times."""
        made = cls(1.0, 1.0, 1.0, 1.0)
        mass = np.asarray(record["mass"], dtype=float)
        positive = (record["scale"], record["grain"], record["sum"], record["count"], record["keep"])
        if mass.shape != made._mass.shape or not mass.min() >= 0.0 or not 0.0 < float(mass.sum()) < _HUGE:
            raise ValueError("weights are not below nought")
        if not all(1.0 / _HUGE < one < _HUGE for one in positive) or record["keep"] >= 1.0:
            raise ValueError("times, weights and what is kept of them lie above nought")
        made.scale, made.seen = record["scale"], record["seen"]
        made._own_scale, made._keep = record["own_scale"], record["keep"]
        made._mass = np.asarray(record["mass"], dtype=float)
        made._total = float(made._mass.sum())
        made._grain = record["grain"]
        made._sum, made._count = record["sum"], record["count"]
        return made


def _prior(cv: float) -> NDArray[np.floating[Any]]:
    spread = math.sqrt(math.log1p(cv * cv))
    middle = -spread * spread / 2.0
    reach = [0.5 * (1.0 + math.erf((edge - middle) / spread / math.sqrt(2.0))) for edge in _EDGES]
    reach[0], reach[-1] = 0.0, 1.0
    return np.diff(np.asarray(reach))
