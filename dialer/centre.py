"""The composition root: everything a node is made of, wired once.

    settings → store, recorder, relay, engine, floor, switchboard, workers, policy, follow-up → campaigns

Nothing else in the product makes these parts; doors and the demo ask the centre.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import CollectorRegistry

from case_store.model import RecordingState
from case_store.store import CaseStore
from case_store.sweep import Campaign
from config.clock import Clock, SystemClock
from config.errors import BadInput, OnrecordError
from config.settings import DeskSettings, Settings
from dialer.aftercall import Workshop
from dialer.agents import Agents, CollectorBarred, leads
from dialer.call import CallId
from dialer.call_end import CallEnd, CallToConclude, Concluder, OnFinished
from dialer.campaign import CampaignRunner
from dialer.campaigns import Mode
from dialer.click import ClickToCall
from dialer.crash_recovery import CrashRecovery
from dialer.desk_controls import DeskControls
from dialer.dialing import Dialing, DialPlan, plan_of
from dialer.engine import Prompt, SipEngine
from dialer.events import LegEnded
from dialer.figures import CallTotals, FloorFigures
from dialer.floor import Agent, AgentState, Floor
from dialer.floor_journal import FloorJournal
from dialer.followup import FollowUp, calendars_of
from dialer.journal import StoreJournal
from dialer.judge import judge_by
from dialer.line_health import LineHealth
from dialer.messages import abandonment_of, announcement_of
from dialer.pace_log import PaceLog
from dialer.pace_memory import PaceMemory
from dialer.pace_setter import PaceSetter
from dialer.pauses import short_pauses
from dialer.policy import load_sets
from dialer.preview import PreviewDesk
from dialer.proof import LineProof
from dialer.resealing import Resealing
from dialer.schedule import Scheduler, run_beside
from dialer.seating import NoDesk
from dialer.switchboard import CallInFlight, Switchboard
from recording.first_keys import first_keys
from recording.folders import make_folders
from recording.recorder import Recorder

log = structlog.get_logger(__name__)


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
    on_finished: OnFinished | None = None
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
            on_end=lambda call, event: self.call_end.finish(call, event),
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
        self.call_end = CallEnd(
            store=store,
            settings=settings,
            clock=self.clock,
            workshop=self.workshop,
            proof=self.proof,
            agents=self.agents,
            follow_up=self.follow_up,
            journal=self.journal,
            wake=self._wake_all,
            concluder=parts.concluder,
            by_simulation=parts.by_simulation,
            kept_tapes=parts.kept_tapes,
            on_finished=parts.on_finished,
        )
        self.recovery = CrashRecovery(
            store=store, recorder=self.recorder, clock=self.clock, node=self.node, end=self.call_end
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
        make_folders(settings)
        store = await CaseStore.open(settings.store.url)
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
        await self.recovery.recover()
        await self.proof.recall()
        self._proving = asyncio.create_task(self.proof.run(), name="proof")
        self._running.append(asyncio.create_task(run_beside(self.scheduler), name="scheduler"))
        resealing = Resealing(
            store=self.store,
            node=self.node,
            clock=self.clock,
            healthy=lambda: not self.health.problems(),
            seal=self.call_end.seal_left,
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
            await runner.close()
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
        memory = PaceMemory(store=self.store, clock=self.clock, campaign_id=campaign.id, node=self.node)
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
            make_pace_setter=lambda: self._pace_setter(campaign.id, memory),
            memory=memory,
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
            on_refusal=self.call_end.refused,
            on_unplaced=self.call_end.unplaced,
        )

    async def _pace_setter(self, campaign_id: str, memory: PaceMemory) -> PaceSetter:
        floor = self.settings.floor
        kept = PaceLog(floor.pace_log, campaign_id, floor.pace_log_bytes) if floor.pace_log is not None else None
        return PaceSetter(
            clock=self.clock,
            campaign_id=campaign_id,
            target=floor.abandonment_target,
            limit=floor.abandonment_limit,
            patience=floor.patience_seconds,
            zone=ZoneInfo(self.settings.timezone),
            log=kept,
            learnt=await memory.recall(target=floor.abandonment_target, patience=floor.patience_seconds),
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


__all__ = ["CallToConclude", "Centre", "CentreParts", "CollectorBarred", "Concluder", "NoDesk"]
