"""Nobody is free: what the customer hears, packet by packet at the far side of the real engine, and what is written down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from case_store.network import HangupCause
from config.errors import BadSetting
from config.settings import DeskSettings, FloorSettings, SipSettings
from dialer.campaigns import Mode
from dialer.centre import Centre, CentreParts
from dialer.click import ClickRefused
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.floor import AgentState
from dialer.media.client import MediaRelay
from recording.codec import encode
from tests.integration.sip.peers import HOST, T1, trunk
from tests.integration.sip.wire import Wire, description, wire
from tests.integration.test_the_floor import House
from tests.rtp_phone import Phone

PATIENCE = 1.0
FRAME = 160
QUIET = 0xD5  # A-law


@dataclass
class Line:
    """The floor, a carrier and a desk by hand; ``packets`` is when the customer heard which payload."""

    at: House
    centre: Centre
    far: Wire
    desk: Wire
    customer: Phone
    agent: Phone
    packets: list[tuple[float, bytes]]

    async def seat(self) -> None:
        seated = asyncio.create_task(
            self.centre.seat(
                DeskSettings(name="desk-0", uri=f"sip:101@{HOST}:{self.desk.port}"), agent_id="a", name="A"
            )
        )
        await self.desk.answered(self.agent.port)
        await seated

    async def answered_with_nobody_free(self) -> float:
        """The agent leaves while the phone rings; when the 200 OK left."""
        runner = self.at.runner()
        runner.state = runner.state.RUNNING
        await runner.step()
        invite = await self.far.hear("INVITE")
        self.far.respond(invite, 180)
        self.centre.agents.pause("a", "meal")
        self.far.respond(invite, 200, body=description(self.customer.port))
        at = time.monotonic()
        await self.far.hear("ACK")
        return at

    async def listen(self, until: asyncio.Task[object]) -> None:
        while not until.done():
            self.packets += [(time.monotonic(), one.payload) for one in self.customer.listen()]
            await asyncio.sleep(0.005)
        self.packets += [(time.monotonic(), one.payload) for one in self.customer.listen()]


def message(path: Path, seconds: float = 1.6) -> bytes:
    """The house's own message as a sound file; as A-law, as the customer must hear it."""
    noise = np.random.default_rng(5).integers(-9000, 9000, int(8000 * seconds)).astype(np.int16)
    soundfile.write(path, noise, 8000, subtype="PCM_16")
    return encode(noise, "PCMA")


@contextlib.asynccontextmanager
async def line(root: Path, floor: FloorSettings) -> AsyncIterator[Line]:
    customer, agent = Phone(), Phone()
    try:
        async with wire() as far, wire() as desk:
            at = House(root, lambda _order: (), floor)
            at.settings = at.settings.model_copy(
                update={
                    "trunks": (trunk(far.port),),
                    "sip": SipSettings(bind_host=HOST, bind_port=0, rtp_ports=(0, 0), t1_milliseconds=T1),
                }
            )
            engine = SipTrunkEngine(at.settings, at.clock, MediaRelay.from_settings(at.settings))
            async with Centre.open(at.settings, CentreParts(engine=engine, clock=at.clock, people=False)) as centre:
                at.centre = centre
                await at.fill(1, 0, Mode.PREDICTIVE)
                made = Line(at, centre, far, desk, customer, agent, [])
                await made.seat()
                yield made
                ending = asyncio.create_task(desk.hung_up())
            await asyncio.wait_for(ending, 5)
    finally:
        customer.close()
        agent.close()


async def test_the_customer_hears_the_houses_message_in_time_and_to_its_end_and_is_protected(tmp_path: Path) -> None:
    spoken = message(tmp_path / "message.wav")
    floor = FloorSettings(patience_seconds=PATIENCE, abandonment_message=tmp_path / "message.wav")
    async with line(tmp_path, floor) as far:
        [(case_id, number_id)] = await far.at.numbers()
        answered = await far.answered_with_nobody_free()
        gone = asyncio.create_task(far.far.hung_up())
        async with asyncio.timeout(20):
            await far.listen(gone)
        # In time: after the patience, within the two seconds of the rule, and from then on without a hole.
        start = next(n for n, (_at, payload) in enumerate(far.packets) if set(payload) != {QUIET})
        message_heard = far.packets[start : start + -(-len(spoken) // FRAME)]
        assert PATIENCE - 0.05 <= message_heard[0][0] - answered < 2.0
        heard = b"".join(payload for _at, payload in message_heard)
        assert heard[: len(spoken)] == spoken  # each word, bit by bit
        gaps = [after - before for (before, _), (after, _) in pairwise(message_heard)]
        assert max(gaps) < 0.3  # a crowded machine may be late; silence it is not
        # Counted, entered, protected.
        await far.at.call_ended()
        [call] = await far.centre.store.calls.list()
        assert call.cause == HangupCause.ABANDONED
        assert call.bridged_at is None
        await far.centre.switchboard.quiet()
        kept = await far.centre.store.ledger.abandonment(far.at.campaign.id, far.at.clock.now() - timedelta(days=30))
        assert [(answers, drops) for _day, answers, drops in kept] == [(1, 1)]
        far.centre.floor.ready("a")
        with pytest.raises(ClickRefused, match="house-lock-out"):
            await far.centre.call_now("a", case_id, number_id)
        assert far.centre.floor.agent("a").state is AgentState.READY
        # And on the tape the customer's ear is the message.
        (recording,) = await far.centre.store.recordings.list()
        assert recording.seconds is not None
        assert recording.seconds >= len(spoken) / 8000


async def test_an_agent_who_comes_back_within_the_patience_is_heard_instead_of_the_message(tmp_path: Path) -> None:
    message(tmp_path / "message.wav")
    floor = FloorSettings(patience_seconds=2.0, abandonment_message=tmp_path / "message.wav")
    async with line(tmp_path, floor) as far:
        await far.answered_with_nobody_free()
        await far.at.until(lambda: any(call.waited for call in far.centre.switchboard))
        await far.centre.agents.ready("a")
        await far.at.until(lambda: far.centre.floor.agent("a").state is AgentState.TALKING)
        [call] = list(far.centre.switchboard)
        assert call.waited
        assert not call.abandoned
        desk = far.desk.of("INVITE")[0].media
        said: list[bytes] = []
        for _ in range(100):
            said.append(far.agent.send(desk))
            await asyncio.sleep(0.02)
            if any(one.payload in said for one in far.customer.listen()):
                break
        else:
            raise AssertionError("the agent's words did not reach the customer")
        gone = asyncio.create_task(far.far.hung_up())
        await far.centre.controls.hang_up("a")
        await gone


async def test_a_message_that_is_not_there_keeps_the_house_from_opening(tmp_path: Path) -> None:
    at = House(tmp_path, lambda _order: (), FloorSettings(abandonment_message=tmp_path / "gone.wav"))
    with pytest.raises(BadSetting, match="floor\\.abandonment_message"):
        async with at.opened():
            raise AssertionError("it opened")
