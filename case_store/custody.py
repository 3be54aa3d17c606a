"""A recording's legal hold, changed together with its audit entry or not at all."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update

from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.database import Database
from case_store.tables import recordings


async def change_hold(
    database: Database, audit: AuditLog, recording_id: str, on: bool, *, actor: str, reason: str, now: datetime
) -> bool:
    """Whether anything changed; asking twice leaves one entry."""
    async with database.write() as unit:
        query = select(recordings.c.legal_hold, recordings.c.case_id).where(recordings.c.id == recording_id)
        row = (await unit.connection.execute(query.with_for_update())).one()
        if bool(row.legal_hold) is on:
            return False
        await unit.connection.execute(update(recordings).where(recordings.c.id == recording_id).values(legal_hold=on))
        action = "hold.set" if on else "hold.lifted"
        fact = AuditFact(at=now, actor=actor, action=action, subject=recording_id, detail={"reason": reason})
        await audit.append_in(unit, [fact], now)
        unit.emit(f"recording.{action}", now, case_id=row.case_id, subject_id=recording_id, actor=actor)
    return True
