"""``python -m bench.fault_soak [CALLS]``: a sweep of a thousand calls through the real node while its processes are killed.

``kill -9`` of control, relay, worker and all at once, full disks, clock steps, one-way calls, SSRC changes, holds from both
sides, re-INVITEs, early media; ``tests/faults/count.py`` has the books. Exit code 1 when a law was broken; the
result of a whole drive is kept in ``bench/results/fault_soak.json`` and ``.txt``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.machine import describe_machine
from tests.faults.count import FaultReport, count
from tests.faults.drive import FULL_SECONDS, RESTART_SECONDS, Drive

WHOLE = 1000


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else WHOLE
    with tempfile.TemporaryDirectory(prefix="onrecord-faults-") as folder:
        drive = Drive(Path(folder), calls=calls, seed=3, agents=8, kill_every=2.0, talk=(2.0, 5.0))
        drive.run(limit_seconds=calls * 3 + 120)
        report = count(drive)
    said = {"machine": describe_machine(), **report.as_json()}
    print(json.dumps(said, indent=1))  # a bench speaks on standard output
    if calls >= WHOLE:
        place = Path(__file__).parent / "results" / "fault_soak.json"
        place.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        place.with_suffix(".txt").write_text(in_words(report), encoding="utf-8")
    sys.exit(1 if report.broken() else 0)


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
        ("starts of control, seconds in all", f"{report.starts}, {report.seconds}"),
        ("kept waiting by the supervisor", f"{RESTART_SECONDS} s a restart; each full disk lasted {FULL_SECONDS} s"),
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
