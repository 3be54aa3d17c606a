"""How much may be in the air at once: bounded by the best hour remembered, by luck, and by the floor as it is when nobody is away."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.pacing import odds
from dialer.pacing.caution import Caution, lively_at_first

NOBODY_ELSE = odds.Chances(np.zeros((0, 4)))


def remembering(*factors: float, seconds: float = 1.0) -> Caution:
    caution = Caution()
    for factor in factors:
        caution.saw(10.0, 2, 10.0, seconds, factor)
    return caution


def bearable(caution: Caution, *, fixed: int = 6, left: float = 4.0, lively: float = 1.0, factor: float = 0.3) -> int:
    ringing = np.full((6, 1), 0.15 * factor)
    return caution.bearable(fixed, NOBODY_ELSE, ringing, 0.15 * factor, left, lively, factor)


def test_a_floor_stays_what_it_is_over_a_break() -> None:
    caution = Caution()
    caution.saw(10.0, 1, 10.0, 1.0, 1.0)
    for _ in range(12 * 60):
        caution.saw(5.0, 1, 5.0, 1.0, 1.0)
        assert caution.of_many(5.0), "those who are back in twelve minutes count"
    for _ in range(3600):
        caution.saw(5.0, 1, 5.0, 1.0, 1.0)
    assert not caution.of_many(5.0), "those who went home do not"
    assert caution.of_many(6.0)


def test_the_better_the_best_hour_was_the_fewer_may_ring_in_a_poor_one() -> None:
    poor = [bearable(remembering(best, 0.5), factor=0.5) for best in (1.0, 1.4, 2.0)]
    assert poor[0] > poor[1] > poor[2]
    calm = bearable(remembering(1.1), factor=1.1, lively=0.0)
    assert bearable(remembering(1.1), factor=1.1, left=4.5) == calm, (
        "in the best hour there was, none better is reckoned with: beyond the half drop that is kept back where rates jump"
    )
    assert bearable(remembering(1.1), factor=1.1) < calm


def test_the_best_hour_is_forgotten_in_the_course_of_a_day() -> None:
    fresh, old = remembering(1.5), remembering(1.5, *[0.3] * 480, seconds=60.0)
    assert old.highest == pytest.approx(1.5 * math.exp(-480 * 60.0 / 21_600.0), rel=0.01)
    assert bearable(old) > bearable(fresh)


@given(
    fixed=st.integers(0, 30),
    ringing=st.lists(st.floats(0.0, 1.0), max_size=40),
    new=st.floats(0.01, 1.0),
    left=st.floats(-3.0, 40.0),
    lively=st.floats(0.0, 1.0),
    factor=st.floats(0.05, 2.0),
)
def test_as_many_as_bear_it_and_not_one_more(
    fixed: int, ringing: list[float], new: float, left: float, lively: float, factor: float
) -> None:
    caution = Caution()
    found = caution.bearable(fixed, NOBODY_ELSE, np.array(ringing).reshape(len(ringing), 1), new, left, lively, factor)
    storm = 1.0 + lively * min(3.5, max(0.0, caution.highest / factor - 1.0))
    each, one = [min(1.0, chance * storm) for chance in ringing], min(1.0, new * storm)

    def over(calls: int) -> float:
        answers = sum(each) + calls * one
        luck = math.sqrt(sum(chance * (1.0 - chance) for chance in each) + calls * one * (1.0 - one))
        return answers + luck - fixed - max(0.0, left - 1.0 - 0.5 * lively)

    assert found >= 0
    assert found == 0 or over(found) <= 1e-6
    assert over(found + 1) > -1e-6


@pytest.mark.parametrize("new", [0.0, 1e-300, 1e-9])
def test_where_no_answer_is_believed_in_a_call_for_each_free_agent_may_ring(new: float) -> None:
    """Divided by its square once (a damaged record says so); and nothing bounds what is thought never to be answered."""
    caution = remembering(1.0)
    for fixed in (0, 10):
        found = caution.bearable(fixed, NOBODY_ELSE, np.zeros((0, 4)), new, 2.3, 0.1, 0.24)
        assert found == fixed


def test_a_handful_begins_nearly_sure_of_calm_times() -> None:
    assert lively_at_first(5) < 0.1 < lively_at_first(6)


def test_a_handful_suspects_calm_times_less_and_a_floor_half_of_whose_agents_are_away_does_not() -> None:
    handful, floor = Caution(), Caution()
    for at in range(20):
        handful.saw(5.0, 0, 5.0, 1.0, 1.0)
        floor.saw(10.0 if at < 10 else 5.0, 0, 10.0, 1.0, 1.0)
    assert handful.turning(5.0) < 0.5
    assert floor.turning(5.0) == 1.0
