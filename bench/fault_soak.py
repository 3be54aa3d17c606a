"""``python -m bench.fault_soak [CALLS]``: a thousand calls under random kills of control, relay, worker, all of them,
a full disk, wall-clock steps, SSRC changes, holds, re-INVITEs and one-way calls. Exit code 1 when the law is broken.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.machine import describe_machine
from tests.faults.drive import Drive


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="onrecord-faults-") as folder:
        report = Drive(Path(folder), calls=calls, seed=3, at_once=20, kill_every=2.0).run(limit_seconds=calls * 4 + 120)
    said = {"machine": describe_machine(), **report.as_json()}
    place = Path(__file__).parent / "results" / "fault_soak.json"
    place.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(said, indent=1))  # a bench speaks on standard output
    holds = not report.unaccounted and not report.undecodable and report.worst_lost_ms <= 1000
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
