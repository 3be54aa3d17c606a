"""Click-to-call: an agent calls a number of a case now. The same judge, ledger, tape and engine as any call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from case_store.store import CaseStore
from case_store.verdict import Verdict
from config.clock import Clock
from config.errors import BadInput, Refused
from config.identity import new_id
from dialer.call import CallId
from dialer.dialing import Dialing, DialPlan
from dialer.floor import AgentState, Floor
from dialer.switchboard import CallInFlight, Switchboard

MANUAL_CAMPAIGN = "click-to-call"


class ClickRefused(Refused):
    """The policy, the ledger or the engine says no to this call now."""

    error_id = "click-refused"


class ClickToCall:
    """``plan`` is what calls of no running campaign carry."""

    def __init__(
        self,
        *,
        store: CaseStore,
        clock: Clock,
        floor: Floor,
        switchboard: Switchboard,
        dialing: Dialing,
        plan: Callable[[], DialPlan],
        cannot_tape: Callable[[], str | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._floor = floor
        self._switchboard = switchboard
        self._dialing = dialing
        self._plan = plan
        self._cannot_tape = cannot_tape

    async def call(self, agent_id: str, case_id: str, number_id: str) -> CallInFlight:
        """The call that left. Raises BadInput (no such pair, agent not free) and ``ClickRefused`` with the rule."""
        found = await self._store.sweep.candidate("", number_id)
        if found is None or found.case_id != case_id:
            raise BadInput("the case has no such number", field="number_id", remedy="take it from the case's page")
        candidate = replace(found, campaign_id=await self._campaign_of(found.placement_id))
        if (problem := self._cannot_tape()) is not None:
            raise ClickRefused(f"no recording, no call: {problem}", remedy="see onrecord doctor")
        call_id = CallId(new_id("call"))
        agent = self._floor.reserve(call_id, agent_id)
        if agent is None:
            self._floor.agent(agent_id)
            raise BadInput("the agent is not free", field="agent", remedy="be ready at a connected desk, then click")
        call = None
        said: list[Verdict | None] = []

        async def no(verdict: Verdict | None) -> None:
            said.append(verdict)

        try:
            call = await self._dialing.place(
                candidate, self._plan(), call_id=call_id, agent=agent, purpose="manual", on_no=no
            )
        finally:
            still = agent.state is AgentState.RESERVED and agent.call_id == call_id
            if call is None and still and self._switchboard.find(call_id) is None:
                self._floor.release(agent_id)
        if call is None:
            raise self._why_not(said)
        return call

    def _why_not(self, said: list[Verdict | None]) -> ClickRefused:
        """``said`` holds what the booking answered, and nothing when it was the engine that took no call."""
        if not said:
            return ClickRefused(self._dialing.problem or "the engine took no call", remedy="try again in a moment")
        (verdict,) = said
        if verdict is None:
            return ClickRefused(
                "another call to this person, case or number is under way",
                field="number_id",
                remedy="wait until it has ended",
            )
        return ClickRefused(
            f"{verdict.rule}: {verdict.figure} ({verdict.source})",
            field="number_id",
            remedy=f"permitted from {verdict.until.isoformat(timespec='minutes')}" if verdict.until else "never",
        )

    async def _campaign_of(self, placement_id: str) -> str:
        """The campaign that sweeps the case's placement; click-to-call's own where there is none."""
        campaigns = await self._store.sweep.all()
        for campaign in campaigns:
            if placement_id in campaign.placement_ids:
                return campaign.id
        manual = next((one for one in campaigns if one.name == MANUAL_CAMPAIGN), None)
        if manual is None:
            manual = await self._store.sweep.create(
                MANUAL_CAMPAIGN, (), self._clock.now(), mode="manual", kind="manual", state="paused"
            )
        return manual.id
