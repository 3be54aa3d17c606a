"""The whole floor over the scripted engine: modes, outcomes, lock-outs, and what the campaign says of itself."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from case_store.model import Channel
from case_store.network import HangupCause
from case_store.outcomes import NewOutcome
from case_store.store import CaseStore
from case_store.sweep import Campaign
from case_store.workflow import CaseEvent, OutcomeCode
from config.calendars import Calendar, local_day, local_instant, zone
from config.clock import ShiftedClock
from config.errors import BadInput
from config.settings import (
    DeskSettings,
    FloorSettings,
    RecordingSettings,
    Settings,
    StoreSettings,
    TrunkSettings,
    VaultSettings,
)
from dialer.agents import CollectorBarred, OutcomeOwed
from dialer.call import CallId, CallOrder
from dialer.campaign import CampaignRunner
from dialer.campaigns import Mode
from dialer.centre import Centre, CentreParts
from dialer.click import ClickRefused
from dialer.dialing import DialPlan
from dialer.engines.scripted import Answer, Provisional, Release, Script, ScriptedEngine
from dialer.floor import AgentState
from dialer.followup import follow_up_over
from dialer.pace_log import replay
from dialer.pace_setter import restore_gated
from tests.contract.store.world import case_line, load

DESKS = ("collector", "colleague", "team_leader")
TALKS: Script = (Provisional(after=0.05), Answer(after=0.1), Release(after=0.6))
SILENT: Script = (Provisional(after=0.05), Release(after=0.5, cause=HangupCause.NO_ANSWER, status=480))


def working_morning() -> ShiftedClock:
    house = zone("Asia/Shanghai")
    day: date = local_day(datetime.now(UTC), house)
    while not Calendar("CN").is_working_day(day):
        day += timedelta(days=1)
    return ShiftedClock(local_instant(day, time(10), house))


class House:
    """A centre with its campaign over ``cases`` people with one mobile each."""

    centre: Centre
    campaign: Campaign

    def __init__(self, root: Path, script: Callable[[CallOrder], Script], floor: FloorSettings) -> None:
        self.root = root
        self.clock = working_morning()
        self.engine = ScriptedEngine(self.clock, script)
        self.settings = Settings(
            recording=RecordingSettings(
                directory=root / "tapes", shelf=root / "shelf", low_watermark_bytes=0, announcement=False
            ),
            trunks=(TrunkSettings(name="scripted", host="127.0.0.1"),),
            desks=tuple(DeskSettings(name=name, uri="sip:d@memory") for name in DESKS),
            store=StoreSettings(url=f"sqlite+aiosqlite:///{root / 'store.db'}"),
            vault=VaultSettings(
                master_key=f"file:{root / 'master.json'}",
                signing_key=f"file:{root / 'signing.json'}",
                state=root / "proof",
            ),
            floor=floor,
        )

    @asynccontextmanager
    async def opened(self, people: bool = False) -> AsyncIterator[Centre]:
        """A centre over whatever lies in ``root``; again after a restart."""
        async with Centre.open(
            self.settings, CentreParts(engine=self.engine, clock=self.clock, people=people)
        ) as centre:
            self.centre = centre
            yield centre

    async def fill(self, cases: int, agents: int, mode: Mode) -> None:
        now = self.clock.now()
        lines = [case_line(f"C{n:03d}", mobile=f"1390000{n:04d}") for n in range(cases)]
        report = await load(self.centre.store, self.root, now, *lines)
        self.campaign = await self.centre.store.sweep.create("sweep", [report.placement_id], now, mode=mode.value)
        for n in range(agents):
            await self.centre.seat(DeskSettings(name=f"desk-{n}", uri="sip:d@memory"), agent_id=f"agent-{n}", name="A")

    def runner(self, lines: int = 30, *, redials: bool = False) -> CampaignRunner:
        return self.centre.runner(self.campaign, DialPlan(lines=lines, ring_seconds=20, redials=redials))

    async def redial_due(self, case_id: str) -> None:
        """The clock leaps to where the case is called again."""
        async with asyncio.timeout(15):
            while (action := await self.centre.store.agenda.live(case_id)) is None or action.action != "redial":  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.05)
        self.clock.advance_to(action.earliest + timedelta(seconds=1))

    async def numbers(self) -> list[tuple[str, str]]:
        """(case id, number id), in the order of the placement."""
        listed = await self.centre.store.cases.list(limit=100)
        found = []
        for line in sorted(listed, key=lambda one: one.case.client_ref):
            page = await self.centre.store.cases.page(line.case.id)
            found.append((line.case.id, next(one.id for one in page.numbers if one.channel is Channel.MOBILE)))
        return found

    async def call_ended(self) -> None:
        async with asyncio.timeout(10):
            while all(call.cause is None for call in await self.centre.store.calls.list()):  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.05)

    async def until(self, what: Callable[[], bool], within: float = 15) -> None:
        async with asyncio.timeout(within):
            while not what():  # noqa: ASYNC110  # the truth lies in the floor's own state, told to nobody
                await asyncio.sleep(0.02)


@asynccontextmanager
async def house(
    root: Path,
    script: Callable[[CallOrder], Script],
    floor: FloorSettings,
    *,
    cases: int,
    agents: int,
    mode: Mode,
    people: bool = False,
) -> AsyncIterator[House]:
    made = House(root, script, floor)
    async with made.opened(people):
        await made.fill(cases, agents, mode)
        yield made


def heard(seed: int, share: float) -> Callable[[CallOrder], Script]:
    draw = random.Random(seed)
    return lambda _order: TALKS if draw.random() < share else SILENT


async def enter_outcomes(at: House, ended: asyncio.Event) -> None:
    """Collectors who conclude as soon as they are asked."""
    while not ended.is_set():
        for owed in at.centre.agents.owed():
            await at.centre.agents.conclude(
                NewOutcome(
                    case_id=owed.case_id,
                    code="SELF_NEGOTIATING",
                    agent_id=owed.agent_id,
                    call_id=owed.call_id,
                    number_id=owed.number_id,
                )
            )
        await asyncio.sleep(0.05)


async def test_predictive_dials_more_than_its_agents_leaves_nobody_in_silence_and_can_be_replayed(
    tmp_path: Path,
) -> None:
    floor = FloorSettings(pace_log=tmp_path / "pacing", abandonment_target=0.03)
    async with house(tmp_path, heard(3, 0.3), floor, cases=40, agents=3, mode=Mode.PREDICTIVE) as at:
        runner = at.runner()
        most = 0
        ended = asyncio.Event()
        entering = asyncio.create_task(enter_outcomes(at, ended))
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(40):
            while not running.done():
                unanswered = sum(call.answered_at is None for call in at.centre.switchboard)
                most = max(most, unanswered)
                await asyncio.sleep(0.05)
        ended.set()
        await entering
        await running
        setter = runner.pace_setter
        assert setter is not None
        assert most > 3
        calls = await at.centre.store.calls.list(limit=200)
        answered = [call for call in calls if call.answered]
        assert len(calls) == 40
        assert len(answered) > 3
        for call in answered:
            assert call.bridged_at is not None or call.cause == HangupCause.ABANDONED
        dropped = sum(call.cause == HangupCause.ABANDONED for call in answered)
        assert setter.ledger.totals(setter.today) == (len(answered), dropped)
        kept = await at.centre.store.ledger.abandonment(at.campaign.id, at.clock.now() - timedelta(days=30))
        assert sum(day[1] for day in kept) == len(answered)
        assert sum(day[2] for day in kept) == dropped
        setter.close()
        decisions = list(replay(tmp_path / "pacing" / f"{at.campaign.id}.jsonl", restore_gated))
        assert len(decisions) > 5
        assert all(then == now for _line, then, now in decisions)
        assert sum(then.place for _line, then, _now in decisions) >= 40


async def test_an_abandoned_person_hears_the_message_and_is_locked_out(tmp_path: Path) -> None:
    floor = FloorSettings(patience_seconds=0.3)
    async with house(tmp_path, lambda _order: TALKS, floor, cases=1, agents=1, mode=Mode.PREDICTIVE) as at:
        [(case_id, number_id)] = await at.numbers()
        runner = at.runner()
        runner.state = runner.state.RUNNING
        async with asyncio.timeout(10):
            while not await runner.step():  # noqa: ASYNC110  # a gate may still be shut: the health of the line is not known at once
                await asyncio.sleep(0.05)
        at.centre.agents.pause("agent-0", "meal")  # the agent leaves while the phone rings
        await at.until(lambda: len(at.centre.switchboard) == 0 and at_rest(at))
        at.centre.floor.ready("agent-0")
        await at.call_ended()
        [call] = await at.centre.store.calls.list()
        assert call.cause == HangupCause.ABANDONED
        assert runner.pace_setter is not None
        assert runner.pace_setter.counts["dropped"] == 1
        with pytest.raises(ClickRefused, match="house-lock-out"):
            await at.centre.call_now("agent-0", case_id, number_id)
        assert at.centre.floor.agent("agent-0").state is AgentState.READY


def at_rest(at: House) -> bool:
    return at.centre.floor.agent("agent-0").state is AgentState.PAUSED


async def test_preview_shows_a_case_and_dials_only_what_is_accepted(tmp_path: Path) -> None:
    async with house(tmp_path, lambda _order: TALKS, FloorSettings(), cases=3, agents=1, mode=Mode.PREVIEW) as at:
        runner = at.runner()
        running = asyncio.create_task(runner.run())
        await at.until(lambda: at.centre.preview.offered("agent-0") is not None)
        first = at.centre.preview.offered("agent-0")
        assert first is not None
        assert at.centre.floor.agent("agent-0").state is AgentState.RESERVED
        await at.centre.preview.skip("agent-0", "asked to be called in the evening")
        await at.until(lambda: at.centre.preview.offered("agent-0") is not None)
        second = at.centre.preview.offered("agent-0")
        assert second is not None
        assert second.candidate.case_id != first.candidate.case_id
        assert await at.centre.store.calls.list() == ()
        call = await at.centre.preview.accept("agent-0")
        assert call is not None
        assert call.case_id == second.candidate.case_id
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP)
        await runner.pause()
        await running


async def test_an_outcome_is_owed_until_it_is_entered_and_goes_to_the_leader_when_the_screen_dies(
    tmp_path: Path,
) -> None:
    floor = FloorSettings(wrap_up_seconds=1.5)
    async with house(tmp_path, lambda _order: TALKS, floor, cases=1, agents=1, mode=Mode.MANUAL) as at:
        [(case_id, number_id)] = await at.numbers()
        call = await at.centre.call_now("agent-0", case_id, number_id)
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP)
        with pytest.raises(BadInput, match="an outcome is owed"):
            await at.centre.agent_ready("agent-0")
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.PAUSED)
        assert at.centre.floor.agent("agent-0").reason == "outcome-missing"
        async with asyncio.timeout(15):
            while True:
                action = await at.centre.store.agenda.live(case_id)
                if action is not None and (action.action, action.owner) == ("ENTER_OUTCOME", "leader"):
                    break
                await asyncio.sleep(0.05)
        await at.centre.agents.conclude(
            NewOutcome(
                case_id=case_id, code="SELF_NEGOTIATING", agent_id="leader-1", call_id=call.call_id, number_id=number_id
            )
        )
        action = await at.centre.store.agenda.live(case_id)
        assert action is not None
        assert action.action != "ENTER_OUTCOME"
        assert at.centre.agents.owed() == ()


async def test_a_sealed_tape_settles_no_outcome(tmp_path: Path) -> None:
    """What the agent owes was once forgiven as soon as the worker had sealed the tape: a race against the wrap-up limit."""
    async with house(tmp_path, lambda _order: TALKS, FloorSettings(), cases=1, agents=1, mode=Mode.MANUAL) as at:
        [(case_id, number_id)] = await at.numbers()
        call = await at.centre.call_now("agent-0", case_id, number_id)
        async with asyncio.timeout(30):
            while (await at.centre.store.calls.get(call.call_id)).state != "settled":  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.05)
            await at.centre.switchboard.quiet()
        assert [owed.call_id for owed in at.centre.agents.owed()] == [call.call_id]
        assert at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP
        action = await at.centre.store.agenda.live(case_id)
        assert action is not None
        assert (action.action, action.owner) == ("ENTER_OUTCOME", "agent-0")
        with pytest.raises(BadInput, match="an outcome is owed"):
            await at.centre.agent_ready("agent-0")


async def test_an_owed_outcome_survives_a_restart(tmp_path: Path) -> None:
    desk = DeskSettings(name="desk-0", uri="sip:d@memory")
    async with house(tmp_path, lambda _order: TALKS, FloorSettings(), cases=1, agents=1, mode=Mode.MANUAL) as at:
        [(case_id, number_id)] = await at.numbers()
        call = await at.centre.call_now("agent-0", case_id, number_id)
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP)
    again = House(tmp_path, lambda _order: TALKS, FloorSettings())
    async with again.opened() as centre:
        assert [(one.call_id, one.owner) for one in centre.agents.owed()] == [(call.call_id, "agent-0")]
        agent = await centre.seat(desk, agent_id="agent-0", name="A")
        assert (agent.state, agent.reason) == (AgentState.PAUSED, "outcome-missing")
        with pytest.raises(OutcomeOwed):
            await centre.agent_ready("agent-0")
        await centre.agents.conclude(
            NewOutcome(
                case_id=case_id, code="SELF_NEGOTIATING", agent_id="agent-0", call_id=call.call_id, number_id=number_id
            )
        )
        await centre.agent_ready("agent-0")
    third = House(tmp_path, lambda _order: TALKS, FloorSettings())
    async with third.opened() as centre:
        assert centre.agents.owed() == ()


async def test_a_crash_in_the_middle_of_a_talk_leaves_its_outcome_owed_and_the_limit_makes_it_the_leaders(
    tmp_path: Path,
) -> None:
    stays: Script = (Provisional(after=0.05), Answer(after=0.1))
    (tmp_path / "before").mkdir()
    async with house(tmp_path / "before", lambda _o: stays, FloorSettings(), cases=1, agents=1, mode=Mode.MANUAL) as at:
        [(case_id, number_id)] = await at.numbers()
        call = await at.centre.call_now("agent-0", case_id, number_id)
        await at.until(lambda: call.bridged_at is not None)
        await at.centre.journal.settle()
        shutil.copytree(at.root, tmp_path / "after", ignore=shutil.ignore_patterns("store.db*"))
        with (  # what the disk held at the moment of the crash
            closing(sqlite3.connect(at.root / "store.db")) as alive,
            closing(sqlite3.connect(tmp_path / "after" / "store.db")) as copy,
        ):
            alive.backup(copy)
    again = House(tmp_path / "after", lambda _order: TALKS, FloorSettings(wrap_up_seconds=0.5))
    async with again.opened() as centre:
        assert [one.call_id for one in centre.agents.owed()] == [call.call_id]
        async with asyncio.timeout(15):
            while True:
                action = await centre.store.agenda.live(case_id)
                if action is not None and (action.action, action.owner) == ("ENTER_OUTCOME", "leader"):
                    break
                await asyncio.sleep(0.05)
        assert [outcome.code for outcome in await centre.store.outcomes.of_case(case_id)] == []


async def test_an_outcome_taken_by_another_process_frees_the_agent(tmp_path: Path) -> None:
    async with house(tmp_path, lambda _order: TALKS, FloorSettings(), cases=1, agents=1, mode=Mode.MANUAL) as at:
        [(case_id, number_id)] = await at.numbers()
        call = await at.centre.call_now("agent-0", case_id, number_id)
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP)
        await at.centre.switchboard.quiet()
        other = await CaseStore.open(at.settings.store.url)
        try:
            event = CaseEvent(
                outcome=OutcomeCode.SELF_NEGOTIATING, at=at.clock.now(), number_id=number_id, by="agent-0"
            )
            await follow_up_over(other, at.settings).entered(case_id, event, call_id=call.call_id)
        finally:
            await other.close()
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.READY)


def silent_then_talks() -> Callable[[CallOrder], Script]:
    calls = iter((SILENT,))
    return lambda _order: next(calls, TALKS)


@pytest.mark.parametrize("mode", [Mode.PROGRESSIVE, Mode.PREDICTIVE])
async def test_a_promise_to_call_again_is_kept_by_an_agent_who_is_there_for_it(tmp_path: Path, mode: Mode) -> None:
    async with house(tmp_path, silent_then_talks(), FloorSettings(), cases=1, agents=1, mode=mode) as at:
        [(case_id, _number_id)] = await at.numbers()
        runner = at.runner(redials=True)
        running = asyncio.create_task(runner.run())
        await at.call_ended()
        await at.redial_due(case_id)
        reserved_for: list[str | None] = []
        await at.until(
            lambda: bool(reserved_for) or bool([reserved_for.append(c.agent_id) for c in at.centre.switchboard])
        )
        assert reserved_for[0] == "agent-0"
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP)
        again, first = await at.centre.store.calls.list()
        assert (first.agent_id, again.agent_id) == (None if mode is Mode.PREDICTIVE else "agent-0", "agent-0")
        await runner.pause()
        await running


async def test_a_preview_shows_redials_too_and_a_skipped_one_comes_back(tmp_path: Path) -> None:
    async with house(tmp_path, silent_then_talks(), FloorSettings(), cases=1, agents=1, mode=Mode.PREVIEW) as at:
        [(case_id, _number_id)] = await at.numbers()
        runner = at.runner(redials=True)
        running = asyncio.create_task(runner.run())
        offered = at.centre.preview.offered
        await at.until(lambda: offered("agent-0") is not None)
        assert await at.centre.preview.accept("agent-0") is not None
        await at.call_ended()
        await at.redial_due(case_id)
        await at.until(lambda: offered("agent-0") is not None)
        first = offered("agent-0")
        assert first is not None
        assert first.redial is not None
        await at.centre.preview.skip("agent-0", "asked to be called in an hour")
        await asyncio.sleep(0.7)
        assert offered("agent-0") is None
        at.clock.advance_to(at.clock.now() + timedelta(hours=1, seconds=1))
        await at.until(lambda: offered("agent-0") is not None)
        call = await at.centre.preview.accept("agent-0")
        assert call is not None
        assert call.case_id == case_id
        await at.until(lambda: at.centre.floor.agent("agent-0").state is AgentState.WRAP_UP)
        await runner.pause()
        await running


async def test_the_floor_opens_with_the_user_of_each_desk_and_only_those_who_may(tmp_path: Path) -> None:
    async with house(
        tmp_path, lambda _order: SILENT, FloorSettings(), cases=1, agents=0, mode=Mode.MANUAL, people=True
    ) as at:
        people, now = at.centre.store.people, at.clock.now()
        vetted = await people.add_user("collector", now, display_name="李娜")  # of the desk's name
        await people.add_user("zhang", now, desk="colleague")  # at a desk, and not vetted
        for kind in ("criminal-record", "credit-record", "rules-training"):
            await people.record_vetting(
                vetted.id,
                kind,
                now,
                reference=at.settings.workflow.collector_rules,
                valid_from=now.date() - timedelta(days=2),
                valid_until=now.date() + timedelta(days=300),
                recorded_by="compliance",
            )
        leader = await people.add_user("team_leader", now, display_name="王组长", role="team_leader")
        for kind in ("criminal-record", "credit-record", "rules-training"):
            await people.record_vetting(
                leader.id,
                kind,
                now,
                reference=at.settings.workflow.collector_rules,
                valid_from=now.date() - timedelta(days=2),
                valid_until=now.date() + timedelta(days=300),
                recorded_by="compliance",
            )
        await at.centre.open_floor()
        assert sorted((one.id, one.name, one.desk, one.state, one.is_leader) for one in at.centre.floor) == [
            ("collector", "李娜", "collector", AgentState.READY, False),
            ("team_leader", "王组长", "team_leader", AgentState.READY, True),
        ]
        at.centre.floor.pause("collector", "meal")
        assert at.centre.floor.reserve(CallId("call_1")) is None  # the dialer gives a leader no customer


async def test_a_click_says_what_refuses_it_and_not_what_refused_anothers(tmp_path: Path) -> None:
    """Two agents click in one moment: one on a number that may not be called, one on a person who is being called."""
    stays: Script = (Provisional(after=0.05), Answer(after=0.1), Release(after=3))
    at = House(tmp_path, lambda _order: stays, FloorSettings())
    async with at.opened() as centre:
        now = at.clock.now()
        await load(
            centre.store,
            tmp_path,
            now,
            case_line("C1", mobile="13900000001", relative="13900000002"),
            case_line("C2", mobile="13900000003"),
        )
        for n in range(3):
            await centre.seat(DeskSettings(name=f"desk-{n}", uri="sip:d@memory"), agent_id=f"agent-{n}", name="A")
        lines = sorted(await centre.store.cases.list(limit=10), key=lambda one: one.case.client_ref)
        pages = [await centre.store.cases.page(line.case.id) for line in lines]
        own = {page.line.case.id: next(n for n in page.numbers if n.channel is Channel.MOBILE) for page in pages}
        relative = next(number for number in pages[0].numbers if number.channel is not Channel.MOBILE)
        first, second = (line.case.id for line in lines)
        await centre.call_now("agent-0", second, own[second].id)
        third_party, under_way = await asyncio.gather(
            centre.call_now("agent-1", first, relative.id),
            centre.call_now("agent-2", second, own[second].id),
            return_exceptions=True,
        )
        assert isinstance(third_party, ClickRefused)
        assert third_party.problem.startswith("gbt45251-third-party")
        assert isinstance(under_way, ClickRefused)
        assert "under way" in under_way.problem
        assert {centre.floor.agent(f"agent-{n}").state for n in (1, 2)} == {AgentState.READY}


async def test_the_mode_is_switched_while_running_and_explain_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, lambda _order: SILENT, FloorSettings(), cases=6, agents=1, mode=Mode.MANUAL) as at:
        runner = at.runner()
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(0.7)
        gates = {gate.name: gate for gate in await runner.explain()}
        assert gates["mode"].holds_back
        assert gates["numbers"].count == 6
        assert await at.centre.store.calls.list() == ()
        switched = await at.centre.switch_mode(at.campaign.id, Mode.PROGRESSIVE)
        assert switched.mode == "progressive"
        async with asyncio.timeout(20):
            await running
        assert len(await at.centre.store.calls.list()) == 6


async def test_nobody_without_vetting_is_put_on_a_line_and_a_lost_phone_is_called_again(tmp_path: Path) -> None:
    async with house(
        tmp_path, lambda _order: SILENT, FloorSettings(), cases=1, agents=0, mode=Mode.MANUAL, people=True
    ) as at:
        people, now = at.centre.store.people, at.clock.now()
        user = await people.add_user("wang", now, desk="desk-9")
        desk = DeskSettings(name="desk-9", uri="sip:d@memory")
        with pytest.raises(CollectorBarred, match="criminal-record"):
            await at.centre.seat(desk, agent_id=user.id, name="Wang")
        assert len(at.centre.floor) == 0
        today = now.date()
        for kind in ("criminal-record", "credit-record", "rules-training"):
            await people.record_vetting(
                user.id,
                kind,
                now,
                reference=at.settings.workflow.collector_rules,
                valid_from=today - timedelta(days=2),
                valid_until=today + timedelta(days=300),
                recorded_by="compliance",
            )
        agent = await at.centre.seat(desk, agent_id=user.id, name="Wang")
        assert agent.state is AgentState.READY
        # and a phone that is lost is called again
        lost = agent.leg
        assert lost is not None
        await at.engine.hangup(lost)
        await at.until(lambda: at.centre.floor.agent(user.id).state is AgentState.OFFLINE)
        await at.until(lambda: at.centre.floor.agent(user.id).state is AgentState.READY)
        assert agent.leg != lost
        # a record that is withdrawn, or lapses, while the collector sits there
        await people.withdraw_vetting(user.id, "credit-record", at.clock.now(), by="compliance", reason="a default")
        at.centre.agents._gated_at -= 61  # the minute is over
        await at.until(lambda: agent.state is AgentState.PAUSED)
        assert agent.reason == "collector-barred"
        with pytest.raises(CollectorBarred, match="credit-record"):
            await at.centre.agents.ready(user.id)


async def test_a_call_back_goes_to_the_agent_who_agreed_on_it(tmp_path: Path) -> None:
    async with house(tmp_path, lambda _order: TALKS, FloorSettings(), cases=1, agents=2, mode=Mode.PREVIEW) as at:
        ((case_id, number_id),) = await at.numbers()
        now = at.clock.now()
        minute = now + timedelta(seconds=3)
        agreed = CaseEvent(
            outcome=OutcomeCode.CALL_BACK_AGREED, at=now, number_id=number_id, by="agent-1", call_at=minute
        )
        await at.centre.follow_up.entered(case_id, agreed)
        runner = at.centre.runner(at.campaign, DialPlan(lines=5, ring_seconds=20))
        at.centre.agents.pause("agent-1", "meal")
        running = asyncio.create_task(runner.run())
        try:
            await at.until(lambda: at.clock.now() > minute + timedelta(seconds=1))
            assert len(at.centre.switchboard) == 0, "somebody else is ready, but it is not theirs yet"
            await at.centre.agents.ready("agent-1")
            await at.until(lambda: len(at.centre.switchboard) == 1, within=30)
            (call,) = list(at.centre.switchboard)
            assert (call.agent_id, call.number_id) == ("agent-1", number_id)
        finally:
            running.cancel()
