"""A short drive with every kind of fault; ``make soak`` sweeps a thousand calls the same way (bench/fault_soak.py)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.count import count
from tests.faults.drive import KINDS, Drive


def test_no_call_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    drive = Drive(tmp_path, calls=36, seed=1, agents=4, kill_every=1.5, talk=(1.5, 3.0), most_faults=len(KINDS))
    drive.run(limit_seconds=170)
    report = count(drive)
    assert report.broken() == []
    assert set(KINDS) <= set(report.faults), "every kind of fault comes once"
    assert sum(report.cut_off.values()) > 0, "nobody was on a line when it struck"
    assert report.recordings == report.calls >= report.invited > 0
    assert report.owed_frames > 300
    assert report.heard_frames > 300
