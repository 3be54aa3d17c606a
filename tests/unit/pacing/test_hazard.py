"""The product's pacer: pure, monotone, kind, replayable, within its target."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer.pacing import odds
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Break, Scenario, Steps
from dialer.pacing.simulator import run_day
from dialer.pacing.state import Answered, FloorView, Pace, Pacer, PacingEvent, Placed, Sample


class Journal:
    """Writes down all that a pacer is told and asked."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self.lines: list[tuple[str, Any, Any]] = []

    @property
    def every(self) -> float:
        return self._pacer.every

    @property
    def on_events(self) -> bool:
        return self._pacer.on_events

    @property
    def soonest(self) -> float:
        return self._pacer.soonest

    def decide(self, view: FloorView, now: float) -> Pace:
        pace = self._pacer.decide(view, now)
        self.lines.append(("decide", (view, now), pace))
        return pace

    def observe(self, event: PacingEvent) -> None:
        self._pacer.observe(event)
        self.lines.append(("observe", event, None))


@pytest.fixture(scope="module")
def learned() -> dict[str, Any]:
    pacer = HazardPacer(0.028)
    run_day(FastFloor(Scenario(agents=8, answer_rate=0.3), 3), pacer, hours=0.5)
    record: dict[str, Any] = json.loads(json.dumps(pacer.as_record()))
    return record


ages = st.lists(st.floats(0.0, 40.0), max_size=12)


@st.composite
def views(draw: st.DrawFn) -> FloorView:
    rung = draw(ages)
    return FloorView(
        idle=draw(st.integers(0, 6)),
        talking=tuple(draw(st.lists(st.floats(0.0, 600.0), max_size=8))),
        wrapping=tuple(draw(st.lists(st.floats(0.0, 60.0), max_size=4))),
        ringing=tuple(f"call-{number}" for number in range(len(rung))),
        ringing_age=tuple(rung),
        ringing_rung=tuple(rung),
        ringing_chance=(None,) * len(rung),
        waiting=tuple(draw(st.lists(st.floats(0.0, 2.0), max_size=2))),
    )


def more(view: FloorView, **changes: Any) -> FloorView:
    return FloorView.from_record({**view.as_record(), **changes})


@settings(max_examples=40, deadline=None)
@given(view=views())
def test_asking_changes_nothing(learned: dict[str, Any], view: FloorView) -> None:
    pacer = HazardPacer.from_record(learned)
    first = pacer.decide(view, 2000.0)
    assert pacer.decide(view, 2000.0) == first
    assert pacer.decide(FloorView.from_record(json.loads(json.dumps(view.as_record()))), 2000.0) == first


@settings(max_examples=60, deadline=None)
@given(view=views())
def test_more_idle_agents_never_mean_fewer_calls(learned: dict[str, Any], view: FloorView) -> None:
    pacer = HazardPacer.from_record(learned)
    assert pacer.decide(more(view, idle=view.idle + 1), 2000.0).place >= pacer.decide(view, 2000.0).place


@settings(max_examples=60, deadline=None)
@given(view=views())
def test_another_ringing_call_never_means_more_calls(learned: dict[str, Any], view: FloorView) -> None:
    pacer = HazardPacer.from_record(learned)
    fuller = more(
        view,
        ringing=(*view.ringing, "one more"),
        ringing_age=(*view.ringing_age, 3.0),
        ringing_rung=(*view.ringing_rung, 3.0),
        ringing_chance=(*view.ringing_chance, None),
    )
    assert pacer.decide(fuller, 2000.0).place <= pacer.decide(view, 2000.0).place


@settings(max_examples=60, deadline=None)
@given(view=views(), room=st.integers(0, 5))
def test_room_is_kept_and_no_phone_is_given_up_early(learned: dict[str, Any], view: FloorView, room: int) -> None:
    pace = HazardPacer.from_record(learned).decide(more(view, room=room), 2000.0)
    assert pace.place <= room
    assert len(pace.risk) == pace.place
    rung = dict(zip(view.ringing, view.ringing_rung, strict=True))
    assert all(rung[call] >= 15.0 for call in pace.cancel)
    if view.idle > len(view.waiting):
        assert pace.cancel == ()


def test_hopeless_ringing_calls_are_given_up(learned: dict[str, Any]) -> None:
    view = FloorView(
        idle=0,
        talking=(2.0, 3.0),
        ringing=("old", "young"),
        ringing_age=(16.0, 4.0),
        ringing_rung=(16.0, 4.0),
        ringing_chance=(None, None),
    )
    assert HazardPacer.from_record(learned).decide(view, 2000.0).cancel == ("old",)
    kept = HazardPacer(0.028, cancels=False)
    assert kept.decide(view, 0.0).cancel == ()


@pytest.mark.parametrize(
    ("agents", "risk", "given_up"), [(10, 0.3, True), (40, 0.3, False), (40, 0.6, True), (10, 0.1, False)]
)
def test_a_large_floor_gives_up_only_what_is_more_likely_dropped_than_not(
    learned: dict[str, Any], monkeypatch: pytest.MonkeyPatch, agents: int, risk: float, given_up: bool
) -> None:
    pacer = HazardPacer.from_record(learned)
    view = FloorView(
        idle=0,
        talking=(30.0,) * agents,
        ringing=("old",),
        ringing_age=(16.0,),
        ringing_rung=(16.0,),
        ringing_chance=(None,),
    )
    monkeypatch.setattr(odds, "risks", lambda *_: [risk])
    assert pacer.decide(view, 2000.0).cancel == (("old",) if given_up else ())


def test_nobody_logged_in_means_no_call(learned: dict[str, Any]) -> None:
    assert HazardPacer.from_record(learned).decide(FloorView(idle=0), 2000.0).place == 0
    assert HazardPacer(0.01).decide(FloorView(idle=0, leaving=2), 0.0).place == 0


def test_a_likelier_number_is_dialed_more_carefully(learned: dict[str, Any]) -> None:
    pacer = HazardPacer.from_record(learned)
    floor = FloorView(idle=2, talking=(60.0,) * 6, next_chance=0.1)
    assert pacer.decide(floor, 2000.0).place > pacer.decide(more(floor, next_chance=0.6), 2000.0).place


def test_a_journal_replays_to_the_same_decisions() -> None:
    journal = Journal(HazardPacer(0.02))
    run_day(FastFloor(Scenario(agents=4, answer_rate=0.4), 11), journal, hours=0.3)
    again = HazardPacer(0.02)
    decisions = 0
    for kind, given_, answer in journal.lines:
        if kind == "observe":
            again.observe(given_)
        else:
            assert again.decide(*given_) == answer
            decisions += 1
    assert decisions > 500


def test_a_restored_pacer_goes_on_as_the_first_would(learned: dict[str, Any]) -> None:
    first = HazardPacer.from_record(learned)
    second = HazardPacer.from_record(json.loads(json.dumps(first.as_record())))
    for pacer in (first, second):
        pacer.observe(Placed(2000.0, "call", None, 0.01))
        pacer.observe(Sample(2001.0, FloorView(idle=2)))
        pacer.observe(Answered(2008.0, "call"))
    assert second.as_record() == first.as_record()


def test_the_reasons_are_given() -> None:
    why = HazardPacer(0.01).decide(FloorView(idle=3), 0.0).why
    assert why["binding"] == "risk"
    assert {"threshold", "aim", "answer_chance", "idle", "ringing", "waiting", "talk_mean"} <= set(why)


@pytest.mark.parametrize(("rate", "ring"), [(0.1, 12.0), (0.3, 12.0), (0.9, 12.0), (0.9, 4.0)])
def test_a_shift_begins_without_a_flood(rate: float, ring: float) -> None:
    """All agents are free at once and nothing is known: whatever the answer rate, the first minutes drop few."""
    answers = drops = 0
    for seed in (900, 901, 902):
        day = run_day(FastFloor(Scenario(agents=30, answer_rate=rate, ring=ring), seed), HazardPacer(0.01), hours=0.05)
        answers, drops = answers + day.answers, drops + day.drops
    assert answers >= 90  # they were not kept waiting for it either
    assert drops <= 0.05 * answers


def test_a_break_that_ends_as_the_answer_rate_trebles_drops_few() -> None:
    away = Break(share=0.5, minutes=12.0, from_minute=18.0, every_minutes=1440.0)
    scenario = Scenario(
        agents=60, answer_rate=0.15, breaks=(away,), answer_steps=Steps(factors=(1.0, 3.0), every_minutes=30.0)
    )
    dropped = 0
    for seed in (1, 2):
        day = run_day(FastFloor(scenario, seed), HazardPacer(0.028), hours=1.0)
        dropped += day.drops_by_half_hour[1]
        assert day.worst_half_hour <= 0.06
    assert dropped < 90  # thirty agents came back, and forty answers too many were in the air
