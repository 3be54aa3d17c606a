"""Campaigns: start, pause, and why is it not dialing?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.guard import Principal, TheHouse, may
from api.permissions import Permission
from api.problems import documented
from api.shapes import CampaignList, CampaignShape, Explanation, GateShape, Id, many

router = APIRouter(prefix="/campaigns", tags=["campaigns"])

Watches = Annotated[Principal, Depends(may(Permission.WATCH_CALLS))]
Runs = Annotated[Principal, Depends(may(Permission.RUN_CAMPAIGNS))]


@router.get("", responses=documented(401, 403))
async def list_campaigns(house: TheHouse, _principal: Watches) -> CampaignList:
    return CampaignList(items=many(CampaignShape, await house.campaigns.list()))


@router.post("/{campaign_id}/start", responses=documented(401, 403, 404, 409, 422, 503))
async def start_campaign(campaign_id: Id, house: TheHouse, principal: Runs) -> CampaignShape:
    """Let it dial. Starting a running campaign changes nothing."""
    view = await house.campaigns.start(campaign_id)
    await _note(house, principal, "campaign.started", campaign_id)
    return CampaignShape.model_validate(view)


@router.post("/{campaign_id}/pause", responses=documented(401, 403, 404, 409, 422, 503))
async def pause_campaign(campaign_id: Id, house: TheHouse, principal: Runs) -> CampaignShape:
    """Place no new call. Calls in progress go on to their end."""
    view = await house.campaigns.pause(campaign_id)
    await _note(house, principal, "campaign.paused", campaign_id)
    return CampaignShape.model_validate(view)


@router.get("/{campaign_id}/explanation", responses=documented(401, 403, 404, 422))
async def explain_campaign(campaign_id: Id, house: TheHouse, _principal: Watches) -> Explanation:
    """Every gate a call must pass, which of them hold the campaign back now, and how many they concern."""
    gates = await house.campaigns.explain(campaign_id)
    dialing = not any(gate.holds_back for gate in gates)
    return Explanation(campaign_id=campaign_id, dialing=dialing, gates=many(GateShape, gates))


async def _note(house: TheHouse, principal: Principal, kind: str, campaign_id: str) -> None:
    await house.events.append(
        kind, house.clock.now(), subject_id=campaign_id, actor=principal.name, campaign_id=campaign_id
    )
