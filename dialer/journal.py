"""What the switchboard sees, written to the store in order and off the path of the sound.

One queue, one writer: a slow disk delays the books, never an ear. ``settle`` waits until all that was told
before it is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from case_store.store import CaseStore
from config.clock import Clock
from config.errors import OnrecordError
from dialer.events import LegAnswered, LegEnded, LegProgress, RelayState, TrunkState
from dialer.floor import Agent
from dialer.switchboard import CallInFlight

log = structlog.get_logger(__name__)


class StoreJournal:
    """A ``CallJournal`` over the case store."""

    def __init__(self, store: CaseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._queue: asyncio.Queue[Callable[[], Awaitable[Any]] | None] = asyncio.Queue()

    async def run(self) -> None:
        while (write := await self._queue.get()) is not None:
            try:
                await write()
            except OnrecordError as error:
                log.error("journal", error_id=error.error_id, problem=error.problem)
            finally:
                self._queue.task_done()
        self._queue.task_done()

    async def close(self) -> None:
        await self._queue.join()
        self._queue.put_nowait(None)

    async def settle(self) -> None:
        """Everything told so far is in the store (or its failure in the log)."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def reached() -> None:
            if not told.done():
                told.set_result(None)

        self._queue.put_nowait(reached)
        await told

    def dialed(self, call: CallInFlight) -> None:
        trunk = call.trunk
        self._later(lambda: self._store.calls.note(call.call_id, trunk=trunk))

    def progressed(self, call: CallInFlight, event: LegProgress) -> None:
        stamp = "early_media_at" if event.early_media else "ringing_at" if event.sip_status == 180 else None
        if stamp is not None and not _seen_before(call, event):
            self._later(lambda: self._store.calls.note(call.call_id, **{stamp: event.at}))

    def answered(self, call: CallInFlight, event: LegAnswered) -> None:
        self._later(lambda: self._store.calls.answered(call.call_id, event.at, trunk=event.trunk, codec=event.codec))

    def bridged(self, call: CallInFlight, agent: Agent) -> None:
        at, agent_id = call.bridged_at, agent.id
        self._later(lambda: self._store.calls.note(call.call_id, bridged_at=at, agent_id=agent_id))

    def abandoned(self, call: CallInFlight) -> None:
        self._event("call.abandoned", call)

    def noted(self, call: CallInFlight, what: str, **facts: str | int | float | bool) -> None:
        self._event(f"call.{what}", call, **facts)

    def ended(self, call: CallInFlight, event: LegEnded) -> None:
        self._event("call.released", call, cause=event.cause.value, origin=event.origin.value)

    def relay(self, event: RelayState) -> None:
        self._later(lambda: self._store.events.append("relay.state", event.at, up=event.up, detail=event.detail))

    def trunk(self, event: TrunkState) -> None:
        self._later(
            lambda: self._store.events.append(
                "trunk.state", event.at, subject_id=event.trunk, up=event.up, detail=event.detail
            )
        )

    def agent(self, agent: Agent, old: str) -> None:
        at, state, reason, call_id = self._clock.now(), agent.state.value, agent.reason, agent.call_id
        self._later(
            lambda: self._store.events.append(
                "agent.moved", at, subject_id=agent.id, old=old, new=state, reason=reason, call_id=call_id
            )
        )

    def _event(self, kind: str, call: CallInFlight, **facts: Any) -> None:
        at = self._clock.now()
        self._later(lambda: self._store.events.append(kind, at, case_id=call.case_id, subject_id=call.call_id, **facts))

    def _later(self, write: Callable[[], Awaitable[Any]]) -> None:
        self._queue.put_nowait(write)


def _seen_before(call: CallInFlight, event: LegProgress) -> bool:
    return any(
        one is not event and one.sip_status == event.sip_status and one.early_media == event.early_media
        for one in call.provisional
    )
