"""The doors' floor over a running centre."""

from __future__ import annotations

from collections.abc import Sequence

from case_store.model import Channel
from case_store.owed import Owed
from config.errors import BadInput
from dialer.agents import leads
from dialer.call import CallId
from dialer.centre import Centre
from dialer.desk_views import AgentView, DeskCall, DeskView, OfferView, OwedView, WhoIsCalled
from dialer.floor import Agent, AgentState
from dialer.parts import Part
from dialer.switchboard import CallInFlight


class CentreFloor:
    """Satisfies ``api.floor_doors.FloorDoors``."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    async def agents(self) -> Sequence[AgentView]:
        return [self._view(agent) for agent in sorted(self._centre.floor, key=lambda one: one.id)]

    async def desk(self, agent_id: str) -> DeskView:
        agent = self._centre.floor.agent(agent_id)
        call = self._call_of(agent)
        offer = self._centre.preview.offered(agent_id)
        offered = None
        if offer is not None:
            who = await self._who(offer.candidate.case_id, offer.candidate.number_id)
            offered = OfferView(campaign_id=offer.campaign_id, until=offer.until, who=who)
        coming = await self._who(call.case_id, call.number_id) if call is not None else None
        mine = [one for one in self._centre.agents.owed() if _concerns(one, agent)]
        return DeskView(
            agent=self._view(agent),
            coming=coming or (offered.who if offered else None),
            call=self._desk_call(agent, call) if call is not None else None,
            offer=offered,
            owed=tuple([await self._owed_view(one) for one in mine]),
        )

    async def owed(self) -> Sequence[OwedView]:
        return [await self._owed_view(one) for one in self._centre.agents.owed()]

    async def log_in(self, agent_id: str, desk: str | None) -> AgentView:
        known = next((agent for agent in self._centre.floor if agent.id == agent_id), None)
        if known is not None and known.state is not AgentState.OFFLINE:
            return self._view(known)
        user = await self._centre.store.people.user(agent_id)
        wanted = desk or (user.desk if user else None) or agent_id
        found = next((one for one in self._centre.settings.desks if one.name == wanted), None)
        if found is None:
            raise BadInput(
                "there is no such desk in settings",
                field="desk",
                remedy="add it to desks in onrecord.toml, or name another",
            )
        taken = next((one for one in self._centre.floor if one.desk == found.name and one.id != agent_id), None)
        if taken is not None and taken.state is not AgentState.OFFLINE:
            raise BadInput(
                "somebody sits at this desk", field="desk", remedy="log the other out first, or take another"
            )
        agent = await self._centre.agents.seat(
            found,
            agent_id=agent_id,
            name=user.display_name if user else agent_id,
            is_leader=leads(user),
        )
        return self._view(agent)

    async def log_out(self, agent_id: str) -> None:
        await self._centre.preview.withdraw(agent_id)
        await self._centre.agents.log_out(agent_id)

    async def ready(self, agent_id: str) -> AgentView:
        await self._centre.agents.ready(agent_id)
        return self._view(self._centre.floor.agent(agent_id))

    async def pause(self, agent_id: str, reason: str) -> AgentView:
        self._centre.agents.pause(agent_id, reason)
        return self._view(self._centre.floor.agent(agent_id))

    async def call(self, agent_id: str, case_id: str, number_id: str) -> str:
        return (await self._centre.call_now(agent_id, case_id, number_id)).call_id

    async def accept(self, agent_id: str) -> str | None:
        call = await self._centre.preview.accept(agent_id)
        return call.call_id if call is not None else None

    async def skip(self, agent_id: str, reason: str) -> None:
        await self._centre.preview.skip(agent_id, reason)

    async def hold(self, agent_id: str, on: bool) -> None:
        await self._centre.controls.hold(agent_id, on)

    async def press(self, agent_id: str, digits: str) -> None:
        await self._centre.controls.press(agent_id, digits)

    async def hang_up(self, agent_id: str) -> None:
        await self._centre.controls.hang_up(agent_id)

    async def consult(self, agent_id: str, other_id: str) -> None:
        await self._centre.controls.consult(agent_id, other_id)

    async def three_way(self, agent_id: str) -> None:
        await self._centre.controls.three_way(agent_id)

    async def take_back(self, agent_id: str) -> None:
        await self._centre.controls.take_back(agent_id)

    async def hand_over(self, agent_id: str) -> None:
        await self._centre.controls.hand_over(agent_id)

    async def attended(self, agent_id: str) -> tuple[str, str]:
        call = self._call_of(self._centre.floor.agent(agent_id))
        if call is None:
            raise BadInput("the agent is in no call", field="agent", remedy="choose an agent who talks")
        return call.call_id, call.case_id

    async def attend(self, leader_id: str, agent_id: str, part: Part) -> None:
        controls = self._centre.controls
        verb = {Part.LISTENS: controls.listen, Part.WHISPERS: controls.whisper, Part.TALKS: controls.join}[part]
        await verb(leader_id, agent_id)

    async def leave(self, leader_id: str) -> None:
        await self._centre.controls.leave(leader_id)

    # Views

    def _view(self, agent: Agent) -> AgentView:
        return AgentView.of(agent, owes=sum(one.owner == agent.id for one in self._centre.agents.owed()))

    def _call_of(self, agent: Agent) -> CallInFlight | None:
        return self._centre.switchboard.find(CallId(agent.call_id)) if agent.call_id is not None else None

    def _desk_call(self, agent: Agent, call: CallInFlight) -> DeskCall:
        guests = self._centre.controls.guests(call.call_id)
        own = Part.ASIDE if Part.ASIDE in guests.values() else Part.TALKS
        return DeskCall(
            call_id=call.call_id,
            agent_id=call.agent_id or agent.id,
            state=call.stage,
            placed_at=call.dialed_at or call.order.tape.armed_at,
            answered_at=call.answered_at,
            held=call.held,
            part=guests.get(agent.id, own),
            guests=guests,
        )

    async def _owed_view(self, owed: Owed) -> OwedView:
        who = await self._who(owed.case_id, owed.number_id)
        return OwedView(call_id=owed.call_id, agent_id=owed.agent_id, owner=owed.owner, since=owed.since, who=who)

    async def _who(self, case_id: str, number_id: str) -> WhoIsCalled:
        page = await self._centre.store.cases.page(case_id)
        number = next((one for one in page.numbers if one.id == number_id), None)
        if number is None:
            raise BadInput("the case has no such number any more", field="number_id", remedy="see the case's page")
        contact = next(one for one in page.contacts if one.id == number.contact_id)
        file = await self._centre.store.outcomes.file(case_id)
        case = page.line.case
        own = Channel(number.channel).is_debtors_own
        return WhoIsCalled(
            case_id=case_id,
            number_id=number_id,
            e164=number.e164,
            channel=number.channel,
            contact=contact.name,
            relation=contact.relation,
            debtor=page.line.debtor_name,
            client=file.client,
            client_ref=case.client_ref,
            balance=case.balance if own else None,
            last_outcome=file.outcomes[-1].code if file.outcomes else None,
        )


def _concerns(owed: Owed, agent: Agent) -> bool:
    return owed.owner == agent.id or (agent.is_leader and owed.owner == "leader")
