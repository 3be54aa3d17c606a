"""One million audit entries, verified: ``python -m bench.audit_verify [entries]``. Issue 3 asks for under 60 s."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import describe_machine
from case_store.audit_chain import AuditFact
from case_store.audit_file import AuditFile
from recording.signing import SigningKey

ENTRIES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
BATCH = 10_000


def main() -> None:
    key, now = SigningKey.from_seeds(b"\x07" * 32), datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.log"
        log = AuditFile(path, "bench", key)
        begun = time.perf_counter()
        for first in range(0, ENTRIES, BATCH):
            facts = [
                AuditFact(
                    at=now,
                    actor=f"user_{n % 90}",
                    action="recording.heard",
                    subject=f"rec_{n:026d}",
                    detail={"from_ms": n % 60_000, "to_ms": n % 60_000 + 5000, "why": "review"},
                )
                for n in range(first, min(first + BATCH, ENTRIES))
            ]
            log.append(facts, now)
        written = time.perf_counter() - begun
        begun, cpu = time.perf_counter(), time.process_time()
        count, faults = log.check(key.verifier())
        taken, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert (count, faults) == (ENTRIES, []), "the log does not hold"
        size = path.stat().st_size
        line = path.read_bytes()[: 1 << 12].splitlines()[1]
        spoiled = path.read_bytes().replace(line, line.replace(b"review", b"revieW"), 1)
        path.write_bytes(spoiled)
        _, faults = log.check(key.verifier())
        assert faults, "a changed letter was not found"
    _keep(
        [
            describe_machine(),
            f"entries {ENTRIES}, {size / 1e6:.0f} MB",
            f"appended in batches of {BATCH}: {written:.1f} s",
            f"verified: {taken:.1f} s wall, {cpu:.1f} s CPU, {ENTRIES / taken:,.0f} entries/s",
            f"one changed letter: found as {faults[0].kind} at entry {faults[0].seq}",
        ],
    )


def _keep(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    print(text, end="")
    (Path(__file__).parent / "results" / f"{Path(__file__).stem}.txt").write_text(text)


if __name__ == "__main__":
    main()
