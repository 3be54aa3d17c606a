"""``python -m bench.fault_soak [CALLS] [--go-on]``: a thousand calls through the real node while its processes are killed.

``kill -9`` of control, relay, worker and all at once, full disks, clock steps, one-way calls, SSRC changes, holds from both
sides, re-INVITEs, early media; ``tests/faults/count.py`` has the books. The calls are made in drives of at most 125, each
a house of its own with a seed of its own. After each drive the whole so far is kept in ``bench/results/fault_soak.json`` and
``.txt``; ``--go-on`` continues what lies there, ``--one`` ends after a single drive. Exit code 1 when a law was broken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from tests.faults.count import FaultReport, count
from tests.faults.drive import FULL_SECONDS, RESTART_SECONDS, Drive

WHOLE = 1000
DRIVE = 125  # five to seven minutes
KEPT = Path(__file__).parent / "results" / "fault_soak.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", nargs="?", type=int, default=WHOLE)
    parser.add_argument("--go-on", action="store_true", help="continue the drives that are kept")
    parser.add_argument("--one", action="store_true", help="end after one drive")
    asked = parser.parse_args()
    drives: list[FaultReport] = _kept() if asked.go_on else []
    while (done := sum(one.numbers for one in drives)) < asked.calls:
        drives.append(_drive(min(DRIVE, asked.calls - done), seed=3 + len(drives)))
        _keep(drives)
        if asked.one or drives[-1].broken():
            break
    whole = together(drives)
    print(in_words(whole))  # a bench speaks on standard output
    sys.exit(1 if whole.broken() else 0)


def _drive(calls: int, seed: int) -> FaultReport:
    """The folder of a drive that broke a law stays, for whoever wants to know why."""
    folder = Path(tempfile.mkdtemp(prefix="onrecord-faults-"))
    drive = Drive(folder, calls=calls, seed=seed, agents=8, kill_every=2.0, talk=(2.0, 5.0))
    drive.run(limit_seconds=calls * 6 + 120)
    report = count(drive)
    if report.broken():
        print(f"kept for a look: {folder}", file=sys.stderr)  # a bench speaks
    else:
        shutil.rmtree(folder)
    return report


def _kept() -> list[FaultReport]:
    return [FaultReport(**one) for one in json.loads(KEPT.read_text())["drives"]] if KEPT.exists() else []


def _keep(drives: list[FaultReport]) -> None:
    whole = together(drives)
    said = {"machine": describe_machine(), **whole.as_json(), "drives": [vars(one) for one in drives]}
    KEPT.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    KEPT.with_suffix(".txt").write_text(in_words(whole), encoding="utf-8")


def together(drives: list[FaultReport]) -> FaultReport:
    """Counts are added, findings joined; of what has a limit the worst of all drives stands."""
    said: dict[str, Any] = {}
    for name in FaultReport.__dataclass_fields__:
        values = [getattr(one, name) for one in drives]
        if name == "dead_line_s":
            said[name] = {kind: max(one.get(kind, 0.0) for one in values) for kind in sorted(set().union(*values))}
        elif isinstance(values[0], dict):
            said[name] = dict(sum((Counter(one) for one in values), Counter()))
        elif isinstance(values[0], list):
            said[name] = [found for one in values for found in one]
        elif name in ("worst_lost_ms", "longest_dead_line_s", "tape_stop_s"):
            said[name] = max(values)
        elif name != "worst_lost_call":
            said[name] = sum(values)
    said["worst_lost_call"] = max(drives, key=lambda one: one.worst_lost_ms).worst_lost_call
    return FaultReport(**said)


def in_words(report: FaultReport) -> str:
    """For people: what was done, what it came to, against what is allowed."""
    kills = ", ".join(
        f"{count} × {kind} ({report.under_load.get(kind, 0)} while {report.cut_off.get(kind, 0)} lines were up)"
        for kind, count in sorted(report.faults.items())
    )
    dead = ", ".join(f"{kind} {seconds} s" for kind, seconds in sorted(report.dead_line_s.items()))
    rows = (
        ("numbers, INVITEs at the far side, answered", f"{report.numbers}, {report.invited}, {report.answered}"),
        ("calls in the store, recordings decoded", f"{report.calls}, {report.recordings}"),
        ("faults", kills),
        ("starts of control, seconds in all", f"{report.starts}, {round(report.seconds)}"),
        ("kept waiting by the supervisor", f"{RESTART_SECONDS} s a restart; each full disk lasted {FULL_SECONDS} s"),
        ("numbers given up after two faults, named by the sweep", str(report.given_up)),
        ("calls unaccounted for (0)", str(len(report.unaccounted))),
        ("files that do not decode (0)", str(len(report.undecodable))),
        ("recordings or audit entries that do not verify (0)", str(len(report.unproven))),
        ("lines still up at the end (0)", str(len(report.left_on_a_line))),
        (
            "audio sent and not recorded, worst call (1000 ms)",
            f"{report.worst_lost_ms:.0f} ms; {report.lost_frames} of {report.owed_frames} frames in all",
        ),
        ("lines whose 200 met a dead control, owing no audio", str(report.never_agreed)),
        ("frames heard and not taped (0)", f"{report.heard_untaped} of {report.heard_frames}"),
        ("line up after a kill (10 s; relay 2 s)", dead),
        ("line up over several kills in a row, from the first", f"{report.longest_dead_line_s} s"),
        ("line up after its tape stopped (2 s)", f"{report.tape_stop_s} s"),
        ("laws broken", "; ".join(report.broken()) or "none"),
    )
    return describe_machine() + "\n\n" + "\n".join(f"{name:54} {said}" for name, said in rows) + "\n"


if __name__ == "__main__":
    main()
