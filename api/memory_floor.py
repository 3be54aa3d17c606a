"""The doors' floor in memory: production's own ``Floor`` and refusals; calls are put in by whoever makes the house."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from api.casework import Entered, NoCasework
from case_store.workflow import CaseEvent
from config.clock import Clock
from config.errors import BadInput
from config.identity import new_id
from dialer.agents import OutcomeOwed
from dialer.call import CallId, LegId
from dialer.desk_views import AgentView, DeskCall, DeskView, OfferView, OwedView, WhoIsCalled
from dialer.floor import Agent, AgentState, Floor
from dialer.parts import Part
from dialer.preview import NoOffer


@dataclass(slots=True)
class MemoryCall:
    """A call that agent ``owner`` has."""

    call_id: str
    owner: str
    who: WhoIsCalled
    placed_at: datetime
    answered_at: datetime | None = None
    held: bool = False
    keys: str = ""
    guests: dict[str, Part] = field(default_factory=dict)


class MemoryFloor:
    """Satisfies ``api.floor_doors.FloorDoors``. ``numbers`` are those that may be called: (case, number) → who is there."""

    def __init__(self, clock: Clock, *, pause_reasons: Sequence[str] = (), leaders: Sequence[str] = ()) -> None:
        self._clock = clock
        self._leaders = frozenset(leaders)
        self.floor = Floor(clock, pause_reasons=pause_reasons)
        self.numbers: dict[tuple[str, str], WhoIsCalled] = {}
        self.calls: dict[str, MemoryCall] = {}
        self.offers: dict[str, OfferView] = {}
        self.owes: dict[str, OwedView] = {}

    # What happens on the line

    def answered(self, agent_id: str, who: WhoIsCalled) -> MemoryCall:
        """A customer is on this ready agent's line."""
        now = self._clock.now()
        call = MemoryCall(new_id("call"), agent_id, who, placed_at=now - timedelta(seconds=9), answered_at=now)
        self.calls[call.call_id] = call
        self.floor.reserve(CallId(call.call_id), agent_id)
        self.floor.talking(agent_id, CallId(call.call_id))
        return call

    def show(self, agent_id: str, who: WhoIsCalled, seconds: float = 60) -> None:
        """A preview offer."""
        until = self._clock.now() + timedelta(seconds=seconds)
        self.offers[agent_id] = OfferView(campaign_id="camp_sweep", until=until, who=who)
        self.floor.reserve(CallId(new_id("call")), agent_id)

    def ended(self, call_id: str) -> None:
        call = self.calls.pop(call_id)
        for guest in call.guests:
            self._free(guest)
        if self.floor.agent(call.owner).state is not AgentState.TALKING:
            self.floor.release(call.owner)
            return
        self.floor.wrap_up(call.owner)
        self.owes[call_id] = OwedView(
            call_id=call_id, agent_id=call.owner, owner=call.owner, since=self._clock.now(), who=call.who
        )

    def entered(self, call_id: str) -> None:
        owed = self.owes.pop(call_id, None)
        if owed is not None and self.floor.agent(owed.agent_id).state is AgentState.WRAP_UP:
            self.floor.ready(owed.agent_id)

    # The doors' verbs

    async def agents(self) -> Sequence[AgentView]:
        return [self._view(agent) for agent in sorted(self.floor, key=lambda one: one.id)]

    async def owed(self) -> Sequence[OwedView]:
        return list(self.owes.values())

    async def desk(self, agent_id: str) -> DeskView:
        agent = self.floor.agent(agent_id)
        call = self.calls.get(agent.call_id or "")
        offer = self.offers.get(agent_id)
        return DeskView(
            agent=self._view(agent),
            coming=call.who if call else offer.who if offer else None,
            call=self._desk_call(agent_id, call) if call else None,
            offer=offer,
            owed=tuple(one for one in self.owes.values() if one.owner == agent_id),
        )

    async def log_in(self, agent_id: str, desk: str | None) -> AgentView:
        if agent_id not in {agent.id for agent in self.floor}:
            leader = agent_id in self._leaders
            self.floor.add(agent_id=agent_id, name=agent_id, desk=desk or agent_id, is_leader=leader)
        if self.floor.agent(agent_id).state is AgentState.OFFLINE:
            self.floor.desk_up(agent_id, LegId(new_id("leg")))
        return self._view(self.floor.agent(agent_id))

    async def log_out(self, agent_id: str) -> None:
        self.floor.log_out(agent_id)

    async def ready(self, agent_id: str) -> AgentView:
        agent = self.floor.agent(agent_id)
        if any(one.owner == agent_id for one in self.owes.values()):
            raise OutcomeOwed("an outcome is owed", field="outcome", remedy="enter what the call came to")
        self.floor.ready(agent_id)
        return self._view(agent)

    async def pause(self, agent_id: str, reason: str) -> AgentView:
        self.floor.pause(agent_id, reason)
        return self._view(self.floor.agent(agent_id))

    async def call(self, agent_id: str, case_id: str, number_id: str) -> str:
        who = self.numbers.get((case_id, number_id))
        if who is None:
            raise BadInput("the case has no such number", field="number_id", remedy="take it from the case's page")
        call_id = new_id("call")
        self.floor.agent(agent_id)
        if self.floor.reserve(CallId(call_id), agent_id) is None:
            raise BadInput("the agent is not free", field="agent", remedy="be ready at a connected desk, then click")
        self.calls[call_id] = MemoryCall(call_id, agent_id, who, placed_at=self._clock.now())
        return call_id

    async def accept(self, agent_id: str) -> str | None:
        offer = self._take(agent_id)
        call_id = self.floor.agent(agent_id).call_id
        assert call_id is not None
        self.calls[call_id] = MemoryCall(call_id, agent_id, offer.who, placed_at=self._clock.now())
        return call_id

    async def skip(self, agent_id: str, reason: str) -> None:
        if not reason.strip():
            raise BadInput("is empty", field="reason", remedy="say in a few words why the case is skipped")
        self._take(agent_id)
        self.floor.release(agent_id)

    async def hold(self, agent_id: str, on: bool) -> None:
        self._own(agent_id).held = on

    async def press(self, agent_id: str, digits: str) -> None:
        self._own(agent_id).keys += digits

    async def hang_up(self, agent_id: str) -> None:
        self.ended(self._own(agent_id).call_id)

    async def consult(self, agent_id: str, other_id: str) -> None:
        call = self._own(agent_id)
        self._invite(other_id, call)
        call.guests = {**call.guests, other_id: Part.ASIDE}

    async def three_way(self, agent_id: str) -> None:
        call = self._own(agent_id)
        call.guests = dict.fromkeys(self._consulted(call), Part.TALKS)

    async def take_back(self, agent_id: str) -> None:
        call = self._own(agent_id)
        for guest in call.guests:
            self._free(guest)
        call.guests = {}

    async def hand_over(self, agent_id: str) -> None:
        call = self._own(agent_id)
        heir = self._consulted(call)[0]
        call.owner, call.guests = heir, {}
        self._free(agent_id)

    async def attended(self, agent_id: str) -> tuple[str, str]:
        call = self.calls.get(self.floor.agent(agent_id).call_id or "")
        if call is None:
            raise BadInput("the agent is in no call", field="agent", remedy="choose an agent who talks")
        return call.call_id, call.who.case_id

    async def attend(self, leader_id: str, agent_id: str, part: Part) -> None:
        if not self.floor.agent(leader_id).is_leader:
            raise BadInput("only a leader attends others' calls", field="agent", remedy="log in as a leader")
        call = self._own(agent_id)
        if leader_id not in call.guests:
            self._invite(leader_id, call)
        call.guests = {**call.guests, leader_id: part}

    async def leave(self, leader_id: str) -> None:
        call = next((one for one in self.calls.values() if leader_id in one.guests), None)
        if call is None:
            raise BadInput("is no guest in a call", field="agent", remedy="an agent hangs up or hands over instead")
        call.guests = {name: part for name, part in call.guests.items() if name != leader_id}
        self._free(leader_id)

    def _own(self, agent_id: str) -> MemoryCall:
        call = self.calls.get(self.floor.agent(agent_id).call_id or "")
        if call is None or call.answered_at is None:
            raise BadInput("the agent is in no call", field="agent", remedy="wait for the call")
        if call.owner != agent_id:
            raise BadInput("is a guest in this call", field="agent", remedy="its own agent decides")
        return call

    def _invite(self, name: str, call: MemoryCall) -> None:
        if self.floor.agent(name).state is not AgentState.READY:
            raise BadInput("is not free", field="agent", remedy="choose somebody who is ready")
        self.floor.talking(name, CallId(call.call_id))

    def _free(self, name: str) -> None:
        self.floor.wrap_up(name)
        self.floor.ready(name)

    def _take(self, agent_id: str) -> OfferView:
        self.floor.agent(agent_id)
        offer = self.offers.pop(agent_id, None)
        if offer is None:
            raise NoOffer("the agent is not shown a case", field="agent", remedy="wait for preview.offered")
        return offer

    def _consulted(self, call: MemoryCall) -> list[str]:
        found = [name for name, part in call.guests.items() if part in (Part.ASIDE, Part.TALKS)]
        if not found:
            raise BadInput("nobody is consulted on this call", field="agent", remedy="consult somebody first")
        return found

    def _desk_call(self, agent_id: str, call: MemoryCall) -> DeskCall:
        own = Part.ASIDE if Part.ASIDE in call.guests.values() else Part.TALKS
        return DeskCall(
            call_id=call.call_id,
            agent_id=call.owner,
            state="bridged" if call.answered_at else "ringing",
            placed_at=call.placed_at,
            answered_at=call.answered_at,
            held=call.held,
            part=call.guests.get(agent_id, own),
            guests=dict(call.guests),
        )

    def _view(self, agent: Agent) -> AgentView:
        return AgentView.of(agent, owes=sum(one.owner == agent.id for one in self.owes.values()))


class MemoryCasework(NoCasework):
    """Takes the outcomes of a ``MemoryFloor``'s calls, and nothing else."""

    def __init__(self, floor: MemoryFloor) -> None:
        self._floor = floor
        self.entered: list[tuple[str, CaseEvent]] = []

    async def call_case(self, call_id: str) -> tuple[str, str, str | None]:
        owed = self._floor.owes.get(call_id)
        if owed is None:
            return await super().call_case(call_id)
        return owed.who.case_id, owed.who.number_id, owed.agent_id

    async def enter(self, case_id: str, event: CaseEvent, *, call_id: str | None, note: str) -> Entered:
        if call_id is None:
            return await super().enter(case_id, event, call_id=call_id, note=note)
        self._floor.entered(call_id)
        self.entered.append((call_id, event))
        return Entered(outcome_id=new_id("out"), case_id=case_id, code=event.outcome.value, next_action=None)
