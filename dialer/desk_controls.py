"""What a desk may do with a call: hold, keys, consult, three-way, hand over; and a leader's listen, whisper, join.

Every verb changes who hears whom by one word to the engine (``confer`` or ``bridge``), so there is never a moment in
which the wrong ear is open; what is heard is on the customer's tape. Refusals are ``BadInput``s that say what to do.
"""

from __future__ import annotations

import structlog

from case_store.network import HangupCause
from config.errors import BadInput, OnrecordError
from dialer.call import CallId, LegId
from dialer.engine import SipEngine
from dialer.floor import Agent, AgentState, Floor
from dialer.parts import Part
from dialer.switchboard import CallInFlight, CallJournal, Switchboard

log = structlog.get_logger(__name__)


class DeskControls:
    """One per node. ``ended`` must be told of every call's end: it frees who only listened or was consulted."""

    def __init__(self, *, engine: SipEngine, floor: Floor, switchboard: Switchboard, journal: CallJournal) -> None:
        self._engine = engine
        self._floor = floor
        self._switchboard = switchboard
        self._journal = journal
        self._guests: dict[CallId, dict[str, Part]] = {}  # who is there beside the call's own agent

    def guests(self, call_id: CallId) -> dict[str, Part]:
        """Agent or leader → part, beside the call's own agent."""
        return dict(self._guests.get(call_id, {}))

    # The agent's own call

    async def hold(self, agent_id: str, on: bool) -> None:
        call = self._own_call(agent_id)
        await self._engine.hold(self._leg(call), on)
        call.held = on

    async def press(self, agent_id: str, digits: str) -> None:
        """Keys for the far side (an extension, a menu)."""
        await self._engine.send_dtmf(self._leg(self._own_call(agent_id)), digits)

    async def hang_up(self, agent_id: str) -> None:
        await self._engine.hangup(self._leg(self._own_call(agent_id)), HangupCause.NORMAL)

    async def consult(self, agent_id: str, other_id: str) -> None:
        """The agent speaks with a leader or another agent while the customer waits and hears neither."""
        call = self._own_call(agent_id)
        guest = self._invite(other_id, call)
        await self._arrange(call, Part.ASIDE, {**self.guests(call.call_id), guest.id: Part.ASIDE}, "consult")

    async def three_way(self, agent_id: str) -> None:
        """Whoever is consulted joins: customer, agent and guest all hear each other."""
        call = self._own_call(agent_id)
        await self._arrange(call, Part.TALKS, dict.fromkeys(self._consulted(call), Part.TALKS), "three-way")

    async def take_back(self, agent_id: str) -> None:
        """The guests leave; agent and customer go on."""
        call = self._own_call(agent_id)
        await self._send_off(call, list(self.guests(call.call_id)))

    async def hand_over(self, agent_id: str) -> None:
        """The warm transfer's end: the guest keeps the customer, and owes the outcome; the agent is free."""
        call = self._own_call(agent_id)
        heir = self._floor.agent(self._consulted(call)[0])
        await self._inherit(call, heir, by=agent_id)
        self._release(agent_id, call)

    # The leader's ear

    async def listen(self, leader_id: str, agent_id: str) -> None:
        await self._attend(leader_id, agent_id, Part.LISTENS)

    async def whisper(self, leader_id: str, agent_id: str) -> None:
        """The agent hears the leader, the customer does not."""
        await self._attend(leader_id, agent_id, Part.WHISPERS)

    async def join(self, leader_id: str, agent_id: str) -> None:
        """Everybody hears the leader (barge)."""
        await self._attend(leader_id, agent_id, Part.TALKS)

    async def leave(self, leader_id: str) -> None:
        call = self._call_of(leader_id)
        if leader_id not in self.guests(call.call_id):
            raise BadInput("is no guest in a call", field="agent", remedy="an agent hangs up or hands over instead")
        await self._send_off(call, [leader_id])

    def ended(self, call: CallInFlight) -> None:
        """The customer is gone: guests are free at once, the call's own agent enters the outcome."""
        for name in self._guests.pop(call.call_id, {}):
            self._release(name, call)

    # A phone dies in the middle

    async def desk_gone(self, call: CallInFlight, agent: Agent) -> bool:
        """A desk of this call is lost. Whether the customer still has an agent: the own one, or who was consulted.

        Who waited while a guest was asked is not left waiting for a guest who is gone.
        """
        guests = self.guests(call.call_id)
        if call.agent_id != agent.id:
            if guests.pop(agent.id, None) is None:
                return True
            self._guests[call.call_id] = guests
            try:
                await self._rejoin(call, guests)
            except OnrecordError as error:
                # The own agent's phone went in the same moment; its own event follows.
                log.info("not-rejoined", call=call.call_id, error_id=error.error_id)
            return True
        for name, part in guests.items():
            heir = self._floor.agent(name)
            if part not in (Part.ASIDE, Part.TALKS) or heir.leg is None:
                continue
            try:
                await self._inherit(call, heir, by=agent.id)
            except OnrecordError as error:
                log.info("not-inherited", call=call.call_id, agent=name, error_id=error.error_id)
            else:
                return True
        for name in self._guests.pop(call.call_id, {}):
            self._release(name, call)
        return False

    # Parts

    async def _attend(self, leader_id: str, agent_id: str, part: Part) -> None:
        leader = self._floor.agent(leader_id)
        if not leader.is_leader:
            raise BadInput("only a leader attends others' calls", field="agent", remedy="log in as a leader")
        call = self._own_call(agent_id)
        guests = self.guests(call.call_id)
        if leader_id not in guests:
            self._invite(leader_id, call)
        await self._arrange(call, Part.TALKS, {**guests, leader_id: part}, part.value)

    async def _arrange(self, call: CallInFlight, own: Part, guests: dict[str, Part], word: str) -> None:
        assert call.agent_id is not None
        desks = {self._desk(self._floor.agent(call.agent_id)): own}
        desks |= {self._desk(self._floor.agent(name)): part for name, part in guests.items()}
        try:
            await self._engine.confer(self._leg(call), desks)
        except BaseException:
            for name in set(guests) - set(self.guests(call.call_id)):
                self._release(name, call)
            raise
        self._guests[call.call_id] = guests
        self._journal.noted(call, word, agents=" ".join(sorted(guests)))

    async def _inherit(self, call: CallInFlight, heir: Agent, *, by: str) -> None:
        """The heir keeps the customer and the others go; nothing has changed when the engine refuses."""
        await self._engine.bridge(self._leg(call), self._desk(heir))
        others = [name for name in self._guests.pop(call.call_id, {}) if name != heir.id]
        call.agent_id = heir.id
        call.agents_served.append(heir.id)
        self._journal.bridged(call, heir)  # the books must know whose call it is: the outcome is the heir's
        self._journal.noted(call, "transferred", by=by, to=heir.id)
        for name in others:
            self._release(name, call)

    async def _send_off(self, call: CallInFlight, names: list[str]) -> None:
        left = {name: part for name, part in self.guests(call.call_id).items() if name not in names}
        await self._rejoin(call, left)
        self._journal.noted(call, "left", agents=" ".join(names))
        for name in names:
            self._release(name, call)

    async def _rejoin(self, call: CallInFlight, left: dict[str, Part]) -> None:
        """Agent and customer hear each other again, with the guests who stay; a consultation that goes on stays aside."""
        assert call.agent_id is not None
        if left:
            await self._arrange(call, Part.ASIDE if Part.ASIDE in left.values() else Part.TALKS, left, "stays")
        else:
            await self._engine.bridge(self._leg(call), self._desk(self._floor.agent(call.agent_id)))
            self._guests.pop(call.call_id, None)

    def _invite(self, name: str, call: CallInFlight) -> Agent:
        guest = self._floor.agent(name)
        if guest.state is not AgentState.READY or guest.leg is None:
            raise BadInput("is not free", field="agent", remedy="choose somebody who is ready")
        self._floor.talking(name, call.call_id)
        return guest

    def _release(self, name: str, call: CallInFlight) -> None:
        agent = self._floor.agent(name)
        if agent.state is AgentState.TALKING and agent.call_id == call.call_id:  # not from whoever is next
            self._floor.wrap_up(name)
            self._floor.ready(name)

    def _consulted(self, call: CallInFlight) -> list[str]:
        guests = self.guests(call.call_id)
        found = [name for name, part in guests.items() if part in (Part.ASIDE, Part.TALKS)]
        if not found:
            raise BadInput("nobody is consulted on this call", field="agent", remedy="consult somebody first")
        return found

    def _call_of(self, agent_id: str) -> CallInFlight:
        agent = self._floor.agent(agent_id)
        call = self._switchboard.find(agent.call_id) if agent.call_id is not None else None
        if call is None or agent.state is not AgentState.TALKING:
            raise BadInput("the agent is in no call", field="agent", remedy="wait for the call")
        return call

    def _own_call(self, agent_id: str) -> CallInFlight:
        call = self._call_of(agent_id)
        if call.agent_id != agent_id:
            raise BadInput("is a guest in this call", field="agent", remedy="its own agent decides")
        return call

    @staticmethod
    def _leg(call: CallInFlight) -> LegId:
        if call.leg is None or call.answered_at is None:
            raise BadInput("the call is not answered", field="agent", remedy="wait for the answer")
        return call.leg

    @staticmethod
    def _desk(agent: Agent) -> LegId:
        if agent.leg is None:
            raise BadInput("the desk's phone is not connected", field="agent", remedy="log in at the desk again")
        return agent.leg
