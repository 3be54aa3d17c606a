"""The agenda: what has to happen next, on which case, by when, by whom."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query

from api.guard import Principal, TheHouse, may
from api.permissions import Permission
from api.problems import documented
from api.shapes import After, AgendaPage, Limit, NextActionShape, many

router = APIRouter(prefix="/next-actions", tags=["next actions"])


@router.get("", responses=documented(401, 403, 422))
async def list_next_actions(
    house: TheHouse,
    _principal: Annotated[Principal, Depends(may(Permission.SEE_CASES))],
    until: Annotated[
        date | None, Query(description="Windows that open on or before this local day; default: in 7 days")
    ] = None,
    owner: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    after: After = None,
    limit: Limit = 50,
) -> AgendaPage:
    """Ordered by the end of the window: what lapses first stands first."""
    zone = ZoneInfo(house.settings.timezone)
    day = until or house.clock.now().astimezone(zone).date() + timedelta(days=7)
    page = await house.cases.agenda(until=datetime.combine(day, time.max, zone), owner=owner, after=after, limit=limit)
    return AgendaPage(items=many(NextActionShape, page.items), after=page.after)
