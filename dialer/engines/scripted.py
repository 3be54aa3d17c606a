"""An engine in memory: each callee follows a script, on any clock. For tests, simulations and what-ifs.

It keeps every promise of ``SipEngine`` (the contract suite runs over it), places no packet, and writes
nothing to the tape but what its scripts say: a scripted call is a call of the simulation, not of a person.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from case_store.network import HangupCause
from config.clock import Alarm, Clock
from config.errors import BadInput
from config.identity import new_id
from dialer.call import CallId, CallOrder, DeskOrder, LegId, LegState, can_move
from dialer.engine import EngineCapabilities, EngineFull, EngineUnhealthy, Prompt, UnknownLeg
from dialer.events import (
    EngineEvent,
    LegAnswered,
    LegBridged,
    LegConferred,
    LegDialed,
    LegEnded,
    LegFirstAudio,
    LegHeld,
    LegProgress,
    Origin,
    PromptFinished,
)
from dialer.parts import Part

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provisional:
    """``after`` seconds, the far side sends this 1xx."""

    after: float
    status: int = 180
    reason: str = "Ringing"
    early_media: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """``after`` seconds, the far side answers; sound follows ``audio_after`` later (None: never)."""

    after: float
    audio_after: float | None = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """``after`` seconds, the far side ends it: BYE after an answer, else a final response ``status``."""

    after: float
    cause: HangupCause = HangupCause.NORMAL
    status: int | None = None
    q850: int | None = None
    retry_after: int | None = None


Step = Provisional | Answer | Release
Script = tuple[Step, ...]

RINGS_OUT: Script = (Provisional(after=0.1),)
BUSY: Script = (Release(after=0.2, cause=HangupCause.BUSY, status=486, q850=17),)


@dataclass(slots=True)
class _Leg:
    id: LegId
    order: CallOrder | DeskOrder
    call_id: CallId | None  # None: a desk's
    state: LegState = LegState.PLACED
    answered_at: float | None = None
    partner: LegId | None = None
    held: bool = False
    alarms: list[Alarm] = field(default_factory=list)


class ScriptedEngine:
    """``script_for`` says how each callee behaves; desks answer at once."""

    def __init__(self, clock: Clock, script_for: Callable[[CallOrder], Script], *, max_legs: int = 1000) -> None:
        self._clock = clock
        self._script_for = script_for
        self._legs: dict[LegId, _Leg] = {}
        self._name, self._made = new_id("leg"), itertools.count()  # a leg's name is the engine's and its number
        self._log = log.bind()
        self._told: deque[EngineEvent] = deque()
        self._listener: asyncio.Future[None] | None = None
        self._running = self._closed = False
        self.capabilities = EngineCapabilities(
            max_legs=max_legs,
            early_media=True,
            bridging=True,
            prompts=True,
            dtmf=True,
            hold=True,
            transports=("memory",),
        )

    async def start(self) -> None:
        self._running = True

    async def close(self) -> None:
        for leg in list(self._legs.values()):
            self._end(leg, HangupCause.ENGINE_SHUTDOWN, Origin.NEAR, status=None)
        self._running, self._closed = False, True
        self._wake()

    async def place(self, order: CallOrder) -> LegId:
        leg = self._admit(order)
        self._emit(LegDialed(at=self._now(), leg=leg.id, call_id=leg.call_id, origin=Origin.NEAR, trunk="scripted"))
        script = self._script_for(order)
        self._follow(leg, script)
        if not _comes_to_an_end(script, within=min(order.ring_seconds, order.set_up_seconds)):
            # A script has no announcements, so one limit serves.
            self._later(leg, min(order.ring_seconds, order.set_up_seconds), lambda: self._take_back(leg))
        return leg.id

    async def nail_up(self, order: DeskOrder) -> LegId:
        leg = self._admit(order)
        self._follow(leg, (Answer(after=0.0, audio_after=None),))
        return leg.id

    async def bridge(self, customer: LegId, agent: LegId) -> None:
        one, other = self._answered(customer), self._answered(agent)
        one.partner, other.partner = other.id, one.id
        self._emit(
            LegBridged(at=self._now(), leg=one.id, call_id=one.call_id, origin=Origin.NEAR, agent=other.id),
        )

    async def unbridge(self, agent: LegId) -> None:
        leg = self._known(agent)
        if leg.partner is not None and leg.partner in self._legs:
            self._legs[leg.partner].partner = None
        leg.partner = None

    async def confer(self, customer: LegId, desks: Mapping[LegId, Part]) -> None:
        if not desks:
            raise BadInput("a conference needs a desk", field="desks", remedy="name the agent's leg at least")
        one = self._answered(customer)
        for desk in desks:
            self._answered(desk).partner = one.id
        one.partner = next(iter(desks))
        self._emit(
            LegConferred(
                at=self._now(), leg=one.id, call_id=one.call_id, origin=Origin.NEAR, desks=tuple(desks.items())
            )
        )

    async def play(self, leg: LegId, prompt: Prompt) -> None:
        known = self._known(leg)
        self._later(known, 0.0, lambda: self._finish_prompt(known, prompt))

    async def hold(self, leg: LegId, on: bool) -> None:
        known = self._answered(leg)
        known.held = on
        self._emit(LegHeld(at=self._now(), leg=leg, call_id=known.call_id, origin=Origin.NEAR, on=on))

    async def send_dtmf(self, leg: LegId, digits: str) -> None:
        self._answered(leg)

    async def mark(self, leg: LegId, what: str, **facts: str | int | bool) -> None:
        self._known(leg)
        log.info("scripted-mark", leg=leg, mark=what)

    async def hangup(self, leg: LegId, cause: HangupCause = HangupCause.NORMAL) -> None:
        if (known := self._legs.get(leg)) is not None:
            self._end(known, cause, Origin.NEAR, status=None)

    async def events(self) -> AsyncIterator[EngineEvent]:
        while True:
            while self._told:
                yield self._told.popleft()
            if self._closed:
                return
            self._listener = asyncio.get_running_loop().create_future()
            await self._listener

    def _admit(self, order: CallOrder | DeskOrder) -> _Leg:
        if not self._running:
            raise EngineUnhealthy("the engine is not running", remedy="start it first")
        if len(self._legs) >= self.capabilities.max_legs:
            raise EngineFull(
                f"all {self.capabilities.max_legs} legs are in use", remedy="wait for a call to end, or raise max_legs"
            )
        leg = _Leg(
            LegId(f"{self._name}-{next(self._made)}"), order, order.call_id if isinstance(order, CallOrder) else None
        )
        self._legs[leg.id] = leg
        return leg

    def _follow(self, leg: _Leg, script: Script) -> None:
        if script:
            self._later(leg, script[0].after, lambda: self._step(leg, script))

    def _step(self, leg: _Leg, script: Script) -> None:
        """The first step of the script is due."""
        step = script[0]
        match step:
            case Provisional():
                early = LegState.EARLY if step.early_media else LegState.RINGING
                self._move(leg, early if step.status >= 180 else LegState.PROCEEDING)
                self._emit(
                    LegProgress(
                        at=self._now(),
                        leg=leg.id,
                        call_id=leg.call_id,
                        origin=Origin.FAR,
                        sip_status=step.status,
                        reason=step.reason,
                        early_media=step.early_media,
                    )
                )
            case Answer():
                self._move(leg, LegState.ANSWERED)
                leg.answered_at = self._clock.monotonic()
                self._emit(
                    LegAnswered(
                        at=self._now(),
                        leg=leg.id,
                        call_id=leg.call_id,
                        origin=Origin.FAR,
                        codec="PCMA",
                        trunk="scripted",
                    )
                )
                if step.audio_after is not None:
                    self._later(leg, step.audio_after, lambda: self._first_audio(leg))
            case Release():
                self._end(
                    leg,
                    step.cause,
                    Origin.FAR,
                    status=step.status,
                    q850=step.q850,
                    retry_after=step.retry_after,
                )
                return
        self._follow(leg, script[1:])

    def _take_back(self, leg: _Leg) -> None:
        """Nobody answered this call in time."""
        if leg.state is not LegState.ANSWERED:
            self._end(leg, HangupCause.NO_ANSWER, Origin.ENGINE, status=487)

    def _first_audio(self, leg: _Leg) -> None:
        self._emit(LegFirstAudio(at=self._now(), leg=leg.id, call_id=leg.call_id, origin=Origin.FAR))

    def _finish_prompt(self, leg: _Leg, prompt: Prompt) -> None:
        self._emit(
            PromptFinished(
                at=self._now(), leg=leg.id, call_id=leg.call_id, origin=Origin.NEAR, prompt=prompt.name, completed=True
            )
        )

    def _end(
        self,
        leg: _Leg,
        cause: HangupCause,
        origin: Origin,
        *,
        status: int | None,
        q850: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        if leg.state is LegState.ENDED:
            return
        answered = leg.answered_at is not None
        talk = self._clock.monotonic() - leg.answered_at if leg.answered_at is not None else 0.0
        self._move(leg, LegState.ENDED)
        self._legs.pop(leg.id, None)
        if leg.partner is not None and leg.partner in self._legs:
            self._legs[leg.partner].partner = None
        for alarm in leg.alarms:
            alarm.cancel()
        self._emit(
            LegEnded(
                at=self._now(),
                leg=leg.id,
                call_id=leg.call_id,
                origin=origin,
                cause=cause,
                sip_status=200 if answered else status,
                q850=q850,
                retry_after=retry_after,
                answered=answered,
                talk_seconds=talk,
                trunk="scripted",
            )
        )

    def _move(self, leg: _Leg, new: LegState) -> None:
        if leg.state is new:
            return
        assert can_move(leg.state, new), f"{leg.state} -> {new}"
        self._log.debug("leg", leg=leg.id, move=f"{leg.state} -> {new}")
        leg.state = new

    def _known(self, leg: LegId) -> _Leg:
        if leg not in self._legs:
            raise UnknownLeg("there is no such leg", field="leg", remedy="it has ended; wait for its LegEnded")
        return self._legs[leg]

    def _answered(self, leg: LegId) -> _Leg:
        known = self._known(leg)
        if known.state is not LegState.ANSWERED:
            raise UnknownLeg("the leg is not answered", field="leg", remedy="wait for its LegAnswered")
        return known

    def _later(self, leg: _Leg, seconds: float, act: Callable[[], None]) -> None:
        """Unless the leg ends before."""
        leg.alarms.append(self._clock.call_later(seconds, act))

    def _emit(self, event: EngineEvent) -> None:
        self._told.append(event)
        if self._listener is not None:
            self._wake()

    def _wake(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and not listener.done():
            listener.set_result(None)

    def _now(self) -> datetime:
        return self._clock.now()


def _comes_to_an_end(script: Script, *, within: float) -> bool:
    """Whether the far side surely answers or gives up within so many seconds: then nobody need watch the call."""
    passed = 0.0
    for step in script:
        passed += step.after
        if passed >= within:
            return False
        if isinstance(step, Answer | Release):
            return True
    return False
