"""The chance that one more call is dropped, against plain enumeration and against each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer.pacing import odds

chances = st.floats(0.0, 1.0, allow_nan=False)


def enumerate_risk(fixed: int, free: list[float], answer: list[float]) -> float:
    total = 0.0
    for pattern in itertools.product((0, 1), repeat=len(free) + len(answer)):
        weight = 1.0
        for happened, chance in zip(pattern, free + answer, strict=True):
            weight *= chance if happened else 1.0 - chance
        surplus = fixed + sum(pattern[: len(free)]) - sum(pattern[len(free) :])
        if surplus <= 0:
            total += weight
    return total


def column(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=float).reshape(len(values), 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(-2, 3), st.lists(chances, max_size=4), st.lists(chances, max_size=5))
def test_small_floors_are_exact(fixed: int, free: list[float], answer: list[float]) -> None:
    found = odds.risks(fixed, odds.Chances.of(column(free)), column(answer), np.array([0.3]), np.ones(1), 1, 1.0)
    assert found[0] == pytest.approx(enumerate_risk(fixed, free, answer), abs=1e-7)


def test_each_further_call_counts_those_before_it() -> None:
    found = odds.risks(1, odds.Chances.of(column([])), column([]), np.array([0.3]), np.ones(1), 3, 1.0)
    assert found == pytest.approx([0.0, 0.3, 1 - 0.7**2])


def test_the_normal_agrees_with_the_exact_where_they_meet() -> None:
    random = np.random.default_rng(5)
    free = odds.Chances.of(random.uniform(0.02, 0.4, (30, 3)))
    answer = random.uniform(0.02, 0.3, (50, 3))
    new, weights = np.array([0.1, 0.2, 0.28]), np.full(3, 1 / 3)
    exact = odds._exact(8, free, answer, new, weights, 8, 1.0)
    normal = odds._normal(8, free, answer, new, weights, 8, 1.0)
    assert len(exact) == len(normal) == 8
    assert normal == pytest.approx(exact, rel=0.03, abs=0.002)


def test_the_far_tail_is_never_taken_for_impossible() -> None:
    random = np.random.default_rng(6)
    free, answer = odds.Chances.of(random.uniform(0.1, 0.3, (60, 1))), random.uniform(0.05, 0.2, (60, 1))
    exact = odds._exact(10, free, answer, np.array([0.2]), np.ones(1), 1, 1.0)[0]
    normal = odds._normal(10, free, answer, np.array([0.2]), np.ones(1), 1, 1.0)[0]
    assert 0.0 < exact < 0.002
    assert 0.5 < normal / exact < 2.0


def test_stops_at_the_limit() -> None:
    found = odds.risks(1, odds.Chances.of(column([])), column([]), np.array([0.3]), np.ones(1), 9, 0.31)
    assert len(found) == 2
    assert odds.risks(0, odds.Chances.of(column([])), column([]), np.array([0.3]), np.ones(1), 9, 0.31) == []


@pytest.mark.parametrize("rows", [0, 1, 4096, 4097])
def test_columns_are_summed_however_many_rows_there_are(rows: int) -> None:
    table = np.random.default_rng(7).uniform(0.0, 1.0, (rows, 3))
    assert odds.summed(table) == pytest.approx(table.sum(axis=0))
