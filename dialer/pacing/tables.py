"""Chances by age, ready to be looked up: rebuilt when enough was learnt, indexed by half-seconds of age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialer.pacing.durations import Durations
from dialer.pacing.odds import Chances

Array = NDArray[np.floating[Any]]
RING_STEP = 0.5
RING_ROWS = 360  # 3 minutes; older calls read the last row
TALK_STEP = 2.0
TALK_ROWS = 450  # 15 minutes, likewise
_RING_RATE, _TALK_RATE = 1.0 / RING_STEP, 1.0 / TALK_STEP


@dataclass(frozen=True, slots=True)
class Tables:
    """Columns are horizons, the last one is one second ahead (for tracking and cancelling).

    ``ring[a]``: that a call which will be answered was not before a, that an unanswered one still rings at a, and
    beside them ``gain``: P(answered within the horizon and not before a | it will be answered). ``free[row]``: the
    agent is free by the horizon plus the customer's patience (with cumulants beside it, see ``odds.Chances``), by
    seconds talked and, in the rows after those, by seconds of wrap-up. ``weights``: when a new call, if answered, is
    answered: equal shares of the time in which it cannot yet be given up; ``mass`` is their sum.
    """

    horizons: Array
    weights: Array
    ring: Array
    gain: Array
    free: Array
    mass: float

    def by_ring(self, ages: tuple[float, ...]) -> Array:
        """Rows of ``ring``."""
        return self.ring.take(_rows(ages, _RING_RATE, RING_ROWS), axis=0)

    def by_service(self, talking: tuple[float, ...], wrapping: tuple[float, ...]) -> Array:
        """Rows of ``free``: those who talk, then those in wrap-up."""
        rows = _rows(talking, _TALK_RATE, TALK_ROWS)
        if wrapping:
            rows = np.concatenate([rows, TALK_ROWS + _rows(wrapping, _RING_RATE, RING_ROWS)])
        return self.free.take(rows, axis=0)


def _rows(seconds: tuple[float, ...], rate: float, rows: int) -> NDArray[np.intp]:
    return np.minimum(np.array(seconds) * rate + 0.5, rows - 1.0).astype(np.intp)


def build_tables(
    ring: Durations,
    silent: Durations,
    talk: Durations,
    wrap: Durations,
    *,
    patience: float,
    horizons: int,
    risky_until: float | None,
) -> Tables:
    """``risky_until``: an age from which a call that would be dropped is given up instead (None: never)."""
    ages = np.arange(RING_ROWS) * RING_STEP
    fine = np.arange(0.0, 180.0, 0.25)
    answered = ring.distribution(fine)
    mass = float(np.interp(risky_until, fine, answered)) if risky_until is not None else float(answered[-1])
    mass = max(mass, 1e-6)
    quantiles = (np.arange(horizons) + 0.5) / horizons * mass
    when = np.interp(quantiles, answered, fine)
    columns = np.concatenate([when, [1.0]])
    weights = np.full(horizons, mass / horizons)
    by_age = ring.distribution(ages)
    reach = ring.distribution((ages[:, None] + columns[None, :]).ravel()).reshape(len(ages), len(columns))
    gain = reach - by_age[:, None]
    still = np.maximum(1.0 - silent.distribution(ages), 1e-9)
    return Tables(
        horizons=columns,
        weights=weights,
        ring=np.concatenate([1.0 - by_age[:, None], still[:, None], gain], axis=1),
        gain=gain,
        free=np.concatenate(_free(talk, wrap, columns + patience)),
        mass=float(weights.sum()),
    )


def _free(talk: Durations, wrap: Durations, within: Array) -> tuple[Array, Array]:
    """P(talk and wrap-up over within ``within`` | talked for e), P(wrap-up over | wrapped for e)."""
    elapsed = np.arange(TALK_ROWS) * TALK_STEP
    longest = int(np.ceil(float(within.max()))) + 2
    grid = np.arange(0.0, TALK_ROWS * TALK_STEP + longest, 1.0)
    reached = talk.distribution(grid)
    ending = np.diff(reached)  # talk ends in [s, s + 1)
    left = np.maximum(1.0 - np.interp(elapsed, grid, reached), 1e-9)
    talk_free = np.empty((TALK_ROWS, len(within)))
    every = int(TALK_STEP)
    lags = [np.arange(0.0, time, 1.0) for time in within.tolist()]
    spans = [np.minimum(1.0, time - lag) for time, lag in zip(within.tolist(), lags, strict=True)]  # the last is a part
    rests = [time - lag - span / 2.0 for time, lag, span in zip(within.tolist(), lags, spans, strict=True)]
    wrapped = wrap.distribution(np.maximum(np.concatenate(rests), 0.0)) * np.concatenate(spans)
    begin = 0
    for column, lag in enumerate(lags):
        smooth = np.convolve(ending, wrapped[begin : begin + len(lag)][::-1], mode="full")[len(lag) - 1 :]
        talk_free[:, column] = smooth[::every][:TALK_ROWS] / left
        begin += len(lag)
    ages = np.arange(RING_ROWS) * RING_STEP
    gone = wrap.distribution(ages)
    beyond = wrap.distribution((ages[:, None] + within[None, :]).ravel()).reshape(len(ages), len(within))
    wrap_free = (beyond - gone[:, None]) / np.maximum(1.0 - gone, 1e-9)[:, None]
    return _with_cumulants(talk_free), _with_cumulants(wrap_free)


def _with_cumulants(free: Array) -> Array:
    free = np.clip(free, 0.0, 1.0)
    return Chances.of(free[:, :-1], free[:, -1:]).columns
