"""A campaign's redials: claimed once, in the order they may be claimed, past nobody else's. Category: contract, both databases."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from case_store.model import CaseState, NextAction, StoredAction
from case_store.outcomes import CaseFile, Conclusion
from case_store.store import CaseStore
from case_store.sweep import Campaign
from case_store.tables import numbers
from tests.contract.store import world


class House:
    """Placements of so many cases, each with its campaign."""

    def __init__(self, store: CaseStore, folder: Path, now: datetime) -> None:
        self.store = store
        self.now = now
        self._folder = folder
        self._lines = 0

    async def campaign(self, name: str, cases: int) -> tuple[Campaign, list[str]]:
        """The campaign, and its cases in the order they came."""
        first, self._lines = self._lines, self._lines + cases
        lines = [world.case_line(f"{name}{n}", mobile=f"138{first + n:08d}") for n in range(cases)]
        report = await world.load(self.store, self._folder, self.now, *lines, name=name)
        campaign = await world.sweep_of(self.store, report, self.now, name)
        async with self.store.database.read() as connection:
            rows = await connection.execute(
                select(numbers.c.case_id).where(numbers.c.e164.between(f"+86138{first:08d}", f"+86138{self._lines:08d}"))
                .order_by(numbers.c.e164)
            )  # fmt: skip
            return campaign, list(rows.scalars())

    async def redial(
        self, case_id: str, at: datetime, *, action: str = "redial", owner: str = "dialer"
    ) -> StoredAction:
        return await self.store.agenda.replace(an_action(case_id, at, action=action, owner=owner), self.now)

    async def redials(self, case_ids: Sequence[str], at: datetime) -> None:
        for case_id in case_ids:
            await self.redial(case_id, at)

    async def claimed(
        self, campaign: Campaign, at: datetime, *, limit: int = 100, call_backs: bool = False, node: str = "n1"
    ) -> list[str]:
        due = await self.store.agenda.claim_due(campaign.id, node, at, limit=limit, call_backs=call_backs)
        return [one.case_id for one in due]


def an_action(case_id: str, at: datetime, *, action: str = "redial", owner: str = "dialer") -> NextAction:
    return NextAction(
        case_id=case_id,
        action=action,
        earliest=at,
        latest=at + timedelta(days=2),
        owner=owner,
        escalation="",
        reason_en="again",
        reason_zh="再拨",
    )


@pytest.fixture
def house(store: CaseStore, tmp_path: Path, now: datetime) -> House:
    return House(store, tmp_path, now)


async def test_the_one_that_waits_longest_goes_first_and_only_the_dialers_are_dialed(house: House) -> None:
    campaign, (late, early, collectors, agreed, ahead) = await house.campaign("a", 5)
    now, agenda = house.now, house.store.agenda
    await house.redial(late, now - timedelta(minutes=1))
    await house.redial(early, now - timedelta(minutes=9))
    await house.redial(collectors, now - timedelta(minutes=20), owner="collector")
    await house.redial(agreed, now - timedelta(minutes=30), action="call-back", owner="collector")
    await house.redial(ahead, now + timedelta(minutes=5))
    assert await agenda.next_redial(campaign.id, now) == now
    assert await house.claimed(campaign, now, limit=1) == [early]
    assert await house.claimed(campaign, now) == [late]
    assert await house.claimed(campaign, now, call_backs=True) == [agreed]
    assert await house.claimed(campaign, now, node="n2") == []
    assert await agenda.next_redial(campaign.id, now) == now + timedelta(minutes=2), "the leases end"
    assert await house.claimed(campaign, now + timedelta(minutes=5), node="n2") == [late, early, ahead], "as they came"


async def test_those_that_rest_until_tomorrow_hide_nobody_behind_them(house: House) -> None:
    campaign, cases = await house.campaign("a", 52)
    now, tomorrow = house.now, house.now + timedelta(days=1)
    await house.redials(cases[:51], now - timedelta(hours=1))
    for action in await house.store.agenda.claim_due(campaign.id, "n1", now, limit=100):
        await house.store.agenda.rest(action.id, tomorrow)
    await house.redial(cases[51], now - timedelta(seconds=1))
    assert await house.store.agenda.next_redial(campaign.id, now) == now
    assert await house.claimed(campaign, now) == [cases[51]]
    assert len(await house.claimed(campaign, tomorrow, node="n2")) == 52


async def test_a_case_of_two_campaigns_is_redialed_by_one_of_them(house: House) -> None:
    campaign, (case_id,) = await house.campaign("a", 1)
    await house.redial(case_id, house.now)
    again = await house.store.sweep.create("again", campaign.placement_ids, house.now)
    lease = house.now + timedelta(minutes=2)
    assert await house.claimed(again, house.now) == [case_id], "it joins with the redial it has"
    assert await house.claimed(campaign, house.now, node="n2") == []
    assert await house.store.agenda.next_redial(campaign.id, house.now) == lease
    assert await house.claimed(campaign, lease, node="n2") == [case_id]


async def test_an_action_that_is_no_redial_any_more_is_not_dialed(house: House) -> None:
    campaign, (replaced, closed, rested) = await house.campaign("a", 3)
    now = house.now
    for case_id in (replaced, closed):
        await house.redial(case_id, now)
    old = await house.redial(rested, now)
    await house.redial(replaced, now, action="call-debtor", owner="collector")
    await house.store.outcomes.conclude(closed, now, _closes)
    newer = await house.redial(rested, now + timedelta(hours=1))
    await house.store.agenda.rest(old.id, now + timedelta(days=9))  # by whoever holds the action of before
    assert await house.claimed(campaign, now) == []
    assert await house.store.agenda.next_redial(campaign.id, now) == newer.earliest
    await house.store.agenda.rest(newer.id, now)  # a clock that was put back does not open a window early
    assert await house.store.agenda.next_redial(campaign.id, now) == newer.earliest


async def test_a_case_that_the_campaign_does_not_work_is_left_to_others(house: House) -> None:
    campaign, (held, open_one) = await house.campaign("a", 2)
    await house.store.outcomes.conclude(held, house.now, _held)
    again = await house.store.sweep.create("again", campaign.placement_ids, house.now)
    await house.redials([held, open_one], house.now)
    assert await house.claimed(again, house.now) == [open_one]
    assert (
        await house.store.agenda.next_redial(again.id, house.now) > house.now
    )  # what is not its own makes it wait for nothing
    assert await house.claimed(campaign, house.now) == [held]


def _held(file: CaseFile) -> Conclusion:
    return Conclusion(
        next_action=an_action(file.case.id, file.case.opened_at, action="wait"),
        case_state=CaseState.HELD,
        state_reason="x",
    )


def _closes(_file: CaseFile) -> Conclusion:
    return Conclusion(next_action=None, case_state=CaseState.CLOSED, state_reason="paid")


async def test_many_nodes_claim_rest_and_replace_at_once(house: House, store_url: str) -> None:
    """Each redial is claimed once while its lease runs, and nobody waits crosswise."""
    _, cases = await house.campaign("a", 12)
    (one,) = await house.store.placements.list()
    campaigns = [await house.store.sweep.create(name, [one.id], house.now) for name in ("b", "c", "d")]
    await house.redials(cases, house.now)
    stores = [await CaseStore.open(store_url) for _ in range(4)]
    held: dict[str, int] = {}

    async def work(node: int, dice: random.Random) -> None:
        agenda = stores[node % len(stores)].agenda
        for turn in range(12):
            campaign = dice.choice(campaigns)
            for action in await agenda.claim_due(campaign.id, f"n{node}", house.now, limit=3):
                held[action.id] = held.get(action.id, 0) + 1
                if dice.random() < 0.5:
                    await agenda.rest(action.id, house.now + timedelta(minutes=node + 1))
                else:
                    await stores[node % len(stores)].outcomes.conclude(
                        action.case_id, house.now, _again(turn, house.now)
                    )
            await stores[node % len(stores)].sweep.claim(campaign.id, 2, f"n{node}", house.now)

    await asyncio.gather(*(work(node, random.Random(node)) for node in range(8)))
    for store in stores:
        await store.close()
    assert len(held) > len(cases)
    assert set(held.values()) == {1}


def _again(turn: int, now: datetime) -> Any:
    """The case is redialed at once, later, or never."""

    def conclude(file: CaseFile) -> Conclusion:
        action, at = (
            ("redial", now - timedelta(seconds=turn + 1)),
            ("redial", now + timedelta(hours=1)),
            ("call-debtor", now),
        )[turn % 3]
        return Conclusion(
            next_action=an_action(file.case.id, at, action=action), case_state=CaseState.OPEN, stop_sweep=turn % 2 == 0
        )

    return conclude


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # PostgreSQL has no steps; the bench counts its pages
async def test_a_campaign_reads_past_nobody_elses_redials(house: House) -> None:
    """Counted in steps of SQLite's machine: the same beside ten redials of another campaign and beside a hundred."""
    mine, (case_id, *_) = await house.campaign("mine", 3)
    _, others = await house.campaign("others", 100)
    await house.redial(case_id, house.now + timedelta(hours=1))
    await house.redials(others[:10], house.now - timedelta(hours=1))
    steps = await _counted(house.store)

    async def asked() -> int:
        steps.clear()
        assert await house.claimed(mine, house.now) == []
        assert await house.claimed(mine, house.now, call_backs=True) == []
        assert await house.store.agenda.next_redial(mine.id, house.now) == house.now + timedelta(hours=1)
        return len(steps)

    beside_ten = await asked()
    await house.redials(others[10:], house.now - timedelta(hours=1))
    assert beside_ten > 0
    assert await asked() == beside_ten


async def _counted(store: CaseStore) -> list[int]:
    """Grows by one for every step of the machine."""
    steps: list[int] = []
    engine = store.database._engine

    def step() -> int:
        steps.append(1)
        return 0

    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _record: connection.run_async(lambda driver: driver.set_progress_handler(step, 1)),
    )
    await engine.dispose()
    return steps


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
async def test_postgresql_begins_with_the_placements_queue(house: House) -> None:
    """It may not turn the question around, whatever it believes of the tables: every case of a campaign would be read."""
    campaign, (case_id,) = await house.campaign("a", 1)
    await house.redial(case_id, house.now)
    said: list[tuple[str, Any]] = []
    event.listen(
        house.store.database._engine.sync_engine,
        "before_cursor_execute",
        lambda _conn, _cursor, statement, parameters, _context, _many: said.append((statement, parameters)),
    )
    assert await house.claimed(campaign, house.now) == [case_id]
    await house.store.agenda.next_redial(campaign.id, house.now)
    asked = [one for one in said if one[0].startswith("SELECT") and "redial_at" in one[0] and "sweep_cases" in one[0]]
    assert len(asked) == 4, "the heads and the queue of a claim, both kinds' heads of a look ahead"
    async with house.store.database.read() as connection:
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in asked:
            rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plan = "\n".join(rows.scalars())
            assert "ix_next_actions_redial" in plan, plan
            assert "Join" not in plan, plan
            assert "Nested Loop" not in plan, plan
