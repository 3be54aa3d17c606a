"""What a pacer has learnt goes over a restart, another scale of time and a damaged record."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialer.pacing.answer_chance import NumberFacts
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.number_chances import NumberChances
from dialer.pacing.remembering import LONG_AGO, VERSION, Learnt, Now, UnusableMemory, kept, taken_up
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import Answered, Dropped, FloorView, Placed, Sample

END = 4500.0


def learnt_on(agents: int, rate: float, seed: int = 1) -> Learnt:
    pacer = HazardPacer(0.01, patience=2.0)
    run_day(FastFloor(Scenario(agents=agents, answer_rate=rate, channels=300), seed), pacer, hours=END / 3600)
    chances = NumberChances()
    draw = random.Random(seed)
    for n in range(500):
        chances.placed(n, NumberFacts(hour=n % 12), float(n))
        chances.ended(n, float(n), answered=draw.random() < rate)
    return Learnt(pacer, chances)


LEARNT = learnt_on(20, 0.12)
TEXT = kept(LEARNT, END)
FULL = FloorView(idle=20, room=200)
FOUR = FloorView(idle=4, talking=(30.0,) * 16, room=200)


def again(text: str = TEXT, now: float = 77.0, **changes: Any) -> Learnt:
    values: dict[str, Any] = {"at": now, "away": 30.0, "target": 0.01, "patience": 2.0}
    return taken_up(text, Now(**{**values, **changes}))


def chance_of(learnt: Learnt, now: float = 77.0) -> float:
    return float(learnt.pacer.decide(FULL, now).why["answer_chance"])


@pytest.mark.parametrize("changes", [{}, {"away": 60_000.0}, {"other_list": True}, {"target": 0.02}])
def test_the_first_decision_knows_how_many_answer(changes: dict[str, Any]) -> None:
    """A pacer that knows nothing takes every other call for answered."""
    assert float(HazardPacer(0.01).decide(FULL, 0.0).why["answer_chance"]) == 0.5
    assert chance_of(again(**changes)) == pytest.approx(0.12, rel=0.35)
    places = []
    for pacer, now in ((again(**changes).pacer, 77.0), (HazardPacer(0.01), 0.0)):
        pacer.observe(Sample(now, FOUR))
        places.append(pacer.decide(FOUR, now).place)
    assert places[0] > 1.5 * places[1]


@given(now=st.floats(-1e7, 1e7), away=st.floats(0.0, LONG_AGO))
def test_on_another_scale_of_time_it_says_the_same(now: float, away: float) -> None:
    """A machine that started anew counts its seconds from nought."""
    here, there = again(away=away, now=1000.0), again(away=away, now=now)
    assert there.pacer.decide(FULL, now).place == here.pacer.decide(FULL, 1000.0).place
    for learnt, at in ((here, 1000.0), (there, now)):
        learnt.pacer.observe(Sample(at, FULL))
        learnt.pacer.observe(Placed(at + 1, "x", None, 0.02))
        learnt.pacer.observe(Answered(at + 9, "x"))
        learnt.pacer.observe(Sample(at + 10, FULL))
    assert chance_of(there, now + 10) == pytest.approx(chance_of(here, 1010.0), rel=1e-6)


def test_keeping_it_disturbs_nobody() -> None:
    pacer = HazardPacer(0.01, patience=2.0)
    run_day(FastFloor(Scenario(agents=4, answer_rate=0.3), 2), pacer, hours=0.3)
    view = FloorView(
        idle=3, talking=(5.0,), ringing=("a",), ringing_age=(3.0,), ringing_rung=(3.0,), ringing_chance=(None,)
    )
    before = pacer.decide(view, 1080.0)
    record = pacer.snapshot()
    assert pacer._tables is not None, "the live pacer keeps what it has worked out"
    assert pacer.decide(view, 1080.0) == before
    assert record == pacer.as_record()


def test_calls_of_before_hold_up_nothing() -> None:
    """They are gone; an order of placement that waits for them would learn nothing for two minutes."""
    pacer = copy.deepcopy(LEARNT.pacer)
    pacer.observe(Placed(END, "gone", None, 0.01))
    learnt = again(kept(Learnt(pacer, LEARNT.chances), END))
    assert learnt.pacer.as_record()["placed"] == []
    seen = learnt.pacer.as_record()["ring"]["seen"]
    learnt.pacer.observe(Placed(78.0, "new", None, 0.01))
    learnt.pacer.observe(Answered(80.0, "new"))
    assert learnt.pacer.as_record()["ring"]["seen"] == seen + 1


def test_drops_of_the_last_half_hour_are_not_forgotten_and_older_ones_are() -> None:
    pacer = copy.deepcopy(LEARNT.pacer)
    for n in range(30):
        pacer.observe(Placed(END, f"d{n}", None, 0.01))
        pacer.observe(Answered(END, f"d{n}"))
        pacer.observe(Dropped(END, f"d{n}"))
    text = kept(Learnt(pacer, LEARNT.chances), END)
    assert again(text, away=60.0).pacer.decide(FULL, 77.0).why["binding"] == "half-hour guard"
    assert again(text, away=2000.0).pacer.decide(FULL, 77.0).why["binding"] != "half-hour guard"


@pytest.mark.parametrize(("begin", "same"), [(1600.0, True), (3400.0, True), (1850.0, False)])
def test_the_clocks_half_hour_is_found_again_on_another_scale_of_time(begin: float, same: bool) -> None:
    """Kept ten minutes into a half-hour and taken up a minute later: the same one on the new scale has its drops, the one
    that had begun in between has none of its own."""
    pacer = copy.deepcopy(LEARNT.pacer)
    for n in range(60):
        pacer.observe(Placed(6000.0, f"d{n}", None, 0.01))
        pacer.observe(Answered(6000.0, f"d{n}"))
        if n < 4:
            pacer.observe(Dropped(6000.0, f"d{n}"))
    text = kept(Learnt(pacer, LEARNT.chances), 6000.0)
    learnt = again(text, now=1880.0, away=60.0, half_hours_begin=begin)
    whole = again(text, now=1880.0, away=4000.0, half_hours_begin=begin)
    left = [one.pacer._budget.half_hours.left(1880.0) for one in (learnt, whole)]
    assert (left[0] < left[1] - 1.0) is same


def test_after_a_night_and_on_another_list_it_is_surer_of_less() -> None:
    fresh, night, other = again(), again(away=50_000.0), again(other_list=True)
    assert (
        fresh.pacer._known.doubt < night.pacer._known.doubt == other.pacer._known.doubt < HazardPacer(0.01)._known.doubt
    )
    assert other.pacer.as_record()["budget"]["balance"] == 0.0, "what another campaign owes is its own"


def test_what_was_learnt_of_numbers_is_kept() -> None:
    for hour in (0, 7, 11):
        facts = NumberFacts(hour=hour)
        assert again().chances.chance(facts) == pytest.approx(LEARNT.chances.chance(facts))


def test_the_record_stays_small_and_names_nobody() -> None:
    big = kept(learnt_on(100, 0.3), END)
    assert len(big) < 200_000
    assert "call_" not in big


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", f'{{"version":{VERSION}}}', TEXT[:-10],
     TEXT.replace(f'"version":{VERSION}', f'"version":{VERSION - 1}'),
     TEXT.replace('"scale":', '"scales":'), TEXT.replace('"belief":[[', '"belief":[[NaN,')],
)  # fmt: skip
def test_another_version_or_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(UnusableMemory) as refused:
        again(text)
    assert refused.value.error_id == "pacing-memory-unusable"


@pytest.mark.parametrize(("agents", "least", "most"), [(3, 0.0, 0.1), (20, 0.4, 0.6)])
def test_the_next_morning_is_as_calm_as_a_first_day_would_begin(agents: int, least: float, most: float) -> None:
    """Whether rates jump is a matter of the day; a handful does not look for it on the second more than on the first."""
    learnt = again(kept(learnt_on(agents, 0.3), END), away=50_000.0)
    learnt.pacer.observe(Sample(77.0, FloorView(idle=agents)))
    record = learnt.pacer.as_record()
    assert least <= sum(record["chance"]["belief"][1]) <= most


def test_another_campaigns_best_hour_is_not_this_ones() -> None:
    assert again(other_list=True).pacer.as_record()["highest"] == 1.0
    assert again(away=50_000.0).pacer.as_record()["highest"] == LEARNT.pacer.as_record()["highest"]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield (*path, key)
            yield from _leaves(one, (*path, key))
    elif isinstance(value, list) and value:
        yield (*path, 0)
        yield from _leaves(value[0], (*path, 0))
    else:
        yield path


PATHS = sorted(set(_leaves(json.loads(TEXT))), key=repr)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.sampled_from(PATHS),
    value=st.one_of(
        st.none(), st.text(max_size=3), st.booleans(), st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(10**30), 10**30), st.just([]), st.just({}), st.just("gone"),
    ),
)  # fmt: skip
def test_whatever_stands_in_the_record_nothing_breaks_later(path: tuple[Any, ...], value: Any) -> None:
    """Refused when it is taken up, or good for decisions: never a crash while people are called."""
    record = json.loads(TEXT)
    place = record
    for key in path[:-1]:
        place = place[key]
    if value == "gone":
        del place[path[-1]]
    else:
        place[path[-1]] = value
    try:
        learnt = again(json.dumps(record), now=0.0)  # when the day below begins
    except UnusableMemory:
        return
    run_day(FastFloor(Scenario(agents=10, answer_rate=0.3), 3), learnt.pacer, hours=0.02)
    learnt.chances.chance(NumberFacts(hour=3))
    kept(learnt, 1000.0)
