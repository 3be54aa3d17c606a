"""``onrecord simulate``: try a pacer on a floor in virtual time, or compute the optimum of the Markov version."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import BadInput
from config.logging import log_to_stderr
from dialer.pacing.bound import MarkovFloor, solve_bound
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.progressive import Progressive
from dialer.pacing.scenario import Scenario, scenario_from_toml
from dialer.pacing.simulator import Outcome, run_days
from dialer.pacing.state import Pacer
from dialer.pacing.vicidial import Method, Vicidial
from dialer.simulated.production_floor import ProductionFloor

simulate = typer.Typer(name="simulate", help="Try a pacer on simulated agents and customers.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    root.add_typer(simulate, name="simulate")


class PacerName(StrEnum):
    HAZARD = "hazard"
    VICIDIAL_AVERAGE = "vicidial-average"
    VICIDIAL_HARD_LIMIT = "vicidial-hard-limit"
    VICIDIAL_TAPERED = "vicidial-tapered"
    RATIO = "ratio"
    PROGRESSIVE = "progressive"


class FloorName(StrEnum):
    FAST = "fast"
    PRODUCTION = "production"


_PROMISED = (  # the keys of --json, which others read
    "utilisation",
    "utilisation_se",
    "abandonment",
    "worst_half_hour",
    "days_over_3pct",
    "answers",
    "drops",
)

Agents = Annotated[int | None, typer.Option("--agents", help="Agents logged in (10)")]
Rate = Annotated[float | None, typer.Option("--answer-rate", help="Share of calls a person answers (0.3)")]
Ring = Annotated[float | None, typer.Option("--ring", help="Mean seconds of ringing until an answer (12; Markov 15)")]
Talk = Annotated[float | None, typer.Option("--talk", help="Mean seconds of a talk (90)")]
Wrap = Annotated[float | None, typer.Option("--wrap", help="Mean seconds of wrap-up (15)")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object")]


@simulate.command("pacing")
def pacing(
    agents: Agents = None,
    answer_rate: Rate = None,
    ring: Ring = None,
    no_answer: Annotated[
        float | None, typer.Option("--no-answer", help="Seconds an unanswered call rings (30)")
    ] = None,
    talk: Talk = None,
    wrap: Wrap = None,
    patience: Annotated[
        float | None, typer.Option("--patience", help="Seconds a customer waits for an agent (2; Markov 0)")
    ] = None,
    target: Annotated[float, typer.Option("--target", help="Share of answers that may be dropped")] = 0.028,
    hours: Annotated[float, typer.Option("--hours", help="Hours in a day")] = 8.0,
    seeds: Annotated[int, typer.Option("--seeds", help="Days, each with its own random numbers")] = 5,
    scenario: Annotated[Path | None, typer.Option("--scenario", help="TOML; the other options go over it")] = None,
    markov: Annotated[
        bool, typer.Option("--markov", help="Exponential times, nobody waits: the bound's world")
    ] = False,
    pacer: Annotated[PacerName, typer.Option("--pacer", help="Who decides")] = PacerName.HAZARD,
    lines: Annotated[float, typer.Option("--lines", help="Lines per agent of --pacer ratio")] = 1.5,
    cancel: Annotated[
        bool, typer.Option("--cancel/--no-cancel", help="hazard: give up ringing calls that would be dropped")
    ] = True,
    floor: Annotated[
        FloorName, typer.Option("--floor", help="fast: counts in memory; production: the floor that dials, scripted")
    ] = FloorName.FAST,
    as_json: AsJson = False,
) -> None:
    """Utilisation, abandonment, worst half-hour and answer delay of a pacer over days of virtual time."""
    given = {
        "agents": agents,
        "answer_rate": answer_rate,
        "ring": ring,
        "no_answer": no_answer,
        "talk": talk,
        "wrap": wrap,
        "patience": patience,
    }
    found = simulate_pacing(
        given=given,
        target=target,
        hours=hours,
        seeds=seeds,
        scenario=scenario,
        markov=markov,
        pacer=pacer,
        lines=lines,
        cancel=cancel,
        floor=floor,
    )
    if as_json:
        figures = asdict(found)
        typer.echo(json.dumps({name: figures[name] for name in _PROMISED}))
        return
    typer.echo(_in_words(found, pacer))


@simulate.command("bound")
def bound(
    agents: Agents = None,
    answer_rate: Rate = None,
    ring: Ring = None,
    talk: Talk = None,
    wrap: Wrap = None,
    target: Annotated[float, typer.Option("--target", help="Share of answers that may be dropped")] = 0.03,
    merged: Annotated[
        bool | None, typer.Option("--merged/--split", help="Talk and wrap-up as one time (above 12 agents: merged)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The highest utilisation any pacer can reach in the Markov version."""
    count = 10 if agents is None else agents
    floor = MarkovFloor(
        agents=count,
        answer_rate=0.3 if answer_rate is None else answer_rate,
        ring=15.0 if ring is None else ring,
        talk=90.0 if talk is None else talk,
        wrap=15.0 if wrap is None else wrap,
        abandonment=target,
        merged=count > 12 if merged is None else merged,
    )
    found = solve_bound(floor)
    if as_json:
        typer.echo(
            json.dumps(
                {"bound": found.gain, "price": found.price, "iterations": found.iterations, "merged": floor.merged}
            )
        )
        return
    typer.echo(f"No pacer keeps these agents busy for more than {100 * found.gain:.2f}% of their time")
    typer.echo(f"at {100 * target:g}% abandonment (a drop is worth {found.price * count:.0f} agent-seconds).")


def simulate_pacing(
    *,
    given: dict[str, Any],
    target: float,
    hours: float,
    seeds: int,
    scenario: Path | None,
    markov: bool,
    pacer: PacerName,
    lines: float = 1.5,
    cancel: bool = True,
    floor: FloorName = FloorName.FAST,
) -> Outcome:
    """What ``simulate pacing`` does. ``given`` holds scenario figures by name, None where not given. Raises
    ``BadInput``."""
    if not 0.0 < hours <= 24.0 * 30:
        raise BadInput("out of range", field="--hours", shape=f"{hours:g}", remedy="Above 0 and at most 720")
    if not 1 <= seeds <= 10_000:
        raise BadInput("out of range", field="--seeds", shape=str(seeds), remedy="Between 1 and 10000")
    world = Scenario()
    if scenario is not None:
        try:
            text = scenario.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as wrong:
            raise BadInput(
                "the file cannot be read", field="--scenario", shape=type(wrong).__name__, remedy="Name a TOML file"
            ) from wrong
        world = scenario_from_toml(text)
    values = {name: value for name, value in given.items() if value is not None}
    if markov:
        values = {"ring": 15.0, "patience": 0.0, **values, "markov": True}
    if (world.markov and values.get("patience", 0.0) > 0) or (markov and values["patience"] > 0):
        raise BadInput("nobody waits in the Markov version", field="--patience", remedy="Leave it out with --markov")
    world = world.changed(**values)
    if floor is FloorName.PRODUCTION:
        log_to_stderr(logging.WARNING)  # every move of every leg and agent would be told
    return run_days(
        world,
        pacer_maker(pacer, target, world, hours, lines, cancel),
        hours=hours,
        seeds=range(seeds),
        open_floor=ProductionFloor if floor is FloorName.PRODUCTION else None,
    )


def pacer_maker(
    name: PacerName, target: float, world: Scenario, hours: float, lines: float, cancel: bool
) -> Callable[[], Pacer]:
    """A maker of fresh pacers. Raises ``BadInput`` for a bad target or lines."""
    if name is PacerName.HAZARD:
        patience = 0.0 if world.markov else world.patience
        HazardPacer(target)  # a bad target is refused before the first day
        return lambda: HazardPacer(target, patience=patience, cancels=cancel)
    if name is PacerName.PROGRESSIVE:
        return Progressive
    if not 0.0 < target <= 1.0:
        raise BadInput("out of range", field="--target", shape=f"{target:g}", remedy="Above 0 and at most 1")
    method = Method(name.value.removeprefix("vicidial-"))
    start = lines if method is Method.RATIO else 1.0
    Vicidial(method, lines=start)
    return lambda: Vicidial(method, drop_limit=target, lines=start, day=hours * 3600.0)


def _in_words(found: Outcome, pacer: PacerName) -> str:
    return "\n".join(
        [
            f"{pacer.value}: {found.days} days, {found.dials} dials, {found.answers} answers, {found.cancelled} given up",
            f"  utilisation      {100 * found.utilisation:6.2f}% (standard error {100 * found.utilisation_se:.2f})",
            f"  abandonment      {100 * found.abandonment:6.2f}% ({found.drops} drops)",
            f"  worst half-hour  {100 * found.worst_half_hour:6.2f}%",
            f"  days over 3%     {found.days_over_3pct:3d}",
            f"  answer to agent  {found.answer_delay_mean:6.3f} s mean, {found.answer_delay_p99:.2f} s 99th percentile",
        ]
    )
