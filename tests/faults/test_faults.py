"""Forty calls under random kills; ``make soak`` drives a thousand (bench/fault_soak.py)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.drive import Drive


def test_no_call_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    report = Drive(tmp_path, calls=40, seed=1).run(limit_seconds=170)
    assert report.unaccounted == []
    assert report.placed + report.refused == report.calls
    assert report.recordings == report.placed
    assert report.undecodable == []
    assert sum(report.kills.values()) >= 3, "the drive killed too little to say anything"
    assert report.owed_frames > 500
    assert report.worst_lost_ms <= 1000
