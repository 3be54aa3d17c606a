"""CPU of a simulated day on the production floor: ``python -m bench.production_day``. The promise: 8 hours of 100 agents in
less than 20 s, by the very command a person would use."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from bench.machine import describe_machine

_FLOORS = ("production", "fast")
_RUNS = 3
_COMMAND = Path(sys.executable).parent / "onrecord"
_ASKED = ("simulate", "pacing", "--agents", "100", "--hours", "8", "--seeds", "1", "--json", "--floor")


def measure(floor: str) -> tuple[float, float, dict[str, float]]:
    """Seconds of CPU, seconds passed, and what the command printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    said = subprocess.run([str(_COMMAND), *_ASKED, floor], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures: dict[str, float] = json.loads(said)
    return spent, time.monotonic() - started, figures


def main() -> None:
    lines = [describe_machine(), f"onrecord {' '.join(_ASKED)} ..., {_RUNS} runs each, the process's start included:"]
    for floor in _FLOORS:
        runs = [measure(floor) for _ in range(_RUNS)]
        figures = runs[0][2]
        lines.append(
            f"{floor:>10}: CPU s {', '.join(f'{spent:.1f}' for spent, _, _ in runs)}; "
            f"passed s {', '.join(f'{passed:.1f}' for _, passed, _ in runs)}; {figures['answers']:.0f} answers, "
            f"utilisation {100 * figures['utilisation']:.2f}%, abandonment {100 * figures['abandonment']:.2f}%"
        )
    text = "\n".join(lines)
    (Path(__file__).parent / "results" / "production_day.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
