"""What the engine contract needs of a far side: callees that behave in named ways, whoever plays them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from case_store.network import HangupCause
from config.clock import SystemClock
from config.identity import new_id
from config.settings import RecordingSettings
from dialer.call import CallId, CallOrder, DeskOrder, LegId
from dialer.engine import SipEngine
from dialer.engines.scripted import BUSY, RINGS_OUT, Answer, Provisional, Release, Script, ScriptedEngine
from dialer.events import EngineEvent, LegEnded, LegEvent
from recording.recorder import Recorder

Event = TypeVar("Event", bound=EngineEvent)


class Behaviour(StrEnum):
    ANSWERS = "answers"  # rings, answers, talks until we hang up
    ANSWERS_AND_LEAVES = "answers-and-leaves"  # answers, hangs up a second later
    RINGS_OUT = "rings-out"
    BUSY = "busy"
    UNALLOCATED = "unallocated"  # 404
    ANNOUNCES = "announces"  # 183 with sound, then 480


@dataclass
class Heard:
    """Every event of an engine, with a way to wait for one."""

    engine: SipEngine
    seen: list[EngineEvent] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        async for event in self.engine.events():
            async with self._news:
                self.seen.append(event)
                self._news.notify_all()

    async def until(self, kind: type[Event], leg: LegId | None = None, *, within: float = 15) -> Event:
        def find() -> Event | None:
            return next(
                (e for e in self.seen if isinstance(e, kind) and (leg is None or getattr(e, "leg", None) == leg)), None
            )

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: find() is not None)
        found = find()
        assert found is not None
        return found

    def of(self, leg: LegId) -> list[LegEvent]:
        return [event for event in self.seen if isinstance(event, LegEvent) and event.leg == leg]

    def ends(self, leg: LegId) -> int:
        return sum(isinstance(event, LegEnded) for event in self.of(leg))


class World(ABC):
    """An engine and its far side. ``callee`` gives something to dial that behaves as asked."""

    engine: SipEngine
    heard: Heard

    def __init__(self, directory: Path) -> None:
        self.recorder = Recorder(RecordingSettings(directory=directory, low_watermark_bytes=0), SystemClock())

    @abstractmethod
    async def open(self, *, max_legs: int = 50) -> None: ...

    @abstractmethod
    def callee(self, behaviour: Behaviour) -> str: ...

    @abstractmethod
    def desk(self) -> DeskOrder: ...

    @abstractmethod
    async def close(self) -> None: ...

    def order(self, behaviour: Behaviour, *, ring_seconds: float = 10) -> CallOrder:
        call = CallId(new_id("call"))
        return CallOrder(
            call_id=call,
            attempt_id=new_id("att"),
            callee=self.callee(behaviour),
            tape=self.recorder.arm(call),
            ring_seconds=ring_seconds,
            set_up_seconds=ring_seconds + 5,
        )

    async def _begin(self) -> None:
        self.heard = Heard(self.engine)
        await self.engine.start()
        self._listener = asyncio.create_task(self.heard.listen())

    async def _finish(self) -> None:
        await self.engine.close()
        await asyncio.wait_for(self._listener, 10)


SCRIPTS: dict[Behaviour, Script] = {
    Behaviour.ANSWERS: (Provisional(after=0.05), Answer(after=0.1)),
    Behaviour.ANSWERS_AND_LEAVES: (Provisional(after=0.05), Answer(after=0.1), Release(after=1.0)),
    Behaviour.RINGS_OUT: RINGS_OUT,
    Behaviour.BUSY: BUSY,
    Behaviour.UNALLOCATED: (Release(after=0.1, cause=HangupCause.UNALLOCATED, status=404, q850=1),),
    Behaviour.ANNOUNCES: (
        Provisional(after=0.05, status=183, reason="Session Progress", early_media=True),
        Release(after=1.0, cause=HangupCause.NO_ANSWER, status=480),
    ),
}


class ScriptedWorld(World):
    async def open(self, *, max_legs: int = 50) -> None:
        self._behaviour: dict[str, Behaviour] = {}
        self.engine = ScriptedEngine(
            SystemClock(), lambda order: SCRIPTS[self._behaviour[order.callee]], max_legs=max_legs
        )
        await self._begin()

    def callee(self, behaviour: Behaviour) -> str:
        number = f"+86139{len(self._behaviour):08d}"
        self._behaviour[number] = behaviour
        return number

    def desk(self) -> DeskOrder:
        return DeskOrder(desk=new_id("desk"), uri="sip:desk@memory")

    async def close(self) -> None:
        await self._finish()
