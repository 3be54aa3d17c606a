"""Work for the workers (sealing, peaks, vitals, transcripts): put once by key, claimed under a lease, finished or tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, insert, or_, select, update

from case_store.database import Database
from case_store.tables import jobs
from config.identity import new_id

LEASE = timedelta(minutes=5)
MAX_TRIES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """``key`` names what the work is about: putting the same kind and key again is harmless."""

    id: str
    kind: str
    key: str
    facts: dict[str, Any]
    tries: int


class Jobs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kind: str, key: str, now: datetime, **facts: Any) -> None:
        async with self._database.write() as unit:
            await unit.lock([f"job:{kind}:{key}"])
            there = await unit.connection.scalar(select(jobs.c.id).where(jobs.c.kind == kind, jobs.c.key == key))
            if there is None:
                await unit.connection.execute(
                    insert(jobs).values(
                        id=new_id("job"), kind=kind, key=key, facts=facts, state="waiting", due_at=now, tries=0
                    )
                )

    async def claim(self, kind: str, worker: str, now: datetime, *, limit: int = 1) -> tuple[Job, ...]:
        """Take due work, or work whose worker's lease ran out."""
        async with self._database.write() as unit:
            rows = (
                await unit.connection.execute(
                    select(jobs)
                    .where(
                        jobs.c.kind == kind,
                        or_(
                            and_(jobs.c.state == "waiting", jobs.c.due_at <= now),
                            and_(jobs.c.state == "claimed", jobs.c.due_at <= now, jobs.c.claimed_until < now),
                        ),
                    )
                    .order_by(jobs.c.due_at, jobs.c.id)
                    .limit(limit)
                    .with_for_update(skip_locked=True)
                )
            ).all()
            await unit.connection.execute(
                update(jobs)
                .where(jobs.c.id.in_([row.id for row in rows]))
                .values(state="claimed", claimed_by=worker, claimed_until=now + LEASE, tries=jobs.c.tries + 1)
            )
        return tuple(Job(id=row.id, kind=row.kind, key=row.key, facts=row.facts, tries=row.tries + 1) for row in rows)

    async def finish(self, job: Job, now: datetime) -> None:
        async with self._database.write() as unit:
            await unit.connection.execute(
                update(jobs).where(jobs.c.id == job.id).values(state="done", finished_at=now, problem=None)
            )

    async def fail(self, job: Job, now: datetime, problem: str) -> None:
        """Try again later, each time later; after ``MAX_TRIES`` it stays failed, to be seen."""
        over = job.tries >= MAX_TRIES
        async with self._database.write() as unit:
            await unit.connection.execute(
                update(jobs)
                .where(jobs.c.id == job.id)
                .values(
                    state="failed" if over else "waiting",
                    due_at=now + timedelta(seconds=10 * 2**job.tries),
                    problem=problem,
                    claimed_by=None,
                    claimed_until=None,
                )
            )
            if over:
                unit.emit("job.failed", now, subject_id=job.id, job=job.kind, key=job.key, problem=problem)

    async def failed(self, *, limit: int = 100) -> tuple[tuple[Job, str], ...]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(jobs).where(jobs.c.state == "failed").order_by(jobs.c.id).limit(limit)
            )
            return tuple(
                (Job(id=row.id, kind=row.kind, key=row.key, facts=row.facts, tries=row.tries), row.problem or "")
                for row in rows
            )
