"""A simulated day judged by the optimum's values: the same on average as what happened, with hardly any of its luck."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from bench.pacing_value import ValuedFloor, Worth, judged, values_of
from dialer.pacing.bound import MarkovFloor, policy_at, solve_bound
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import FloorView, Pace, Pacer, PacingEvent
from dialer.pacing.vicidial import Method, Vicidial

AGENTS, RATE, SHARE = 2, 0.4, 0.027
SECONDS = 7200.0
SCENARIO = Scenario(agents=AGENTS, answer_rate=RATE, ring=15.0, patience=0.0, markov=True)


class ByTable:
    """The optimum of a price (seconds of utilisation a drop)."""

    every, soonest = 10.0, 0.01

    def __init__(self, price: float, *, on_events: bool = True) -> None:
        self.on_events = on_events
        self._ring_up_to = policy_at(MarkovFloor(agents=AGENTS, answer_rate=RATE, abandonment=SHARE), price)

    def observe(self, event: PacingEvent) -> None:
        """Knows it all."""

    def decide(self, view: FloorView, now: float) -> Pace:
        ringing = len(view.ringing)
        wanted = self._ring_up_to[len(view.talking), len(view.wrapping), min(ringing, self._ring_up_to.shape[2] - 1)]
        place = max(0, int(wanted) - ringing)
        return Pace(place=place, cancel=(), risk=(0.0,) * place, why={})


def pacer_of(kind: str) -> Pacer:
    price = values_of(AGENTS, RATE).price
    if kind == "ratio":
        return Vicidial(Method.RATIO, lines=3.0)
    return ByTable({"optimum": price, "reckless": price / 8.0, "late": price}[kind], on_events=kind != "late")


@functools.cache
def days(kind: str, count: int) -> tuple[list[Worth], list[float]]:
    """What each was worth, by the values and by what happened."""
    values = values_of(AGENTS, RATE)
    worth, happened = [], []
    for seed in range(count):
        floor = ValuedFloor(SCENARIO, seed, values)
        day = run_day(floor, pacer_of(kind), hours=SECONDS / 3600.0)
        worth.append(floor.worth(SECONDS))
        happened.append(day.utilisation + values.price * (SHARE * day.answers - day.drops) / SECONDS)
    return worth, happened


@pytest.mark.parametrize("kind", ["ratio", "reckless", "late", "optimum"])
def test_what_a_day_was_worth_is_on_average_what_happened(kind: str) -> None:
    worth, happened = days(kind, 60)
    luck = np.array(happened) - np.array([day.gain for day in worth])
    error = float(luck.std(ddof=1)) / math.sqrt(len(luck))
    assert error > 0.0
    assert abs(float(luck.mean())) < 3.5 * error
    assert float(np.std([day.gain for day in worth])) < 0.6 * float(np.std(happened))


@pytest.mark.parametrize("kind", ["ratio", "reckless", "late", "optimum"])
def test_no_day_of_any_pacer_is_worth_more_than_the_optimum(kind: str) -> None:
    best = solve_bound(MarkovFloor(agents=AGENTS, answer_rate=RATE, abandonment=SHARE)).gain
    lost = [best - day.gain for day in days(kind, 60)[0]]
    assert min(lost) > -1e-3
    usual = sum(lost) / len(lost)
    assert usual < 3e-3 if kind == "optimum" else usual > 4e-3


def test_the_optimum_judged_at_its_drops_is_the_bound_at_them() -> None:
    found = judged(days("optimum", 60)[0], values_of(AGENTS, RATE), SECONDS)
    assert found is not None
    bound = 100.0 * solve_bound(MarkovFloor(agents=AGENTS, answer_rate=RATE, abandonment=found.dropped / 100.0)).gain
    assert 98.5 < 100.0 * found.mean / bound < 100.05
    assert found.se < 0.2


def test_a_few_days_are_not_judged() -> None:
    assert judged([Worth(0.7, 100.0, 2.7)] * 7, values_of(AGENTS, RATE), SECONDS) is None
    assert judged([], values_of(AGENTS, RATE), SECONDS) is None
