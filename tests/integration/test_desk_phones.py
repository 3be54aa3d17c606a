"""Agents' phones over the real engine: registering with digest, behind a PBX that challenges, lost, and cut off in a call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import DeskSettings, FloorSettings, SipSettings
from dialer.campaigns import Mode
from dialer.centre import Centre, CentreParts
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.floor import AgentState
from dialer.media.client import MediaRelay
from tests.integration.sip.peers import HOST, T1, sipp, trunk
from tests.integration.sip.wire import Wire, description, wire
from tests.integration.test_the_floor import House
from tests.rtp_phone import Phone


@contextlib.asynccontextmanager
async def floor(root: Path, far: int = 9, desks: tuple[DeskSettings, ...] = (), **sip: Any) -> AsyncIterator[House]:
    """A centre on the real engine with one case to call, and nobody seated."""
    at = House(root, lambda _order: (), FloorSettings(patience_seconds=1.0))
    at.settings = at.settings.model_copy(
        update={
            "trunks": (trunk(far),),
            "desks": desks,
            "sip": SipSettings(bind_host=HOST, bind_port=0, rtp_ports=(0, 0), t1_milliseconds=T1, **sip),
        }
    )
    engine = SipTrunkEngine(at.settings, at.clock, MediaRelay.from_settings(at.settings))
    async with Centre.open(at.settings, CentreParts(engine=engine, clock=at.clock, people=False)) as centre:
        at.centre = centre
        await at.fill(1, 0, Mode.MANUAL)
        yield at


def state(at: House, agent: str) -> AgentState:
    return at.centre.floor.agent(agent).state


async def answer(phone: Wire, media: int, count: int = 1) -> None:
    invite = await phone.hear("INVITE", count, seconds=12)
    phone.invite, phone.tag = invite, f"desk{count}"
    phone.respond(invite, 200, body=description(media))
    await phone.hear("ACK", count)


async def serve(phone: Wire) -> None:
    """Until cancelled: whatever is asked inside the dialog is answered."""
    done = 0
    while True:
        for one in phone.messages[done:]:
            done += 1
            if one.method in ("OPTIONS", "BYE"):
                phone.respond(one, 200)
        await asyncio.sleep(0.02)


async def test_a_phone_that_registers_is_seated_and_called_again_when_it_is_lost(tmp_path: Path) -> None:
    desk = DeskSettings(name="101", username="101", password=SecretStr("letmein"))
    sound = Phone()
    async with wire() as phone, floor(tmp_path, desks=(desk,), registers_per_second=50) as at:
        await at.centre.open_floor()
        assert state(at, "101") is AgentState.OFFLINE  # nothing has registered yet
        engine = at.centre.engine
        assert isinstance(engine, SipTrunkEngine)
        async with sipp(
            "desk_registers", tmp_path / "reg", towards=engine.address, word="wrong", phone="9"
        ) as stranger:
            assert await asyncio.wait_for(stranger.process.wait(), 10) != 0
        assert state(at, "101") is AgentState.OFFLINE
        words = {"word": "letmein", "phone": str(phone.port)}
        async with sipp("desk_registers", tmp_path / "again", towards=engine.address, **words) as registering:
            await registering.finished()
        await answer(phone, sound.port)
        await at.until(lambda: state(at, "101") is AgentState.READY)
        phone.ask("BYE")  # the phone is put down, or restarts
        await at.until(lambda: state(at, "101") is AgentState.OFFLINE)
        assert at.centre.floor.agent("101").reason == "desk-lost"
        await answer(phone, sound.port, 2)
        await at.until(lambda: state(at, "101") is AgentState.READY)
        serving = asyncio.create_task(serve(phone))
        await at.centre.agents.log_out("101")
    serving.cancel()
    sound.close()


async def test_a_desk_behind_a_pbx_answers_its_challenge_and_is_seated(tmp_path: Path) -> None:
    async with sipp("challenged_phone", tmp_path / "pbx") as pbx, floor(tmp_path, desk_options_seconds=0.3) as at:
        desk = DeskSettings(name="101", uri=f"sip:101@{HOST}:{pbx.port}", username="101", password=SecretStr("letmein"))
        agent = await at.centre.seat(desk, agent_id="a", name="A")
        assert agent.state is AgentState.READY
        await pbx.finished()  # it took the credentials, and answers the keep-alive with 481 in the end
        await at.until(lambda: state(at, "a") is AgentState.OFFLINE)


async def test_a_network_that_is_gone_in_a_call_costs_the_customer_the_agent_and_not_the_call(tmp_path: Path) -> None:
    customer, first, second = Phone(), Phone(), Phone()
    async with wire() as far, wire() as lost, wire() as kept, floor(tmp_path, far.port, desk_options_seconds=0.3) as at:
        serving = asyncio.create_task(serve(kept))
        for name, phone, sound in (("a", lost, first), ("b", kept, second)):
            desk = DeskSettings(name=name, uri=f"sip:{name}@{HOST}:{phone.port}")
            seating = asyncio.create_task(at.centre.seat(desk, agent_id=name, name=name))
            await answer(phone, sound.port)
            await seating
        answering = asyncio.create_task(serve(lost))
        [(case_id, number_id)] = await at.numbers()
        placing = asyncio.create_task(at.centre.call_now("a", case_id, number_id))
        await far.answered(customer.port)
        call = await placing
        await at.until(lambda: state(at, "a") is AgentState.TALKING and call.bridged_at is not None)
        answering.cancel()  # from now on the first desk says nothing: its network is gone
        await at.until(lambda: call.agents_served == ["a", "b"], within=30)
        assert state(at, "a") is AgentState.OFFLINE
        desk_media = kept.of("INVITE")[0].media
        said: list[bytes] = []
        async with asyncio.timeout(10):
            while not any(one.payload in said for one in customer.listen()):
                said.append(second.send(desk_media))
                await asyncio.sleep(0.02)
        gone = asyncio.create_task(far.hung_up())
        await at.centre.controls.hang_up("b")
        await gone
        await at.until(lambda: state(at, "b") is AgentState.WRAP_UP)
        await at.centre.switchboard.quiet()
        [owed] = at.centre.agents.owed()
        assert owed.agent_id == "b"  # whoever talked last
    serving.cancel()
    for one in (customer, first, second):
        one.close()
