"""The floor that dials and the floor of the pacing simulator are one floor: same seed, same day."""

from __future__ import annotations

import pytest

from config.errors import BadInput
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Break, Scenario
from dialer.pacing.simulator import Day, run_day
from dialer.simulated.production_floor import ProductionFloor

HALF_AN_HOUR = 0.5


def both(agents: int, seed: int) -> tuple[Day, Day]:
    scenario = Scenario(agents=agents, answer_rate=0.3)
    fast = run_day(FastFloor(scenario, seed), HazardPacer(0.03), hours=HALF_AN_HOUR)
    with ProductionFloor(scenario, seed) as floor:
        production = run_day(floor, HazardPacer(0.03), hours=HALF_AN_HOUR)
    return fast, production


@pytest.mark.parametrize("agents", [3, 10])
def test_half_an_hour_is_the_same_on_both_floors(agents: int) -> None:
    fast, production = both(agents, seed=5)
    assert production.dials > 100
    assert production.dials == pytest.approx(fast.dials, rel=0.1)
    assert production.answers == pytest.approx(fast.answers, rel=0.1)
    assert production.utilisation == pytest.approx(fast.utilisation, abs=0.04)
    assert abs(production.drops - fast.drops) <= 3


def test_a_scenario_it_cannot_play_is_refused() -> None:
    with pytest.raises(BadInput, match="fast floor"):
        ProductionFloor(Scenario(breaks=(Break(share=0.5, minutes=5),)), seed=0)
