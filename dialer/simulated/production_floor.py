"""The production floor in virtual time: ``Floor``, ``Switchboard``, the pacer's ear and the calling policy, over the
scripted engine.

It satisfies ``pacing.simulator.Floor``, so ``run_day`` drives it with the pacers, policies of waiting and code of
production, where ``FastFloor`` only keeps counts. Both draw from the same streams: call for call the same person
answers after the same ringing and talks as long, so the two days can be compared, not only their averages.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from case_store.call_facts import CallFacts
from case_store.model import Channel
from case_store.network import HangupCause
from config.clock import SystemClock, VirtualClock
from config.errors import BadInput
from config.settings import RecordingSettings, Settings
from dialer.call import CallId, CallOrder, DeskOrder
from dialer.engine import Prompt
from dialer.engines.scripted import Answer, Provisional, Release, Script, ScriptedEngine
from dialer.events import LegAnswered, LegEnded, LegProgress, RelayState, TrunkState
from dialer.floor import Agent, AgentState, Floor
from dialer.floor_journal import FloorJournal
from dialer.pace_setter import KINDEST_RING, FloorEar
from dialer.pacing.fast_floor import Fates
from dialer.pacing.scenario import Scenario
from dialer.pacing.state import FloorView, Pace, PacingEvent
from dialer.policy import CallRequest, decide, load_sets
from dialer.simulated.virtual_loop import VirtualLoop
from dialer.switchboard import CallInFlight, Switchboard
from recording.recorder import Recorder

_OCCUPIED = (AgentState.TALKING, AgentState.WRAP_UP)
_START = datetime(2026, 1, 5, 1, tzinfo=UTC)  # nine in the morning of a working day in Shanghai
_WORKING_HOURS = 8 * 3600.0  # a longer day is one such day after another
_NEVER_CALLED = CallFacts()
_MESSAGE = Prompt(name="abandonment", path=Path("abandonment"))  # the scripted engine plays nothing


class _NoBooks:
    """A journal that keeps nothing: a simulated day has no case store."""

    def dialed(self, call: CallInFlight) -> None: ...
    def progressed(self, call: CallInFlight, event: LegProgress) -> None: ...
    def answered(self, call: CallInFlight, event: LegAnswered) -> None: ...
    def bridged(self, call: CallInFlight, agent: Agent) -> None: ...
    def abandoned(self, call: CallInFlight) -> None: ...
    def noted(self, call: CallInFlight, what: str, **facts: str | int | float | bool) -> None: ...
    def ended(self, call: CallInFlight, event: LegEnded) -> None: ...
    def relay(self, event: RelayState) -> None: ...
    def trunk(self, event: TrunkState) -> None: ...


class _Ear(FloorEar):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.heard: list[PacingEvent] = []

    def _tell(self, event: PacingEvent) -> None:
        self.heard.append(event)

    def take(self) -> list[PacingEvent]:
        taken, self.heard = self.heard, []
        return taken


class ProductionFloor:
    """``simulator.Floor``. One instance is one day; close it. Scenarios with breaks, several kinds of number or a
    call-progress delay are ``FastFloor``'s only, and refused."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        if scenario.breaks or scenario.numbers or scenario.progress_delay or scenario.markov or scenario.cps:
            raise BadInput(
                "this scenario is for the fast floor", field="scenario", remedy="leave breaks, kinds, cps, markov out"
            )
        self._scenario = scenario
        self._fates = Fates(scenario, seed)
        self._loop = VirtualLoop()  # type: ignore[abstract]  # what it lacks of a loop is what nothing here may wait for
        self._clock = VirtualClock(_START)
        self._engine = ScriptedEngine(self._clock, self._script, max_legs=1_000_000)
        self._ear = _Ear(self._clock)
        self._floor = Floor(self._clock, on_move=self._moved)
        self._switchboard = Switchboard(
            engine=self._engine,
            floor=self._floor,
            clock=self._clock,
            journal=FloorJournal(_NoBooks(), lambda: (self._ear,), lambda _call, _event: None),
            on_end=self._over,
            announcement=None,
            abandonment=_MESSAGE,
            patience_seconds=scenario.patience,
        )
        self._rings = Provisional(after=scenario.carrier_delay)
        self._numbers = count(1)
        self._sets = load_sets(Settings.model_fields["policy_sets"].get_default(call_default_factory=True))
        self._occupied = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk = tempfile.TemporaryDirectory(prefix="onrecord-simulation-")
        settings = RecordingSettings(directory=Path(self._disk.name), low_watermark_bytes=0)
        # Nobody is called and nothing is heard, so one armed tape stands for all: an order still cannot be without.
        self._tape = Recorder(settings, SystemClock()).arm("simulation")
        self._loop.finish(self._open())

    def close(self) -> None:
        self._loop.finish(self._engine.close())
        self._loop.run(self._let_go)
        self._loop.close()
        self._disk.cleanup()

    def __enter__(self) -> ProductionFloor:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- the Floor protocol

    def next_at(self) -> float:
        due = self._clock.next_due()
        return math.inf if due is None else max(due, self._clock.monotonic())

    def step(self) -> list[PacingEvent]:
        self._move_to(self.next_at())
        return self._ear.take()

    def view(self, now: float) -> FloorView:
        self._move_to(now)
        room = None
        if self._scenario.channels is not None:
            room = max(0, self._scenario.channels - len(self._switchboard))
        return self._ear.view(self._switchboard.unanswered, self._switchboard.waiting, self._floor, now, room=room)

    def carry_out(self, pace: Pace, now: float) -> list[PacingEvent]:
        self._move_to(now)
        if pace.place or pace.cancel:
            self._loop.finish(self._carry_out(pace))
        return self._ear.take()

    def staffed(self) -> int:
        return len(self._floor)

    def occupied(self) -> int:
        return self._occupied

    # -- what happens

    async def _open(self) -> None:
        await self._engine.start()
        self._spawn(self._switchboard.run())
        for n in range(self._scenario.agents):
            self._floor.add(agent_id=f"agent-{n}", name=f"Agent {n}", desk=f"desk-{n}")
            leg = await self._engine.nail_up(DeskOrder(desk=f"desk-{n}", uri="sip:desk@memory"))
            self._floor.desk_up(f"agent-{n}", leg)
        self._ear.take()

    def _script(self, order: CallOrder) -> Script:
        fate = self._fates.next(self._clock.monotonic())
        if fate.answers:
            return (self._rings, Answer(after=fate.after, audio_after=None))
        return (self._rings, Release(after=fate.after, cause=HangupCause.NO_ANSWER, status=480))

    async def _carry_out(self, pace: Pace) -> None:
        now = self._clock.monotonic()
        for key in pace.cancel:
            call = self._switchboard.find(CallId(str(key)))
            if call is not None and call.rang_mono is not None and now - call.rang_mono >= KINDEST_RING - 1e-6:
                await self._switchboard.hang_up(call, HangupCause.CANCELLED)
        for place in range(pace.place):
            await self._place(pace.risk[place] if place < len(pace.risk) else 0.0)

    async def _place(self, risk: float) -> None:
        number = next(self._numbers)
        callee = f"+86139{number % 100_000_000:08d}"
        if not self._permitted(number, callee):
            return
        call_id = CallId(f"call_{number}")
        order = CallOrder(
            call_id=call_id,
            attempt_id=call_id,
            callee=callee,
            tape=self._tape,
            ring_seconds=3600.0,
            set_up_seconds=3600.0,
        )
        call = CallInFlight(order=order, case_id="", number_id="", channel="mobile", masked="", risk=risk)
        await self._switchboard.place(call)
        self._ear.placed(call)

    def _permitted(self, number: int, callee: str) -> bool:
        """The policy's word, as before every call: each is the first to a person of its own."""
        request = CallRequest(
            at=_START + timedelta(seconds=self._clock.monotonic() % _WORKING_HOURS),
            e164=callee,
            channel=Channel.MOBILE,
            case_id=f"case_{number}",
            person_id=f"person_{number}",
            debtor_id=f"person_{number}",
            debt_id=f"debt_{number}",
            address_region="CN",
        )
        return decide(request, _NEVER_CALLED, self._sets).allowed

    def _moved(self, agent: Agent, old: AgentState) -> None:
        self._ear.agent_moved(agent, old)
        self._occupied += (agent.state in _OCCUPIED) - (old in _OCCUPIED)
        if agent.state is AgentState.TALKING:
            call_id = agent.call_id
            self._clock.call_later(
                self._fates.talk(self._clock.monotonic()), lambda: self._spawn(self._hang_up(call_id))
            )
        elif agent.state is AgentState.WRAP_UP:
            self._clock.call_later(self._fates.wrap(), lambda: self._spawn(self._wrapped_up(agent)))

    async def _hang_up(self, call_id: CallId | None) -> None:
        if call_id is not None and (call := self._switchboard.find(call_id)) is not None:
            await self._switchboard.hang_up(call)

    async def _wrapped_up(self, agent: Agent) -> None:
        self._floor.ready(agent.id)
        await self._switchboard.agent_free()

    async def _over(self, call: CallInFlight, event: LegEnded) -> None:
        return None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _move_to(self, at: float) -> None:
        now = self._clock.monotonic()
        if at > now or (at == now and (due := self._clock.next_due()) is not None and due <= now):
            self._loop.run(self._clock.go_to, at + 1e-9, self._loop.settle)

    def _let_go(self) -> None:
        for task in self._tasks:
            task.cancel()
