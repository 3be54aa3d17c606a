"""What of a cell's figures is the luck of its days, taken off: control variates.

Every simulated day knows by how much its draws lay above their means (``FastFloor.luck``): answers, talk, wrap-up, ringing,
and in the Markov version drops. These are 0 on average whatever the pacer does, so the part of a day's utilisation that
follows them (least squares over the days of the cell) is chance; without it the same days give a standard error
several times smaller. The plain figures stand beside it in the report.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_DAYS_EACH = 2  # days for every figure that is fitted: fewer fit the luck of their own errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """In %: utilisation and its standard error, and the share of answers whose drop was to be expected."""

    mean: float
    se: float
    dropped: float


def freed(days: list[dict[str, Any]], worth: float) -> Freed | None:
    """``worth``: points of utilisation that a point more of drops is worth here: the luck in drops is counted at it, so
    that a day is compared at the drops it risked. None: too few days to tell luck."""
    luck = np.array([day["luck"] for day in days], dtype=float)
    if len(days) < 2 or luck.ndim != 2:
        return None
    count, figures = luck.shape
    if count < _DAYS_EACH * (figures + 1):
        return None
    answers = np.array([day["answers"] for day in days], dtype=float)
    drops = np.array([day["drops"] for day in days], dtype=float) - luck[:, -1]
    share = float(drops.sum() / answers.sum())
    scores = 100.0 * np.array([day["utilisation"] for day in days])
    scores = scores - worth * 100.0 * (drops - share * answers) / answers.mean()
    columns = np.column_stack([np.ones(count), luck])
    found, *_ = np.linalg.lstsq(columns, scores, rcond=None)
    left = scores - columns @ found
    spread = float(left @ left) / (count - figures - 1)
    error = math.sqrt(float(np.linalg.inv(columns.T @ columns)[0, 0]) * spread)
    return Freed(mean=float(found[0]), se=error, dropped=100.0 * share)
