"""The event log: numbered in commit order, so a reader who saw number n asks for what came after n and misses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from case_store.database import Database
from case_store.tables import event_head, event_log


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedEvent:
    """``kind`` is a dotted name such as ``call.ended``; ``facts`` holds no personal data beyond ids."""

    number: int
    at: datetime
    kind: str
    case_id: str | None
    subject_id: str | None
    facts: dict[str, Any]


class EventLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self, kind: str, at: datetime, *, case_id: str | None = None, subject_id: str | None = None, **facts: Any
    ) -> None:
        """For events that belong to no other change of the store."""
        async with self._database.write() as unit:
            unit.emit(kind, at, case_id=case_id, subject_id=subject_id, **facts)

    async def read_after(self, number: int, *, limit: int = 500, case_id: str | None = None) -> tuple[LoggedEvent, ...]:
        query = select(event_log).where(event_log.c.number > number).order_by(event_log.c.number).limit(limit)
        if case_id is not None:
            query = query.where(event_log.c.case_id == case_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            LoggedEvent(
                number=row.number,
                at=row.at,
                kind=row.kind,
                case_id=row.case_id,
                subject_id=row.subject_id,
                facts=row.facts,
            )
            for row in rows
        )

    async def last_number(self) -> int:
        async with self._database.read() as connection:
            return int((await connection.execute(select(event_head.c.number))).scalar_one())

    async def wait(self, after: int, seconds: float) -> bool:
        """Sleep until this process logs an event past ``after``; other nodes' events are seen by asking again."""
        return await self._database.wait_for_event(after, seconds)
