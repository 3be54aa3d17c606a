"""Thirty calls under random kills; ``make soak`` drives a thousand of the same (bench/fault_soak.py)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.count import count
from tests.faults.drive import KINDS, Drive


def test_no_call_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    drive = Drive(tmp_path, calls=30, seed=1, agents=5, kill_every=1.2, talk=(1.5, 3.5))
    drive.run(limit_seconds=170)
    report = count(drive)
    assert report.broken() == []
    assert report.recordings == report.calls >= report.invited > 0
    assert report.owed_frames > 500
    assert report.heard_frames > 500
    assert sum(report.faults.get(kind, 0) for kind in KINDS) >= 5, "the drive killed too little to say anything"
    assert sum(report.cut_off.values()) >= 5, "nobody was on a line when it struck"
