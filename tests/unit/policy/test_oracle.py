"""The engine against the second opinion, over the CN, US and UK sets, clock changes included."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from dialer.policy import decide, load_sets
from tests.unit.policy import oracle
from tests.unit.policy.worlds import SETS, world

LOADED = {names: load_sets(names) for names in SETS}


@pytest.mark.parametrize("seed", range(20))
def test_every_decision_agrees_with_the_second_opinion(seed: int) -> None:
    draw = random.Random(seed)  # a world must be repeatable by its seed
    seen = {True: 0, False: 0}
    for _ in range(1000):
        request, facts, names, zones = world(draw)
        verdict = decide(request, facts, LOADED[names])
        expected = oracle.allowed(request, facts, set(names), zones)
        assert verdict.allowed is expected, (request, facts, names, verdict)
        seen[expected] += 1
    assert min(seen.values()) > 100  # both answers occur: the check can fail either way


@pytest.mark.parametrize("seed", range(100, 104))
def test_until_is_the_first_instant_at_which_the_call_is_allowed(seed: int) -> None:
    draw = random.Random(seed)
    checked = 0
    for _ in range(150):
        request, facts, names, zones = world(draw)
        verdict = decide(request, facts, LOADED[names])
        if verdict.allowed:
            continue
        assert verdict.rule
        assert verdict.figure
        assert verdict.source
        if verdict.until is None:
            for hours in range(0, 24 * 20, 5):
                later = replace(request, at=request.at + timedelta(hours=hours))
                assert not oracle.allowed(later, facts, set(names), zones), (request, facts, names)
            continue
        assert oracle.allowed(replace(request, at=verdict.until), facts, set(names), zones), (request, facts, names)
        before = verdict.until - timedelta(seconds=1)
        while before > request.at:
            assert not oracle.allowed(replace(request, at=before), facts, set(names), zones), (request, facts, names)
            before -= timedelta(minutes=45)
        checked += 1
    assert checked > 30
