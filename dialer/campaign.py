"""One campaign's dialing: as many calls as its gates and its mode let leave, each placed by ``Dialing``.

Progressive reserves a ready agent before the call; predictive asks the pacer how many may ring for nobody in particular
and reserves at the answer; preview shows a ready agent one case at a time; manual waits for clicks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from case_store.ledger import Candidate, NumberPast
from case_store.network import HangupCause
from case_store.store import CaseStore
from case_store.sweep import SweepStanding
from case_store.verdict import Verdict
from config.clock import Clock
from config.identity import new_id
from dialer.call import CallId
from dialer.campaigns import CampaignState, Gate, Mode
from dialer.dialing import Dialing, DialPlan, Paced
from dialer.floor import Agent, AgentState, Floor
from dialer.gates import GateFacts, explain, room
from dialer.number_facts import HISTORY, carrier_of, number_facts
from dialer.pace_memory import PaceMemory
from dialer.pace_setter import KINDEST_RING, PaceSetter
from dialer.pacing.state import Pace
from dialer.preview import PreviewDesk
from dialer.schedule import Redial, Scheduler
from dialer.switchboard import CallInFlight, Switchboard

log = structlog.get_logger(__name__)

_UTC = ZoneInfo("UTC")
_LOOK_AGAIN_SECONDS = 0.5
_ENOUGH = 1000  # cases counted before dialing: more than any floor has lines
_FRESH_SECONDS = 1.0  # what the store says is this old at most when a pacer decides twice a second


class CampaignRunner:
    """Runs one sweep campaign on this node until it is paused or nothing is left to do."""

    def __init__(
        self,
        *,
        campaign_id: str,
        plan: DialPlan,
        node: str,
        store: CaseStore,
        clock: Clock,
        dialing: Dialing,
        problems: Callable[[], tuple[str, ...]],
        switchboard: Switchboard,
        floor: Floor,
        trunks: int,
        mode: Mode = Mode.PROGRESSIVE,
        make_pace_setter: Callable[[], Awaitable[PaceSetter]],
        memory: PaceMemory,
        preview: PreviewDesk | None = None,
        scheduler: Scheduler | None = None,
        zone: ZoneInfo = _UTC,
    ) -> None:
        self.campaign_id = campaign_id
        self._plan = plan
        self._node = node
        self._store = store
        self._clock = clock
        self._dialing = dialing
        self._problems = problems
        self._switchboard = switchboard
        self._floor = floor
        self._trunks = trunks
        self._make_pace_setter = make_pace_setter
        self._memory = memory
        self._preview = preview
        self._wake = asyncio.Event()
        self._scheduler = scheduler
        self._zone = zone
        self._due_work: tuple[float, SweepStanding, datetime | None] | None = None
        self.mode = mode
        self.pace_setter: PaceSetter | None = None
        self.next_permitted: datetime | None = None
        self.state = CampaignState.PAUSED

    @property
    def plan(self) -> DialPlan:
        return self._plan

    def wake(self) -> None:
        """Something changed that may open a gate: look now instead of at the next tick. A pacer is asked at its own pace."""
        if self.mode is not Mode.PREDICTIVE:
            self._wake.set()

    def switch_mode(self, mode: Mode) -> None:
        """From the next step on; calls on their way end as they were begun."""
        if mode is not self.mode:
            log.info("campaign", campaign=self.campaign_id, mode=f"{self.mode} -> {mode}")
            self.mode = mode
            self._wake.set()

    async def run(self, until_rest: bool = False) -> None:
        """Dial while running. ``until_rest``: return when nothing can be dialed before ``next_permitted``."""
        self.state = CampaignState.RUNNING
        while self.state is CampaignState.RUNNING:
            placed = await self.step()
            await self.keep_learnt()
            if placed == 0:
                standing, redial_at = await self._slow_facts()
                if standing.finished:
                    standing, redial_at = await self._slow_facts(fresh=True)
                self.next_permitted = min((at for at in (standing.next_due, redial_at) if at), default=None)
                idle = len(self._switchboard) == 0 and standing.claimed == 0
                if standing.finished and idle and redial_at is None:
                    self.state = CampaignState.FINISHED
                    await self.keep_learnt(at_once=True)
                    await self._store.sweep.change(self.campaign_id, self._clock.now(), state="finished")
                    return
                resting = standing.ready == 0 and not _due(redial_at, self._clock.now())
                if until_rest and idle and resting:
                    return
            if self.mode is Mode.PREDICTIVE and self.pace_setter is not None:
                await self._unless_woken(self.pace_setter.until_due())
            elif placed == 0:
                await self._unless_woken(self._clock.sleep(_LOOK_AGAIN_SECONDS))

    async def pause(self) -> None:
        self.state = CampaignState.PAUSED
        if self._preview is not None:
            await self._preview.withdraw_all(self.campaign_id)
        await self.keep_learnt(at_once=True)
        await self._store.sweep.change(self.campaign_id, self._clock.now(), state="paused")
        self._wake.set()

    async def step(self) -> int:
        """Place what the gates allow now; how many calls left (a refusal counts: the next candidate waits behind it)."""
        if self.mode is not Mode.PREVIEW and self._preview is not None:
            await self._preview.withdraw_all(self.campaign_id)
        if self.mode is Mode.PREDICTIVE:
            return await self._step_predictive()
        may = room(await self.facts())
        if may <= 0:
            return 0
        if self.mode is Mode.PREVIEW:
            # An agreed minute needs no second look at the case: it is called when it comes.
            if called := await self._redial(may, call_backs_only=True):
                return called
            await self._show(may)
            return 0
        redialed = await self._redial(may)
        if redialed >= may:
            return redialed
        candidates = await self._claim(may - redialed)
        for candidate in candidates:
            await self._dial_for_agent(candidate)
        return redialed + len(candidates)

    async def _show(self, most: int) -> None:
        """Redials that are due first, as everywhere; then the sweep."""
        assert self._preview is not None
        shown = 0
        if self._scheduler is not None:
            redials = await self._scheduler.redials(self.campaign_id, most)
            shown = await self._preview.offer_redials(self.campaign_id, self._plan, redials)
        if shown < most:
            await self._preview.offer(self.campaign_id, self._plan, most - shown)

    async def _redial(self, most: int, *, call_backs_only: bool = False) -> int:
        """Due call-backs and redials, each for a ready agent; how many were tried."""
        if self._scheduler is None or most <= 0:
            return 0
        ask = self._scheduler.call_backs if call_backs_only else self._scheduler.redials
        redials = await ask(self.campaign_id, most)
        for redial in redials:
            await self._dial_for_agent(redial.candidate, redial)
        return len(redials)

    async def _step_predictive(self) -> int:
        setter = await self._setter()
        facts = await self.facts()
        redialed = 0
        if self._due_work is not None and _due(self._due_work[2], self._clock.now()):
            # A promise to call again is kept by an agent who is there for it: the pacer deals with the first sweep.
            redialed = await self._redial(min(room(facts), facts.agents_ready))
            if redialed:
                facts = await self.facts()
        now = self._clock.monotonic()
        # The pacer is shown the floor even when a gate is shut: it goes on learning, and gives up what would drop.
        view = setter.view(
            self._switchboard.unanswered, self._switchboard.waiting, self._floor, now, room=max(0, room(facts))
        )
        pace = setter.decide(view, now)
        for call_id in pace.cancel:
            await self._give_up(CallId(str(call_id)), now)
        if pace.place <= 0:
            return redialed
        candidates = await self._claim(pace.place)
        if pace.why.get("binding") == "ledger":
            # The 30-day account is used up: an agent is kept for each call, as in progressive.
            for candidate in candidates:
                await self._dial_for_agent(candidate)
        else:
            since = self._clock.now() - HISTORY
            past = await self._store.ledger.past_of([one.e164 for one in candidates], since)
            for place, candidate in enumerate(candidates):
                await self._dial_for_nobody(setter, pace, place, candidate, past[candidate.e164])
        return redialed + len(candidates)

    async def _setter(self) -> PaceSetter:
        if self.pace_setter is None:
            await asyncio.to_thread(carrier_of, "+8613800138000")  # reads the ranges of all networks
            setter = await self._make_pace_setter()
            since = self._clock.now() - timedelta(days=30)
            days = await self._store.ledger.abandonment(self.campaign_id, since)
            setter.load_ledger((day.toordinal(), answers, drops) for day, answers, drops in days)
            self.pace_setter = setter
        return self.pace_setter

    async def _claim(self, count: int) -> tuple[Candidate, ...]:
        return await self._store.sweep.claim(self.campaign_id, count, self._node, self._clock.now())

    async def _dial_for_agent(self, candidate: Candidate, redial: Redial | None = None) -> None:
        async def refused(verdict: Verdict | None) -> None:
            if redial is not None and self._scheduler is not None:
                await self._scheduler.refused(redial, verdict)

        call_id = CallId(new_id("call"))
        agent = self._reserve_for(call_id, redial)
        if agent is None:
            if redial is not None:
                await refused(None)
            else:
                await self._store.sweep.release_claim(candidate, self._clock.now())
            return
        purpose = "sweep" if redial is None else "follow-up"
        try:
            await self._dialing.place(
                candidate, self._plan, call_id=call_id, agent=agent, purpose=purpose, on_no=refused
            )
        finally:
            self._let_go(agent, call_id)

    def _reserve_for(self, call_id: CallId, redial: Redial | None) -> Agent | None:
        """A call-back is for the agent who agreed on it, as long as it is not late; everything else is for anybody."""
        named = redial.action.agent_id if redial is not None else None
        if named is None:
            return self._floor.reserve(call_id)
        mine = next((one for one in self._floor if named in (one.id, one.name)), None)
        return self._floor.reserve(call_id, mine.id) if mine is not None else None

    async def _dial_for_nobody(
        self, setter: PaceSetter, pace: Pace, place: int, candidate: Candidate, past: NumberPast
    ) -> None:
        facts = number_facts(candidate, past, self._clock.now())
        paced = Paced(chance=setter.chance(facts), risk=pace.risk[place] if place < len(pace.risk) else 0.0)
        call = await self._dialing.place(candidate, self._plan, call_id=CallId(new_id("call")), agent=None, paced=paced)
        if call is not None:
            setter.placed_with(call, facts)

    def _let_go(self, agent: Agent, call_id: CallId) -> None:
        """No call came of the reservation."""
        if agent.state is AgentState.RESERVED and agent.call_id == call_id and self._switchboard.find(call_id) is None:
            self._floor.release(agent.id)

    async def _give_up(self, call_id: CallId, now: float) -> None:
        call = self._switchboard.find(call_id)
        if call is None or call.answered_at is not None or call.campaign_id != self.campaign_id:
            return
        if call.rang_mono is None or now - call.rang_mono < KINDEST_RING:
            log.error("pacer-too-eager", call=call_id)
            return
        await self._switchboard.hang_up(call, HangupCause.CANCELLED)

    async def _slow_facts(self, *, fresh: bool = False, whole: bool = False) -> tuple[SweepStanding, datetime | None]:
        """What the store says is left: of the sweep, and when the next redial is due. ``whole``: with every case counted."""
        now = self._clock.monotonic()
        kept = self._due_work
        if (
            self.mode is Mode.PREDICTIVE
            and not fresh
            and not whole
            and kept is not None
            and now - kept[0] < _FRESH_SECONDS
        ):
            return kept[1:]
        most = None if whole else _ENOUGH
        standing = await self._store.sweep.standing(self.campaign_id, at_most=most)
        redial_at = await self._scheduler.next_redial(self.campaign_id) if self._scheduler is not None else None
        self._due_work = (now, standing, redial_at)
        return standing, redial_at

    async def facts(self, *, whole: bool = False) -> GateFacts:
        standing, redial_at = await self._slow_facts(whole=whole)
        redials = int(_due(redial_at, self._clock.now()))
        setter = self.pace_setter
        agents = [agent for agent in self._floor if not agent.is_leader]
        return GateFacts(
            state=self.state,
            mode=self.mode,
            lines=self._plan.lines,
            lines_busy=len(self._switchboard),
            agents_ready=sum(agent.state is AgentState.READY for agent in agents),
            agents_on_floor=sum(agent.state not in (AgentState.OFFLINE, AgentState.PAUSED) for agent in agents)
            if self.mode is Mode.PREDICTIVE
            else sum(agent.state is not AgentState.OFFLINE for agent in agents),
            trunks=self._trunks,
            trunks_down=dict(self._switchboard.trunks_down),
            recorder_problems=self._problems(),
            relay_up=self._switchboard.relay_up,
            numbers_left=redials
            + (
                standing.ready + standing.resting if standing.ready or _due(standing.next_due, self._clock.now()) else 0
            ),
            numbers_resting=standing.resting,
            in_campaign=standing.ready + standing.resting + standing.claimed,
            refused=dict(self._dialing.refused),
            next_permitted=min((at for at in (standing.next_due, redial_at) if at), default=None),
            ledger_open=setter is None or setter.ledger_open,
            pace=str(setter.last.why.get("binding")) if setter is not None and setter.last is not None else None,
            engine_problem=self._dialing.problem,
        )

    async def explain(self) -> list[Gate]:
        """Every gate with its count; the refusals are those in force now, as the store keeps them. Times are the house's."""
        refused = await self._store.sweep.refusals(self.campaign_id, self._clock.now())
        facts = await self.facts(whole=True)
        due = facts.next_permitted.astimezone(self._zone) if facts.next_permitted is not None else None
        return explain(replace(facts, refused=refused, next_permitted=due))

    def calls(self) -> list[CallInFlight]:
        return [call for call in self._switchboard if call.campaign_id == self.campaign_id]

    async def keep_learnt(self, *, at_once: bool = False) -> None:
        """What the pacer has learnt outlives this process: now and then while it dials, and ``at_once`` when it rests."""
        if self.pace_setter is not None:
            await self._memory.keep(self.pace_setter.learnt, self.pace_setter.outcomes, at_once=at_once)

    async def close(self) -> None:
        if self.pace_setter is not None:
            await self.keep_learnt(at_once=True)
            self.pace_setter.close()

    async def _unless_woken(self, waiting: Coroutine[None, None, None]) -> None:
        """A change of state or mode is not waited out; in predictive mode a call's end or a ready agent is the pacer's news."""
        self._wake.clear()
        ticking, woken = asyncio.ensure_future(waiting), asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({ticking, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ticking.cancel()
            woken.cancel()


def _due(next_due: datetime | None, now: datetime) -> bool:
    return next_due is not None and next_due <= now + timedelta(seconds=1)


__all__ = ["CampaignRunner"]
