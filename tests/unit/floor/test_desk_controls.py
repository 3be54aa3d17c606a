"""Transfers and supervision on the floor: who is free, who owes, and that nobody is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from case_store.network import HangupCause
from config.errors import BadInput
from dialer.call import CallId, DeskOrder, LegId
from dialer.desk_controls import DeskControls
from dialer.engine import UnknownLeg
from dialer.engines.scripted import Answer, Script
from dialer.floor import AgentState
from dialer.parts import Part
from dialer.switchboard import CallInFlight
from tests.unit.floor.test_switchboard import House, house

TALKS: Script = (Answer(after=1),)


async def in_a_call(at: House) -> tuple[CallInFlight, DeskControls]:
    """Agent a0 talks; a1 and the leader are ready."""
    await at.seat(2)
    at.floor.add(agent_id="boss", name="Boss", desk="d9", is_leader=True)
    leg = await at.engine.nail_up(DeskOrder(desk="d9", uri="sip:d@x"))
    await at.clock.advance(0.1)
    at.floor.desk_up("boss", leg)
    agent = at.floor.reserve(CallId("call_1"), "a0")
    assert agent is not None
    call = await at.call(1, agent_id="a0")
    await at.clock.advance(2)
    assert at.floor.agent("a0").state is AgentState.TALKING
    controls = DeskControls(engine=at.engine, floor=at.floor, switchboard=at.switchboard, journal=at.journal)
    return call, controls


async def test_a_warm_transfer_gives_the_customer_and_the_outcome_to_the_other(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await in_a_call(at)
        with pytest.raises(BadInput, match="nobody is consulted"):
            await controls.hand_over("a0")
        await controls.consult("a0", "a1")
        assert controls.guests(call.call_id) == {"a1": Part.ASIDE}
        assert at.floor.agent("a1").state is AgentState.TALKING
        await controls.three_way("a0")
        assert controls.guests(call.call_id) == {"a1": Part.TALKS}
        await controls.hand_over("a0")
        assert at.floor.agent("a0").state is AgentState.READY
        assert (call.agent_id, call.agents_served) == ("a1", ["a0", "a1"])
        assert call.leg is not None
        await at.engine.hangup(call.leg)
        await at.clock.advance(1)
        assert at.floor.agent("a1").state is AgentState.WRAP_UP


async def test_a_consultation_taken_back_frees_who_was_asked(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await in_a_call(at)
        await controls.consult("a0", "boss")
        await controls.take_back("a0")
        assert at.floor.agent("boss").state is AgentState.READY
        assert controls.guests(call.call_id) == {}
        assert at.floor.agent("a0").state is AgentState.TALKING


async def test_only_leaders_attend_and_the_customers_end_frees_them(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await in_a_call(at)
        with pytest.raises(BadInput, match="only a leader"):
            await controls.listen("a1", "a0")
        await controls.listen("boss", "a0")
        await controls.whisper("boss", "a0")
        assert controls.guests(call.call_id) == {"boss": Part.WHISPERS}
        await controls.join("boss", "a0")
        with pytest.raises(BadInput, match="its own agent decides"):
            await controls.consult("boss", "a1")
        assert call.leg is not None
        await at.engine.hangup(call.leg, HangupCause.NORMAL)
        await at.clock.advance(0.1)
        controls.ended(call)
        assert at.floor.agent("boss").state is AgentState.READY
        assert at.floor.agent("a0").state is AgentState.WRAP_UP


async def test_a_listening_leader_whose_phone_dies_costs_the_customer_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await in_a_call(at)
        await controls.listen("boss", "a0")
        leg = at.floor.agent("boss").leg
        assert leg is not None
        await at.engine.hangup(leg)
        await at.clock.advance(0.1)
        assert call.agent_id == "a0"
        assert not call.abandoned
        assert at.floor.agent("a0").state is AgentState.TALKING
        assert at.floor.agent("boss").state is AgentState.OFFLINE


async def test_the_dialer_gives_no_customer_to_a_leader(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        _call, _controls = await in_a_call(at)
        at.floor.pause("a1", "meal")
        assert at.floor.reserve(CallId("call_2")) is None


async def lose(at: House, name: str) -> None:
    leg = at.floor.agent(name).leg
    assert leg is not None
    await at.engine.hangup(leg)
    await at.clock.advance(0.1)


async def with_desks_told(at: House) -> tuple[CallInFlight, DeskControls]:
    call, controls = await in_a_call(at)
    at.switchboard._desk_gone = controls.desk_gone
    return call, controls


async def test_who_is_consulted_keeps_the_customer_when_the_agents_phone_dies(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await with_desks_told(at)
        await controls.consult("a0", "a1")
        await lose(at, "a0")
        assert (call.agent_id, call.agents_served, call.abandoned) == ("a1", ["a0", "a1"], False)
        assert at.floor.agent("a1").state is AgentState.TALKING
        assert controls.guests(call.call_id) == {}


async def test_a_listener_inherits_nothing_and_is_freed_when_the_customer_goes_to_another(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await with_desks_told(at)
        await controls.listen("boss", "a0")
        await lose(at, "a0")
        assert call.agent_id == "a1"
        assert controls.guests(call.call_id) == {}
        assert at.floor.agent("boss").state is AgentState.READY


async def test_a_customer_does_not_wait_for_a_guest_whose_phone_died(tmp_path: Path) -> None:
    """During the consultation the customer hears neither: agent and customer are joined again at once."""
    async with house(tmp_path, TALKS) as at:
        call, controls = await with_desks_told(at)
        await controls.consult("a0", "a1")
        joined: list[tuple[object, object]] = []
        bridge = at.engine.bridge

        async def kept(customer: LegId, agent: LegId) -> None:
            joined.append((customer, agent))
            await bridge(customer, agent)

        at.engine.bridge = kept  # type: ignore[method-assign]
        await lose(at, "a1")
        assert controls.guests(call.call_id) == {}
        assert joined == [(call.leg, at.floor.agent("a0").leg)]
        assert at.floor.agent("a0").state is AgentState.TALKING
        await controls.hold("a0", True)  # the call is the agent's own still


async def test_a_guest_who_is_gone_inherits_no_call(tmp_path: Path) -> None:
    """Between the phone's death and its event: the transfer is refused and nothing has changed."""
    async with house(tmp_path, TALKS) as at:
        call, controls = await in_a_call(at)
        await controls.consult("a0", "a1")
        leg = at.floor.agent("a1").leg
        assert leg is not None
        await at.engine.hangup(leg)
        with pytest.raises(UnknownLeg):
            await controls.hand_over("a0")
        assert (call.agent_id, call.agents_served) == ("a0", ["a0"])
        assert controls.guests(call.call_id) == {"a1": Part.ASIDE}


async def test_a_guest_who_came_back_to_another_call_is_not_torn_from_it(tmp_path: Path) -> None:
    async with house(tmp_path, TALKS) as at:
        call, controls = await in_a_call(at)
        await controls.listen("boss", "a0")
        boss = at.floor.agent("boss")
        boss.call_id = CallId("call_another")
        controls.ended(call)
        assert boss.state is AgentState.TALKING
