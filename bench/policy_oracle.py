"""A million policy decisions against a second opinion: ``python -m bench.policy_oracle [DECISIONS]``.

Keeps bench/results/policy_oracle.txt: violations (the run stops at the first), and what a decision costs.
"""

from __future__ import annotations

import platform
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from dialer.policy import decide, load_sets
from tests.unit.policy import oracle
from tests.unit.policy.worlds import SETS, world


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    loaded = {names: load_sets(names) for names in SETS}
    draw = random.Random(20260202)
    allowed = 0
    costs: list[int] = []
    started = time.perf_counter()
    for number in range(count):
        request, facts, names, zones = world(draw)
        before = time.thread_time_ns()
        verdict = decide(request, facts, loaded[names])
        costs.append(time.thread_time_ns() - before)
        if verdict.allowed is not oracle.allowed(request, facts, set(names), zones):
            raise SystemExit(f"decision {number} differs: {request} {facts} {names} {verdict}")
        allowed += verdict.allowed
    costs.sort()
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    text = (
        f"policy_oracle: {count} decisions over CN, US and UK sets, clock changes included, {datetime.now(UTC):%Y-%m-%d}\n"
        f"machine: {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}\n"
        f"violations: 0 (the run stops at the first); allowed {allowed}, refused {count - allowed}\n"
        f"CPU time of a decision: p50 {costs[count // 2] / 1000:.1f} us, p99 {costs[count * 99 // 100] / 1000:.1f} us, "
        f"p99.9 {costs[count * 999 // 1000] / 1000:.1f} us\n"
        f"{time.perf_counter() - started:.0f} s in all\n"
    )
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / ("policy_oracle.txt" if count >= 1_000_000 else f"policy_oracle_{count}.txt")).write_text(
        text, encoding="utf-8"
    )
    print(text)


if __name__ == "__main__":
    main()
