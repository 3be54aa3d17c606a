"""The floor that dials and the floor of the pacing simulator are one floor: same seed, same day."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from api.simulate_commands import simulate
from case_store.call_facts import CallFacts
from case_store.verdict import Verdict
from config.errors import BadInput
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.progressive import Progressive
from dialer.pacing.scenario import Break, Scenario
from dialer.pacing.simulator import Day, Watcher, run_day
from dialer.pacing.state import Pacer
from dialer.policy import CallRequest, PolicySet, decide
from dialer.simulated import production_floor
from dialer.simulated.production_floor import ProductionFloor

HALF_AN_HOUR = 0.5
_PRODUCTION = ["--floor", "production"]


def both(agents: int, seed: int) -> tuple[Day, Day]:
    scenario = Scenario(agents=agents, answer_rate=0.3)
    fast = run_day(FastFloor(scenario, seed), HazardPacer(0.03), hours=HALF_AN_HOUR)
    with ProductionFloor(scenario, seed) as floor:
        production = run_day(floor, HazardPacer(0.03), hours=HALF_AN_HOUR)
    return fast, production


@pytest.mark.parametrize("agents", [3, 10])
def test_half_an_hour_is_the_same_on_both_floors(agents: int) -> None:
    fast, production = both(agents, seed=5)
    assert production.dials > 100
    assert production.dials == pytest.approx(fast.dials, rel=0.1)
    assert production.answers == pytest.approx(fast.answers, rel=0.1)
    assert production.utilisation == pytest.approx(fast.utilisation, abs=0.04)
    assert abs(production.drops - fast.drops) <= 3


@pytest.mark.parametrize(
    ("agents", "make_pacer"),
    [
        (3, Progressive),
        (3, lambda: HazardPacer(0.03)),
        (10, lambda: HazardPacer(0.03, cancels=False)),
    ],
)
def test_decision_for_decision_the_same(agents: int, make_pacer: Callable[[], Pacer]) -> None:
    # No two things happen at the very same instant here: what then comes first is not settled, on any floor.
    scenario = Scenario(agents=agents, answer_rate=0.3, no_answer_cv=0.3)

    def watch(into: list[tuple[float, int, int]]) -> Watcher:
        return lambda _view, now, pace: into.append((round(now, 3), pace.place, len(pace.cancel)))

    fast: list[tuple[float, int, int]] = []
    production: list[tuple[float, int, int]] = []
    run_day(FastFloor(scenario, 5), make_pacer(), hours=HALF_AN_HOUR, watch=watch(fast))
    with ProductionFloor(scenario, 5) as floor:
        run_day(floor, make_pacer(), hours=HALF_AN_HOUR, watch=watch(production))
    assert len(fast) > 1000
    assert production == fast


def test_the_command_runs_on_it() -> None:
    arguments = ["pacing", "--agents", "3", "--hours", "0.2", "--seeds", "2", "--json"]
    shown = [json.loads(CliRunner().invoke(simulate, [*arguments, *more]).stdout) for more in ([], _PRODUCTION)]
    fast, production = shown
    assert production["answers"] == pytest.approx(fast["answers"], rel=0.2)
    assert production["utilisation"] == pytest.approx(fast["utilisation"], abs=0.06)


def test_a_scenario_it_cannot_play_is_refused() -> None:
    with pytest.raises(BadInput, match="fast floor"):
        ProductionFloor(Scenario(breaks=(Break(share=0.5, minutes=5),)), seed=0)


def test_every_simulated_call_has_the_policys_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production: what it refuses is not dialed, and it is asked at an hour of the callee's working day."""
    asked: list[CallRequest] = []

    def judged(request: CallRequest, facts: CallFacts, sets: Sequence[PolicySet]) -> Verdict:
        asked.append(request)
        return decide(request, facts, sets)

    monkeypatch.setattr(production_floor, "decide", judged)
    scenario = Scenario(agents=5, answer_rate=0.3)
    with ProductionFloor(scenario, 1) as floor:
        day = run_day(floor, HazardPacer(0.03), hours=0.2)
    assert day.dials == len(asked) > 50
    assert len({request.e164 for request in asked}) == len(asked)
    with ProductionFloor(scenario, 1) as floor:
        monkeypatch.setattr(production_floor, "_START", datetime(2026, 1, 5, 15, tzinfo=UTC))  # 23:00 where they live
        assert run_day(floor, HazardPacer(0.03), hours=0.05).dials == 0
