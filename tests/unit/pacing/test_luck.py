"""What of a simulated day is luck: known by the floor that drew it, and taken off without taking anything else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.pacing_luck import freed
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.progressive import Progressive
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.vicidial import Method, Vicidial


def lucks(scenario: Scenario, seeds: int) -> np.ndarray[Any, Any]:
    found = []
    for seed in range(seeds):
        floor = FastFloor(scenario, seed)
        run_day(floor, Vicidial(Method.RATIO, lines=2.0) if scenario.markov else Progressive(), hours=0.5)
        found.append(floor.luck)
    return np.array(found)


@pytest.mark.parametrize("markov", [True, False])
def test_luck_is_nothing_on_average_and_something_every_day(markov: bool) -> None:
    found = lucks(Scenario(agents=3, answer_rate=0.4, markov=markov), 60)
    assert found.shape[1] == (5 if markov else 4)
    errors = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    assert (errors > 0.0).all()
    assert (np.abs(found.mean(axis=0)) < 4.0 * errors).all()


def test_what_is_always_the_same_is_no_luck() -> None:
    scenario = Scenario(agents=2, answer_rate=1.0, ring_cv=0.0, talk_cv=0.0, wrap_cv=0.0)
    assert np.abs(lucks(scenario, 2)).max() < 1e-6


def days(count: int, true: float, seed: int) -> list[dict[str, Any]]:
    """Utilisation and drops around their true figures, mostly by luck that is written down."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        luck = random.normal(size=5)
        drops = 6.0 + luck[4]
        utilisation = true + 0.02 * luck[0] - 0.01 * luck[1] + 0.001 * random.normal()
        made.append({"utilisation": utilisation, "answers": 200, "drops": drops, "luck": luck.tolist()})
    return made


def test_luck_is_taken_off_and_the_figure_stays() -> None:
    for seed in range(5):
        found = freed(days(30, 0.7, seed), worth=1.5)
        assert found is not None
        assert abs(found.mean - 70.0) < 4.0 * found.se
        assert found.se < 0.1  # the plain standard error is 0.4
        assert found.dropped == pytest.approx(3.0, abs=1e-6)


def test_a_few_days_do_not_tell_luck() -> None:
    assert freed(days(11, 0.7, 0), worth=1.5) is None
    assert freed([], worth=1.5) is None
