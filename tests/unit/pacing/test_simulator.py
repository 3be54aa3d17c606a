"""The simulated floor, the driver and the command line over it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands import run
from api.simulate_commands import simulate
from config.errors import BadInput
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.progressive import Progressive
from dialer.pacing.scenario import Break, NumberKind, Scenario, Steps, scenario_from_toml
from dialer.pacing.simulator import run_day, run_days
from dialer.pacing.state import Answered, FloorView, Pace, Placed


def test_one_to_one_comes_out_as_arithmetic_says() -> None:
    found = run_days(Scenario(agents=10, answer_rate=0.3), Progressive, hours=4.0, seeds=range(3))
    # a dial takes .3 x 12 + .7 x 30 s, and 1/.3 of them an answer
    expected = 105.0 / (105.0 + 24.6 / 0.3)
    assert found.utilisation == pytest.approx(expected, abs=0.03)
    assert found.drops == 0


def test_the_same_seed_gives_the_same_day() -> None:
    days = [run_day(FastFloor(Scenario(agents=5), 42), HazardPacer(0.028), hours=0.5) for _ in range(2)]
    assert days[0] == days[1]


@pytest.mark.parametrize(("agents", "low", "high"), [(1, 0.50, 0.80), (10, 0.74, 0.88)])
def test_hazard_keeps_agents_busy_within_its_target(agents: int, low: float, high: float) -> None:
    found = run_days(Scenario(agents=agents, answer_rate=0.3), lambda: HazardPacer(0.028), hours=1.5, seeds=range(2))
    assert low < found.utilisation < high
    assert found.abandonment < 0.06


def test_a_low_target_is_honoured_from_the_first_minute() -> None:
    found = run_days(Scenario(agents=30, answer_rate=0.3), lambda: HazardPacer(0.001), hours=0.5, seeds=range(2))
    assert found.drops <= 2
    assert found.utilisation > 0.65


def test_limits_of_the_trunk_are_kept() -> None:
    most = 0
    placed: list[float] = []

    def watch(view: FloorView, now: float, pace: Pace) -> None:
        nonlocal most
        most = max(most, len(view.ringing) + len(view.talking) + len(view.waiting))
        placed.extend([now] * min(pace.place, view.room or 0))

    scenario = Scenario(agents=10, answer_rate=0.15, channels=20, cps=2.0)
    day = run_day(FastFloor(scenario, 1), HazardPacer(0.028), hours=0.3, watch=watch)
    assert day.dials > 100
    assert most <= 20
    assert all(sum(start <= at < start + 1.0 for at in placed) <= 4 for start in placed)


def test_carrier_and_progress_delay_reach_the_customer() -> None:
    floor = FastFloor(Scenario(agents=1, answer_rate=1.0, ring_cv=0.0, carrier_delay=3.0, progress_delay=2.0), 1)
    events = list(floor.carry_out(Pace(place=1), 0.0))
    assert floor.view(2.0).ringing_rung == (0.0,)
    while not any(isinstance(event, Answered) for event in events):
        events.extend(floor.step())
        if not any(isinstance(event, Answered) for event in events):
            assert floor.view(16.0).ringing_rung == (0.0,)  # answered, being classified: rings no more
    assert [event.at for event in events if isinstance(event, Placed | Answered)] == [0.0, pytest.approx(17.0)]


def test_breaks_take_agents_away_and_bring_them_back() -> None:
    scenario = Scenario(agents=4, breaks=(Break(share=0.5, minutes=12.0, from_minute=10.0),))
    staffed: dict[int, int] = {}
    floor = FastFloor(scenario, 3)
    run_day(
        floor, Progressive(), hours=1.0, watch=lambda view, now, pace: staffed.update({int(now // 60): view.agents})
    )
    assert staffed[5] == 4
    assert staffed[20] == 2
    assert staffed[40] == 4


def test_a_scenario_is_read_and_checked() -> None:
    found = scenario_from_toml(
        """
        agents = 30
        talk = 100
        [answer_steps]
        factors = [1, 0.5]
        every_minutes = 20
        [[breaks]]
        share = 0.5
        minutes = 12
        [[numbers]]
        name = "mobile"
        share = 1.0
        factor = 1.2
        """
    )
    assert found.agents == 30
    assert found.answer_steps == Steps(factors=(1.0, 0.5), every_minutes=20.0)
    assert found.numbers == (NumberKind(name="mobile", share=1.0, factor=1.2),)
    assert (found.answer_steps.at(0.0), found.answer_steps.at(1300.0)) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("agents = 0", "agents"),
        ("agents = 'x'", "agents"),
        ("agent = 3", "agent"),
        ("agents =", "scenario"),
        ("answer_rate = 2.0", "answer_rate"),
        ("breaks = 3", "breaks"),
        ("[[breaks]]\nshare = 0.5", "breaks"),
        ("[answer_steps]\nfactors = []", "factors"),
        ("[[numbers]]\nname='a'\nshare=0.4\nfactor=1", "shares"),
        ("[[numbers]]\nname='a'\nshare=-0.5\nfactor=1\n[[numbers]]\nname='b'\nshare=1.5\nfactor=1", "numbers.share"),
        ("[[numbers]]\nname='a'\nshare=1.0\nfactor=-3", "numbers.factor"),
        ("[[numbers]]\nname=3\nshare=1.0\nfactor=1", "numbers.name"),
        ("[[breaks]]\nshare=0.5\nminutes=5\nannounced='no'", "breaks.announced"),
        ("[[breaks]]\nshare=0.5", "breaks.minutes"),
    ],
)
def test_a_bad_scenario_names_its_fault(text: str, names: str) -> None:
    with pytest.raises(BadInput, match=names):
        scenario_from_toml(text)


runner = CliRunner()


def test_the_command_prints_json() -> None:
    told = runner.invoke(simulate, ["pacing", "--agents", "2", "--hours", "0.2", "--seeds", "2", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    wanted = {"utilisation", "utilisation_se", "abandonment", "worst_half_hour", "days_over_3pct", "answers", "drops"}
    assert set(found) == wanted
    assert 0.0 < found["utilisation"] < 1.0


@pytest.mark.parametrize(
    "pacer", ["vicidial-average", "vicidial-hard-limit", "vicidial-tapered", "ratio", "progressive"]
)
def test_every_pacer_can_be_named(pacer: str) -> None:
    told = runner.invoke(simulate, ["pacing", "--agents", "2", "--hours", "0.05", "--seeds", "1", "--pacer", pacer])
    assert told.exit_code == 0, told.output
    assert "utilisation" in told.stdout


def test_the_markov_world_and_its_bound() -> None:
    told = runner.invoke(simulate, ["bound", "--agents", "1", "--answer-rate", "0.3", "--json"])
    assert json.loads(told.stdout)["bound"] == pytest.approx(0.6898, abs=2e-4)
    told = runner.invoke(simulate, ["pacing", "--agents", "1", "--markov", "--hours", "0.2", "--seeds", "1", "--json"])
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["pacing", "--agents", "0"], "agents"),
        (["pacing", "--answer-rate", "1.5"], "answer_rate"),
        (["pacing", "--target", "0"], "target"),
        (["pacing", "--hours", "0"], "--hours"),
        (["pacing", "--seeds", "0"], "--seeds"),
        (["pacing", "--talk", "-3"], "talk"),
        (["pacing", "--markov", "--patience", "2"], "--patience"),
        (["pacing", "--scenario", "/no/such/file.toml"], "--scenario"),
        (["pacing", "--pacer", "ratio", "--lines", "0"], "lines"),
        (["bound", "--agents", "0"], "agents"),
        (["bound", "--target", "0"], "abandonment"),
    ],
)
def test_bad_values_are_refused(arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *arguments]) == 2
    assert names in capsys.readouterr().err
    assert run(["simulate", *arguments, "--json"]) == 2
    said = json.loads(capsys.readouterr().err)["error"]
    assert (said["error_id"], said["field"]) == ("bad-input", names)


def test_an_unknown_pacer_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "pacing", "--pacer", "magic", "--json"]) == 2
    said = json.loads(capsys.readouterr().err)["error"]
    assert "'vicidial-tapered'" in said["title"]
    assert said["remedy"] == "see onrecord simulate pacing --help"


def test_a_scenario_file_is_used(tmp_path: Path) -> None:
    file = tmp_path / "floor.toml"
    file.write_text("agents = 3\nanswer_rate = 0.5\n")
    told = runner.invoke(
        simulate,
        ["pacing", "--scenario", str(file), "--hours", "0.1", "--seeds", "1", "--pacer", "progressive", "--json"],
    )
    assert json.loads(told.stdout)["answers"] > 0
