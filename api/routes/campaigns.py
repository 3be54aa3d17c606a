"""Campaigns: start, pause, mode, pace, and why is it not dialing?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.guard import Principal, TheHouse, may
from api.permissions import Permission
from api.problems import documented
from api.shapes import (
    CampaignList,
    CampaignShape,
    DecisionList,
    DecisionShape,
    Explanation,
    GateShape,
    Id,
    Limit,
    PaceShape,
    Shape,
    many,
)
from dialer.campaigns import Mode

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


class ModeWish(Shape):
    mode: Mode


@router.post("/{campaign_id}/mode", responses=documented(401, 403, 404, 409, 422, 503))
async def switch_mode(campaign_id: Id, wish: ModeWish, house: TheHouse, principal: Runs) -> CampaignShape:
    """manual, preview, progressive or predictive, while it runs or rests. Calls on their way end as they were begun."""
    view = await house.campaigns.switch_mode(campaign_id, wish.mode)
    await _note(house, principal, "campaign.mode-switched", campaign_id, mode=wish.mode.value)
    return CampaignShape.model_validate(view)


@router.get("/{campaign_id}/pace", responses=documented(401, 403, 404, 409, 422))
async def show_pace(campaign_id: Id, house: TheHouse, _principal: Watches) -> PaceShape:
    """The pacer's last word with its reasons, and abandonment against target and limit."""
    return PaceShape.model_validate(await house.campaigns.pace(campaign_id))


@router.get("/{campaign_id}/decisions", responses=documented(401, 403, 404, 409, 422))
async def replay_decisions(campaign_id: Id, house: TheHouse, _principal: Watches, limit: Limit = 50) -> DecisionList:
    """The newest kept decisions of its pacer, each decided again from the facts kept with it."""
    return DecisionList(items=many(DecisionShape, await house.campaigns.decisions(campaign_id, limit)))


async def _note(house: TheHouse, principal: Principal, kind: str, campaign_id: str, **facts: str) -> None:
    await house.events.append(
        kind, house.clock.now(), subject_id=campaign_id, actor=principal.name, campaign_id=campaign_id, **facts
    )
