"""Every answered customer is given to an agent or told why not; nobody is left in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from case_store.network import HangupCause
from config.clock import SystemClock, VirtualClock
from config.errors import Unhealthy
from config.settings import RecordingSettings
from dialer.call import CallId, CallOrder, DeskOrder, LegId
from dialer.engine import Prompt
from dialer.engines.scripted import RINGS_OUT, Answer, Provisional, Release, Script, ScriptedEngine
from dialer.events import LegEnded
from dialer.floor import AgentState, Floor
from dialer.journal import StoreJournal
from dialer.switchboard import CallInFlight, Switchboard
from recording.recorder import Recorder

START = datetime(2026, 11, 23, 2, tzinfo=UTC)
ANSWERS: Script = (Provisional(after=1), Answer(after=2), Release(after=30))
ANNOUNCEMENT = Prompt(name="announcement", path=Path("announcement.flac"))
ABANDONMENT = Prompt(name="abandonment", path=Path("abandonment.flac"))


@dataclass
class KeptJournal:
    """A journal that remembers the words it was told."""

    words: list[str] = field(default_factory=list)

    def __getattr__(self, word: str) -> Any:
        return lambda *facts, **more: self.words.append(word)


@dataclass
class House:
    clock: VirtualClock
    engine: ScriptedEngine
    floor: Floor
    switchboard: Switchboard
    recorder: Recorder
    journal: KeptJournal
    ended: list[tuple[CallInFlight, LegEnded]]

    async def seat(self, count: int) -> None:
        for n in range(count):
            self.floor.add(agent_id=f"a{n}", name=f"A{n}", desk=f"d{n}")
            leg = await self.engine.nail_up(DeskOrder(desk=f"d{n}", uri="sip:d@x"))
            await self.clock.advance(0.1)
            self.floor.desk_up(f"a{n}", leg)

    async def call(self, number: int, *, agent_id: str | None = None, ring: float = 20) -> CallInFlight:
        call_id = CallId(f"call_{number}")
        order = CallOrder(
            call_id=call_id,
            attempt_id=f"att_{number}",
            callee=f"+861390000{number:04d}",
            tape=self.recorder.arm(call_id),
            ring_seconds=ring,
        )
        call = CallInFlight(
            order=order, case_id="case", number_id="num", channel="mobile", masked="+86139****", agent_id=agent_id
        )
        await self.switchboard.place(call)
        await self.clock.advance(0)
        return call


class StuckStore:
    """Whatever is written to it never comes to an end: a disk that hangs."""

    def __init__(self) -> None:
        self.asked = 0

    def __getattr__(self, table: str) -> Any:
        return self

    async def _never(self) -> None:
        self.asked += 1
        await asyncio.Event().wait()

    def __call__(self, *_facts: object, **_more: object) -> Any:
        return self._never()


class SlowToPlay(ScriptedEngine):
    """An engine whose prompts take a long time to be read."""

    read = asyncio.Event()

    async def play(self, leg: LegId, prompt: Prompt) -> None:
        await self.read.wait()


@asynccontextmanager
async def house(
    tmp_path: Path, script: Script, *, journal: Any = None, engine_kind: type[ScriptedEngine] = ScriptedEngine
) -> AsyncIterator[House]:
    clock = VirtualClock(START)
    engine = engine_kind(clock, lambda order: script)
    floor = Floor(clock)
    ended: list[tuple[CallInFlight, LegEnded]] = []
    journal = journal or KeptJournal()

    async def on_end(call: CallInFlight, event: LegEnded) -> None:
        ended.append((call, event))

    switchboard = Switchboard(
        engine=engine,
        floor=floor,
        clock=clock,
        journal=journal,
        on_end=on_end,
        announcement=ANNOUNCEMENT,
        abandonment=ABANDONMENT,
    )
    recorder = Recorder(RecordingSettings(directory=tmp_path, low_watermark_bytes=0), SystemClock())
    await engine.start()
    running = asyncio.create_task(switchboard.run())
    yield House(clock, engine, floor, switchboard, recorder, journal, ended)
    await engine.close()
    await asyncio.wait_for(running, 5)


async def test_an_answer_goes_to_the_reserved_agent_and_is_announced(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        await at.seat(1)
        agent = at.floor.reserve(CallId("call_1"))
        assert agent is not None
        call = await at.call(1, agent_id=agent.id)
        await at.clock.advance(5)
        assert at.floor.agent("a0").state is AgentState.TALKING
        assert call.bridged_at == call.answered_at
        assert call.announced
        await at.clock.advance(40)
        assert at.floor.agent("a0").state is AgentState.WRAP_UP
        assert [event.cause for _, event in at.ended] == [HangupCause.NORMAL]
        assert len(at.switchboard) == 0


async def test_a_call_that_rings_out_gives_its_agent_back(tmp_path: Path) -> None:
    async with house(tmp_path, RINGS_OUT) as at:
        await at.seat(1)
        agent = at.floor.reserve(CallId("call_1"))
        assert agent is not None
        await at.call(1, agent_id=agent.id, ring=10)
        await at.clock.advance(11)
        assert at.floor.agent("a0").state is AgentState.READY
        assert at.ended[0][1].cause is HangupCause.NO_ANSWER


async def test_nobody_free_within_two_seconds_means_the_message_then_the_end(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        call = await at.call(1)
        await at.clock.advance(4.9)
        assert not call.abandoned
        await at.clock.advance(0.2)
        assert call.abandoned
        assert "abandoned" in at.journal.words
        assert at.ended[0][1].cause is HangupCause.ABANDONED


async def test_an_agent_who_becomes_free_in_time_takes_the_one_who_waits(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        await at.seat(1)
        at.floor.pause("a0", "coffee")
        call = await at.call(1)
        await at.clock.advance(4)
        at.floor.ready("a0")
        await at.switchboard.agent_free()
        await at.clock.advance(5)
        assert not call.abandoned
        assert call.agents_served == ["a0"]


async def test_a_call_is_unanswered_then_waits_then_talks_and_is_counted_once(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        board = at.switchboard

        def counted() -> tuple[list[str], list[str]]:
            return [call.call_id for call in board.unanswered], [call.call_id for call in board.waiting]

        await at.call(1)
        assert counted() == (["call_1"], [])
        await at.clock.advance(3.5)
        assert counted() == ([], ["call_1"])
        await at.seat(1)
        await board.agent_free()
        assert counted() == ([], [])
        assert len(board) == 1
        await at.call(2)
        await at.clock.advance(40)
        assert (counted(), len(board)) == (([], []), 0)


async def test_a_call_that_could_not_leave_is_not_on_its_way(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        await at.engine.close()
        with pytest.raises(Unhealthy):
            await at.call(1)
        assert (list(at.switchboard.unanswered), len(at.switchboard)) == ([], 0)


async def test_a_lost_desk_hands_its_customer_to_the_next_agent(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        await at.seat(2)
        agent = at.floor.reserve(CallId("call_1"))
        assert agent is not None
        call = await at.call(1, agent_id=agent.id)
        await at.clock.advance(5)
        leg = at.floor.agent(agent.id).leg
        assert leg is not None
        await at.engine.hangup(leg)
        await at.clock.advance(1)
        assert call.agents_served == ["a0", "a1"]
        assert at.floor.agent("a0").state is AgentState.OFFLINE


async def test_a_lost_desk_with_nobody_free_plays_the_message(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        await at.seat(1)
        agent = at.floor.reserve(CallId("call_1"))
        assert agent is not None
        call = await at.call(1, agent_id=agent.id)
        await at.clock.advance(5)
        leg = at.floor.agent(agent.id).leg
        assert leg is not None
        await at.engine.hangup(leg)
        await at.clock.advance(1)
        assert call.abandoned
        assert at.ended[0][1].cause is HangupCause.ABANDONED


async def test_a_phone_that_answers_before_anybody_asks_is_not_missed(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        leg = await at.engine.nail_up(DeskOrder(desk="d0", uri="sip:d@x"))
        await at.clock.advance(0.1)
        assert await at.switchboard.desk_answered(leg, 0.1)
        gone = await at.engine.nail_up(DeskOrder(desk="d1", uri="sip:d@x"))
        await at.clock.advance(0.1)
        await at.engine.hangup(gone)
        await at.clock.advance(0.1)
        assert not await at.switchboard.desk_answered(gone, 0.1)


async def test_no_ear_waits_for_the_books(tmp_path: Path) -> None:
    store = StuckStore()
    journal = StoreJournal(store, SystemClock())  # type: ignore[arg-type]  # a store that takes every word and ends none
    writing = asyncio.create_task(journal.run())
    async with house(tmp_path, ANSWERS, journal=journal) as at:
        await at.seat(2)
        calls = [await at.call(1), await at.call(2)]
        await at.clock.advance(5)
        assert store.asked == 1, "the first word is still being written"
        assert [call.bridged_at for call in calls] == [call.answered_at for call in calls]
        assert None not in [call.bridged_at for call in calls]
        await at.clock.advance(40)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_no_answer_waits_for_anothers_announcement(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS, engine_kind=SlowToPlay) as at:
        await at.seat(2)
        calls = [await at.call(1), await at.call(2)]
        await at.clock.advance(5)
        assert [call.bridged_at for call in calls] == [call.answered_at for call in calls]
        assert at.journal.words.count("bridged") == 2
        SlowToPlay.read.set()


class CannotPlay(ScriptedEngine):
    async def play(self, leg: LegId, prompt: Prompt) -> None:
        if prompt == ABANDONMENT:
            raise Unhealthy("the message cannot be read", remedy="see its path")


async def test_a_message_that_cannot_be_played_ends_the_call_instead_of_silence(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS, engine_kind=CannotPlay) as at:
        call = await at.call(1)
        await at.clock.advance(5.5)
        [(ended, event)] = at.ended
        assert (ended, event.cause) == (call, HangupCause.ABANDONED)
        assert (event.at - call.answered_at).total_seconds() < 2.5  # type: ignore[operator]


class CannotBridge(ScriptedEngine):
    async def bridge(self, customer: LegId, agent: LegId) -> None:
        raise RuntimeError("a fault of ours")


async def test_a_fault_of_ours_ends_its_call_and_not_the_floor(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS, engine_kind=CannotBridge) as at:
        await at.seat(1)
        await at.call(1)
        await at.clock.advance(4)
        assert [event.answered for _call, event in at.ended] == [True]
        await at.call(2)  # the events go on: nobody is free now, and this one hears the message
        await at.clock.advance(6)
        assert at.ended[-1][1].cause is HangupCause.ABANDONED


async def test_however_an_agent_comes_free_who_waits_is_served(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        at.floor._on_move = lambda agent, old: agent.state is AgentState.READY and at.switchboard.somebody_ready()
        await at.seat(1)
        assert at.floor.reserve(CallId("call_9")) is not None
        call = await at.call(1)
        await at.clock.advance(4)
        assert call.waited
        at.floor.release("a0")  # the other call came to nothing
        await at.clock.advance(0.1)
        assert call.agents_served == ["a0"]
        await at.clock.advance(5)
