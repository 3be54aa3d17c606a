"""A number's own chance is told as a contrast, so that the pacer hears the level of answering once."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from dialer.pacing.answer_chance import NumberFacts
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.number_chances import USUAL, NumberChances
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import Day, run_day
from dialer.pacing.state import Answered, FloorView, Pace, PacingEvent, Placed, Unanswered

MOBILE = NumberFacts(hour=10, number_type="mobile")
OFFICE = NumberFacts(hour=10, number_type="workplace")


def taught(outcomes: Iterator[tuple[NumberFacts, bool]]) -> NumberChances:
    made = NumberChances()
    for n, (facts, answered) in enumerate(outcomes):
        made.placed(n, facts, float(n))
        made.ended(n, float(n), answered=answered)
    return made


def of_rate(rate: float, count: int, facts: NumberFacts = MOBILE, seed: int = 1) -> Iterator[tuple[NumberFacts, bool]]:
    draw = random.Random(seed)
    return ((facts, draw.random() < rate) for _ in range(count))


def test_nothing_is_told_before_enough_outcomes_are_known() -> None:
    assert taught(of_rate(0.3, 199)).chance(MOBILE) is None
    assert taught(of_rate(0.3, 200)).chance(MOBILE) is not None


@pytest.mark.parametrize("rate", [0.02, 0.15, 0.6])
@pytest.mark.parametrize("count", [200, 205, 3000])
def test_a_list_of_one_kind_is_usual_whatever_its_level(rate: float, count: int) -> None:
    """The pacer has followed the level from the first call: from the moment chances are told nothing may jump."""
    chances = taught(of_rate(rate, count))
    told = chances.chance(MOBILE)
    assert told == pytest.approx(USUAL)
    assert chances.of_next == told


def test_kinds_are_told_apart_and_are_usual_on_average() -> None:
    draw = random.Random(3)
    kinds = [(MOBILE, 0.4) if draw.random() < 0.5 else (OFFICE, 0.1) for _ in range(4000)]
    chances = taught((facts, draw.random() < rate) for facts, rate in kinds)
    mobile, office = chances.chance(MOBILE), chances.chance(OFFICE)
    assert mobile is not None
    assert office is not None
    assert mobile / office == pytest.approx(4.0, rel=0.35)
    assert (mobile + office) / 2 == pytest.approx(USUAL, rel=0.1)
    for _ in range(100):
        chances.chance(OFFICE)
    assert chances.of_next == pytest.approx(office)


def test_a_call_given_up_teaches_nothing_and_holds_up_nobody() -> None:
    chances = taught(of_rate(0.3, 199))
    chances.placed("first", MOBILE, 500.0)
    chances.placed("second", MOBILE, 501.0)
    chances.ended("second", 510.0, answered=True)
    assert chances.chance(MOBILE) is None
    chances.ended("first", 511.0, answered=None)
    assert chances.chance(MOBILE) is not None


def test_a_call_nobody_tells_the_end_of_holds_up_for_two_minutes() -> None:
    chances = taught(of_rate(0.3, 199))
    chances.placed("lost", MOBILE, 500.0)
    chances.placed("next", MOBILE, 501.0)
    chances.ended("next", 510.0, answered=False)
    assert chances.chance(MOBILE) is None
    chances.placed("later", MOBILE, 620.0)
    chances.ended("later", 630.0, answered=False)
    assert chances.chance(MOBILE) is not None


@pytest.mark.parametrize("count", [50, 200, 1234])
def test_restored_it_says_the_same(count: int) -> None:
    draw = random.Random(5)
    chances = taught(
        ((MOBILE, draw.random() < 0.4) if draw.random() < 0.5 else (OFFICE, draw.random() < 0.1)) for _ in range(count)
    )
    again = NumberChances.from_record(json.loads(json.dumps(chances.as_record())))
    for facts in (MOBILE, OFFICE):
        told = chances.chance(facts)
        assert again.chance(facts) == (None if told is None else pytest.approx(told, rel=1e-9))
    assert again.as_record() == chances.as_record()


class _Told(FastFloor):
    """A floor whose numbers are asked for as in production."""

    def __init__(self, scenario: Scenario, seed: int, chances: NumberChances) -> None:
        super().__init__(scenario, seed)
        self.chances = chances

    def _told(self, factor: float) -> float | None:
        return self.chances.chance(MOBILE)


class _Ear:
    """The pacer, and beside it who learns the chances from the same events."""

    on_events, every, soonest = False, 1.0, 0.5

    def __init__(self, pacer: HazardPacer, chances: NumberChances) -> None:
        self.pacer, self.chances = pacer, chances

    def decide(self, view: FloorView, now: float) -> Pace:
        return self.pacer.decide(view, now)

    def observe(self, event: PacingEvent) -> None:
        if isinstance(event, Placed):
            self.chances.placed(event.call, MOBILE, event.at)
        elif isinstance(event, Answered):
            self.chances.ended(event.call, event.at, answered=True)
        elif isinstance(event, Unanswered):
            self.chances.ended(event.call, event.at, answered=None if event.cancelled else False)
        self.pacer.observe(event)


def test_where_few_answer_no_flood_leaves_when_chances_begin_to_be_told() -> None:
    """With the model's own level told, the first minutes of such a list cost 28 drops instead of two or three."""
    scenario = Scenario(agents=30, answer_rate=0.05)

    def minutes(seed: int) -> Day:
        chances = NumberChances()
        return run_day(_Told(scenario, seed, chances), _Ear(HazardPacer(0.01), chances), hours=0.2)

    days = [minutes(seed) for seed in range(2)]
    assert sum(day.answers for day in days) > 150
    assert sum(day.drops for day in days) <= 16
