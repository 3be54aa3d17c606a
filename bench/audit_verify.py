"""One million audit entries, verified: ``python -m bench.audit_verify [entries]``. Issue 3 asks for under 60 s.

The log is the case store's own (SQLite, as ``onrecord verify`` reads it); the offline verifier reads the same file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import describe_machine
from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.database import Database
from recording.offline_verifier import House
from recording.signing import SigningKey

ENTRIES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
BATCH = 10_000


async def main() -> None:
    key = SigningKey.from_seeds(b"\x07" * 32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "onrecord.db"
        database = await Database.open(f"sqlite+aiosqlite:///{path}")
        log = AuditLog(database, key)
        written = await _write(log)
        begun, cpu = time.perf_counter(), time.process_time()
        count, faults = await log.check(key.verifier())
        taken, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert (count, faults) == (ENTRIES, []), "the log does not hold"
        begun, apart_cpu = time.perf_counter(), time.process_time()
        house = House(dict(key.public_keys), [])
        house.check_log(path)
        apart, apart_cpu = time.perf_counter() - begun, time.process_time() - apart_cpu
        assert (house.audit_entries, house.failures) == (ENTRIES, [])
        size = path.stat().st_size
        _spoil(path)
        _, faults = await log.check(key.verifier())
        assert faults, "a changed letter was not found"
        await database.close()
    _keep(
        [
            describe_machine(),
            f"entries {ENTRIES}, {size / 1e6:.0f} MB of database",
            f"appended in batches of {BATCH}: {written:.1f} s",
            f"verified: {taken:.1f} s wall, {cpu:.1f} s CPU, {ENTRIES / taken:,.0f} entries/s",
            f"by the offline verifier: {apart:.1f} s wall, {apart_cpu:.1f} s CPU",
            f"one changed letter: found as {faults[0].kind} at entry {faults[0].seq}",
        ],
    )


async def _write(log: AuditLog) -> float:
    now, begun = datetime.now(UTC), time.perf_counter()
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
        await log.append(facts, now)
    return time.perf_counter() - begun


def _spoil(path: Path) -> None:
    """As somebody who owns the file would: the trigger goes first."""
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER audit_log_is_append_only_update")
        raw.execute("UPDATE audit_log SET body = replace(body, 'review', 'revieW') WHERE seq = ?", (ENTRIES // 2,))
    raw.close()


def _keep(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    print(text, end="")
    (Path(__file__).parent / "results" / f"{Path(__file__).stem}.txt").write_text(text)


if __name__ == "__main__":
    asyncio.run(main())
