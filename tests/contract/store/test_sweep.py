"""The sweep and its bookings. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from case_store.attempts import ForbiddenMove
from case_store.floor_reading import FloorReading
from case_store.ledger import CallFacts
from case_store.model import AttemptState, CaseState, Channel, NextAction, NumberState
from case_store.network import HangupCause, ProgressCategory
from case_store.outcomes import CaseFile, Conclusion, NewOutcome, PromiseAboveBalance
from case_store.store import CaseStore
from case_store.verdict import PERMITTED, Verdict
from tests.contract.store import world


async def test_every_number_once_in_sop_order(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", work="021-62345678转801", mobile="13800138000", relative="13900139000"),
        world.case_line("A2", mobile="13800138001", relative="13900139001"),
    )
    campaign = await world.sweep_of(store, report, now)
    called = await world.sweep_to_end(store, campaign, now)
    by_case: dict[str, list[Channel]] = {}
    for candidate in called:
        by_case.setdefault(candidate.case_id, []).append(candidate.channel)
    assert sorted(by_case.values(), key=len) == [
        [Channel.MOBILE, Channel.RELATIVE],
        [Channel.WORKPLACE, Channel.MOBILE, Channel.RELATIVE],
    ]
    assert max(Counter(candidate.number_id for candidate in called).values()) == 1
    assert [candidate.extension for candidate in called if candidate.channel is Channel.WORKPLACE] == ["801"]
    coverage = await store.placements.coverage(report.placement_id)
    assert (coverage.attempted, coverage.permitted, coverage.share) == (5, 5, 1.0)


async def test_one_call_at_a_time_to_a_person_over_cases_and_campaigns(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    report = await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", person="SAME-0001", mobile="13800138000"),
        world.case_line("A2", person="SAME-0001", mobile="13800138001"),
        world.case_line("B1", mobile="13800138000"),
    )
    first, second = [await world.sweep_of(store, report, now, name) for name in ("one", "two")]
    claimed = await store.sweep.claim(first.id, 10, "n1", now)
    assert len(claimed) == 1, "the second case is the same person, the third the same line"
    await world.book(store, claimed[0], now)
    for other in await store.sweep.claim(second.id, 10, "n2", now):
        booking = await store.attempts.book(other, now, world.allow, node="n2")
        assert booking.busy
        assert booking.verdict.rule == "one-call-at-a-time"


async def test_a_refusal_is_kept_with_its_reason_and_its_time(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    (candidate,) = await store.sweep.claim(campaign.id, 1, "n1", now)
    until = now + timedelta(hours=2)
    no = Verdict(allowed=False, rule="cn-hours", figure="08:00-22:00", source="GB/T 45251-2025", until=until)
    booking = await store.attempts.book(candidate, now, lambda _facts: no, node="n1")
    assert booking.attempt is None
    assert (await store.placements.coverage(report.placement_id)).untried[0].reason == "cn-hours"
    (refusal,) = [entry for entry in await store.cases.timeline(candidate.case_id) if entry.kind == "refusal"]
    assert refusal.facts["figure"] == "08:00-22:00"
    assert refusal.facts["until"] == until
    assert await store.sweep.claim(campaign.id, 1, "n1", now) == ()
    assert (await store.sweep.standing(campaign.id)).next_due == until
    (again,) = await store.sweep.claim(campaign.id, 1, "n1", until)
    assert again.number_id == candidate.number_id


@pytest.fixture
async def nodes(store_url: str) -> AsyncIterator[tuple[CaseStore, ...]]:
    """Five nodes over one database, each with connections of its own: nothing in a process keeps them apart."""
    opened = [await CaseStore.open(store_url) for _ in range(5)]
    yield tuple(opened)
    for one in opened:
        await one.close()


async def test_caps_hold_exactly_when_many_book_the_same_person(
    nodes: tuple[CaseStore, ...], tmp_path: Path, now: datetime
) -> None:
    """50 bookers on five nodes, one person over 5 cases, a cap of 7: seven attempts, never eight."""
    cap, store = 7, nodes[0]
    lines = [world.case_line(f"A{n}", person="SAME-0001", mobile=f"1380013800{n}") for n in range(5)]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    candidates = []
    for line in await store.cases.list():
        (number,) = (await store.cases.page(line.case.id)).numbers
        candidates.append((await _candidate(store, campaign.id, line.case.id), number))

    def judge(facts: CallFacts) -> Verdict:
        placed = len(facts.about_debtor())
        return PERMITTED if placed < cap else Verdict(allowed=False, rule="cap", figure=str(cap), source="test")

    async def booker(place: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        candidate, _ = candidates[place % 5]
        node = nodes[place // 10]
        for _ in range(400):
            booking = await node.attempts.book(candidate, now, judge, node=f"n{place}", purpose="manual")
            if booking.busy:
                await asyncio.sleep(0.05)
                continue
            if booking.attempt is None:
                seen["refused"] += 1
                return seen
            seen["booked"] += 1
            call, _ = await world.place(node, booking.attempt.id, now)
            await node.calls.end(
                call, now, cause=HangupCause.NO_ANSWER, category=ProgressCategory.NO_ANSWER, sip_status=480
            )
        raise AssertionError("a booker starved")

    seen = sum(await asyncio.gather(*(booker(place) for place in range(50))), Counter())
    assert seen == Counter(booked=cap, refused=50)
    facts = await store.ledger.facts(candidates[0][0], now)
    assert len(facts.about_debtor()) == cap
    tally = await FloorReading(store.database).tally(campaign.id)
    assert (tally.attempted, tally.in_flight) == (cap, 0), "the totals of the day count every booking once"


async def test_nodes_that_claim_at_once_never_claim_the_same_case(
    nodes: tuple[CaseStore, ...], tmp_path: Path, now: datetime
) -> None:
    lines = [world.case_line(f"A{n}", mobile=f"138001380{n:02d}") for n in range(60)]
    report = await world.load(nodes[0], tmp_path, now, *lines)
    campaign = await world.sweep_of(nodes[0], report, now)

    async def claimer(place: int) -> list[str]:
        taken: list[str] = []
        while claimed := await nodes[place % 5].sweep.claim(campaign.id, 4, f"n{place}", now):
            taken += [one.case_id for one in claimed]
        return taken

    taken = [case for each in await asyncio.gather(*(claimer(place) for place in range(10))) for case in each]
    # A claimer that met only rows another one held went home early; what is left is claimed now, once.
    taken += await claimer(0)
    assert len(taken) == len(set(taken)) == 60


async def test_the_days_of_a_campaign_add_up_to_its_calls(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    lines = [world.case_line(f"A{n}", mobile=f"1380013800{n}") for n in range(4)]
    campaign = await world.sweep_of(store, await world.load(store, tmp_path, now, *lines), now)
    answered, dropped, busy, flying = await store.sweep.claim(campaign.id, 4, "n1", now)
    await world.whole_call(store, answered, now, ProgressCategory.ANSWERED)
    await world.whole_call(store, busy, now + timedelta(days=1), ProgressCategory.BUSY)
    call_id, _ = await world.place(store, await world.book(store, dropped, now), now)
    await store.calls.answered(call_id, now)
    await store.calls.end(
        call_id, now + timedelta(days=1), cause=HangupCause.ABANDONED, category=ProgressCategory.ANSWERED, talked=False
    )
    await world.book(store, flying, now)
    tally = await FloorReading(store.database).tally(campaign.id)
    assert (tally.attempted, tally.answered, tally.abandoned, tally.in_flight) == (4, 2, 1, 1)
    # An answered call counts on the day it was booked; a day without an answer says nothing about abandonment.
    assert await store.ledger.abandonment(campaign.id, now) == ((now.date(), 2, 1),)
    assert await store.ledger.abandonment(campaign.id, now + timedelta(days=1)) == ()


async def test_whether_there_is_work_is_known_without_counting_all_of_it(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    lines = [world.case_line(f"A{n}", mobile=f"1380013800{n}") for n in range(6)]
    campaign = await world.sweep_of(store, await world.load(store, tmp_path, now, *lines), now)
    await store.sweep.claim(campaign.id, 2, "n1", now)
    whole, quick = await store.sweep.standing(campaign.id), await store.sweep.standing(campaign.id, at_most=3)
    assert (whole.ready, whole.claimed) == (4, 2)
    assert (quick.ready, quick.claimed, quick.done) == (3, 2, 0)
    assert quick.next_due == whole.next_due == now
    assert await store.sweep.standing(campaign.id, at_most=100) == whole


async def _candidate(store: CaseStore, campaign_id: str, case_id: str):  # type: ignore[no-untyped-def]  # tests are not typed
    found = await store.sweep.candidate(campaign_id, (await store.cases.page(case_id)).numbers[0].id)
    assert found is not None
    return found


async def test_a_dead_number_retires_after_two_words_of_the_network(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000", relative="13900139000"))
    for name in ("one", "two"):
        campaign = await world.sweep_of(store, report, now, name)
        (candidate,) = await store.sweep.claim(campaign.id, 1, "n1", now)
        await world.whole_call(store, candidate, now, ProgressCategory.NOT_IN_SERVICE)
    assert (await store.cases.number(candidate.number_id)).state is NumberState.INVALID
    campaign = await world.sweep_of(store, report, now, "three")
    (candidate,) = await store.sweep.claim(campaign.id, 1, "n1", now)
    assert candidate.channel is Channel.RELATIVE


async def test_our_trunks_trouble_does_not_count_as_tried(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    (candidate,) = await store.sweep.claim(campaign.id, 1, "n1", now)
    await world.whole_call(store, candidate, now, ProgressCategory.TRUNK_TROUBLE)
    assert await store.sweep.claim(campaign.id, 1, "n1", now) == ()
    later = now + timedelta(minutes=1)
    (again,) = await store.sweep.claim(campaign.id, 1, "n1", later)
    assert again.number_id == candidate.number_id
    for _ in range(4):
        await world.whole_call(store, again, later, ProgressCategory.TRUNK_TROUBLE)
        later += timedelta(minutes=1)
        await store.sweep.claim(campaign.id, 1, "n1", later)
    coverage = await store.placements.coverage(report.placement_id)
    assert (await store.sweep.standing(campaign.id)).finished
    assert coverage.reasons == {"trunk-trouble": 1}
    assert coverage.attempted == 0


async def test_a_crash_loses_attempts_but_never_dials_them_again(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    lines = [world.case_line(f"A{n}", mobile=f"1380013800{n}") for n in range(4)]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    claimed = await store.sweep.claim(campaign.id, 4, "n1", now)
    booked = [await world.book(store, candidate, now) for candidate in claimed[:3]]
    calls = [await world.place(store, attempt, now) for attempt in booked[1:]]
    await store.calls.answered(calls[1][0], now)
    await store.attempts.hold_lease("n1", now)
    assert await store.attempts.dead_nodes(now) == ()
    later = now + timedelta(minutes=5)
    assert await store.attempts.dead_nodes(later) == ("n1",)
    recovered = await store.attempts.recover("n1", later)
    assert sorted((one.was, one.call_id is not None) for one in recovered) == [
        (AttemptState.ANSWERED, True),
        (AttemptState.BOOKED, False),
        (AttemptState.DIALING, True),
    ]
    assert {(await store.attempts.get(attempt)).state for attempt in booked} == {AttemptState.LOST}
    assert {(await store.calls.get(call)).cause for call, _ in calls} == {"orphaned"}
    with pytest.raises(ForbiddenMove):
        await store.calls.open(
            call_id="call_again", attempt_id=booked[0], tape_id="rec_again", tape_path="x", armed_at=later, at=later
        )
    # Their numbers count as tried, the claim that was never booked comes back, the caps keep the lost ones.
    (left,) = await store.sweep.claim(campaign.id, 4, "n2", later)
    assert left.case_id == claimed[3].case_id
    assert len((await store.ledger.facts(claimed[0], later)).to_number()) == 1
    assert await store.attempts.recover("n1", later) == ()


async def test_a_claim_that_was_never_booked_lapses(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    assert len(await store.sweep.claim(campaign.id, 1, "n1", now)) == 1
    assert await store.sweep.claim(campaign.id, 1, "n2", now + timedelta(seconds=60)) == ()
    assert len(await store.sweep.claim(campaign.id, 1, "n2", now + timedelta(seconds=180))) == 1


async def test_a_clock_set_back_makes_nobody_wait_who_was_ready(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    """Only who rests until a time waits for it."""
    lines = [world.case_line(f"A{at}", mobile=f"1380013800{at}", relative=f"1390013900{at}") for at in range(3)]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    ahead = now + timedelta(hours=1)
    back, resting, tried = await store.sweep.claim(campaign.id, 3, "n1", ahead)
    await store.sweep.release_claim(back, ahead)
    await store.sweep.release_claim(resting, ahead, again_at=ahead + timedelta(minutes=1))
    await world.whole_call(store, tried, ahead)
    standing = await store.sweep.standing(campaign.id, at_most=5)
    assert (standing.ready, standing.resting) == (2, 1)
    claimed = await store.sweep.claim(campaign.id, 3, "n1", now + timedelta(seconds=1))
    assert {one.case_id for one in claimed} == {back.case_id, tried.case_id}


async def test_a_paused_campaign_claims_nothing(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    await store.sweep.change(campaign.id, now, state="paused")
    assert await store.sweep.claim(campaign.id, 1, "n1", now) == ()
    await store.sweep.change(campaign.id, now, state="running")
    assert len(await store.sweep.claim(campaign.id, 1, "n1", now)) == 1


def _promise(file: CaseFile) -> Conclusion:
    outcome = file.outcomes[-1]
    return Conclusion(
        next_action=NextAction(
            case_id=file.case.id,
            action="confirm-promise",
            earliest=outcome.at,
            latest=outcome.at + timedelta(days=3),
            owner="collector",
            escalation=None,
            reason_en="promised",
            reason_zh="已承诺",
        ),
        promise=True,
        stop_sweep=True,
    )


async def test_a_promise_stops_the_sweep_and_replaces_the_action_in_one_step(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    report = await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", person="SAME-0001", mobile="13800138000", relative="13900139000"),
        world.case_line("A2", person="SAME-0001", mobile="13800138001"),
    )
    campaign = await world.sweep_of(store, report, now)
    (candidate,) = await store.sweep.claim(campaign.id, 1, "n1", now)
    call, _ = await world.whole_call(store, candidate, now, ProgressCategory.ANSWERED)
    promised = NewOutcome(
        case_id=candidate.case_id,
        code="SELF_PROMISE",
        agent_id="agent_1",
        call_id=call,
        amount=Decimal("1000.01"),
        promised_on=now.date() + timedelta(days=3),
    )
    with pytest.raises(PromiseAboveBalance):
        await store.outcomes.record(promised, now, _promise)
    assert await store.outcomes.of_case(candidate.case_id) == ()
    from dataclasses import replace

    recorded = await store.outcomes.record(replace(promised, amount=Decimal("1000.00")), now, _promise)
    assert recorded.outcome.number_id == candidate.number_id
    live = await store.agenda.live(candidate.case_id)
    assert live is not None
    assert live.action == "confirm-promise"
    # The debtor's other case is left alone while the promise runs.
    assert await store.sweep.claim(campaign.id, 10, "n1", now + timedelta(hours=1)) == ()
    (due,) = await store.outcomes.promises_due(now.date() + timedelta(days=3))
    assert due.amount.amount == Decimal("1000.00")
    assert await store.agenda.cases_without() == ()


async def test_a_conclusion_that_fails_leaves_nothing(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    (line,) = await store.cases.list()
    before = await store.agenda.live(line.case.id)

    def broken(_file: CaseFile) -> Conclusion:
        raise RuntimeError("the workflow fell over")

    new = NewOutcome(case_id=line.case.id, code="SELF_NEGOTIATING", agent_id="agent_1")
    with pytest.raises(RuntimeError):
        await store.outcomes.record(new, now, broken)
    assert await store.outcomes.of_case(line.case.id) == ()
    assert await store.agenda.live(line.case.id) == before


async def test_refused_contact_blocks_the_person_and_closing_cancels_the_action(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000", relative="13900139000"))
    campaign = await world.sweep_of(store, report, now)
    page = await store.cases.page((await store.cases.list())[0].case.id)
    relative = next(number for number in page.numbers if number.channel is Channel.RELATIVE)

    def conclude(file: CaseFile) -> Conclusion:
        assert file.action is not None
        return Conclusion(next_action=_promise(file).next_action, block_person=True)

    new = NewOutcome(case_id=relative.case_id, code="REFUSED_CONTACT", agent_id="agent_1", number_id=relative.id)
    await store.outcomes.record(new, now, conclude)
    assert (await store.cases.number(relative.id)).state is NumberState.BLOCKED
    called = await world.sweep_to_end(store, campaign, now)
    assert {candidate.channel for candidate in called} == {Channel.MOBILE}
    await store.outcomes.conclude(
        relative.case_id,
        now,
        lambda _file: Conclusion(next_action=None, case_state=CaseState.CLOSED, state_reason="PAID"),
    )
    assert await store.agenda.live(relative.case_id) is None
    assert (await store.cases.page(relative.case_id)).line.state is CaseState.CLOSED


async def test_events_are_numbered_without_holes_under_concurrency(store: CaseStore, now: datetime) -> None:
    await asyncio.gather(*(store.events.append("test", now, place=place) for place in range(60)))
    events = await store.events.read_after(0)
    assert [event.number for event in events] == list(range(1, 61))
    assert sorted(event.facts["place"] for event in events) == list(range(60))
    assert [event.number for event in await store.events.read_after(58)] == [59, 60]
    assert not await store.events.wait(60, 0.01)


async def test_jobs_are_put_once_claimed_under_a_lease_and_fail_in_the_open(store: CaseStore, now: datetime) -> None:
    for _ in range(2):
        await store.jobs.put("seal", "rec_1", now, tape="x")
    (job,) = await store.jobs.claim("seal", "w1", now, limit=5)
    assert await store.jobs.claim("seal", "w2", now, limit=5) == ()
    later = now + timedelta(minutes=6)
    (job,) = await store.jobs.claim("seal", "w2", later, limit=5)
    assert job.tries == 2
    while job.tries < 5:
        await store.jobs.fail(job, later, "disk")
        later += timedelta(hours=1)
        (job,) = await store.jobs.claim("seal", "w2", later)
    await store.jobs.fail(job, later, "disk")
    assert [problem for _, problem in await store.jobs.failed()] == ["disk"]


async def test_vetting_is_asked_for_by_kind_day_and_version(store: CaseStore, now: datetime) -> None:
    user = await store.people.add_user("lan", now, role="collector")
    day = now.date()
    assert len(await store.people.missing_vettings(user.id, day)) == 3
    for kind in ("criminal-record", "credit-record", "rules-training"):
        await store.people.record_vetting(
            user.id,
            kind,
            now,
            reference="v1",
            valid_from=day,
            valid_until=day + timedelta(days=30),
            recorded_by="user_boss",
        )
    assert await store.people.missing_vettings(user.id, day, rules_version="v1") == ()
    assert await store.people.missing_vettings(user.id, day, rules_version="v2") == ("rules-training",)
    assert len(await store.people.missing_vettings(user.id, day + timedelta(days=31))) == 3
    await store.people.open_session("secret", user.id, now, now + timedelta(hours=1))
    assert (await store.people.session_user("secret", now)) == user
    assert await store.people.session_user("secret", now + timedelta(hours=2)) is None
    await store.people.change_user(user.id, now, disabled=True)
    assert await store.people.session_user("secret", now) is None
