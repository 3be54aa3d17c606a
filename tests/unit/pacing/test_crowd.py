"""When many agents become free at once, calls for a part of them leave first; the usual comings and goings are left alone."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Scenario, Steps
from dialer.pacing.simulator import run_day
from dialer.pacing.state import FloorView, Sample


def learned(agents: int) -> dict[str, Any]:
    pacer = HazardPacer(0.028)
    run_day(FastFloor(Scenario(agents=agents, answer_rate=0.3), 3), pacer, hours=0.5)
    record: dict[str, Any] = pacer.as_record()
    return record


def placed(record: dict[str, Any], view: FloorView, usual_idle: float) -> int:
    """The first decision may stop at a dozen calls: how far a burst goes is seen with what rings already."""
    return HazardPacer.from_record({**record, "usual_idle": usual_idle}).decide(view, 7230.0).place


def crowd(idle: int, ringing: int) -> FloorView:
    age = (1.0,) * ringing
    return FloorView(
        idle=idle,
        ringing=tuple(range(ringing)),
        ringing_age=age,
        ringing_rung=age,
        ringing_chance=(None,) * ringing,
    )


def test_a_sudden_crowd_is_served_in_parts() -> None:
    record = learned(20)
    assert record["usual_idle"] < 8.0
    assert placed(record, crowd(20, 10), record["usual_idle"]) > 0  # at least one call each
    far = crowd(20, 40)
    assert placed(record, far, record["usual_idle"]) < placed(record, far, 20.0)


def test_what_is_usual_is_learnt() -> None:
    pacer = HazardPacer(0.028)
    for second in range(1800):
        pacer.observe(Sample(float(second), FloorView(idle=12)))
    assert pacer.as_record()["usual_idle"] == pytest.approx(12.0, abs=0.1)


def test_a_handful_of_agents_is_no_crowd() -> None:
    record = learned(4)
    for ringing in (0, 4, 8):
        assert placed(record, crowd(4, ringing), 0.0) == placed(record, crowd(4, ringing), 4.0)


def test_newcomers_are_a_crowd_for_some_seconds() -> None:
    """Five of ten come back from a break: idle agents like any others, but fewer calls leave for them at once."""
    busy = learned(10)
    half_hours = {**busy["budget"]["half_hours"], "minutes": [[30, 400, 0]]}  # the half-hour under way bears much more
    record = {**busy, "budget": {**busy["budget"], "half_hours": half_hours}, "usual_idle": 5.0}

    def after(*views: FloorView) -> int:
        pacer = HazardPacer.from_record(record)
        for second, view in enumerate(views):
            pacer.observe(Sample(1800.0 + second, view))
        return sum(pacer.decide(crowd(10, ringing), 1800.0 + len(views)).place for ringing in range(0, 40, 4))

    stayed = after(*[FloorView(idle=10)] * 120)
    back = after(*[FloorView(idle=5)] * 118, FloorView(idle=10))
    settled = after(*[FloorView(idle=5)] * 10, *[FloorView(idle=10)] * 110)
    assert stayed - settled <= 1, "newcomers are forgotten little by little, not to the last call"
    assert stayed - back > 5


def test_what_is_in_the_air_is_no_more_than_the_half_hour_bears_should_answers_treble() -> None:
    """Where rates were seen to jump, fewer calls ring at once the fewer drops are left; where they never did, it is no matter."""
    jumps = Steps(factors=(1.0, 0.5, 1.5, 0.7, 1.3), every_minutes=10.0)
    pacer = HazardPacer(0.028)
    run_day(FastFloor(Scenario(agents=10, answer_rate=0.3, answer_steps=jumps), 3), pacer, hours=2.0)
    lively: dict[str, Any] = pacer.as_record()
    at = 7230.0
    view = crowd(6, 4)

    def dials(record: dict[str, Any], drops: int) -> int:
        made = HazardPacer.from_record({**within(record, drops, most_answers=60.0), "usual_idle": 4.0})
        pace = made.decide(view, at)
        if drops >= 3:
            assert pace.why["binding"] == "half-hour guard"
        return pace.place

    none, some, many = (dials(lively, drops) for drops in (0, 3, 5))
    assert none >= some >= many
    assert none > many


def within(record: dict[str, Any], drops: int, **changes: Any) -> dict[str, Any]:
    """Sixty answers and so many drops in the first minute of the half-hour that begins at 7,200 s."""
    half_hours = {**record["budget"]["half_hours"], "minutes": [[120, 60, drops]], **changes}
    return {**record, "budget": {**record["budget"], "half_hours": half_hours}}


def guarded(record: dict[str, Any], drops: int, **changes: Any) -> dict[str, Any]:
    """So many drops in the half-hour under way, and a threshold that has climbed far."""
    made = within(record, drops, most_answers=130.0, lively=0.0)
    return {**made, "budget": {**made["budget"], "log_threshold": math.log(0.3)}, **changes}


def test_a_threshold_that_climbed_is_no_measure_once_part_of_a_half_hour_is_gone() -> None:
    record = learned(10)
    limits = [
        HazardPacer.from_record(guarded(record, drops)).decide(crowd(6, 4), 7230.0).why["threshold"] for drops in (0, 7)
    ]
    assert limits[0] > 0.2
    assert limits[1] <= 2.5 * 0.028


def test_those_who_are_left_of_ten_on_a_break_are_guarded_like_the_ten() -> None:
    record = learned(10)
    view = crowd(5, 4)
    whole, handful = (
        HazardPacer.from_record(guarded(record, 7, size=size)).decide(view, 7230.0).why["threshold"]
        for size in (9.0, 5.0)
    )
    assert whole < handful
