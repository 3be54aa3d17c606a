"""One call leaves: judged and booked, taped, written down, and only then dialed. Every mode goes this way.

The order is the order of the laws: judge and book (one transaction) → arm the tape → write the call → INVITE.
Whatever fails on the way gives back exactly what was taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from case_store.ledger import Candidate, Judge
from case_store.model import AttemptState
from case_store.store import CaseStore
from case_store.verdict import Verdict
from config.clock import Clock
from config.errors import OnrecordError
from config.masking import mask_number
from config.settings import Settings
from dialer.call import CallId, CallOrder
from dialer.floor import Agent
from dialer.switchboard import CallInFlight, Switchboard
from recording.recorder import Recorder, RecorderUnhealthy

log = structlog.get_logger(__name__)

_AFTER_TROUBLE_SECONDS = 2.0  # the engine said no: ask again then, not at every tick


@dataclass(frozen=True, kw_only=True, slots=True)
class DialPlan:
    """What a campaign's calls carry. ``ring_seconds`` is never under 15 on a real trunk (us-tsr)."""

    lines: int
    ring_seconds: float = 45.0
    set_up_seconds: float = 90.0
    caller_id: str | None = None
    caller_ids: dict[str, str] = field(default_factory=dict)  # client → number shown
    trunks: tuple[str, ...] = ()
    redials: bool = True  # due redials of its cases too, beside the first sweep


@dataclass(frozen=True, kw_only=True, slots=True)
class Paced:
    """What the pacer thought of a call when it was placed; see ``pacing.state.Placed``."""

    chance: float | None = None
    risk: float = 0.0


class Dialing:
    """``place`` puts one call on a line. ``refused`` counts refusals by rule, ``problem`` is the engine's last word."""

    def __init__(
        self,
        *,
        node: str,
        store: CaseStore,
        clock: Clock,
        judge: Judge,
        recorder: Recorder,
        problems: Callable[[], tuple[str, ...]],
        switchboard: Switchboard,
        on_refusal: Callable[[Candidate, Verdict], Awaitable[None]],
        on_unplaced: Callable[[CallInFlight, OnrecordError], Awaitable[None]],
    ) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._judge = judge
        self._recorder = recorder
        self._problems = problems
        self._switchboard = switchboard
        self._on_refusal = on_refusal
        self._on_unplaced = on_unplaced
        self._last_problem: str | None = None
        self._trouble_until = 0.0
        self.refused: Counter[str] = Counter()

    @property
    def problem(self) -> str | None:
        """Why the engine or the recorder took the last order back, for the moment in which that holds others back."""
        return self._last_problem if self._clock.monotonic() < self._trouble_until else None

    async def place(
        self,
        candidate: Candidate,
        plan: DialPlan,
        *,
        call_id: CallId,
        agent: Agent | None,
        purpose: str = "sweep",
        paced: Paced | None = None,
        on_no: Callable[[Verdict | None], Awaitable[None]] | None = None,
    ) -> CallInFlight | None:
        """The call that left, or None: refused, another call is under way, or the engine took no order.

        ``on_no`` is awaited when nothing was booked: with the refusal, or None when another call is under way.
        """
        now = self._clock.now()
        agent_id = agent.id if agent else None
        booking = await self._store.attempts.book(
            candidate, now, self._judge, node=self._node, purpose=purpose, agent_id=agent_id
        )
        if booking.attempt is None:
            if on_no is not None:
                await on_no(None if booking.busy else booking.verdict)
            if not booking.busy:
                self.refused[booking.verdict.rule or "refused"] += 1
                await self._on_refusal(candidate, booking.verdict)
            return None
        attempt = booking.attempt
        try:
            self._may_record()
            tape = await asyncio.to_thread(self._recorder.arm, call_id)
        except OnrecordError as error:
            await self._give_back(attempt.id, error)
            return None
        order = CallOrder(
            call_id=call_id,
            attempt_id=attempt.id,
            callee=candidate.e164,
            tape=tape,
            caller_id=plan.caller_ids.get(candidate.client, plan.caller_id),
            trunks=plan.trunks,
            ring_seconds=plan.ring_seconds,
            set_up_seconds=plan.set_up_seconds,
        )
        await self._store.calls.open(
            call_id=call_id,
            attempt_id=attempt.id,
            tape_id=tape.id,
            tape_path=str(tape.path),
            armed_at=tape.armed_at,
            at=now,
            agent_id=agent_id,
            caller_id=order.caller_id,
        )
        call = CallInFlight(
            order=order,
            case_id=candidate.case_id,
            number_id=candidate.number_id,
            channel=candidate.channel.value,
            masked=mask_number(candidate.e164),
            agent_id=agent_id,
            campaign_id=candidate.campaign_id,
            chance=paced.chance if paced else None,
            risk=paced.risk if paced else 0.0,
        )
        try:
            self._may_record()  # again: between the gates and here lie writes to the store
            await self._switchboard.place(call)
        except OnrecordError as error:
            await self._never_left(call, error)
            return None
        self._trouble_until = 0.0
        return call

    def _may_record(self) -> None:
        if problems := self._problems():
            raise RecorderUnhealthy(problems[0], remedy="calls resume by themselves when the cause is gone")

    async def _give_back(self, attempt_id: str, error: OnrecordError) -> None:
        """Booked, but there is no tape: no call. The attempt returns its place in the caps."""
        self._trouble(error)
        log.error("no-recording-no-call", attempt=attempt_id, error_id=error.error_id, problem=error.problem)
        await self._store.attempts.advance(attempt_id, AttemptState.RELEASED, self._clock.now())

    async def _never_left(self, call: CallInFlight, error: OnrecordError) -> None:
        """The engine refused the order: no INVITE left, and the books say so."""
        self._trouble(error)
        log.error("not-placed", call=call.call_id, error_id=error.error_id, problem=error.problem)
        await self._on_unplaced(call, error)

    def _trouble(self, error: OnrecordError) -> None:
        self._last_problem = error.problem
        self._trouble_until = self._clock.monotonic() + _AFTER_TROUBLE_SECONDS


def plan_of(settings: Settings) -> DialPlan:
    """Lines are what the trunks carry; caller IDs are the clients' own, else the first trunk's."""
    return DialPlan(
        lines=sum(trunk.channels for trunk in settings.trunks),
        caller_id=settings.trunks[0].caller_id if settings.trunks else None,
        caller_ids={client.name: client.caller_id for client in settings.clients if client.caller_id},
    )
