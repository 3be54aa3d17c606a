"""The doors' campaigns over a running centre: what a click starts is what dials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from api.store_house import StoreCampaigns
from case_store.model import Channel
from dialer.campaigns import CampaignView, Gate, LiveCall
from dialer.centre import Centre
from dialer.dialing import DialPlan
from dialer.dialing import plan_of as settings_plan
from dialer.floor import AgentState


class CentreCampaigns:
    """Satisfies ``api.house.Campaigns``; the store answers for what is written, the centre for what happens now."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._written = StoreCampaigns(centre.store, centre.clock)

    async def list(self) -> Sequence[CampaignView]:
        return [self._with_floor(view) for view in await self._written.list()]

    async def start(self, campaign_id: str) -> CampaignView:
        view = await self._written.start(campaign_id)
        await self._centre.start_campaign(view.id, plan_of(self._centre))
        return self._with_floor(view)

    async def pause(self, campaign_id: str) -> CampaignView:
        view = await self._written.pause(campaign_id)
        await self._centre.pause_campaign(view.id)
        return self._with_floor(view)

    async def explain(self, campaign_id: str) -> Sequence[Gate]:
        campaign = await self._centre.store.sweep.get(campaign_id)
        runner = self._centre.runners.get(campaign.id)
        if runner is None:
            runner = self._centre.runner(campaign, plan_of(self._centre))
        return await runner.explain()

    async def live_calls(self) -> Sequence[LiveCall]:
        names = {agent.id: agent.name for agent in self._centre.floor}
        calls = []
        for call in list(self._centre.switchboard):
            number = await self._centre.store.cases.number(call.number_id)
            calls.append(
                LiveCall(
                    call_id=call.call_id,
                    case_id=call.case_id,
                    campaign_id=call.campaign_id,
                    e164=number.e164,
                    channel=Channel(call.channel),
                    state="bridged"
                    if call.bridged_at
                    else "answered"
                    if call.answered_at
                    else _ringing(call.provisional),
                    agent=names.get(call.agent_id or ""),
                    placed_at=call.dialed_at or call.order.tape.armed_at,
                    answered_at=call.answered_at,
                )
            )
        return calls

    def _with_floor(self, view: CampaignView) -> CampaignView:
        agents = sum(agent.state is not AgentState.OFFLINE for agent in self._centre.floor)
        return replace(view, lines=plan_of(self._centre).lines, agents=agents, calls_now=len(self._centre.switchboard))


def _ringing(provisional: Sequence[object]) -> str:
    return "ringing" if provisional else "placed"


def plan_of(centre: Centre) -> DialPlan:
    return settings_plan(centre.settings)
