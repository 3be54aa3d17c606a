"""The whole pacing comparison: ``python -m bench.pacing_report [--minutes M] [--fresh]`` (``make pacing-report``).

Days are simulated until each cell has as many as ``pacing_cells.PLANNED`` says or the minutes are over; they are kept in
bench/results/pacing.json and a later run adds to them (``--fresh`` starts anew, as one should after a change to the
pacer). The report is bench/results/pacing.md with pacing.png beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from bench.pacing_cells import (
    AGENTS,
    DAY_BEFORE,
    FEW_AGENTS,
    FIRST,
    FIRST_AT_1PCT,
    RATES,
    SEEDS_FROM,
    TUNED,
    VARYING_TARGET,
    Cell,
    cells,
)
from bench.pacing_value import MOST_AGENTS, ValuedFloor, Worth, judged, values_of
from dialer.pacing import remembering
from dialer.pacing.bound import MarkovFloor, solve_bound
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.number_chances import NumberChances
from dialer.pacing.simulator import run_day

mpl.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first

RESULTS = Path(__file__).parent / "results"
Days = dict[str, list[dict[str, Any]]]


class Sum:
    """Pooled figures of one cell's days, in %."""

    def __init__(self, days: list[dict[str, Any]]) -> None:
        shares = np.array([day["utilisation"] for day in days]) * 100
        self.days = len(days)
        self.mean = float(shares.mean()) if days else math.nan
        self.se = float(shares.std(ddof=1) / math.sqrt(len(days))) if len(days) > 1 else math.nan
        self.answers = sum(day["answers"] for day in days)
        self.drops = sum(day["drops"] for day in days)
        self.dropped = 100.0 * self.drops / self.answers if self.answers else 0.0
        self.worst = max((100.0 * day["worst_half_hour"] for day in days), default=math.nan)
        self.bad = sum(day["worst_half_hour"] > 0.06 for day in days)
        self.over = sum(day["drops"] > 0.03 * day["answers"] for day in days)
        self.cpu = sum(day["cpu"] for day in days) / max(1, len(days))
        self.cancelled = sum(day["cancelled"] for day in days) / max(1, sum(day["dials"] for day in days))

    @property
    def half_hours(self) -> str:
        """The worst half-hour; with how many days had one over 6%, where there are agents enough to ask for that."""
        return f"{self.worst:.1f}, {self.bad}/{self.days} days over 6"

    @property
    def text(self) -> str:
        if not self.days:
            return "–"
        error = "one day" if math.isnan(self.se) else f"± {self.se:.2f}"
        return f"{self.mean:.2f} {error} ({self.dropped:.2f})"


def simulate(until: float, days: Days, times: float, jobs: int) -> None:
    """All cells grow alike, so that a run cut short has days of each; the plan (``times`` it) is the end. A day is the
    same whichever of the ``jobs`` processes simulates it and when; what is kept has no gaps in its seeds."""
    todo = cells()
    asked = {cell.key: len(days.setdefault(cell.key, [])) for cell in todo}
    early: dict[tuple[str, int], dict[str, Any]] = {}  # days before which one is still being simulated
    running: dict[Future[dict[str, Any]], tuple[str, int]] = {}
    spent = 0.0
    with ProcessPoolExecutor(jobs) as pool:
        while True:
            while len(running) < jobs and time.monotonic() < until:
                cell = min(todo, key=lambda one: asked[one.key] / one.planned)
                if asked[cell.key] >= times * cell.planned:
                    break
                running[pool.submit(simulated, cell, asked[cell.key])] = (cell.key, asked[cell.key])
                asked[cell.key] += 1
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                key, number = running.pop(done)
                early[key, number] = done.result()
                spent += early[key, number]["cpu"]
                kept = days[key]
                while (key, len(kept)) in early:
                    kept.append(early.pop((key, len(kept))))
            if spent > 20.0:
                spent = 0.0
                _save(days)
    _save(days)


def simulated(cell: Cell, number: int) -> dict[str, Any]:
    """What came of a cell's day of this number."""
    started = time.process_time()
    seed = SEEDS_FROM + number
    valued = _valued(cell)
    floor = (
        ValuedFloor(cell.scenario(), seed, values_of(cell.agents, cell.rate))
        if valued
        else FastFloor(cell.scenario(), seed)
    )
    day = run_day(floor, _next_morning(cell, seed) if cell.second_day else cell.make_pacer())
    found: dict[str, Any] = {
        "utilisation": day.utilisation,
        "answers": day.answers,
        "drops": day.drops,
        "worst_half_hour": day.worst_half_hour,
        "dials": day.dials,
        "cancelled": day.cancelled,
        "cpu": round(time.process_time() - started, 2),
    }
    if isinstance(floor, ValuedFloor):
        found["worth"] = list(floor.worth(_DAY))
    return found


def _valued(cell: Cell) -> bool:
    """Whether the optimum's own values judge the cell's days."""
    return cell.group == "markov" and cell.agents <= MOST_AGENTS


def _next_morning(cell: Cell, seed: int) -> HazardPacer:
    """The pacer after a day of its own and a night: what it takes up is what a campaign takes up in production."""
    pacer = cell.make_pacer()
    assert isinstance(pacer, HazardPacer)
    run_day(FastFloor(cell.scenario(), seed + DAY_BEFORE), pacer)
    learnt = remembering.kept(remembering.Learnt(pacer, NumberChances()), _DAY)
    patience = float(pacer.as_record()["patience"])
    now = remembering.Now(at=0.0, away=_NIGHT, target=cell.target, patience=patience)
    return remembering.taken_up(learnt, now).pacer


_DAY, _NIGHT = 8 * 3600.0, 16 * 3600.0


def _done(cell: Cell, days: Days) -> float:
    """The part of the plan that is simulated."""
    return len(days.get(cell.key, [])) / cell.planned


_FEW_DAYS = 4


def _save(days: Days) -> None:
    """Whole or not at all: an interrupted run goes on from the last save."""
    RESULTS.mkdir(exist_ok=True)
    fresh = RESULTS / "pacing.json.new"
    fresh.write_text(json.dumps({"code": code(), "days": days}, indent=0, sort_keys=True) + "\n")
    fresh.replace(RESULTS / "pacing.json")


def code() -> str:
    """A fingerprint of what decides and what simulates: days of other code are not pooled with these."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parents[1] / "dialer" / "pacing").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def load() -> Days:
    """The days kept, if this code simulated them."""
    kept = RESULTS / "pacing.json"
    if not kept.exists():
        return {}
    record = json.loads(kept.read_text())
    if record.get("code") != code():
        print("the days kept are of other code: starting afresh")
        return {}
    days: Days = record["days"]
    return days


_UPPER = 0.03
# at which the bound is worked out: between them it is all but straight, with many agents between two of them too
_SHARES = (0.018, 0.02, 0.022, 0.024, 0.026, 0.027, 0.028, _UPPER)
_SHARES_OF_MANY = (0.026, _UPPER)


@dataclass(frozen=True, slots=True)
class Bound:
    """The best utilisation in %, by the share of answers dropped in %: points of a curve that bends down."""

    shares: tuple[float, ...]
    best: tuple[float, ...]

    def at(self, dropped: float) -> float:
        """Above the last point it stays there; below the first it goes on straight, which is too high."""
        if dropped >= self.shares[0]:
            return float(np.interp(dropped, self.shares, self.best))
        slope = (self.best[1] - self.best[0]) / (self.shares[1] - self.shares[0])
        return self.best[0] + slope * (dropped - self.shares[0])


def bounds(days: Days) -> dict[tuple[int, float], Bound]:
    """Of the Markov cells that have days; merged for 30 agents and more. Kept in a file, for 100 agents take a minute
    each."""
    kept = RESULTS / "pacing_bound.json"
    known: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    found = {}
    for agents in AGENTS:
        shares = _SHARES if agents <= MOST_AGENTS else _SHARES_OF_MANY
        for rate in RATES:
            if Cell(group="markov", agents=agents, rate=rate, cancels=False).key not in days:
                continue
            for share in shares:
                key = f"{agents} {rate} {share}"
                if key not in known:
                    floor = MarkovFloor(agents=agents, answer_rate=rate, merged=agents >= 30, abandonment=share)
                    known[key] = 100.0 * solve_bound(floor).gain
                    kept.write_text(json.dumps(known, indent=0) + "\n")
            best = tuple(known[f"{agents} {rate} {share}"] for share in shares)
            found[agents, rate] = Bound(tuple(100.0 * share for share in shares), best)
    return found


def report(days: Days) -> str:
    def of(cell: Cell) -> Sum:
        return Sum(days.get(cell.key, []))

    best = bounds(days)
    out = ["# Predictive pacing: the comparison", "", _machine(), ""]
    short = [cell for cell in cells() if _done(cell, days) < 1.0]
    if short:
        out += [
            (
                f"**Unfinished**: {len(short)} of {len(cells())} cells have fewer days than planned (`make pacing-report "
                "MINUTES=…` adds days). A verdict of ? means that no standard error is known yet."
            ),
            "",
        ]
    out += [
        f"8-hour days of the seeds {SEEDS_FROM} and following, on which nothing was developed or chosen; their number was fixed",
        f"beforehand for every cell; the pacer is that of fingerprint {code()}. Each day has a pacer that knows nothing yet, but",
        "where a second day is said. Utilisation = (talk + wrap-up) / logged in, % ± standard",
        "error over days (share of answers dropped, %). Ring to answer lognormal 12 s (cv .5), no answer 30 s, talk lognormal",
        "90 s (cv 1), wrap-up lognormal 15 s (cv .5), patience 2 s; hazard target 2.8%. `first` is the figure to beat.",
        "",
        "| n | p | 1:1 | VICIdial average | VICIdial hard limit | VICIdial tuned (published) | first | hazard | margin | worst half-hour | days > 3% | given up |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for agents in AGENTS:
        for rate in RATES:
            mine = of(Cell(group="table", agents=agents, rate=rate))
            first = FIRST[agents, rate]
            others = [
                of(Cell(group="table", agents=agents, rate=rate, pacer=pacer))
                for pacer in ("progressive", "vicidial-average", "vicidial-hard-limit")
            ]
            out.append(
                f"| {agents} | {rate:g} | {' | '.join(one.text for one in others)} | {TUNED[agents, rate] or 'none'} | {first} | "
                f"{mine.text} | {mine.mean - first:+.2f} {_verdict(mine.mean - first, mine)} | {mine.half_hours if agents >= 10 else f'{mine.worst:.1f}'} | "
                f"{mine.over}/{mine.days} | {100 * mine.cancelled:.0f}% of dials |"
            )
    out += [
        "",
        "## Share of the bound (Markov version, nothing given up: the bound has no such action)",
        "",
        "The bound is taken at the share of drops that was realised (above 3% it is the one at 3%, so that overspending would",
        "show as a gain and is marked). Few agents answer few calls a day, and most of what their days differ by is luck.",
        "`judged` is the same days, each judged by the optimum's own values of the states it went through, at the share of",
        "drops that was to be expected of what rang (`bench/pacing_value.py`): it has the same mean and hardly any of the luck,",
        "and decides where it is known. The half-hours and days are those that happened.",
        "",
        "| n | p | bound at 3% | hazard | of the bound at equal drops, % | judged, % (drops expected) | wanted | worst half-hour | days > 3% |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for agents in AGENTS:
        for rate in RATES:
            out.append(
                _bound_row(
                    Cell(group="markov", agents=agents, rate=rate, cancels=False), days, best.get((agents, rate))
                )
            )
    out += [
        "",
        "With few agents the first hours, in which it is learnt how often people answer, are most of what is lost. The same on a",
        "*second day*, of a pacer that took up what it had learnt on a day before (rates as a first guess worth ten answers), as a",
        "campaign does every morning (`dialer/pacing/remembering.py`):",
        "",
        "| n | p | bound at 3% | hazard | of the bound at equal drops, % | judged, % (drops expected) | wanted | worst half-hour | days > 3% |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for agents in [one for one in AGENTS if one <= FEW_AGENTS]:
        for rate in RATES:
            cell = Cell(group="markov", agents=agents, rate=rate, cancels=False, second_day=True)
            out.append(_bound_row(cell, days, best.get((agents, rate))))
    out += [
        "",
        "## Varying: p x {1, .5, 1.5, .7, 1.3} every 20 min, talk 72 and 120 s every 30 min, half away 12 min an hour",
        "",
        "| n | breaks | hazard | wanted | worst half-hour | days > 3% |",
        "|---|---|---|---|---|---|",
    ]
    for agents, wanted in VARYING_TARGET.items():
        for announced in (False, True):
            mine = of(Cell(group="varying", agents=agents, rate=0.3, announced=announced))
            out.append(
                f"| {agents} | {'shown on the desk' if announced else 'unannounced'} | {mine.text} | {wanted} "
                f"{_verdict(mine.mean - wanted, mine)} | {mine.half_hours} | {mine.over}/{mine.days} |"
            )
    out += [
        "",
        "## Lower targets, p = .3",
        "",
        "| target | n | hazard | first | realised / target |",
        "|---|---|---|---|---|",
    ]
    for cell in [one for one in cells() if one.group == "low"]:
        mine = of(cell)
        first_figure = FIRST_AT_1PCT.get(cell.agents, "–") if cell.target == 0.01 else "–"
        noise = math.sqrt(max(mine.drops, 1)) / max(mine.answers, 1) / cell.target
        out.append(
            f"| {100 * cell.target:g}% | {cell.agents} | {mine.text} | {first_figure} | "
            f"{mine.dropped / 100 / cell.target:.2f} ± {noise:.2f} ({mine.drops} drops of {mine.answers}) |"
        )
    cpu = {agents: Sum(days.get(Cell(group="table", agents=agents, rate=0.3).key, [])).cpu for agents in AGENTS}
    out += ["", "CPU seconds a simulated 8-hour day, p = .3: " + ", ".join(f"{n}: {s:.1f}" for n, s in cpu.items()), ""]
    return "\n".join(out)


def _bound_row(cell: Cell, days: Days, bound: Bound | None) -> str:
    simulated_days = days.get(cell.key, [])
    mine = Sum(simulated_days)
    if bound is None:
        return f"| {cell.agents} | {cell.rate:g} | – | – | – | – | – | – | – |"
    best = bound.at(mine.dropped)
    share, error = 100 * mine.mean / best, 100 * mine.se / best
    plain = f"{share:.2f} ± {error:.2f}"
    over = " (over 3%)" if mine.dropped > 3.0 else ""
    by_values = "–"
    if _valued(cell):
        worth = [Worth(*day["worth"]) for day in simulated_days]
        found = judged(worth, values_of(cell.agents, cell.rate), _DAY)
        if found is not None:
            best = bound.at(found.dropped)
            share, error = 100 * found.mean / best, 100 * found.se / best
            by_values = f"{share:.2f} ± {error:.2f} ({found.dropped:.2f})"
    wanted = 99.3 if cell.agents <= FEW_AGENTS else 98.5
    said = _verdict(share - wanted, mine, error)
    return (
        f"| {cell.agents} | {cell.rate:g} | {bound.best[-1]:.2f} | {mine.text}{over} | {plain} | {by_values} | {wanted} {said} | "
        f"{mine.half_hours if cell.agents >= 10 else f'{mine.worst:.1f}'} | {mine.over}/{mine.days} |"
    )


def _verdict(margin: float, found: Sum, error: float | None = None) -> str:
    """``error``: the margin's standard error, where it is not that of the days' mean."""
    error = found.se if error is None else error
    if not found.days or math.isnan(error) or math.isnan(margin):
        return "?"
    if margin >= 0:
        said = "met" if margin >= 2 * error else "met within noise"
    else:
        said = "missed" if margin < -2 * error else "missed within noise"
    if found.days < _FEW_DAYS:
        said += f" in {found.days} days: undecided"  # a standard error of so few is a guess itself
    return said if found.dropped <= 3.0 else f"{said}, but over 3% dropped"


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{datetime.now(UTC):%Y-%m-%d}, {model}, kernel {platform.release()}, Python {platform.python_version()}."


def plot(days: Days, path: Path) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True)
    for axis, rate in zip(axes, RATES, strict=True):
        for pacer, label in (("progressive", "1:1"), ("vicidial-average", "VICIdial"), ("hazard", "hazard")):
            found = [Sum(days.get(Cell(group="table", agents=n, rate=rate, pacer=pacer).key, [])).mean for n in AGENTS]
            axis.plot(AGENTS, found, marker="o", markersize=3, label=label)
        axis.plot(AGENTS, [FIRST[n, rate] for n in AGENTS], linestyle=":", color="black", label="first hazard")
        axis.set_xscale("log")
        axis.set_title(f"answer rate {rate:g}", fontsize=9)
        axis.set_xlabel("agents", fontsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("utilisation, %", fontsize=8)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="stop simulating after so long")
    parser.add_argument("--times", type=float, default=1.0, help="so many times the days planned")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--fresh", action="store_true", help="forget the days kept")
    asked = parser.parse_args()
    days = {} if asked.fresh else load()
    simulate(time.monotonic() + 60.0 * asked.minutes, days, asked.times, asked.jobs)
    text = report(days)
    (RESULTS / "pacing.md").write_text(text)
    plot(days, RESULTS / "pacing.png")
    print(text)


if __name__ == "__main__":
    main()
