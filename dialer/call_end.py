"""What becomes of a call that is over: its tape sealed and attached, the network's word stored, the person's word asked for
or owed, the next action set; the same for what a crash left half done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from case_store.ledger import Candidate
from case_store.model import CallRecord, Money
from case_store.network import HangupCause, ProgressCategory
from case_store.outcomes import NewOutcome
from case_store.store import CaseStore
from case_store.verdict import Verdict
from case_store.workflow import CaseEvent, OutcomeCode
from config.clock import Clock
from config.errors import BadInput, OnrecordError, Refused
from config.settings import Settings
from dialer.aftercall import AfterCall, AfterCallOrder, Workshop
from dialer.agents import Agents
from dialer.call import CallId
from dialer.events import LegEnded
from dialer.followup import BY_NETWORK, FollowUp
from dialer.journal import StoreJournal
from dialer.messages import announcement_of
from dialer.progress.category import classify
from dialer.proof import LineProof
from dialer.switchboard import CallInFlight
from recording.attach import attach
from recording.recordings import Recording
from recording.seal_job import SealOrder
from recording.vitals import TalkFact

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallToConclude:
    """An answered call whose collector must say what it came to. ``heard`` is for simulated collectors."""

    call_id: str
    case_id: str
    number_id: str
    channel: str
    agent_id: str
    balance: Money
    talk_seconds: float
    heard: str | None
    at: datetime


Concluder = Callable[[CallToConclude], Awaitable[NewOutcome]]
"""Asks whoever talked. A person's answer comes through the doors and may take minutes."""


OnFinished = Callable[[CallInFlight, CallRecord, Recording | None, str | None], None]
"""The call, its record, its recording where it was sealed, and the outcome where one was concluded."""


class CallEnd:
    """``finish`` for the switchboard; ``seal_left`` and ``conclude_left`` for what a crash left."""

    def __init__(
        self,
        *,
        store: CaseStore,
        settings: Settings,
        clock: Clock,
        workshop: Workshop,
        proof: LineProof,
        agents: Agents,
        follow_up: FollowUp,
        journal: StoreJournal,
        wake: Callable[[], None],
        concluder: Concluder | None,
        by_simulation: bool,
        kept_tapes: Path | None,
        on_finished: OnFinished | None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._workshop = workshop
        self._proof = proof
        self._agents = agents
        self._follow_up = follow_up
        self._journal = journal
        self._wake = wake
        self._concluder = concluder
        self._by_simulation = by_simulation
        self._kept_tapes = kept_tapes
        self._on_finished = on_finished

    async def finish(self, call: CallInFlight, event: LegEnded) -> None:
        await self._journal.settle()
        await self._agents.keep(call.call_id)
        record = await self._store.calls.get(call.call_id)
        after = await self._after_call(call, event, record)
        now = self._clock.now()
        category = after.progress.category if after else _without_listening(event)
        ended = await self._store.calls.end(
            call.call_id,
            event.at,
            cause=event.cause,
            category=category,
            sip_status=event.sip_status,
            q850=event.q850,
            reason=event.reason,
            origin=event.origin.value,
            evidence="; ".join(after.progress.evidence)[:255] if after else None,
            talk_seconds=event.talk_seconds,
            talked=bool(call.agents_served),
            trunk=event.trunk,
        )
        if after is not None:
            await self._attach(after.recording, now)
        await self._proof.ended(call.call_id)
        if after is not None:
            await self._proof.sealed(after.recording, now)
        talked = bool(call.agents_served) and category is ProgressCategory.ANSWERED
        code = None
        if talked and self._concluder is None:
            # Owed to the doors until somebody enters it: that the tape is sealed settles nothing.
            await self._agents.remember(call.call_id)
        elif self._concluder is not None or not call.agents_served or self._agents.is_owed(call.call_id):
            code = await self._conclude(call, event, category, after)
            await self._agents.forgive(call.call_id)
        if self._on_finished is not None:
            self._on_finished(call, ended, after.recording if after else None, code)
        self._wake()

    async def unplaced(self, call: CallInFlight, error: OnrecordError) -> None:
        """No INVITE left: the call ends as the trunk's trouble, and its empty tape is sealed like any other."""
        now = self._clock.now()
        await self._store.calls.end(
            call.call_id,
            now,
            cause=HangupCause.TRUNK_DOWN,
            category=ProgressCategory.TRUNK_TROUBLE,
            reason=error.error_id,
            origin="engine",
            talked=False,
        )
        await self.seal_left(await self._store.calls.get(call.call_id), call.order.tape.path)

    async def _after_call(self, call: CallInFlight, event: LegEnded, record: CallRecord) -> AfterCall | None:
        order = self._seal_order(record, call.order.tape.path, call, event)
        try:
            return await self._workshop.finish(
                AfterCallOrder(
                    seal=order,
                    cause=event.cause,
                    sip_status=event.sip_status,
                    q850=event.q850,
                    rang=any(one.sip_status == 180 for one in call.provisional),
                    answered_at=call.answered_at,
                    set_up_seconds=((call.answered_at or event.at) - (call.dialed_at or event.at)).total_seconds(),
                    by_simulation=self._by_simulation,
                    keep_in=self._kept_tapes,
                )
            )
        except (OnrecordError, OSError, BrokenProcessPool) as error:
            # The tape stays where it is and is shown as failed; `onrecord doctor` and reconcile name it.
            log.error("seal-failed", call=call.call_id, problem=str(error))
            await self._store.recordings.fail(call.order.tape.id, self._clock.now(), str(error)[:200])
            return None

    def _seal_order(
        self, record: CallRecord, path: Path, call: CallInFlight | None = None, event: LegEnded | None = None
    ) -> SealOrder:
        talk = None
        if record.answered_at is not None and event is not None:
            talk = TalkFact(answered_ms=None, talk_seconds=event.talk_seconds)
        return SealOrder(
            recording_id=record.recording_id,
            call_id=record.id,
            case_id=record.case_id,
            tape_path=path,
            facts={
                "number": call.masked if call else "",
                "channel": call.channel if call else "",
                "placed_at": record.placed_at.isoformat(),
                "trunk": (call.trunk if call else record.trunk) or "",
                "agents": list(call.agents_served) if call else [],
            },
            talk=talk,
            prompt_path=announcement_of(self._settings)
            if self._settings.recording.announcement and record.bridged_at is not None
            else None,
        )

    async def _attach(self, recording: Recording, at: datetime) -> None:
        """``at`` is when it was sealed; the demo's clock may leap between that and now."""
        await attach(self._store.recordings, recording, at)

    async def _conclude(
        self, call: CallInFlight, event: LegEnded, category: ProgressCategory, after: AfterCall | None
    ) -> str | None:
        """The person's word where a person talked, else what the sweep concludes from the network's."""
        now = self._clock.now()
        talked = bool(call.agents_served) and category is ProgressCategory.ANSWERED
        if talked and self._concluder is not None:
            file = await self._store.outcomes.file(call.case_id)
            outcome = await self._concluder(
                CallToConclude(
                    call_id=call.call_id,
                    case_id=call.case_id,
                    number_id=call.number_id,
                    channel=call.channel,
                    agent_id=call.agent_id or call.agents_served[-1],
                    balance=file.case.balance,
                    talk_seconds=event.talk_seconds,
                    heard=after.heard if after else None,
                    at=now,
                )
            )
            try:
                await self._follow_up.concluded(outcome, self._clock.now())
                return outcome.code
            except BadInput as error:
                # What was entered cannot stand (a hold came meanwhile, …): the call still counts as talked to.
                log.warning("outcome-refused", call=call.call_id, error_id=error.error_id, problem=error.problem)
                return None
        return await self._tell_network(call.call_id, category)

    async def _tell_network(self, call_id: str, category: ProgressCategory) -> str | None:
        code = BY_NETWORK.get(category)
        if code is None:
            return None
        record = await self._store.calls.get(call_id)
        outcome = NewOutcome(
            case_id=record.case_id, code=code.value, agent_id="dialer", call_id=call_id, number_id=record.number_id
        )
        try:
            await self._follow_up.concluded(outcome, self._clock.now())
        except (BadInput, Refused) as error:
            log.warning("network-outcome-refused", call=call_id, error_id=error.error_id, problem=error.problem)
            return None
        return code.value

    async def refused(self, candidate: Candidate, verdict: Verdict) -> None:
        """The policy refuses a number: for the sweep's time, and the workflow passes it by; for an hour, and it waits."""
        action = await self._store.agenda.live(candidate.case_id)
        if verdict.until is not None and action is not None and verdict.until <= action.latest:
            return
        event = CaseEvent(
            outcome=OutcomeCode.NUMBER_REFUSED,
            at=self._clock.now(),
            number_id=candidate.number_id,
            rule=verdict.rule,
        )
        try:
            await self._follow_up.happened(candidate.case_id, event)
        except (BadInput, Refused) as error:
            log.warning("refusal-not-told", case=candidate.case_id, error_id=error.error_id, problem=error.problem)

    async def seal_left(self, call: CallRecord, path: Path) -> None:
        try:
            after = await self._workshop.finish(
                AfterCallOrder(
                    seal=self._seal_order(call, path),
                    cause=HangupCause(call.cause) if call.cause else HangupCause.ORPHANED,
                    sip_status=call.sip_status,
                    q850=call.q850,
                    rang=call.ringing_at is not None,
                    answered_at=call.answered_at,
                    set_up_seconds=0.0,
                    keep_in=self._kept_tapes,
                )
            )
            now = self._clock.now()
            await self._attach(after.recording, now)
            await self._proof.ended(call.id)
            await self._proof.sealed(after.recording, now)
        except (OnrecordError, OSError, BrokenProcessPool) as error:
            # One bad tape must not keep a node from starting; it stays where it is and is shown as failed.
            log.error("recovered-tape-not-sealed", call=call.id, problem=str(error))
            await self._store.recordings.fail(call.recording_id, self._clock.now(), str(error)[:200])
            return
        log.info("recovered-tape-sealed", call=call.id, seconds=after.recording.seconds)

    async def conclude_left(self, call_id: str) -> None:
        call = await self._store.calls.get(call_id)
        if self._agents.is_owed(CallId(call_id)):
            await self._agents.remember(CallId(call_id))
            return
        told = {outcome.call_id for outcome in await self._store.outcomes.of_case(call.case_id)}
        if call_id in told:
            return
        if self._concluder is None and await self._agents.left(call):
            return
        await self._tell_network(call_id, ProgressCategory(call.category or ProgressCategory.UNKNOWN))


def _without_listening(event: LegEnded) -> ProgressCategory:
    return classify(cause=event.cause, sip_status=event.sip_status, q850=event.q850, answered=event.answered).category
