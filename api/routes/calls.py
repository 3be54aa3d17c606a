"""Calls that happen now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from api.floor_doors import NoDialer
from api.guard import Principal, TheHouse, may
from api.permissions import Permission
from api.problems import documented
from api.shapes import Id, LiveCalls, LiveCallShape

router = APIRouter(prefix="/calls", tags=["calls"])


@router.get("/live", responses=documented(401, 403))
async def list_live_calls(
    house: TheHouse, principal: Annotated[Principal, Depends(may(Permission.WATCH_CALLS))]
) -> LiveCalls:
    """The calls of this moment, and the event number to follow them from over the WebSocket."""
    as_of = await house.events.last_number()  # read first: an event in between is then seen twice, never missed
    calls = await house.campaigns.live_calls()
    return LiveCalls(
        as_of=as_of, now=house.clock.now(), calls=[LiveCallShape.of(call, principal.sees) for call in calls]
    )


class MaskWish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on: bool
    reason: Annotated[str, Field(min_length=3, max_length=200, description="Why people may not hear it")]


@router.post("/{call_id}/mask", status_code=204, responses=documented(401, 403, 404, 409, 422))
async def mask_call(
    call_id: Id, wish: MaskWish, house: TheHouse, principal: Annotated[Principal, Depends(may(Permission.MASK_CALLS))]
) -> None:
    """A sensitive moment begins (or ends): silent in every listening copy and export, with who and why in the manifest."""
    if house.calling is None:
        raise NoDialer("no dialer runs in this process", remedy="ask the node that places the calls")
    await house.calling.mask(call_id, wish.on, actor=principal.name, reason=wish.reason)
