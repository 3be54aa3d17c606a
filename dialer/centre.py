"""The composition root: everything a node is made of, wired once.

    settings → store, recorder, relay, engine, floor, switchboard, workers, policy, follow-up → campaigns

Nothing else in the product makes these parts; doors and the demo ask the centre.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import CollectorRegistry

from case_store.calls import UnknownCall
from case_store.ledger import Candidate
from case_store.model import CallRecord, Money, RecordingState
from case_store.network import HangupCause, ProgressCategory
from case_store.outcomes import CaseFile, NewOutcome
from case_store.store import CaseStore
from case_store.sweep import Campaign
from case_store.verdict import Verdict
from case_store.workflow import CaseEvent, OutcomeCode
from config.calendars import local_day
from config.clock import Clock, SystemClock
from config.errors import BadInput, OnrecordError, Refused
from config.settings import DeskSettings, Settings
from dialer.aftercall import AfterCall, AfterCallOrder, Workshop
from dialer.agents import Agents, CollectorBarred, leads
from dialer.call import CallId
from dialer.campaign import CampaignRunner
from dialer.campaigns import Mode
from dialer.click import ClickToCall
from dialer.desk_controls import DeskControls
from dialer.dialing import Dialing, DialPlan, plan_of
from dialer.engine import Prompt, SipEngine
from dialer.events import LegEnded
from dialer.figures import CallTotals, FloorFigures
from dialer.floor import Agent, AgentState, Floor
from dialer.followup import BY_NETWORK, FollowUp, calendars_of, debtor_zone
from dialer.journal import FloorJournal, StoreJournal
from dialer.judge import judge_by
from dialer.line_health import LineHealth
from dialer.messages import abandonment_of, announcement_of
from dialer.pace_log import PaceLog
from dialer.pace_setter import PaceSetter
from dialer.pauses import short_pauses
from dialer.policy import load_sets
from dialer.preview import PreviewDesk
from dialer.progress.category import classify
from dialer.proof import LineProof
from dialer.resealing import Resealing
from dialer.schedule import Scheduler, run_beside
from dialer.seating import NoDesk
from dialer.switchboard import CallInFlight, Switchboard
from recording.attach import attach
from recording.first_keys import first_keys
from recording.recorder import Recorder
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


class NoSuchCallNow(BadInput):
    """The call ended, or never was."""

    error_id = "no-such-call-now"


@dataclass(kw_only=True)
class CentreParts:
    """What tests and the demo replace; production takes the defaults."""

    engine: SipEngine
    clock: Clock = field(default_factory=SystemClock)
    concluder: Concluder | None = None
    by_simulation: bool = False
    people: bool = True  # who sits at the desks; rule 1 is for people
    on_finished: Callable[[CallInFlight, CallRecord, Recording | None, str | None], None] | None = None
    kept_tapes: Path | None = None


class Centre:
    """One node. ``open`` starts everything in order and recovers what a crash left; ``close`` ends it in reverse."""

    def __init__(self, settings: Settings, parts: CentreParts, store: CaseStore) -> None:
        self.settings = settings
        self.clock = parts.clock
        self.store = store
        self.engine = parts.engine
        self.node = settings.vault.node
        self._parts = parts
        self.recorder = Recorder(settings.recording, self.clock)
        self.registry = CollectorRegistry()
        self.proof = LineProof(store, settings, self.clock, self.registry)
        store.attempts.audit = self.proof.audit
        self.health = LineHealth.of(settings, self.recorder)
        self.journal = StoreJournal(store, self.clock)
        self.floor = Floor(self.clock, on_move=self._agent_moved, pause_reasons=settings.floor.pause_reasons)
        self.totals = CallTotals(self.clock)
        self.switchboard = Switchboard(
            engine=self.engine,
            floor=self.floor,
            clock=self.clock,
            journal=FloorJournal(self.journal, self._pace_setters, self._call_over, self.totals.placed),
            on_end=self._finish,
            announcement=Prompt(name="recording-announcement", path=announcement_of(settings))
            if settings.recording.announcement
            else None,
            abandonment=Prompt(name="abandonment", path=abandonment_of(settings)),
            patience_seconds=settings.floor.patience_seconds,
            desk_gone=lambda call, agent: self.controls.desk_gone(call, agent),
        )
        self.workshop = Workshop(settings, settings.vault.workers)
        self._sets = load_sets(settings.policy_sets)
        self.judge = judge_by(
            self._sets,
            timedelta(hours=settings.floor.lockout_hours),
            grace_days=settings.workflow.promise_grace_days,
            protected=any(trunk.protected for trunk in settings.trunks),
        )
        self.follow_up = FollowUp(store, settings, calendars_of(settings), self._sets)
        self.scheduler = Scheduler(store, self.follow_up, self.clock, self.node)
        self.agents = Agents(
            node=self.node,
            settings=settings.floor,
            zone=ZoneInfo(settings.timezone),
            store=store,
            clock=self.clock,
            engine=self.engine,
            floor=self.floor,
            switchboard=self.switchboard,
            record=self.follow_up.concluded,
            on_ready=self._somebody_ready,
            rules_version=settings.workflow.collector_rules,
            people=parts.people,
        )
        self.figures = FloorFigures(
            totals=self.totals,
            floor=self.floor,
            switchboard=self.switchboard,
            pacers=lambda: [
                (name, runner.pace_setter) for name, runner in self.runners.items() if runner.pace_setter is not None
            ],
        )
        self.registry.register(self.figures)
        self.controls = DeskControls(
            engine=self.engine, floor=self.floor, switchboard=self.switchboard, journal=self.journal
        )
        self._clicks = self._dialing()
        self._click = ClickToCall(
            store=store,
            clock=self.clock,
            floor=self.floor,
            switchboard=self.switchboard,
            dialing=self._clicks,
            plan=lambda: plan_of(settings),
            cannot_tape=self._cannot_tape,
        )
        self._dialings: dict[str, Dialing] = {}
        self.preview = PreviewDesk(
            node=self.node,
            store=store,
            clock=self.clock,
            floor=self.floor,
            switchboard=self.switchboard,
            dialing_of=lambda campaign_id: self._dialings.get(campaign_id, self._clicks),
            refused=self.scheduler.refused,
            seconds=settings.floor.preview_seconds,
        )
        self.runners: dict[str, CampaignRunner] = {}
        self._running: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._campaign_tasks: dict[str, asyncio.Task[None]] = {}
        self._proving: asyncio.Task[None] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings, parts: CentreParts) -> AsyncIterator[Centre]:
        store = await CaseStore.open(settings.store.url)
        settings.recording.directory.mkdir(parents=True, exist_ok=True)
        settings.recording.shelf.mkdir(parents=True, exist_ok=True)
        try:
            sealed = await store.recordings.list(state=RecordingState.SEALED, limit=1)
            first_keys(settings, sealed_known=bool(sealed))
            centre = cls(settings, parts, store)
        except BaseException:
            await store.close()
            raise
        try:
            await centre._start()
            with short_pauses():
                yield centre
        finally:
            await centre._close()

    async def _start(self) -> None:
        # Calls that a crash left open end first; the workers wake up meanwhile.
        await asyncio.gather(self.engine.start(), self.workshop.warm_up(), self.health.start())
        self._running = [
            asyncio.create_task(self.journal.run(), name="journal"),
            asyncio.create_task(self.switchboard.run(), name="switchboard"),
            asyncio.create_task(self._hold_lease(), name="lease"),
        ]
        self._watching = asyncio.create_task(self.agents.watch(), name="agents")
        await self.agents.recall()
        await self.recover()
        await self.proof.recall()
        self._proving = asyncio.create_task(self.proof.run(), name="proof")
        self._running.append(asyncio.create_task(run_beside(self.scheduler), name="scheduler"))
        resealing = Resealing(
            store=self.store,
            node=self.node,
            clock=self.clock,
            healthy=lambda: not self.health.problems(),
            seal=self._seal_left,
        )
        self._running.append(asyncio.create_task(resealing.run(), name="resealing"))

    async def _close(self) -> None:
        for task in self._campaign_tasks.values():
            task.cancel()
        await asyncio.gather(*self._campaign_tasks.values(), return_exceptions=True)
        await self.agents.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for runner in self.runners.values():
            runner.close()
        await self.engine.close()
        if self._running:
            journal, switchboard, lease, *scheduler = self._running
            for task in scheduler:
                task.cancel()
            await asyncio.gather(*scheduler, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(switchboard), 30)
            await self.journal.close()
            await journal
            lease.cancel()
            await asyncio.gather(lease, switchboard, return_exceptions=True)
        await self._end_proving()
        self.workshop.close()
        await self.store.close()

    async def _end_proving(self) -> None:
        """What ended in the last moments is judged and anchored before the store closes."""
        self.health.close()
        if self._proving is None:
            return
        self._proving.cancel()
        await asyncio.gather(self._proving, return_exceptions=True)
        try:
            await self.proof.anchor()
        except (OnrecordError, OSError) as error:
            log.error("not-anchored", problem=str(error))

    async def recover(self) -> None:
        """What a crash left: attempts become LOST, tapes are sealed and attached to their calls by exact id.

        The work is what lies in the tape directory and what the store still shows as armed, never the history.
        """
        now = self.clock.now()
        lost = await self.store.attempts.recover(self.node, now)
        left = await self._left_tapes()
        if lost or left:
            log.warning("recovering", attempts=len(lost), tapes=len(left))
        await asyncio.gather(*(self._seal_left(call, path) for call, path in left))
        unconcluded = {call.id for call, _ in left} | {one.call_id for one in lost if one.call_id is not None}
        for call_id in sorted(unconcluded):
            await self._conclude_left(call_id)

    async def _left_tapes(self) -> list[tuple[CallRecord, Path]]:
        left = []
        for tape in await asyncio.to_thread(self.recorder.unsealed):
            try:
                left.append((await self.store.calls.get(tape.call_id), tape.path))
            except UnknownCall:
                # Armed, and then the crash came before the call was written: nobody was called.
                gone = await asyncio.to_thread(self.recorder.discard, tape)
                log.warning("tape-without-call", call=tape.call_id, discarded=gone)
        lying = {call.id for call, _ in left}
        after: str | None = None
        while page := await self.store.recordings.list(state=RecordingState.ARMED, after=after):
            # Sealed by a worker, and then the crash came before the store was told: the manifest knows.
            of_tapes = {one.call_id: Path(one.tape_path) for one in page if one.call_id not in lying}
            calls = [await self.store.calls.get(call_id) for call_id in of_tapes]
            left += [(call, of_tapes[call.id]) for call in calls if call.node == self.node]
            after = page[-1].id
        return left

    async def _seal_left(self, call: CallRecord, path: Path) -> None:
        try:
            after = await self.workshop.finish(
                AfterCallOrder(
                    seal=self._seal_order(call, path),
                    cause=HangupCause(call.cause) if call.cause else HangupCause.ORPHANED,
                    sip_status=call.sip_status,
                    q850=call.q850,
                    rang=call.ringing_at is not None,
                    answered_at=call.answered_at,
                    set_up_seconds=0.0,
                    keep_in=self._parts.kept_tapes,
                )
            )
            now = self.clock.now()
            await self._attach(after.recording, now)
            await self.proof.ended(call.id)
            await self.proof.sealed(after.recording, now)
        except (OnrecordError, OSError, BrokenProcessPool) as error:
            # One bad tape must not keep a node from starting; it stays where it is and is shown as failed.
            log.error("recovered-tape-not-sealed", call=call.id, problem=str(error))
            await self.store.recordings.fail(call.recording_id, self.clock.now(), str(error)[:200])
            return
        log.info("recovered-tape-sealed", call=call.id, seconds=after.recording.seconds)

    async def _conclude_left(self, call_id: str) -> None:
        call = await self.store.calls.get(call_id)
        if self.agents.is_owed(CallId(call_id)):
            await self.agents.remember(CallId(call_id))
            return
        told = {outcome.call_id for outcome in await self.store.outcomes.of_case(call.case_id)}
        if call_id in told:
            return
        if self._parts.concluder is None and await self.agents.left(call):
            return
        await self._tell_network(call_id, ProgressCategory(call.category or ProgressCategory.UNKNOWN))

    # Agents

    async def seat(self, desk: DeskSettings, *, agent_id: str, name: str, is_leader: bool = False) -> Agent:
        """Nail up an agent's desk and put the agent on the floor. Raises ``CollectorBarred``, ``NoDesk``, ``BadInput``."""
        return await self.agents.seat(desk, agent_id=agent_id, name=name, is_leader=is_leader)

    async def open_floor(self) -> None:
        """Seat every desk of the settings. A phone that does not answer is logged and its agent stays offline.

        The agent of a desk is the user who sits there, or who has the desk's name.
        """

        async def sit(desk: DeskSettings) -> None:
            user = await self.agents.user_at(desk.name)
            agent_id, name = (desk.name, desk.name) if user is None else (user.name, user.display_name)
            try:
                await self.seat(desk, agent_id=agent_id, name=name, is_leader=leads(user))
            except OnrecordError as error:
                log.error("desk-not-seated", desk=desk.name, error_id=error.error_id, problem=error.problem)
                self.agents.not_seated(agent_id)

        await asyncio.gather(*(sit(desk) for desk in self.settings.desks))

    async def agent_ready(self, agent_id: str) -> None:
        """The pause is over or the outcome entered: the agent takes calls again. Raises BadInput while one is owed."""
        await self.agents.ready(agent_id)

    async def _somebody_ready(self) -> None:
        await self.switchboard.agent_free()
        self._wake_all()

    async def mask(self, call_id: str, on: bool, *, actor: str, reason: str) -> None:
        """A sensitive moment begins or ends: marked on the tape and in the audit log. Raises ``NoSuchCallNow``."""
        call = self.switchboard.find(CallId(call_id))
        if call is None or call.leg is None:
            raise NoSuchCallNow("this call is not under way", field="call_id", remedy="mask while people talk")
        await self.proof.note(
            actor,
            "call.mask-on" if on else "call.mask-off",
            call_id,
            case_id=call.case_id,
            recording_id=call.order.tape.id,
            reason=reason,
        )
        await self.engine.mark(call.leg, "mask-on" if on else "mask-off", actor=actor, reason=reason)

    async def entered(self, call_id: str) -> None:
        """The call's outcome came in through the doors: whoever talked is free."""
        await self.agents.entered(CallId(call_id))

    async def call_now(self, agent_id: str, case_id: str, number_id: str) -> CallInFlight:
        """Click-to-call: judged, booked and taped like any call, for this agent. Raises ``ClickRefused``, BadInput."""
        return await self._click.call(agent_id, case_id, number_id)

    # Campaigns

    async def create_campaign(self, name: str, placement_ids: Sequence[str]) -> Campaign:
        return await self.store.sweep.create(name, placement_ids, self.clock.now(), state="paused")

    def runner(self, campaign: Campaign, plan: DialPlan) -> CampaignRunner:
        dialing = self._dialings.setdefault(campaign.id, self._dialing())
        made = CampaignRunner(
            campaign_id=campaign.id,
            plan=plan,
            node=self.node,
            store=self.store,
            clock=self.clock,
            dialing=dialing,
            problems=self.health.problems,
            switchboard=self.switchboard,
            floor=self.floor,
            trunks=len(self.settings.trunks),
            mode=Mode(campaign.mode),
            make_pace_setter=lambda: self._pace_setter(campaign.id),
            preview=self.preview,
            scheduler=self.scheduler if plan.redials else None,
            zone=ZoneInfo(self.settings.timezone),
        )
        self.runners[campaign.id] = made
        return made

    def _dialing(self) -> Dialing:
        return Dialing(
            node=self.node,
            store=self.store,
            clock=self.clock,
            judge=self.judge,
            recorder=self.recorder,
            problems=self.health.problems,
            switchboard=self.switchboard,
            on_refusal=self._refused,
            on_unplaced=self._unplaced,
        )

    def _pace_setter(self, campaign_id: str) -> PaceSetter:
        floor = self.settings.floor
        kept = PaceLog(floor.pace_log, campaign_id, floor.pace_log_bytes) if floor.pace_log is not None else None
        return PaceSetter(
            clock=self.clock,
            target=floor.abandonment_target,
            limit=floor.abandonment_limit,
            patience=floor.patience_seconds,
            zone=ZoneInfo(self.settings.timezone),
            log=kept,
        )

    async def switch_mode(self, campaign_id: str, mode: Mode) -> Campaign:
        """While it runs or rests; calls on their way end as they were begun."""
        campaign = await self.store.sweep.change(campaign_id, self.clock.now(), mode=mode.value)
        if (runner := self.runners.get(campaign.id)) is not None:
            runner.switch_mode(mode)
        return campaign

    async def start_campaign(self, campaign_id: str, plan: DialPlan) -> CampaignRunner:
        """Let a campaign dial in the background until it is paused or finished."""
        campaign = await self.store.sweep.change(campaign_id, self.clock.now(), state="running")
        running = self._campaign_tasks.get(campaign.id)
        if running is not None and not running.done():
            return self.runners[campaign.id]
        made = self.runner(campaign, plan)
        self._campaign_tasks[campaign.id] = asyncio.create_task(made.run(), name=f"campaign-{campaign.name}")
        return made

    async def resume_campaigns(self, plan: DialPlan) -> None:
        """After a restart, what was running goes on where it stopped."""
        for campaign in await self.store.sweep.all():
            if campaign.state == "running":
                await self.start_campaign(campaign.id, plan)

    async def pause_campaign(self, campaign_id: str) -> None:
        if (made := self.runners.get(campaign_id)) is not None:
            await made.pause()
        else:
            await self.store.sweep.change(campaign_id, self.clock.now(), state="paused")

    # After a call

    async def _finish(self, call: CallInFlight, event: LegEnded) -> None:
        await self.journal.settle()
        await self.agents.keep(call.call_id)
        record = await self.store.calls.get(call.call_id)
        after = await self._after_call(call, event, record)
        now = self.clock.now()
        category = after.progress.category if after else _without_listening(event)
        ended = await self.store.calls.end(
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
        await self.proof.ended(call.call_id)
        if after is not None:
            await self.proof.sealed(after.recording, now)
        talked = bool(call.agents_served) and category is ProgressCategory.ANSWERED
        code = None
        if talked and self._parts.concluder is None:
            # Owed to the doors until somebody enters it: that the tape is sealed settles nothing.
            await self.agents.remember(call.call_id)
        elif self._parts.concluder is not None or not call.agents_served or self.agents.is_owed(call.call_id):
            code = await self._conclude(call, event, category, after)
            await self.agents.forgive(call.call_id)
        if self._parts.on_finished is not None:
            self._parts.on_finished(call, ended, after.recording if after else None, code)
        self._wake_all()

    async def _unplaced(self, call: CallInFlight, error: OnrecordError) -> None:
        """No INVITE left: the call ends as the trunk's trouble, and its empty tape is sealed like any other."""
        now = self.clock.now()
        await self.store.calls.end(
            call.call_id,
            now,
            cause=HangupCause.TRUNK_DOWN,
            category=ProgressCategory.TRUNK_TROUBLE,
            reason=error.error_id,
            origin="engine",
            talked=False,
        )
        await self._seal_left(await self.store.calls.get(call.call_id), call.order.tape.path)

    async def _after_call(self, call: CallInFlight, event: LegEnded, record: CallRecord) -> AfterCall | None:
        order = self._seal_order(record, call.order.tape.path, call, event)
        try:
            return await self.workshop.finish(
                AfterCallOrder(
                    seal=order,
                    cause=event.cause,
                    sip_status=event.sip_status,
                    q850=event.q850,
                    rang=any(one.sip_status == 180 for one in call.provisional),
                    answered_at=call.answered_at,
                    set_up_seconds=((call.answered_at or event.at) - (call.dialed_at or event.at)).total_seconds(),
                    by_simulation=self._parts.by_simulation,
                    keep_in=self._parts.kept_tapes,
                )
            )
        except (OnrecordError, OSError, BrokenProcessPool) as error:
            # The tape stays where it is and is shown as failed; `onrecord doctor` and reconcile name it.
            log.error("seal-failed", call=call.call_id, problem=str(error))
            await self.store.recordings.fail(call.order.tape.id, self.clock.now(), str(error)[:200])
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
            prompt_path=announcement_of(self.settings)
            if self.settings.recording.announcement and record.bridged_at is not None
            else None,
        )

    async def _attach(self, recording: Recording, at: datetime) -> None:
        """``at`` is when it was sealed; the demo's clock may leap between that and now."""
        await attach(self.store.recordings, recording, at)

    async def _conclude(
        self, call: CallInFlight, event: LegEnded, category: ProgressCategory, after: AfterCall | None
    ) -> str | None:
        """The person's word where a person talked, else what the sweep concludes from the network's."""
        now = self.clock.now()
        talked = bool(call.agents_served) and category is ProgressCategory.ANSWERED
        if talked and self._parts.concluder is not None:
            file = await self.store.outcomes.file(call.case_id)
            outcome = await self._parts.concluder(
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
                await self.follow_up.concluded(outcome, self.clock.now())
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
        record = await self.store.calls.get(call_id)
        outcome = NewOutcome(
            case_id=record.case_id, code=code.value, agent_id="dialer", call_id=call_id, number_id=record.number_id
        )
        try:
            await self.follow_up.concluded(outcome, self.clock.now())
        except (BadInput, Refused) as error:
            log.warning("network-outcome-refused", call=call_id, error_id=error.error_id, problem=error.problem)
            return None
        return code.value

    async def _refused(self, candidate: Candidate, verdict: Verdict) -> None:
        """The policy refuses a number: for the sweep's time, and the workflow passes it by; for an hour, and it waits."""
        action = await self.store.agenda.live(candidate.case_id)
        if verdict.until is not None and action is not None and verdict.until <= action.latest:
            return
        event = CaseEvent(
            outcome=OutcomeCode.NUMBER_REFUSED,
            at=self.clock.now(),
            number_id=candidate.number_id,
            rule=verdict.rule,
        )
        try:
            await self.follow_up.happened(candidate.case_id, event)
        except (BadInput, Refused) as error:
            log.warning("refusal-not-told", case=candidate.case_id, error_id=error.error_id, problem=error.problem)

    # Smaller parts

    def _cannot_tape(self) -> str | None:
        """Why no call may leave, or None."""
        return "the media relay is down" if not self.switchboard.relay_up else "; ".join(self.health.problems()) or None

    def _pace_setters(self) -> list[PaceSetter]:
        return [runner.pace_setter for runner in self.runners.values() if runner.pace_setter is not None]

    def _call_over(self, call: CallInFlight, event: LegEnded) -> None:
        self.totals.ended(call, event)
        self.controls.ended(call)
        if self._parts.concluder is None:  # a simulated collector concludes by itself, and owes nothing
            self.agents.talked(call)

    def _agent_moved(self, agent: Agent, old: AgentState) -> None:
        self.journal.agent(agent, old.value)
        self.agents.moved(agent)
        if agent.state is AgentState.READY:
            self.switchboard.somebody_ready()
        for setter in self._pace_setters():
            setter.agent_moved(agent, old)

    def _wake_all(self) -> None:
        for runner in self.runners.values():
            runner.wake()

    async def _hold_lease(self) -> None:
        while True:
            await self.store.attempts.hold_lease(self.node, self.clock.now())
            await asyncio.sleep(5)


def _without_listening(event: LegEnded) -> ProgressCategory:
    return classify(cause=event.cause, sip_status=event.sip_status, q850=event.q850, answered=event.answered).category


def promised_day(file: CaseFile, house_zone: str, now: datetime, days: int) -> date:
    """The debtor's local calendar day ``days`` from now."""
    return local_day(now, ZoneInfo(debtor_zone(file, house_zone))) + timedelta(days=days)


__all__ = ["CallToConclude", "Centre", "CentreParts", "CollectorBarred", "Concluder", "NoDesk", "promised_day"]
