"""Preview: a ready agent is shown one case, and the call leaves only when the agent accepts it.

An offered agent is reserved and the case is claimed, so that neither is promised twice. An offer that nobody answers
lapses, and its agent is paused: a screen that nobody looks at must not hold cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from case_store.ledger import Candidate
from case_store.store import CaseStore
from case_store.verdict import Verdict
from config.clock import Clock
from config.errors import BadInput
from config.identity import new_id
from dialer.call import CallId
from dialer.dialing import Dialing, DialPlan
from dialer.floor import AgentState, Floor
from dialer.schedule import Redial
from dialer.switchboard import CallInFlight, Switchboard

log = structlog.get_logger(__name__)

_SKIPPED_FOR = timedelta(hours=1)


class NoOffer(BadInput):
    """The agent has no offered case."""

    error_id = "no-offer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A case shown to an agent; it lapses at ``until``."""

    agent_id: str
    campaign_id: str
    call_id: CallId
    candidate: Candidate
    plan: DialPlan
    at: datetime
    until: datetime
    redial: Redial | None = None  # a promise to call again, rather than the first sweep


class PreviewDesk:
    """Offers of one node, at most one an agent."""

    def __init__(
        self,
        *,
        node: str,
        store: CaseStore,
        clock: Clock,
        floor: Floor,
        switchboard: Switchboard,
        dialing_of: Callable[[str], Dialing],
        refused: Callable[[Redial, Verdict | None], Awaitable[None]],
        seconds: float,
    ) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._floor = floor
        self._switchboard = switchboard
        self._dialing_of = dialing_of
        self._refused = refused
        self._seconds = seconds
        self._offers: dict[str, Offer] = {}
        self._lapsing: dict[str, asyncio.Task[None]] = {}

    def offered(self, agent_id: str) -> Offer | None:
        return self._offers.get(agent_id)

    async def offer(self, campaign_id: str, plan: DialPlan, count: int) -> int:
        """Show the next cases of the sweep to as many ready agents; how many were shown."""
        claimed = await self._store.sweep.claim(campaign_id, count, self._node, self._clock.now())
        return sum([await self._show(campaign_id, plan, candidate, None) for candidate in claimed])

    async def offer_redials(self, campaign_id: str, plan: DialPlan, redials: Sequence[Redial]) -> int:
        """Show redials that are due and claimed; how many were shown. The others rest."""
        return sum([await self._show(campaign_id, plan, one.candidate, one) for one in redials])

    async def _show(self, campaign_id: str, plan: DialPlan, candidate: Candidate, redial: Redial | None) -> bool:
        now = self._clock.now()
        call_id = CallId(new_id("call"))
        agent = self._floor.reserve(call_id)
        if agent is None:
            await self._give_back(candidate, redial, now)
            return False
        offer = Offer(
            agent_id=agent.id,
            campaign_id=campaign_id,
            call_id=call_id,
            candidate=candidate,
            plan=plan,
            at=now,
            until=now + timedelta(seconds=self._seconds),
            redial=redial,
        )
        self._offers[agent.id] = offer
        self._lapsing[agent.id] = asyncio.get_running_loop().create_task(self._lapse(offer))
        await self._note("preview.offered", offer, until=offer.until.isoformat())
        return True

    async def _give_back(self, candidate: Candidate, redial: Redial | None, again_at: datetime) -> None:
        if redial is not None:
            await self._store.agenda.rest(redial.action.id, again_at)
        else:
            await self._store.sweep.release_claim(candidate, self._clock.now(), again_at=again_at)

    async def accept(self, agent_id: str) -> CallInFlight | None:
        """Dial the offered case. None when the policy refuses it by now; the agent is free again then."""
        offer = self._take(agent_id)
        agent = self._floor.agent(agent_id)
        await self._note("preview.accepted", offer)

        async def refused(verdict: Verdict | None) -> None:
            if offer.redial is not None:
                await self._refused(offer.redial, verdict)

        try:
            return await self._dialing_of(offer.campaign_id).place(
                offer.candidate,
                offer.plan,
                call_id=offer.call_id,
                agent=agent,
                purpose="sweep" if offer.redial is None else "follow-up",
                on_no=refused,
            )
        finally:
            reserved = agent.state is AgentState.RESERVED and agent.call_id == offer.call_id
            if reserved and self._switchboard.find(offer.call_id) is None:
                self._floor.release(agent_id)

    async def skip(self, agent_id: str, reason: str) -> None:
        """The agent does not want to call now; the case comes back in an hour, with the reason in the event log."""
        if not reason.strip():
            raise BadInput("is empty", field="reason", remedy="say in a few words why the case is skipped")
        offer = self._take(agent_id)
        now = self._clock.now()
        await self._give_back(offer.candidate, offer.redial, now + _SKIPPED_FOR)
        await self._note("preview.skipped", offer, reason=reason.strip()[:200])
        self._floor.release(agent_id)

    async def withdraw(self, agent_id: str) -> None:
        """The agent is gone or the campaign stops; the case is ready again."""
        if agent_id not in self._offers:
            return
        offer = self._take(agent_id)
        await self._give_back(offer.candidate, offer.redial, self._clock.now())
        await self._note("preview.withdrawn", offer)
        agent = self._floor.agent(agent_id)
        if agent.state is AgentState.RESERVED and agent.call_id == offer.call_id:
            self._floor.release(agent_id)

    async def withdraw_all(self, campaign_id: str) -> None:
        for offer in [one for one in self._offers.values() if one.campaign_id == campaign_id]:
            await self.withdraw(offer.agent_id)

    def _take(self, agent_id: str) -> Offer:
        offer = self._offers.pop(agent_id, None)
        if offer is None:
            raise NoOffer("the agent is not shown a case", field="agent", remedy="wait for preview.offered")
        lapsing = self._lapsing.pop(agent_id, None)
        if lapsing is not None and lapsing is not asyncio.current_task():
            lapsing.cancel()
        return offer

    async def _lapse(self, offer: Offer) -> None:
        await self._clock.sleep(self._seconds)
        if self._offers.get(offer.agent_id) is not offer:
            return
        self._take(offer.agent_id)
        await self._give_back(offer.candidate, offer.redial, self._clock.now())
        await self._note("preview.lapsed", offer)
        agent = self._floor.agent(offer.agent_id)
        if agent.state is AgentState.RESERVED and agent.call_id == offer.call_id:
            self._floor.send_away(agent.id, "offer-not-answered")

    async def _note(self, kind: str, offer: Offer, **facts: str) -> None:
        await self._store.events.append(
            kind,
            self._clock.now(),
            case_id=offer.candidate.case_id,
            subject_id=offer.agent_id,
            campaign_id=offer.campaign_id,
            number_id=offer.candidate.number_id,
            **facts,
        )
