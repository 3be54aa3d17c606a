"""The calls in flight: from the order to the end, every answered customer is given to an agent or told why not.

Never silence: a customer who answers hears an agent at once, or within ``patience_seconds`` the configured
message with the company's name, and is counted as abandoned (us-tsr as quality default: POLICY.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import structlog

from case_store.network import HangupCause
from config.clock import Clock
from config.errors import InvariantBroken, OnrecordError
from dialer.call import CallId, CallOrder, LegId
from dialer.engine import Prompt, SipEngine, UnknownLeg
from dialer.events import (
    EngineEvent,
    LegAnswered,
    LegBridged,
    LegConferred,
    LegDialed,
    LegDtmf,
    LegEnded,
    LegFirstAudio,
    LegHeld,
    LegProgress,
    PromptFinished,
    RelayState,
    TapeTrouble,
    TrunkState,
)
from dialer.floor import Agent, AgentState, Floor

log = structlog.get_logger(__name__)

_DESKS_TOLD = 100


@dataclass(slots=True)
class CallInFlight:
    """One call to a person and what has happened to it so far. Times are aware UTC."""

    order: CallOrder
    case_id: str
    number_id: str
    channel: str
    masked: str
    agent_id: str | None = None
    leg: LegId | None = None
    dialed_at: datetime | None = None
    trunk: str | None = None
    provisional: list[LegProgress] = field(default_factory=list)
    answered_at: datetime | None = None
    bridged_at: datetime | None = None
    first_audio_at: datetime | None = None
    announced: bool = False
    abandoned: bool = False
    waited: bool = False  # nobody was free at the answer
    held: bool = False  # by us
    agents_served: list[str] = field(default_factory=list)
    dtmf: list[str] = field(default_factory=list)
    campaign_id: str | None = None
    # For the pacer, seconds of ``Clock.monotonic``; ``chance`` and ``risk`` as in ``pacing.state.Placed``.
    placed_mono: float = 0.0
    rang_mono: float | None = None
    answered_mono: float | None = None
    chance: float | None = None
    risk: float = 0.0

    @property
    def call_id(self) -> CallId:
        return self.order.call_id

    @property
    def stage(self) -> str:
        """placed, ringing, answered or bridged."""
        if self.bridged_at is not None:
            return "bridged"
        if self.answered_at is not None:
            return "answered"
        return "ringing" if self.provisional else "placed"


class CallJournal(Protocol):
    """Keeps what happens. Told in order, after the sound has been dealt with: it must not block."""

    def dialed(self, call: CallInFlight) -> None: ...
    def progressed(self, call: CallInFlight, event: LegProgress) -> None: ...
    def answered(self, call: CallInFlight, event: LegAnswered) -> None: ...
    def bridged(self, call: CallInFlight, agent: Agent) -> None: ...
    def abandoned(self, call: CallInFlight) -> None: ...
    def noted(self, call: CallInFlight, what: str, **facts: str | int | float | bool) -> None: ...
    def ended(self, call: CallInFlight, event: LegEnded) -> None: ...
    def relay(self, event: RelayState) -> None: ...
    def trunk(self, event: TrunkState) -> None: ...


class Switchboard:
    """Consumes the engine's events. ``on_end`` is awaited in its own task when a call is over."""

    def __init__(
        self,
        *,
        engine: SipEngine,
        floor: Floor,
        clock: Clock,
        journal: CallJournal,
        on_end: Callable[[CallInFlight, LegEnded], Awaitable[None]],
        announcement: Prompt | None,
        abandonment: Prompt,
        patience_seconds: float = 2.0,
        desk_gone: Callable[[CallInFlight, Agent], Awaitable[bool]] | None = None,
    ) -> None:
        self._engine = engine
        self._floor = floor
        self._clock = clock
        self._journal = journal
        self._on_end = on_end
        self._announcement = announcement
        self._abandonment = abandonment
        self._patience = patience_seconds
        self._desk_gone = desk_gone
        self._calls: dict[LegId, CallInFlight] = {}
        self._ordered: dict[CallId, CallInFlight] = {}
        self._unanswered: dict[CallId, CallInFlight] = {}
        self._waiting: list[CallInFlight] = []
        self._desk_waiters: dict[LegId, asyncio.Future[bool]] = {}
        self._desk_told: dict[LegId, bool] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._relay_up = True
        self.trunks_down: dict[str, str] = {}

    def __iter__(self) -> Iterator[CallInFlight]:
        return iter(self._ordered.values())

    def __len__(self) -> int:
        return len(self._ordered)

    def find(self, call_id: CallId) -> CallInFlight | None:
        return self._ordered.get(call_id)

    @property
    def unanswered(self) -> Iterable[CallInFlight]:
        """Calls on their way, in order of placement."""
        return self._unanswered.values()

    @property
    def waiting(self) -> Sequence[CallInFlight]:
        """Customers who answered and for whom nobody is free yet, in order of answer."""
        return self._waiting

    @property
    def relay_up(self) -> bool:
        return self._relay_up

    async def place(self, call: CallInFlight) -> None:
        """Let the INVITE leave. Raises what ``SipEngine.place`` raises; then no call exists."""
        self._ordered[call.call_id] = self._unanswered[call.call_id] = call
        call.placed_mono = self._clock.monotonic()
        try:
            call.leg = await self._engine.place(call.order)
        except BaseException:
            self._ordered.pop(call.call_id, None)
            self._unanswered.pop(call.call_id, None)
            raise
        self._calls[call.leg] = call

    async def desk_answered(self, leg: LegId, within: float) -> bool:
        """Whether the desk's phone took the nailed-up leg in time."""
        if (told := self._desk_told.pop(leg, None)) is not None:  # the phone was quicker than the verb that called it
            return told
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._desk_waiters[leg] = waiter
        try:
            return await asyncio.wait_for(waiter, within)
        except TimeoutError:
            return False
        finally:
            self._desk_waiters.pop(leg, None)

    async def hang_up(self, call: CallInFlight, cause: HangupCause = HangupCause.NORMAL) -> None:
        if call.leg is not None:
            await self._engine.hangup(call.leg, cause)

    async def agent_free(self) -> None:
        """An agent became ready: the customer who has waited longest is served first."""
        while self._waiting:
            call = self._waiting[0]
            if (agent := self._floor.reserve(call.call_id)) is None:
                return
            self._waiting.pop(0)
            await self._connect(call, agent)

    def somebody_ready(self) -> None:
        """However an agent came free (a guest's consultation ended, a reservation came to nothing): who waits is served."""
        if self._waiting:
            self._spawn(self.agent_free())

    async def run(self) -> None:
        """Until the engine closes. An event that cannot be handled ends its call, never the loop."""
        async for event in self._engine.events():
            try:
                await self._take(event)
            except OnrecordError as error:
                log.error(
                    "switchboard", event_kind=type(event).__name__, error_id=error.error_id, problem=error.problem
                )
                await self._end_after_fault(event)
            except Exception as error:  # a fault of ours: one customer's, not the floor's
                log.error("switchboard", event_kind=type(event).__name__, error=type(error).__name__, exc_info=error)
                await self._end_after_fault(event)
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _end_after_fault(self, event: EngineEvent) -> None:
        """Whoever is on the line would hear nobody from now on: never silence."""
        if isinstance(event, RelayState | TrunkState | LegEnded) or event.leg not in self._calls:
            return
        try:
            await self._engine.hangup(event.leg, HangupCause.TEMPORARY_FAILURE)
        except OnrecordError as error:
            log.error("not-ended-after-fault", leg=event.leg, error_id=error.error_id, problem=error.problem)

    async def _take(self, event: EngineEvent) -> None:
        if isinstance(event, RelayState):
            self._relay_up = event.up
            self._journal.relay(event)
            return
        if isinstance(event, TrunkState):
            if event.up:
                self.trunks_down.pop(event.trunk, None)
            else:
                self.trunks_down[event.trunk] = event.detail
            self._journal.trunk(event)
            return
        call = self._calls.get(event.leg) or (self._ordered.get(event.call_id) if event.call_id else None)
        if call is None:
            await self._take_desk(event)
            return
        if call.leg is None:
            # The engine reports faster than `place` returns; the leg is known from its first event on.
            call.leg = event.leg
        self._calls[event.leg] = call
        match event:
            case LegDialed():
                call.dialed_at, call.trunk = event.at, event.trunk
                self._journal.dialed(call)
            case LegProgress():
                call.provisional.append(event)
                if call.rang_mono is None and (event.sip_status == 180 or event.early_media):
                    call.rang_mono = self._clock.monotonic()
                self._journal.progressed(call, event)
            case LegAnswered():
                await self._answered(call, event)
            case LegEnded():
                await self._ended(call, event)
            case LegFirstAudio():
                call.first_audio_at = event.at
                self._journal.noted(call, "first-audio")
            case PromptFinished():
                await self._prompt_finished(call, event)
            case LegHeld():
                self._journal.noted(call, "held" if event.on else "resumed", by=event.origin)
            case LegDtmf():
                call.dtmf.append(event.digit)
                self._journal.noted(call, "dtmf", milliseconds=event.milliseconds)
            case TapeTrouble():
                self._journal.noted(call, "tape-trouble", problem=event.problem)
            case LegConferred():
                parts = ", ".join(sorted(part.value for _desk, part in event.desks))
                self._journal.noted(call, "conference", parts=parts)
            case LegBridged():
                pass

    async def _take_desk(self, event: EngineEvent) -> None:
        if isinstance(event, LegAnswered | LegEnded):
            self._tell_desk(event.leg, isinstance(event, LegAnswered))
        if isinstance(event, LegEnded) and (agent := self._floor.at_leg(event.leg)) is not None:
            await self._desk_lost(agent)

    def _tell_desk(self, leg: LegId, answered: bool) -> None:
        waiter = self._desk_waiters.get(leg)
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(answered)
        elif self._floor.at_leg(leg) is None:  # told before anybody asked
            self._desk_told[leg] = answered
            while len(self._desk_told) > _DESKS_TOLD:  # of legs nobody asks for any more
                del self._desk_told[next(iter(self._desk_told))]

    async def _answered(self, call: CallInFlight, event: LegAnswered) -> None:
        call.answered_at, call.answered_mono = event.at, self._clock.monotonic()
        self._unanswered.pop(call.call_id, None)
        agent = self._floor.agent(call.agent_id) if call.agent_id else None
        if agent is None or agent.state is not AgentState.RESERVED or agent.call_id != call.call_id:
            agent = self._floor.reserve(call.call_id)
        # The sound first, the books after.
        bridged = agent is not None and await self._bridge(call, agent)
        self._journal.answered(call, event)
        if agent is None:
            call.waited = True
            self._waiting.append(call)
            self._spawn(self._give_up_waiting(call))
        elif bridged:
            self._journal.bridged(call, agent)

    async def _connect(self, call: CallInFlight, agent: Agent) -> None:
        if await self._bridge(call, agent):
            self._journal.bridged(call, agent)

    async def _bridge(self, call: CallInFlight, agent: Agent) -> bool:
        assert call.leg is not None
        if agent.leg is None:
            raise InvariantBroken("an agent without a desk was reserved", remedy="reserve only agents who are ready")
        call.agent_id = agent.id
        self._floor.talking(agent.id, call.call_id)
        try:
            await self._engine.bridge(call.leg, agent.leg)
        except UnknownLeg:
            # One of the two ended in this very moment; its LegEnded follows and does the rest.
            log.info("bridge-missed", call=call.call_id, agent=agent.id)
            return False
        except OnrecordError as error:
            # The relay took neither: nobody would hear anybody. Never silence: the line goes down now.
            log.error("not-bridged", call=call.call_id, error_id=error.error_id, problem=error.problem)
            await self._engine.hangup(call.leg, HangupCause.RELAY_LOST)
            return False
        call.bridged_at = self._clock.now()
        call.agents_served.append(agent.id)
        if self._announcement is not None and not call.announced:
            self._spawn(self._announce(call, self._announcement))
        return True

    async def _announce(self, call: CallInFlight, announcement: Prompt) -> None:
        """Beside the next events: another customer's answer does not wait until this one's announcement is read."""
        assert call.leg is not None
        try:
            await self._engine.play(call.leg, announcement)
        except UnknownLeg:
            log.info("announced-call-ended-first", call=call.call_id)

    async def _give_up_waiting(self, call: CallInFlight) -> None:
        await self._clock.sleep(self._patience)
        if call not in self._waiting:
            return
        self._waiting.remove(call)
        await self._abandon(call)

    async def _abandon(self, call: CallInFlight) -> None:
        assert call.leg is not None
        call.abandoned = True
        self._journal.abandoned(call)
        try:
            await self._engine.play(call.leg, self._abandonment)
        except UnknownLeg:
            log.info("abandoned-call-ended-first", call=call.call_id)
        except OnrecordError as error:
            # Nobody and no message: the line goes down rather than stay silent.
            log.error("message-not-played", call=call.call_id, error_id=error.error_id, problem=error.problem)
            await self._engine.hangup(call.leg, HangupCause.ABANDONED)

    async def _prompt_finished(self, call: CallInFlight, event: PromptFinished) -> None:
        self._journal.noted(call, "prompt", name=event.prompt, completed=event.completed)
        if self._announcement is not None and event.prompt == self._announcement.name:
            call.announced = event.completed
        if call.abandoned and event.prompt == self._abandonment.name and call.leg is not None:
            await self._engine.hangup(call.leg, HangupCause.ABANDONED)

    async def _ended(self, call: CallInFlight, event: LegEnded) -> None:
        self._calls.pop(event.leg, None)
        self._ordered.pop(call.call_id, None)
        self._unanswered.pop(call.call_id, None)
        if call in self._waiting:
            self._waiting.remove(call)
        if call.abandoned and event.cause is HangupCause.NORMAL:
            # Whoever hung up during the message was abandoned all the same: the ledger counts it. A relay that takes desk
            # and customer in one moment abandons nobody: the line broke.
            event = replace(event, cause=HangupCause.ABANDONED)
        self._journal.ended(call, event)
        # Before anything that asks the engine for something: a relay that is gone must not keep a call from its books.
        self._spawn(self._hand_over(call, event))
        if call.agent_id is not None:
            agent = self._floor.agent(call.agent_id)
            if agent.call_id == call.call_id and agent.state is AgentState.TALKING:
                await self._part(agent)
                self._floor.wrap_up(agent.id)
            elif agent.call_id == call.call_id and agent.state is AgentState.RESERVED:
                self._floor.release(agent.id)
                await self.agent_free()

    async def _part(self, agent: Agent) -> None:
        """A desk that went in the same moment (a lost relay takes both) must not keep the call from being finished."""
        if agent.leg is None:
            return
        try:
            await self._engine.unbridge(agent.leg)
        except OnrecordError as error:
            log.info("already-parted", agent=agent.id, error_id=error.error_id)

    async def quiet(self) -> None:
        """Until no call is in flight and every call that ended is finished with: sealed, attached, concluded."""
        while self._ordered or self._tasks:  # noqa: ASYNC110  # once, at the end of a run
            await asyncio.sleep(0.05)

    async def _hand_over(self, call: CallInFlight, event: LegEnded) -> None:
        await self._on_end(call, event)

    async def _desk_lost(self, agent: Agent) -> None:
        """The phone at the desk is gone; its customer goes to another agent or hears the message."""
        call_id = self._floor.desk_lost(agent.id)
        call = self._ordered.get(call_id) if call_id is not None else None
        if call is None or call.answered_at is None:
            return
        self._journal.noted(call, "desk-lost", agent=agent.id)
        if self._desk_gone is not None and await self._desk_gone(call, agent):
            return
        if call.agent_id != agent.id:
            # A leader who listened, or whoever was consulted: the customer still has an agent.
            return
        call.agent_id = None
        if (other := self._floor.reserve(call.call_id)) is not None:
            await self._connect(call, other)
        else:
            await self._abandon(call)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("switchboard-task", error=type(error).__name__, exc_info=error)
