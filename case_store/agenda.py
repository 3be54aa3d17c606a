"""Next actions: exactly one live one per case that is not closed; replaced, never edited."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store import redials
from case_store.database import Database, Unit
from case_store.model import NextAction, StoredAction
from case_store.tables import LIVE, cases, next_actions
from config.identity import new_id


class Agenda:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def live(self, case_id: str) -> StoredAction | None:
        """None only for a closed case."""
        async with self._database.read() as connection:
            return await live_action(connection, case_id)

    async def due(
        self, now: datetime, *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[StoredAction, ...]:
        """Live actions whose window has opened, the one opened first at the head."""
        query = (
            select(next_actions)
            .where(next_actions.c.state == LIVE, next_actions.c.earliest <= now)
            .order_by(next_actions.c.earliest, next_actions.c.id)
            .limit(limit)
        )
        if owner is not None:
            query = query.where(next_actions.c.owner == owner)
        return await self._page(query, after)

    async def overdue(self, now: datetime, *, limit: int = 100) -> tuple[StoredAction, ...]:
        """Live actions whose window has closed: visible until somebody does or replaces them."""
        return await self._page(
            select(next_actions)
            .where(next_actions.c.state == LIVE, next_actions.c.latest < now)
            .order_by(next_actions.c.latest, next_actions.c.id)
            .limit(limit),
            None,
        )

    async def between(self, start: datetime, end: datetime, *, limit: int = 1000) -> tuple[StoredAction, ...]:
        """The day's agenda: live actions whose window touches ``start`` to ``end``."""
        return await self._page(
            select(next_actions)
            .where(next_actions.c.state == LIVE, next_actions.c.earliest < end, next_actions.c.latest >= start)
            .order_by(next_actions.c.earliest, next_actions.c.id)
            .limit(limit),
            None,
        )

    async def of_day(
        self, start: datetime, end: datetime, now: datetime, *, owner: str | None = None, limit: int = 500
    ) -> tuple[tuple[StoredAction, ...], int]:
        """Live actions whose window touches ``start`` to ``end``, and everything overdue: the first to lapse at the head,
        with how many there are in all."""
        due = [
            next_actions.c.state == LIVE,
            next_actions.c.earliest < end,
            or_(next_actions.c.latest > start, next_actions.c.latest <= now),
        ]
        if owner is not None:
            due.append(next_actions.c.owner == owner)
        query = select(next_actions).where(*due).order_by(next_actions.c.latest, next_actions.c.id).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            count = await connection.scalar(select(func.count()).select_from(next_actions).where(*due))
        return tuple(as_action(row) for row in rows), count or 0

    async def all_live(
        self, *, placement_id: str | None = None, after: str | None = None, limit: int = 1000
    ) -> tuple[StoredAction, ...]:
        """By id; ``after`` is the last id seen."""
        query = select(next_actions).where(next_actions.c.state == LIVE).order_by(next_actions.c.id).limit(limit)
        if placement_id is not None:
            query = query.join(cases, cases.c.id == next_actions.c.case_id).where(cases.c.placement_id == placement_id)
        return await self._page(query, after)

    async def claim_due(
        self,
        campaign_id: str,
        node: str,
        now: datetime,
        *,
        limit: int = 100,
        lease: timedelta = timedelta(minutes=2),
        call_backs: bool = False,
    ) -> tuple[StoredAction, ...]:
        """Take due redials (they name their number) of the cases a campaign works; another node gets them again when the
        lease runs out. ``call_backs``: the agreed call-backs of those cases instead, whoever owns them.
        """
        kind = redials.CALL_BACK if call_backs else redials.REDIAL
        async with self._database.write() as unit:
            rows = await redials.claim(unit, kind, campaign_id, node, now, now + lease, limit=limit)
        return tuple(as_action(row) for row in rows)

    async def rest(self, action_id: str, until: datetime) -> None:
        """Let nobody claim an action before ``until``: the policy says when, or the line is busy."""
        async with self._database.write() as unit:
            await redials.rest(unit, action_id, until)

    async def next_redial(self, campaign_id: str, now: datetime) -> datetime | None:
        """When the next redial or call-back of a campaign's cases may be claimed; None: there is none. Not before ``now``."""
        async with self._database.read() as connection:
            first = await redials.first_due(connection, campaign_id)
        return None if first is None else max(first, now)

    async def to_look_at(self, now: datetime, *, limit: int = 200) -> tuple[str, ...]:
        """Cases in which the clock alone changes something by ``now``, the longest waiting first."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(next_actions.c.case_id)
                .where(next_actions.c.state == LIVE, next_actions.c.look_at <= now)
                .order_by(next_actions.c.look_at, next_actions.c.id)
                .limit(limit)
            )
            return tuple(rows.scalars())

    async def look_later(self, case_id: str, at: datetime) -> None:
        """The look failed: it is tried again then."""
        async with self._database.write() as unit:
            await unit.connection.execute(
                update(next_actions)
                .where(next_actions.c.case_id == case_id, next_actions.c.state == LIVE)
                .values(look_at=at)
            )

    async def replace(self, action: NextAction, now: datetime) -> StoredAction:
        """Put a new live action in the place of the old one, atomically."""
        async with self._database.write() as unit:
            return await set_action(unit, action, now, look_at=action.latest)

    async def cases_without(self, *, limit: int = 100) -> tuple[str, ...]:
        """Open cases without a live action: always empty, or something is wrong."""
        live = select(next_actions.c.id).where(next_actions.c.case_id == cases.c.id, next_actions.c.state == LIVE)
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(cases.c.id).where(cases.c.state != "closed", ~live.exists()).limit(limit)
            )
            return tuple(rows.scalars())

    async def _page(self, query: Any, after: str | None) -> tuple[StoredAction, ...]:
        if after is not None:
            query = query.where(next_actions.c.id > after)
        async with self._database.read() as connection:
            return tuple(as_action(row) for row in await connection.execute(query))


async def live_action(connection: AsyncConnection, case_id: str) -> StoredAction | None:
    row = (
        await connection.execute(
            select(next_actions).where(next_actions.c.case_id == case_id, next_actions.c.state == LIVE)
        )
    ).first()
    return None if row is None else as_action(row)


async def look_again(unit: Unit, action_id: str, look_at: datetime | None) -> None:
    await unit.connection.execute(update(next_actions).where(next_actions.c.id == action_id).values(look_at=look_at))


def same_action(stored: StoredAction, action: NextAction) -> bool:
    return all(getattr(stored, name) == getattr(action, name) for name in NextAction.__slots__)


async def set_action(
    unit: Unit,
    action: NextAction,
    now: datetime,
    *,
    ended_as: str = "replaced",
    look_at: datetime | None,
) -> StoredAction:
    """Replace the live action of a case; the database refuses a second live one.

    ``look_at`` is when the clock must look at the case; None: nothing changes by itself any more.
    """
    await end_action(unit, action.case_id, now, state=ended_as)
    stored = StoredAction(
        id=new_id("act"),
        case_id=action.case_id,
        action=action.action,
        earliest=action.earliest,
        latest=action.latest,
        owner=action.owner,
        escalation=action.escalation,
        reason_en=action.reason_en,
        reason_zh=action.reason_zh,
        number_id=action.number_id,
        agent_id=action.agent_id,
        state="live",
        set_at=now,
    )
    await unit.connection.execute(
        insert(next_actions).values(**action_row(stored), look_at=look_at, **redials.dialed(action))
    )
    unit.emit(
        "action.set",
        now,
        case_id=action.case_id,
        subject_id=stored.id,
        action=action.action,
        earliest=action.earliest.isoformat(),
        latest=action.latest.isoformat(),
        owner=action.owner,
    )
    return stored


async def end_action(unit: Unit, case_id: str, now: datetime, *, state: str) -> None:
    """End the live action of a case as done, replaced or cancelled."""
    await unit.connection.execute(
        update(next_actions)
        .where(next_actions.c.case_id == case_id, next_actions.c.state == LIVE)
        .values(state=state, ended_at=now)
    )


def action_row(action: StoredAction) -> dict[str, Any]:
    return {
        "id": action.id,
        "case_id": action.case_id,
        "action": action.action,
        "earliest": action.earliest,
        "latest": action.latest,
        "owner": action.owner,
        "escalation": action.escalation,
        "reason_en": action.reason_en,
        "reason_zh": action.reason_zh,
        "number_id": action.number_id,
        "agent_id": action.agent_id,
        "state": action.state,
        "set_at": action.set_at,
        "ended_at": action.ended_at,
    }


def as_action(row: Any) -> StoredAction:
    return StoredAction(**{name: getattr(row, name) for name in action_row_names()})


def action_row_names() -> tuple[str, ...]:
    return (
        "id",
        "case_id",
        "action",
        "earliest",
        "latest",
        "owner",
        "escalation",
        "reason_en",
        "reason_zh",
        "number_id",
        "agent_id",
        "state",
        "set_at",
        "ended_at",
    )
