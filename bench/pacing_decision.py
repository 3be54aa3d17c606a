"""CPU of one pacing decision: ``python -m bench.pacing_decision``. The promise: <= 20 ms at 100 agents and 1,000
ringing calls, each with its own answer chance."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import FloorView


def view(agents: int, ringing: int, random: np.random.Generator) -> FloorView:
    age = tuple(random.uniform(0, 40, ringing).tolist())
    idle = agents // 20
    talking = (agents - idle) * 6 // 7
    return FloorView(
        idle=idle,
        talking=tuple(random.exponential(90, talking).tolist()),
        wrapping=tuple(random.uniform(0, 20, agents - idle - talking).tolist()),
        ringing=tuple(range(ringing)),
        ringing_age=age,
        ringing_rung=age,
        ringing_chance=tuple(random.uniform(0.02, 0.4, ringing).tolist()),
        next_chance=0.1,
    )


def measure(agents: int, ringing: int) -> tuple[float, float]:
    """Mean and worst milliseconds of CPU, new tables included in the worst."""
    pacer = HazardPacer(0.01)
    run_day(FastFloor(Scenario(agents=min(agents, 20)), 1), pacer, hours=0.2)
    random = np.random.default_rng(2)
    views = [view(agents, ringing, random) for _ in range(200)]
    spent = []
    for number, one in enumerate(views):
        if number % 50 == 0:
            pacer.as_record()  # drops the tables, so that this decision builds them
        started = time.process_time()
        pacer.decide(one, 1000.0)
        spent.append(1000.0 * (time.process_time() - started))
    return float(np.mean(spent)), max(spent)


def main() -> None:
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, kernel {platform.release()}, Python {platform.python_version()}",
        "CPU of one decision, ms (mean, worst with tables rebuilt):",
    ]
    for agents, ringing in ((1, 3), (10, 20), (30, 60), (100, 100), (100, 1000)):
        mean, worst = measure(agents, ringing)
        lines.append(f"{agents:4d} agents {ringing:5d} ringing: {mean:6.3f} {worst:7.3f}")
    text = "\n".join(lines)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "pacing_decision.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
