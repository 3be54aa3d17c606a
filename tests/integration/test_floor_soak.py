"""The whole floor on the real engine for a few seconds; the long run is ``make soak``."""

from __future__ import annotations

from pathlib import Path

from bench.floor_soak import run_soak


async def test_predictive_on_the_real_engine_leaves_no_silence_and_no_second_unrecorded(tmp_path: Path) -> None:
    result = await run_soak(tmp_path, agents=4, lines=12, seconds=12)
    assert result.answered > 0
    assert (result.silent, result.unrecorded, result.findings) == (0, 0, {})
    assert result.most_legs >= 2
