"""One suite over every engine: what `SipEngine` promises, whoever speaks SIP beneath."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from case_store.network import HangupCause
from config.errors import BadInput
from dialer.call import LegId
from dialer.engine import EngineFull, EngineUnhealthy, Prompt, UnknownLeg
from dialer.events import (
    LegAnswered,
    LegBridged,
    LegConferred,
    LegDialed,
    LegEnded,
    LegFirstAudio,
    LegHeld,
    LegProgress,
    PromptFinished,
)
from dialer.parts import Part
from tests.contract.engine_world import Behaviour, ScriptedWorld, World
from tests.contract.sip_world import SipWorld

PROMPT = Path(__file__).resolve().parents[2] / "dialer" / "prompts" / "recording-announcement.flac"


@pytest.fixture(params=[ScriptedWorld, SipWorld], ids=["scripted", "sip"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    made: World = request.param(tmp_path / "tapes")
    await made.open(max_legs=8)
    yield made
    await made.close()


async def test_a_call_rings_is_answered_is_heard_and_ends_once(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.ANSWERS))
    answered = await world.heard.until(LegAnswered, leg)
    await world.heard.until(LegFirstAudio, leg)
    assert answered.codec in ("PCMA", "PCMU")
    await asyncio.sleep(0.3)
    await world.engine.hangup(leg)
    end = await world.heard.until(LegEnded, leg)
    assert (end.cause, end.answered, end.sip_status) == (HangupCause.NORMAL, True, 200)
    assert 0.2 < end.talk_seconds < 3
    kinds = [type(event) for event in world.heard.of(leg)]
    assert kinds[0] is LegDialed
    assert kinds.index(LegProgress) < kinds.index(LegAnswered) < kinds.index(LegEnded)
    assert kinds[-1] is LegEnded


async def test_the_far_side_hanging_up_ends_the_leg_as_theirs(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.ANSWERS_AND_LEAVES))
    end = await world.heard.until(LegEnded, leg)
    assert end.answered
    assert end.origin == "far"
    assert end.cause is HangupCause.NORMAL


@pytest.mark.parametrize(
    ("behaviour", "cause", "status"),
    [
        (Behaviour.BUSY, HangupCause.BUSY, 486),
        (Behaviour.UNALLOCATED, HangupCause.UNALLOCATED, 404),
        (Behaviour.ANNOUNCES, HangupCause.NO_ANSWER, 480),
    ],
)
async def test_a_refusal_keeps_its_status_and_cause(
    world: World, behaviour: Behaviour, cause: HangupCause, status: int
) -> None:
    leg = await world.engine.place(world.order(behaviour))
    end = await world.heard.until(LegEnded, leg)
    assert (end.cause, end.sip_status, end.answered) == (cause, status, False)
    assert end.talk_seconds == 0


async def test_early_media_is_announced(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.ANNOUNCES))
    progress = await world.heard.until(LegProgress, leg)
    await world.heard.until(LegEnded, leg)
    assert any(event.early_media for event in world.heard.of(leg) if isinstance(event, LegProgress)), progress


async def test_a_call_nobody_answers_is_taken_back_in_time(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.RINGS_OUT, ring_seconds=1))
    end = await world.heard.until(LegEnded, leg)
    assert (end.cause, end.answered, end.sip_status) == (HangupCause.NO_ANSWER, False, 487)


async def test_our_own_hangup_before_an_answer_is_a_cancel(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.RINGS_OUT))
    await world.heard.until(LegProgress, leg)
    await world.engine.hangup(leg, HangupCause.CANCELLED)
    end = await world.heard.until(LegEnded, leg)
    assert (end.cause, end.answered) == (HangupCause.CANCELLED, False)


async def test_a_customer_is_bridged_to_a_desk_and_the_desk_stays(world: World) -> None:
    desk = await world.engine.nail_up(world.desk())
    await world.heard.until(LegAnswered, desk)
    for _ in range(2):
        leg = await world.engine.place(world.order(Behaviour.ANSWERS))
        await world.heard.until(LegAnswered, leg)
        await world.engine.bridge(leg, desk)
        assert (await world.heard.until(LegBridged, leg)).agent == desk
        await world.engine.unbridge(desk)
        await world.engine.hangup(leg)
        await world.heard.until(LegEnded, leg)
    assert world.heard.ends(desk) == 0


async def test_a_customer_confers_with_desks_and_goes_back_to_one(world: World) -> None:
    desk = await world.engine.nail_up(world.desk())
    await world.heard.until(LegAnswered, desk)
    leg = await world.engine.place(world.order(Behaviour.ANSWERS))
    await world.heard.until(LegAnswered, leg)
    await world.engine.confer(leg, {desk: Part.ASIDE})
    conferred = await world.heard.until(LegConferred, leg)
    assert conferred.desks == ((desk, Part.ASIDE),)
    with pytest.raises(BadInput):
        await world.engine.confer(leg, {})
    with pytest.raises(UnknownLeg):
        await world.engine.confer(leg, {LegId("nobody"): Part.LISTENS})
    await world.engine.bridge(leg, desk)
    await world.heard.until(LegBridged, leg)
    await world.engine.hangup(leg)
    await world.heard.until(LegEnded, leg)
    assert world.heard.ends(desk) == 0


async def test_a_prompt_finishes(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.ANSWERS))
    await world.heard.until(LegAnswered, leg)
    await world.engine.play(leg, Prompt(name="announcement", path=PROMPT))
    assert (await world.heard.until(PromptFinished, leg)).completed


async def test_hold_and_back(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.ANSWERS))
    await world.heard.until(LegAnswered, leg)
    await world.engine.hold(leg, True)
    assert (await world.heard.until(LegHeld, leg)).on
    await world.engine.hold(leg, False)
    await asyncio.sleep(0.3)
    assert [event.on for event in world.heard.of(leg) if isinstance(event, LegHeld)] == [True, False]
    assert world.heard.ends(leg) == 0


async def test_the_engine_is_full_before_any_limit_is_hit(world: World) -> None:
    for _ in range(8):
        await world.engine.place(world.order(Behaviour.RINGS_OUT))
    with pytest.raises(EngineFull):
        await world.engine.place(world.order(Behaviour.RINGS_OUT))


async def test_hanging_up_twice_is_harmless_and_verbs_on_a_dead_leg_say_so(world: World) -> None:
    leg = await world.engine.place(world.order(Behaviour.RINGS_OUT))
    await world.engine.hangup(leg)
    await world.heard.until(LegEnded, leg)
    await world.engine.hangup(leg)
    with pytest.raises(UnknownLeg):
        await world.engine.hold(leg, True)
    with pytest.raises(UnknownLeg):
        await world.engine.bridge(leg, LegId("nobody"))
    await asyncio.sleep(0.1)
    assert world.heard.ends(leg) == 1


async def test_closing_ends_every_leg_exactly_once(world: World) -> None:
    legs = [await world.engine.place(world.order(Behaviour.ANSWERS)) for _ in range(3)]
    await world.heard.until(LegAnswered, legs[0])
    await world.engine.close()
    await asyncio.sleep(0.2)
    assert [world.heard.ends(leg) for leg in legs] == [1, 1, 1]
    with pytest.raises(EngineUnhealthy):
        await world.engine.place(world.order(Behaviour.ANSWERS))
