"""What the pace setter tells a pacer of numbers, and when it believes what it has learnt."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.clock import VirtualClock
from dialer.floor import Agent, AgentState, Floor
from dialer.pace_log import PaceLog, replay
from dialer.pace_setter import PaceSetter, restore_gated
from dialer.pacing.answer_chance import NumberFacts
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import FloorView, Pace, PacingEvent, Sample
from tests.unit.floor.calls import call_in_flight, end_of

START = datetime(2026, 11, 23, 2, tzinfo=UTC)
MOBILE = NumberFacts(hour=10, number_type="mobile")


def setter_on(clock: VirtualClock) -> PaceSetter:
    return PaceSetter(clock=clock, campaign_id="campaign", target=0.01, limit=0.03, patience=2.0)


async def test_quick_refusals_teach_nothing_before_the_calls_placed_earlier_are_decided() -> None:
    clock = VirtualClock(START)
    setter = setter_on(clock)
    slow = call_in_flight("slow", clock)
    setter.placed_with(slow, MOBILE)
    for n in range(300):
        quick = call_in_flight(f"quick{n}", clock)
        setter.placed_with(quick, MOBILE)
        setter.ended(quick, end_of(quick, clock))
    assert setter.chance(MOBILE) is None
    slow.answered_at, slow.answered_mono = clock.now(), clock.monotonic()
    setter.answered(slow)
    assert setter.chance(MOBILE) == pytest.approx(0.5), "of a list of one kind each number is a usual one"
    assert setter.chance_of_next == pytest.approx(0.5)


async def test_a_used_up_account_keeps_an_agent_for_each_call() -> None:
    clock = VirtualClock(START)
    setter = setter_on(clock)
    setter.load_ledger([(setter.today, 100, 5)])
    pace = setter.decide(setter.view([], [], Floor(clock), clock.monotonic(), room=10), clock.monotonic())
    assert pace.why["binding"] == "ledger"
    assert not setter.ledger_open
    setter.load_ledger([(setter.today, 1000, 5)])
    pace = setter.decide(setter.view([], [], Floor(clock), clock.monotonic(), room=10), clock.monotonic())
    assert setter.ledger_open


async def test_the_pacer_is_asked_at_its_own_pace_and_soon_after_an_event() -> None:
    clock = VirtualClock(START)
    setter = setter_on(clock)  # few agents: every 2 s, and on events
    agent = Agent(id="a", name="A", desk="d", state=AgentState.WRAP_UP)

    async def waited(tell_after: float | None, *, most: float = 3.0, agents: int = 1) -> float:
        setter.decide(FloorView(idle=agents, room=0), clock.monotonic())
        began = clock.monotonic()
        task = asyncio.create_task(setter.until_due())
        told = False
        while not task.done():
            await clock.advance(0.1)
            if tell_after is not None and not told and clock.monotonic() - began >= tell_after - 1e-9:
                setter.agent_moved(agent, AgentState.TALKING)
                told = True
            assert clock.monotonic() - began < most
        return round(clock.monotonic() - began, 2)

    assert await waited(None) == 2.0  # nothing happens: its own `every`
    assert await waited(0.2) == 0.3  # something happens: the next step of this loop
    setter.decide(FloorView(idle=15, room=0), clock.monotonic())
    await clock.advance(2.0)
    assert 0.5 <= await waited(0.2, agents=15) <= 0.6  # with more agents not more often than this


async def test_what_happens_while_calls_are_placed_is_seen_at_once_and_the_placing_itself_is_no_news() -> None:
    clock = VirtualClock(START)
    setter = setter_on(clock)
    setter.decide(FloorView(idle=1, room=9), clock.monotonic())
    setter.placed(call_in_flight("one", clock))

    async def waits(seconds: float) -> bool:
        task = asyncio.create_task(setter.until_due())
        await clock.advance(seconds)
        if not (waiting := not task.done()):
            return False
        task.cancel()
        return waiting

    assert await waits(0.2)
    setter.agent_moved(Agent(id="a", name="A", desk="d", state=AgentState.WRAP_UP), AgentState.TALKING)
    assert not await waits(0.2)


async def test_answers_of_calls_an_agent_was_kept_for_pay_into_a_used_up_account() -> None:
    clock = VirtualClock(START)
    setter = setter_on(clock)
    setter.load_ledger([(setter.today, 60, 2)])

    def binding() -> object:
        view = setter.view([], [], Floor(clock), clock.monotonic(), room=10)
        return setter.decide(view, clock.monotonic()).why["binding"]

    assert binding() == "ledger"
    for n in range(40):
        mine = call_in_flight(f"mine{n}", clock)
        mine.campaign_id, mine.agent_id = "campaign", "a"
        other = call_in_flight(f"other{n}", clock)
        other.campaign_id, other.agent_id = "another campaign", "b"
        setter.answered(other)
        if n == 0:
            assert binding() == "ledger"
        setter.answered(mine)
    assert setter.ledger.totals(setter.today) == (100, 2)
    assert binding() != "ledger"


@pytest.mark.parametrize("minutes", [0, 12, 41])
async def test_its_half_hours_are_those_of_the_clock(minutes: int) -> None:
    """A node that starts at twelve past counts until half past, before and after the floor was left alone for a while."""
    clock = VirtualClock(START + timedelta(minutes=minutes))
    setter = setter_on(clock)
    for later in (0.0, 600.0):
        setter.decide(FloorView(idle=3, room=10), clock.monotonic() + later)
        begin = setter.learnt.pacer.as_record()["budget"]["half_hours"]["begin"]
        began = clock.now() + timedelta(seconds=begin - clock.monotonic())
        assert began.minute % 30 == began.second == 0


async def test_after_a_spell_in_another_mode_what_rang_then_is_not_taken_for_silence(tmp_path: Path) -> None:
    """Ten minutes of progressive dialing once made an answer chance of 0.27 one of 0.008, and the next step a flood."""
    clock = VirtualClock(START)
    log = PaceLog(tmp_path, "campaign", 50_000_000)
    setter = PaceSetter(clock=clock, campaign_id="campaign", target=0.01, limit=0.03, patience=2.0, log=log)
    deepest: list[float] = []

    def told(view: FloorView, now: float, pace: Pace) -> None:
        deepest.append(float(pace.why["answer_chance"]))
        if now > 1700 and len(view.ringing) >= 6:
            raise _Switched(now)

    class Asked:
        on_events, every, soonest = True, 1.0, 0.5

        def decide(self, view: FloorView, now: float) -> Pace:
            return setter.decide(view, now)

        def observe(self, event: PacingEvent) -> None:
            if not isinstance(event, Sample):  # the setter samples by itself
                setter._tell(event)

    with pytest.raises(_Switched) as switched:
        run_day(FastFloor(Scenario(agents=20, answer_rate=0.3), 2), Asked(), hours=1.0, watch=told)
    before, later = deepest[-1], switched.value.at + 600.0
    assert before == pytest.approx(0.3, abs=0.1)
    pace = setter.decide(FloorView(idle=20, room=200), later)
    assert pace.why["answer_chance"] == pytest.approx(before, abs=0.1)
    assert setter.decide(FloorView(idle=20, room=200), later + 1.0).why["answer_chance"] == pytest.approx(
        before, abs=0.1
    )
    setter.close()
    again = list(replay(log.path, restore_gated))
    assert len(again) >= 2
    assert all(then == now for _line, then, now in again)


class _Switched(Exception):
    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at
