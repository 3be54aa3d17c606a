"""Workflow, policy and ledger together: what is refused is told and taken back; the clock moves cases; results go out.
Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from api.casework import coverage_report
from case_store.model import Channel
from case_store.network import HangupCause, ProgressCategory
from case_store.outcomes import NewOutcome
from case_store.store import CaseStore
from case_store.workflow import CaseEvent, OutcomeCode, Stage
from case_store.workflow.work_orders import SamePerson
from config.clock import ShiftedClock
from config.settings import Settings
from dialer.followup import BY_NETWORK, FollowUp, calendars_of, clock_of
from dialer.judge import judge_by
from dialer.policy import load_sets
from dialer.schedule import Scheduler
from tests.contract.store import world

SETTINGS = Settings()


def follow_up(store: CaseStore, sets: Sequence[str]) -> FollowUp:
    return FollowUp(store, SETTINGS, calendars_of(SETTINGS), load_sets(tuple(sets)))


class Room:
    """One case with a mobile and a relative, swept under the policy's own judgement."""

    def __init__(self, store: CaseStore, sets: Sequence[str]) -> None:
        self.store = store
        self.judge = judge_by(load_sets(tuple(sets)))
        self.follow_up = follow_up(store, sets)
        self.campaign_id = ""
        self.case_id = ""
        self.numbers: dict[Channel, str] = {}

    async def open(self, folder: Path, now: datetime) -> None:
        line = world.case_line("A1", mobile="13800138000", relative="13900139000")
        report = await world.load(self.store, folder, now, line)
        self.campaign_id = (await world.sweep_of(self.store, report, now)).id
        (only,) = await self.store.cases.list()
        self.case_id = only.case.id
        self.numbers = {one.channel: one.id for one in (await self.store.outcomes.file(self.case_id)).numbers}

    async def dial(self, channel: Channel, at: datetime, category: ProgressCategory) -> str | None:
        """The rule that refused it, or None: called, and the network's word told to the workflow."""
        candidate = await self.store.sweep.candidate(self.campaign_id, self.numbers[channel])
        assert candidate is not None
        booking = await self.store.attempts.book(candidate, at, self.judge, node="n1", purpose="follow-up")
        if booking.attempt is None:
            return booking.verdict.rule
        call_id, tape_id = await world.place(self.store, booking.attempt.id, at)
        await self.store.calls.end(
            call_id, at, cause=HangupCause.NO_ANSWER, category=category, sip_status=480, talked=False
        )
        await self.store.recordings.seal(tape_id, at, path="shelf/x", seconds=1.0, sha256="0" * 64, empty=True)
        await self.follow_up.concluded(
            NewOutcome(
                case_id=self.case_id,
                code=BY_NETWORK[category].value,
                agent_id="dialer",
                call_id=call_id,
                number_id=self.numbers[channel],
            ),
            at,
        )
        return None


async def test_three_dead_days_open_relatives_and_the_workflow_hears_of_it(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, ["cn-cba-2026"])
    await room.open(tmp_path, now)
    assert await room.dial(Channel.RELATIVE, now, ProgressCategory.NO_ANSWER) == "cba2026-third-party"
    for day in range(3):
        assert await room.dial(Channel.MOBILE, now + timedelta(days=day), ProgressCategory.NO_ANSWER) is None
    standing = await room.follow_up.standing(room.case_id, now + timedelta(days=2))
    relative = standing.number(room.numbers[Channel.RELATIVE])
    assert relative is not None
    next_day = now + timedelta(days=3)
    await room.follow_up.happened(room.case_id, CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=next_day))
    standing = await room.follow_up.standing(room.case_id, next_day)
    relative = standing.number(room.numbers[Channel.RELATIVE])
    assert relative is not None
    assert relative.refused_by is None, "the gate opened from the day after the third failed one"
    assert await room.dial(Channel.RELATIVE, next_day, ProgressCategory.NO_ANSWER) is None


async def test_lost_contact_opens_the_national_standards_gate(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, ["cn-gbt45251-2025"])
    await room.open(tmp_path, now)
    assert await room.dial(Channel.RELATIVE, now, ProgressCategory.NO_ANSWER) == "gbt45251-third-party"
    assert await room.dial(Channel.MOBILE, now, ProgressCategory.NO_ANSWER) is None
    told = await room.follow_up.standing(room.case_id, now)
    relative = told.number(room.numbers[Channel.RELATIVE])
    assert relative is not None
    assert relative.refused_by == "gbt45251-third-party", "after a call the refusal is told to the workflow"
    later = now + timedelta(hours=2)
    assert await room.dial(Channel.RELATIVE, later, ProgressCategory.NO_ANSWER) == "gbt45251-third-party"
    await room.follow_up.entered(room.case_id, CaseEvent(outcome=OutcomeCode.LOST_CONTACT, at=later, by="leader"))
    lost = await room.follow_up.standing(room.case_id, later)
    relative = lost.number(room.numbers[Channel.RELATIVE])
    assert relative is not None
    assert relative.refused_by is None, "un-told as soon as the workflow says lost contact"
    assert await room.dial(Channel.RELATIVE, later + timedelta(minutes=1), ProgressCategory.NO_ANSWER) is None


async def test_the_scheduler_settles_a_broken_promise_after_a_restart(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    await room.follow_up.concluded(
        NewOutcome(
            case_id=room.case_id,
            code="SELF_PROMISE",
            agent_id="li.na",
            amount=Decimal(200),
            promised_on=(now + timedelta(days=2)).date(),
        ),
        now,
    )
    clock = ShiftedClock(now + timedelta(days=5))
    scheduler = Scheduler(store, room.follow_up, clock, "n1")  # a fresh one: nothing is remembered in the process
    assert await scheduler.look() == 1
    file = await store.outcomes.file(room.case_id)
    assert [one.state for one in file.promises] == ["broken"]
    assert file.action is not None
    assert file.action.action == "call-debtor"
    before = file.action.id
    await scheduler.look()
    again = await store.agenda.live(room.case_id)
    assert again is not None
    assert again.id == before, "looking again changes nothing"


async def test_overdue_is_raised_once_and_stays_visible(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    clock = ShiftedClock(now + timedelta(days=10))
    scheduler = Scheduler(store, room.follow_up, clock, "n1")
    assert await scheduler.look() == 1
    assert await scheduler.look() == 0
    (late,) = await store.agenda.overdue(clock.now())
    assert (late.case_id, late.owner) == (room.case_id, "team-leader")
    kinds = [one.facts.get("notice") for one in await store.events.read_after(0, limit=200)]
    assert kinds.count("OVERDUE") == 1


async def test_a_silent_sweep_becomes_a_redial_of_its_campaign_at_the_right_hour(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    assert await room.dial(Channel.MOBILE, now, ProgressCategory.NO_ANSWER) is None
    action = await store.agenda.live(room.case_id)
    assert action is not None
    assert (action.action, action.owner, action.number_id) == ("redial", "dialer", room.numbers[Channel.MOBILE])
    early = Scheduler(store, room.follow_up, ShiftedClock(now), "n1")
    assert await early.redials(room.campaign_id, 5) == []
    due = Scheduler(store, room.follow_up, ShiftedClock(action.earliest), "n1")
    (redial,) = await due.redials(room.campaign_id, 5)
    assert redial.candidate.e164 == "+8613800138000"
    assert await due.redials(room.campaign_id, 5) == [], "claimed: no second node dials it too"


async def test_a_clock_put_back_loses_no_outcome(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    await room.follow_up.happened(room.case_id, CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=now + timedelta(hours=1)))
    assert await room.dial(Channel.MOBILE, now, ProgressCategory.NOT_IN_SERVICE) is None
    standing = await room.follow_up.standing(room.case_id, now)
    mobile = standing.number(room.numbers[Channel.MOBILE])
    assert mobile is not None
    assert mobile.strikes == ((OutcomeCode.NOT_IN_SERVICE, 1),)


async def test_a_waiver_needs_somebody_else_and_waits_in_the_list(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)

    def event(code: OutcomeCode, by: str) -> CaseEvent:
        return CaseEvent(outcome=code, at=now, by=by, amount=Decimal(100) if code is OutcomeCode.WAIVER_ASKED else None)

    await room.follow_up.entered(room.case_id, event(OutcomeCode.WAIVER_ASKED, "li.na"))
    (asked,) = await store.casework.orders(state="asked", kind=None, case_id=None, after=None, limit=5)
    assert (asked.kind, asked.asked_by, asked.case_id) == ("waiver", "li.na", room.case_id)
    with pytest.raises(SamePerson):
        await room.follow_up.entered(room.case_id, event(OutcomeCode.WAIVER_APPROVED, "li.na"))
    await room.follow_up.entered(room.case_id, event(OutcomeCode.WAIVER_APPROVED, "leader"))
    assert await store.casework.orders(state="asked", kind=None, case_id=None, after=None, limit=5) == ()
    assert (await store.outcomes.file(room.case_id)).case.balance.amount == Decimal(900)


async def test_a_reminder_does_not_make_a_second_promise(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    due = now + timedelta(days=2)
    await room.follow_up.entered(
        room.case_id,
        CaseEvent(outcome=OutcomeCode.SELF_PROMISE, at=now, by="li.na", amount=Decimal(50), on=due.date()),
    )
    await room.follow_up.entered(room.case_id, CaseEvent(outcome=OutcomeCode.PROMISE_CONFIRMED, at=due, by="li.na"))
    file = await store.outcomes.file(room.case_id)
    assert [one.state for one in file.promises] == ["live"]


async def test_a_found_number_joins_a_case_in_look_up(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    await room.follow_up.entered(room.case_id, CaseEvent(outcome=OutcomeCode.ALL_INVALID, at=now, by="leader"))
    assert (await room.follow_up.standing(room.case_id, now)).stage is Stage.LOCATE
    number_id = await store.casework.found_number(
        room.case_id,
        "13811112222",
        Channel.MOBILE,
        now + timedelta(hours=1),
        room.follow_up.conclude,
        name="",
        relation="",
        by="clerk",
        sop_order=tuple(one.value for one in Channel),
    )
    action = await store.agenda.live(room.case_id)
    assert action is not None
    assert action.action == "sweep"
    (candidate,) = await store.sweep.claim(room.campaign_id, 5, "n1", now + timedelta(hours=1))
    assert candidate.number_id == number_id


async def test_results_and_coverage_of_a_placement(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    await room.dial(Channel.MOBILE, now, ProgressCategory.NO_ANSWER)
    (placement,) = await store.placements.list()
    (row,) = [one async for one in store.casework.results(placement.id)]
    assert (row.client_ref, row.attempts, row.outcome, row.next_action) == ("A1", 1, "NO_ANSWER", "redial")
    report = await coverage_report(store, SETTINGS, now + timedelta(days=8), None)
    (line,) = report.by["placement"]
    assert (line.pairs, line.attempted, line.permitted) == (2, 1, 2)
    assert [one.alarm.value for one in report.alerts] == ["broken"], "the relative was never tried by D+2"
    assert report.fairness.longest_case_id == room.case_id


async def agreed(room: Room, at: datetime, minute: datetime, *, team: bool = False) -> None:
    event = CaseEvent(
        outcome=OutcomeCode.CALL_BACK_AGREED,
        at=at,
        number_id=room.numbers[Channel.MOBILE],
        by="li.na",
        call_at=minute,
        team=team,
    )
    await room.follow_up.entered(room.case_id, event)


async def test_a_call_back_is_its_agents_at_the_minute_and_anybodys_when_late(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    minute = now.replace(second=0, microsecond=0) + timedelta(hours=2)
    await agreed(room, now, minute)

    def scheduler(at: datetime, node: str = "n1") -> Scheduler:
        return Scheduler(store, room.follow_up, ShiftedClock(at), node)  # nothing is remembered: each is a restart

    assert await scheduler(minute - timedelta(seconds=1)).redials(room.campaign_id, 5) == []
    assert await scheduler(now).next_redial(room.campaign_id) == minute
    (mine,) = await scheduler(minute).redials(room.campaign_id, 5)
    assert (mine.action.action, mine.action.owner, mine.action.agent_id) == ("call-back", "collector", "li.na")
    assert await scheduler(minute, "n2").redials(room.campaign_id, 5) == [], "claimed: no second node dials it too"
    await scheduler(minute).refused(mine, None)  # li.na is not at her desk
    late = minute + timedelta(minutes=SETTINGS.workflow.call_back_minutes)
    await scheduler(late).look()
    (anybodys,) = await scheduler(late + timedelta(minutes=3), "n2").redials(room.campaign_id, 5)
    assert (anybodys.action.owner, anybodys.action.agent_id) == ("dialer", None)
    tomorrow = late + timedelta(days=1)
    shown, total = await store.agenda.of_day(tomorrow, tomorrow + timedelta(hours=1), tomorrow)
    assert ([one.action for one in shown], total) == (["call-back"], 1), "overdue stands on every later day's agenda"
    assert await store.agenda.of_day(now - timedelta(days=1), now, now) == ((), 0)
    (overdue,) = await store.agenda.overdue(late + timedelta(days=9))
    assert overdue.action == "call-back", "overdue is visible until somebody calls"
    back = scheduler(minute - timedelta(hours=1))  # the clock is put back: it waits, and comes again
    await back.look()
    assert await back.redials(room.campaign_id, 5) == []
    assert [one.action.action for one in await scheduler(late + timedelta(minutes=9)).redials(room.campaign_id, 5)] == [
        "call-back"
    ]


async def test_a_call_back_made_is_done(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    minute = now.replace(second=0, microsecond=0) + timedelta(hours=2)
    await agreed(room, now, minute, team=True)
    action = await store.agenda.live(room.case_id)
    assert action is not None
    assert (action.owner, action.agent_id, action.earliest) == ("dialer", None, minute)
    assert await room.dial(Channel.MOBILE, minute, ProgressCategory.NO_ANSWER) is None
    action = await store.agenda.live(room.case_id)
    assert action is not None
    assert action.action == "redial", "nobody answered: dialed again in another part of the day"


async def test_a_promise_on_one_case_suspends_the_debtors_other_one(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    line = world.case_line("A1", person="210102199003076512", mobile="13800138000")
    lines = [line, line.replace("A1,", "A2,", 1)]
    report = await world.load(store, tmp_path, now, *lines)
    room.campaign_id = (await world.sweep_of(store, report, now)).id
    first, second = (one.case for one in await store.cases.list())
    assert first.debtor_person_id == second.debtor_person_id
    due = (now + timedelta(days=1)).date()
    promised = CaseEvent(outcome=OutcomeCode.SELF_PROMISE, at=now, by="li.na", amount=Decimal(50), on=due)
    await room.follow_up.entered(first.id, promised)
    room.case_id = second.id
    room.numbers = {one.channel: one.id for one in (await store.outcomes.file(second.id)).numbers}
    assert await room.dial(Channel.MOBILE, now, ProgressCategory.NO_ANSWER) == "house-live-promise"
    room.case_id = first.id
    room.numbers = {one.channel: one.id for one in (await store.outcomes.file(first.id)).numbers}
    assert await room.dial(Channel.MOBILE, now, ProgressCategory.NO_ANSWER) is None, "its own calls go on"


async def test_who_talks_first_owns_the_case_until_it_is_given_to_somebody_else(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    await room.dial(Channel.MOBILE, now, ProgressCategory.NO_ANSWER)
    for agent in ("li.na", "wang"):
        talk = CaseEvent(outcome=OutcomeCode.SELF_NEGOTIATING, at=now, by=agent, number_id=room.numbers[Channel.MOBILE])
        await room.follow_up.entered(room.case_id, talk)
    report = await coverage_report(store, SETTINGS, now, None)
    assert [line.key for line in report.by["collector"]] == ["li.na"]
    await store.casework.assign(room.case_id, "wang", now, by="leader")
    report = await coverage_report(store, SETTINGS, now + timedelta(days=2), None)
    assert [line.key for line in report.by["collector"]] == ["wang"]
    assert dict(report.fairness.distribution)["2-3"] == 1


async def test_the_sweeps_deadline_is_counted_on_the_debtors_clock(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    room = Room(store, SETTINGS.policy_sets)
    await room.open(tmp_path, now)
    (placement,) = await store.placements.list()
    (clock,) = [
        each
        for each, _ in (await store.casework.pairs(placement.id, lambda _lines, _region: "America/New_York")).clocks
    ]
    assert clock.zone == "America/New_York"
    assert clock_of([("+12125550142", Channel.RELATIVE)], "US-CA", "Asia/Shanghai") == "America/Los_Angeles"
    assert clock_of([("+12125550142", Channel.MOBILE)], "US-CA", "Asia/Shanghai") == "America/New_York"
    assert clock_of([], "", "Asia/Shanghai") == "Asia/Shanghai"
