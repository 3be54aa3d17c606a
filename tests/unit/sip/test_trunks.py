"""Which line a call leaves by, and how its number is written."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import BadInput
from config.settings import TrunkSettings
from dialer.engines.sip.token_bucket import TokenBucket
from dialer.engines.sip.trunks import Lines, Standing, dialed


def line(name: str, **facts: object) -> TrunkSettings:
    return TrunkSettings.model_validate({"name": name, "host": "192.0.2.1", **facts})


def test_priority_first_then_weight() -> None:
    lines = Lines((line("a", priority=1, weight=30), line("b", priority=1, weight=10), line("c", priority=2)), 0.0)
    chance = Random(1)
    chosen = Counter(found.name for _ in range(4000) if (found := lines.choose((), 0.0, chance.random)))
    assert set(chosen) == {"a", "b"}
    assert 2.6 < chosen["a"] / chosen["b"] < 3.4
    lines["a"].up = lines["b"].up = False
    third = lines.choose((), 0.0, chance.random)
    assert third is not None
    assert third.name == "c"
    assert lines.choose(("a",), 0.0, chance.random) is None


trunk_sets = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(1, 3), st.booleans(), st.booleans()),
    min_size=1,
    max_size=5,
)


@given(facts=trunk_sets, chance=st.floats(0, 0.999), busy=st.integers(0, 3))
def test_the_chosen_line_is_free_and_none_free_is_better(
    facts: list[tuple[int, int, int, bool, bool]], chance: float, busy: int
) -> None:
    settings = [
        line(str(index), priority=priority, weight=weight, channels=channels)
        for index, (priority, weight, channels, _up, _paused) in enumerate(facts)
    ]
    lines = Lines(tuple(settings), 0.0)
    for index, (_p, _w, _c, up, paused) in enumerate(facts):
        one = lines[str(index)]
        one.up, one.busy, one.paused_until = up, busy, 10.0 if paused else -1.0
    chosen = lines.choose((), 5.0, lambda: chance)
    free = [one for one in lines.all() if one.standing(5.0) is Standing.FREE]
    assert (chosen is None) == (not free)
    if chosen is not None:
        assert chosen in free
        assert chosen.settings.priority == min(one.settings.priority for one in free)


@given(rate=st.floats(0.1, 100), steps=st.lists(st.floats(0, 2), max_size=200))
def test_no_more_calls_a_second_than_allowed(rate: float, steps: list[float]) -> None:
    bucket, now, taken = TokenBucket.full(rate, 0.0), 0.0, 0
    for step in steps:
        now += step
        if bucket.ready(now):
            bucket.take(now)
            taken += 1
    assert taken <= max(1.0, rate) + now * rate + 1e-6


@pytest.mark.parametrize(
    ("number", "facts", "written"),
    [
        ("+8613800138000", {}, "+8613800138000"),
        ("+8613800138000", {"number_format": "digits", "dial_prefix": "77"}, "778613800138000"),
        ("+8613800138000", {"number_format": "national"}, "013800138000"),
        ("+861062345678", {"number_format": "national"}, "01062345678"),
        ("+442071838750", {"number_format": "national"}, "00442071838750"),
        ("+442071838750", {"number_format": "national", "country": "GB"}, "02071838750"),
    ],
)
def test_how_numbers_are_written(number: str, facts: dict[str, object], written: str) -> None:
    assert dialed(number, line("a", **facts)) == written


@pytest.mark.parametrize("number", ["13800138000", "+", "+86138x", "+１３８００", ""])
def test_what_is_no_number(number: str) -> None:
    with pytest.raises(BadInput):
        dialed(number, line("a"))
