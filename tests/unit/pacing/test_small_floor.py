"""The optimum of a handful of agents, worked out a little at a time."""

from __future__ import annotations

import pytest

from dialer.pacing.bound import MarkovFloor, solve_bound
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.small_floor import SmallFloor
from dialer.pacing.state import Answered, Dropped, FloorView, Pace

AIM = 0.028


def worked_out(agents: int, chance: float) -> tuple[SmallFloor, int]:
    small, samples = SmallFloor(), 0
    while not small.ready(agents):
        small.consider(agents=agents, chance=chance, ring=15.0, talk=90.0, wrap=15.0, aim=AIM)
        samples += 1
        assert samples < 200
    return small, samples


def test_it_takes_its_time_and_as_long_when_the_answer_is_known() -> None:
    _, first = worked_out(2, 0.3)
    _, again = worked_out(2, 0.3)
    assert first == again > 3


def test_both_neighbours_enclose_the_optimum() -> None:
    small, _ = worked_out(3, 0.3)
    best = solve_bound(MarkovFloor(agents=3, answer_rate=0.3, abandonment=AIM)).ring_up_to
    for talking, wrapping in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 0)]:
        small.account = -1.0
        strict = small.ring_up_to(talking, wrapping, 0, careful=False)
        small.account = 1.0
        free = small.ring_up_to(talking, wrapping, 0, careful=False)
        assert strict <= free
        assert strict - 1 <= best[talking, wrapping, 0] <= free + 1
        assert small.ring_up_to(talking, wrapping, 0, careful=True) == strict
    assert small.ring_up_to(0, 0, 0, careful=True) >= 3  # three are free


def test_ten_agents_take_longer_but_no_longer_at_a_time() -> None:
    small, samples = worked_out(10, 0.3)
    assert samples > 30
    strict = [small.ring_up_to(8, wrapping, 0, careful=True) for wrapping in (0, 1, 2)]
    assert strict == sorted(strict, reverse=True)  # fewer free, fewer calls
    assert small.ring_up_to(6, 2, 0, careful=True) > small.ring_up_to(
        8, 0, 0, careful=True
    )  # wrap-up ends sooner than talk


def test_what_rings_is_never_taken_back() -> None:
    small, _ = worked_out(1, 0.5)
    assert small.ring_up_to(1, 0, 7, careful=False) == 7


def test_the_account_says_which_neighbour_is_due() -> None:
    small, _ = worked_out(1, 0.15)
    small.passed(10.0, 2.0, AIM)
    owed = small.ring_up_to(0, 0, 0, careful=False)
    small.passed(100.0, 0.0, AIM)
    assert owed == 1 < small.ring_up_to(0, 0, 0, careful=False)


@pytest.mark.parametrize(("markov", "used"), [(True, True), (False, False)])
def test_it_serves_only_where_ring_ages_tell_nothing(markov: bool, used: bool) -> None:
    scenario = Scenario(agents=3, markov=markov, patience=0.0, ring=15.0 if markov else 12.0)
    said: list[str] = []

    def watch(_view: FloorView, now: float, pace: Pace) -> None:
        if now > 3600.0:
            said.append(str(pace.why["binding"]))

    run_day(FastFloor(scenario, 4), HazardPacer(AIM, patience=0.0, cancels=False), hours=1.5, watch=watch)
    assert (said.count("optimum") > 0.9 * len(said)) is used


def test_a_bad_half_hour_never_stops_calls_that_cost_nothing() -> None:
    pacer = HazardPacer(0.028)
    for second in range(400):
        pacer.observe(Answered(float(second), second))
        if second % 4 == 0:
            pacer.observe(Dropped(float(second), second))
    pace = pacer.decide(FloorView(idle=50, talking=(10.0,) * 50), 400.0)
    assert pace.why["binding"] in ("half-hour guard", "risk")
    assert pace.place >= 10
    assert pacer.decide(FloorView(idle=0, talking=(10.0,) * 100), 400.0).place == 0


@pytest.mark.parametrize(("agents", "looked_at"), [(3, False), (10, True)])
def test_a_half_hour_of_a_handful_is_not_closed_while_the_optimum_serves(agents: int, looked_at: bool) -> None:
    """Six customers dropped in a row: ten agents' half-hour has had all it may, three agents' account has to pay for it."""
    scenario = Scenario(agents=agents, answer_rate=0.3, markov=True, patience=0.0, ring=15.0)
    pacer = HazardPacer(AIM, patience=0.0, cancels=False)
    run_day(FastFloor(scenario, 4), pacer, hours=1.5)
    view = FloorView(idle=1, talking=(30.0,) * (agents - 1))
    assert pacer.decide(view, 5400.0).why["binding"] == "optimum"
    for call in range(6):
        pacer.observe(Answered(5400.0, f"unlucky {call}"))
        pacer.observe(Dropped(5400.0, f"unlucky {call}"))
    pace = pacer.decide(view, 5401.0)
    assert (pace.why["binding"] != "optimum") is looked_at
    assert pace.place >= 1, "a call for an agent who is free drops nobody"


def test_figures_of_no_floor_are_left_to_the_general_rule() -> None:
    """A million calls ringing for five agents: nothing is worked on, and the account stands."""
    floor = SmallFloor()
    floor.account = 0.5
    for _ in range(50):
        floor.consider(agents=5, chance=1e-6, ring=20.0, talk=90.0, wrap=15.0, aim=0.028)
    assert not floor.ready(5)
    assert floor._work is None
    assert floor.account == 0.5
