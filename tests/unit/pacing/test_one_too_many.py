"""Drops come in clusters: what a half-hour can still have bounds how many calls ring, however little each of them risks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from dialer.pacing import odds
from dialer.pacing.budget import Budget
from dialer.pacing.caution import OneTooMany

NOBODY_ELSE = odds.Chances(np.zeros((0, 4)))
NONE_RING = np.zeros((0, 1))
ONE = np.ones(1)
CHANCE = 2.5e-4


def spared(last: OneTooMany, fixed: int, chance: float, most: int = 12) -> int:
    return last.spared(fixed, NOBODY_ELSE, NONE_RING, np.array([chance]), ONE, most)


@given(
    fixed=st.integers(0, 4),
    bears=st.integers(0, 4),
    chance=st.floats(0.02, 0.9),
    storm=st.floats(1.0, 4.5),
    jump=st.floats(0.0, 0.05),
)
def test_a_call_leaves_while_it_is_hardly_ever_the_drop_too_many(
    fixed: int, bears: int, chance: float, storm: float, jump: float
) -> None:
    found = spared(OneTooMany(bears, storm, jump), fixed, chance)

    def too_many(calls: int) -> float:
        """That those before the last of ``calls`` took all who are free and all the half-hour bears."""
        usual, stormy = (
            float(binom.sf(fixed + bears - 1, calls - 1, min(1.0, one))) for one in (chance, chance * storm)
        )
        return (1.0 - jump) * usual + jump * stormy

    assert found == 0 or too_many(found) <= CHANCE * 1.001
    assert found == 12 or too_many(found + 1) > CHANCE * 0.999


def test_the_less_a_half_hour_bears_the_fewer_calls_ring_and_fewer_still_where_answers_may_treble() -> None:
    calm = [spared(OneTooMany(bears, 1.0, 0.0), 2, 0.15) for bears in range(4)]
    lively = [spared(OneTooMany(bears, 3.0, 0.05), 2, 0.15) for bears in range(4)]
    assert calm == sorted(calm)
    assert calm[0] < calm[2]
    assert all(one <= other for one, other in zip(lively, calm, strict=True))
    assert lively[3] < calm[3]


@pytest.mark.parametrize(("answers", "most"), [(83, 4), (100, 5), (101, 6), (170, 10)])
def test_a_half_hour_bears_six_in_a_hundred_and_what_was_dropped_is_gone(answers: int, most: int) -> None:
    budget = Budget(0.028)
    for number in range(answers):
        budget.answered(number * 1799.0 / answers, 0.02)
    found = []
    for _ in range(most + 2):
        found.append(budget.half_hours.bears(1799.0))
        budget.dropped(1799.0)
    assert found == [max(0, most - dropped) for dropped in range(most + 2)]
    assert most / answers <= 0.06
    assert budget.half_hours.bears(1800.0) == 0, "nobody has told it yet what the next half-hour may bring"
    budget.expect(100.0, 0.0, 10.0)
    assert budget.half_hours.bears(1800.0) == 5


@pytest.mark.parametrize(("target", "bears"), [(0.05, 10), (0.028, 5), (0.01, 5), (0.001, 5)])
def test_where_drops_are_rarer_one_more_than_usual_is_not_too_many(target: float, bears: int) -> None:
    """In proportion, three of a hundred would be too many at 1%, and ten agents realised .86% of it."""
    budget = Budget(target)
    budget.expect(100.0, 0.0, 10.0)
    assert budget.half_hours.bears(0.0) == bears
