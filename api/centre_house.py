"""The doors' campaigns over a running centre: what a click starts is what dials."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from api.store_house import StoreCampaigns
from case_store.model import Channel
from config.errors import Refused
from dialer.campaigns import CampaignView, Gate, LiveCall, Mode
from dialer.centre import Centre
from dialer.desk_views import Decision, PaceView
from dialer.dialing import DialPlan
from dialer.dialing import plan_of as settings_plan
from dialer.floor import AgentState
from dialer.pace_log import replay
from dialer.pace_setter import restore_gated


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

    async def switch_mode(self, campaign_id: str, mode: Mode) -> CampaignView:
        campaign = await self._centre.store.sweep.get(campaign_id)
        await self._centre.switch_mode(campaign.id, mode)
        return self._with_floor(await self._written.one(campaign.id))

    async def pace(self, campaign_id: str) -> PaceView:
        campaign = await self._centre.store.sweep.get(campaign_id)
        floor = self._centre.settings.floor
        since = self._centre.clock.now() - timedelta(days=30)
        days = await self._centre.store.ledger.abandonment(campaign.id, since)
        runner = self._centre.runners.get(campaign.id)
        setter = runner.pace_setter if runner is not None else None
        last = setter.last if setter is not None else None
        return PaceView(
            campaign_id=campaign.id,
            target=floor.abandonment_target,
            limit=floor.abandonment_limit,
            answered_30_days=sum(answers for _day, answers, _drops in days),
            abandoned_30_days=sum(drops for _day, _answers, drops in days),
            ledger_open=setter is None or setter.ledger_open,
            ledger_room=setter.ledger.room(setter.today) if setter is not None else None,
            place=last.place if last is not None else None,
            cancel=len(last.cancel) if last is not None else None,
            why=dict(last.why) if last is not None else {},
            counts=dict(setter.counts) if setter is not None else {},
            kept=floor.pace_log is not None,
        )

    async def decisions(self, campaign_id: str, limit: int) -> Sequence[Decision]:
        campaign = await self._centre.store.sweep.get(campaign_id)
        folder = self._centre.settings.floor.pace_log
        if folder is None:
            raise Refused("pacing decisions are not kept", field="floor.pace_log", remedy="name a folder in settings")
        path = folder / f"{campaign.id}.jsonl"
        if not path.exists():
            return ()
        return await asyncio.to_thread(replayed, path, limit)

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
                    state=call.stage,
                    agent=names.get(call.agent_id or ""),
                    placed_at=call.dialed_at or call.order.tape.armed_at,
                    answered_at=call.answered_at,
                )
            )
        return calls

    def _with_floor(self, view: CampaignView) -> CampaignView:
        agents = sum(agent.state is not AgentState.OFFLINE for agent in self._centre.floor)
        return replace(view, lines=plan_of(self._centre).lines, agents=agents, calls_now=len(self._centre.switchboard))


def plan_of(centre: Centre) -> DialPlan:
    return settings_plan(centre.settings)


def replayed(path: Path, limit: int) -> Sequence[Decision]:
    """The newest ``limit`` decisions of a pace log, oldest first, each decided again from the facts kept with it.

    The whole file is replayed, since a pacer is what it has learnt: at most ``floor.pace_log_bytes``.
    """
    newest: deque[Decision] = deque(maxlen=limit)
    for line, then, again in replay(path, restore_gated):
        newest.append(
            Decision(
                line=line,
                place=then.place,
                cancel=len(then.cancel),
                why=dict(then.why),
                same=then == again,
            )
        )
    return tuple(newest)
