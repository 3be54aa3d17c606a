"""The whole floor on the real engine for a few seconds; the long run is ``make soak``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.floor_soak import SoakResult, run_soak


async def test_predictive_on_the_real_engine_leaves_no_silence_and_no_second_unrecorded(tmp_path: Path) -> None:
    result = await run_soak(tmp_path, agents=4, lines=12, seconds=12)
    assert result.answered > 0
    assert (result.silent, result.unrecorded_seconds, result.findings) == (0, 0, {})
    assert result.most_legs >= 2


def test_each_fault_is_named() -> None:
    well = SoakResult(
        agents=30,
        lines=90,
        seconds=600,
        calls=2000,
        answered=700,
        abandoned=7,
        silent=0,
        unrecorded_seconds=0,
        findings={},
        occupancy=0.8,
        most_legs=90,
        patch_ms=(1.0, 2.0),
        cpu_share=0.5,
        relay_cpu_share=0.2,
    )
    assert well.faults == ()
    for change in (
        {"answered": 0, "abandoned": 0},
        {"silent": 1},
        {"unrecorded_seconds": 0.6},
        {"findings": {"no-recording": 1}},
        {"abandoned": 8},  # 1.1% of 700: above the target, be it by chance
        {"answered": 60, "abandoned": 6},  # of so few, no chance at 1%
        {"patch_ms": (1.0, 140.0)},
    ):
        assert len(replace(well, **change).faults) == 1, change
    assert replace(well, answered=60, abandoned=2).faults == ()  # of so few, two say nothing
