"""A campaign's redials and agreed call-backs: a queue of every placement by the time each may be claimed.

An action that is dialed names the placement whose campaigns dial it (``redial_of``) and from when (``redial_at``: its window's
beginning, then the end of a claim or a rest). So a campaign reads the heads of its own placements' queues, past neither the
redials of other campaigns nor those that rest until tomorrow.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.database import Unit
from case_store.model import NextAction
from case_store.tables import LIVE, campaign_placements, cases, next_actions, sweep_cases

REDIAL, CALL_BACK = "redial", "call-back"
_DIALER = "dialer"


def dialed(action: NextAction) -> dict[str, Any]:
    """What an action's row says to the dialer. Call-backs are dialed whoever owns them, of the redials only the dialer's."""
    if action.action != CALL_BACK and (action.action, action.owner) != (REDIAL, _DIALER):
        return {}
    placement = select(cases.c.placement_id).where(cases.c.id == action.case_id).scalar_subquery()
    return {"redial_of": placement, "redial_at": action.earliest}


async def claim(
    unit: Unit, kind: str, campaign_id: str, node: str, now: datetime, until: datetime, *, limit: int
) -> list[Any]:
    """The rows of ``next_actions`` claimed for ``node`` until then: from the placement in which one waits longest first."""
    rows: list[Any] = []
    heads = await _heads(unit.connection, kind, campaign_id)
    for first, placement_id in sorted(heads):
        if first > now or len(rows) >= limit:
            break
        queue = (
            select(next_actions)
            .where(*_queue(kind), next_actions.c.redial_of == placement_id, next_actions.c.redial_at <= now)
            .where(_worked_by(campaign_id))
            .order_by(next_actions.c.redial_at, next_actions.c.id)
            .limit(limit - len(rows))
            .with_for_update(skip_locked=True, of=next_actions)
        )
        rows += (await unit.connection.execute(queue)).all()
    if rows:
        await unit.connection.execute(
            update(next_actions)
            .where(next_actions.c.id.in_([row.id for row in rows]))
            .values(claimed_by=node, claimed_until=until, redial_at=until)
        )
    return rows


async def rest(unit: Unit, action_id: str, until: datetime) -> None:
    """Let nobody claim a live action before ``until``."""
    await unit.connection.execute(
        update(next_actions)
        .where(next_actions.c.id == action_id, next_actions.c.state == LIVE)
        .values(
            claimed_until=until,
            redial_at=case((next_actions.c.earliest > until, next_actions.c.earliest), else_=until),
        )
    )


async def first_due(connection: AsyncConnection, campaign_id: str) -> datetime | None:
    """When the first redial or call-back of a campaign may be claimed; None: there is none."""
    heads = [head for kind in (CALL_BACK, REDIAL) for head in await _heads(connection, kind, campaign_id)]
    return min((first for first, _ in heads), default=None)


async def _heads(connection: AsyncConnection, kind: str, campaign_id: str) -> list[tuple[datetime, str]]:
    """(when its first may be claimed, placement) of each placement of the campaign that has one: an index's head each."""
    first = (
        select(next_actions.c.redial_at)
        .where(*_queue(kind), next_actions.c.redial_of == campaign_placements.c.placement_id, _worked_by(campaign_id))
        .order_by(next_actions.c.redial_at, next_actions.c.id)
        .limit(1)
        .scalar_subquery()
    )
    query = select(first, campaign_placements.c.placement_id).where(campaign_placements.c.campaign_id == campaign_id)
    return [(at, placement_id) for at, placement_id in await connection.execute(query) if at is not None]


def _worked_by(campaign_id: str) -> Any:
    """A case of the placement that this campaign does not work is left to those that do; it must not wait for it either.

    Asked of one case after the other: an EXISTS would let PostgreSQL begin with every case of the campaign.
    """
    works_it = (
        select(sweep_cases.c.case_id)
        .where(sweep_cases.c.campaign_id == campaign_id, sweep_cases.c.case_id == next_actions.c.case_id)
        .scalar_subquery()
    )
    return works_it.is_not(None)


def _queue(kind: str) -> list[Any]:
    return [next_actions.c.state == LIVE, next_actions.c.redial_of.is_not(None), next_actions.c.action == kind]
