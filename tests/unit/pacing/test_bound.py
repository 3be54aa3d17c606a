"""The optimum of the Markov version, against the known values (docs/pacing.md) and against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from config.errors import BadInput
from dialer.pacing.bound import MarkovFloor, finish, neighbours, policy_at, solve_bound


@pytest.mark.parametrize(
    ("agents", "rate", "known"),
    [
        (1, 0.15, 54.16),
        (1, 0.3, 68.98),
        (1, 0.5, 78.36),
        (3, 0.15, 65.40),
        (3, 0.3, 73.53),
        (3, 0.5, 79.85),
        (10, 0.3, 81.97),
    ],
)
def test_the_known_values(agents: int, rate: float, known: float) -> None:
    assert 100 * solve_bound(MarkovFloor(agents=agents, answer_rate=rate)).gain == pytest.approx(known, abs=0.02)


def test_merged_thirty_agents() -> None:
    found = solve_bound(MarkovFloor(agents=30, answer_rate=0.5, merged=True), tolerance=1e-4)
    assert 100 * found.gain == pytest.approx(90.64, abs=0.03)


def test_with_almost_no_drops_allowed_one_agent_dials_one_by_one() -> None:
    found = solve_bound(MarkovFloor(agents=1, answer_rate=0.3, abandonment=1e-6))
    assert found.gain == pytest.approx(105.0 / (105.0 + 15.0 / 0.3), abs=1e-4)


def test_a_dearer_drop_means_fewer_calls() -> None:
    floor = MarkovFloor(agents=3, answer_rate=0.3)
    cheap, dear = policy_at(floor, 5.0), policy_at(floor, 500.0)
    assert (dear <= cheap).all()
    assert dear[0, 0, 0] >= 3  # three idle agents: three calls cost nothing


@pytest.mark.parametrize(
    ("agents", "rate", "target"), [(1, 0.15, 0.028), (3, 0.5, 0.01), (4, 0.3, 0.001), (8, 0.3, 0.028)]
)
def test_prices_side_by_side_find_the_neighbours_of_the_optimum(agents: int, rate: float, target: float) -> None:
    floor = MarkovFloor(agents=agents, answer_rate=rate, abandonment=target)
    price = solve_bound(floor, tolerance=1e-4).price
    below, above = policy_at(floor, price / 1.5), policy_at(floor, price * 1.5)
    freer, stricter = finish(neighbours(floor, tolerance=1e-4, between=1.2))
    t, w, _ = np.indices(freer.shape)
    possible = t + w <= agents
    assert (stricter <= freer)[possible].all()
    assert (freer <= below)[possible].all()
    assert (above <= stricter)[possible].all()


def test_a_cap_on_ringing_calls_that_is_never_reached_changes_nothing() -> None:
    floor = MarkovFloor(agents=2, answer_rate=0.3, abandonment=0.028)
    capped = MarkovFloor(agents=2, answer_rate=0.3, abandonment=0.028, most=14)
    assert floor.most_ringing() > 14
    assert solve_bound(capped).gain == pytest.approx(solve_bound(floor).gain, abs=2e-4)


@pytest.mark.parametrize("wrong", [{"agents": 0}, {"answer_rate": 0.0}, {"abandonment": 2.0}, {"talk": -1.0}])
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        MarkovFloor(**{"agents": 2, "answer_rate": 0.3, **wrong})  # type: ignore[arg-type]  # one of them is wrong
