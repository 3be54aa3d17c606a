"""A campaign that starts again goes on from what it had learnt; what cannot be used is said, and it starts from nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from case_store.tables import pacing_memories
from config.settings import DeskSettings, FloorSettings
from dialer.campaign import CampaignRunner
from dialer.campaigns import Mode
from dialer.dialing import DialPlan
from dialer.pace_memory import PaceMemory
from dialer.pace_setter import PaceSetter
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import FloorView, Pace, PacingEvent
from tests.contract.store.world import case_line, load
from tests.integration.test_the_floor import House, enter_outcomes, heard, house

FLOOR = FloorSettings(abandonment_target=0.03)


class _Teacher:
    """Lets the campaign's own pacer live through another day, in the hour before now."""

    on_events, every, soonest = False, 1.0, 0.5

    def __init__(self, setter: PaceSetter) -> None:
        self._setter = setter
        self._from = setter._now() - 3600.0

    def decide(self, view: FloorView, now: float) -> Pace:
        return self._setter._gated.decide(view, self._from + now)

    def observe(self, event: PacingEvent) -> None:
        self._setter._tell(event._replace(at=self._from + event.at))


async def teach(runner: CampaignRunner) -> None:
    """An hour in which one call in ten was answered, before the campaign's first step."""
    setter = await runner._setter()
    run_day(FastFloor(Scenario(agents=10, answer_rate=0.1), 5), _Teacher(setter), hours=1.0)
    await runner.step()


@asynccontextmanager
async def again(at: House, name: str = "sweep") -> AsyncIterator[CampaignRunner]:
    """The same house after a restart, with more people to call; the engine stands for the carrier and knows nothing."""
    at.engine = type(at.engine)(at.clock, heard(4, 0.3))
    async with at.opened() as centre:
        now = at.clock.now()
        lines = [case_line(f"D{n:03d}", mobile=f"1391000{n:04d}") for n in range(10)]
        report = await load(centre.store, at.root, now, *lines, name="later.csv")
        if name != "sweep":
            at.campaign = await centre.store.sweep.create(name, [report.placement_id], now, mode="predictive")
        await centre.seat(DeskSettings(name="desk-0", uri="sip:d@memory"), agent_id="agent-0", name="A")
        runner = centre.runner(at.campaign, DialPlan(lines=30, ring_seconds=20, redials=False))
        runner.state = runner.state.RUNNING
        yield runner


async def first_word(runner: CampaignRunner) -> dict[str, Any]:
    await runner.step()
    assert runner.pace_setter is not None
    assert runner.pace_setter.last is not None
    return dict(runner.pace_setter.last.why)


async def learnt_house(root: Path, stop: str) -> House:
    """A house that dialed, learnt that one in ten answers, and was stopped."""
    async with house(root, heard(3, 0.1), FLOOR, cases=6, agents=2, mode=Mode.PREDICTIVE) as at:
        if stop == "finished":
            runner = at.runner()
            await teach(runner)
            ended = asyncio.Event()
            entering = asyncio.create_task(enter_outcomes(at, ended))
            async with asyncio.timeout(60):
                await runner.run()
            ended.set()
            await entering
        else:
            runner = at.runner()
            runner.state = runner.state.RUNNING
            await teach(runner)
            if stop == "paused":
                await runner.pause()
        return at


@pytest.mark.parametrize("stop", ["closed", "paused", "finished"])
async def test_its_first_decision_after_a_restart_uses_what_it_learnt(tmp_path: Path, stop: str) -> None:
    at = await learnt_house(tmp_path, stop)
    async with again(at) as runner:
        said = await first_word(runner)
        assert said["answer_chance"] == pytest.approx(0.1, abs=0.06)
        assert runner.pace_setter is not None
        assert runner.pace_setter.counts["answered"] <= 10, "this process has seen too little to know"
        record = runner.pace_setter.learnt.pacer.as_record()
        assert all(str(call).startswith("call_") for call, *_ in record["placed"]), "no call of before is waited for"


async def test_a_new_campaign_begins_with_what_the_house_learnt(tmp_path: Path) -> None:
    at = await learnt_house(tmp_path, "closed")
    async with again(at, name="another list") as runner:
        said = await first_word(runner)
        assert said["answer_chance"] == pytest.approx(0.1, abs=0.06)
        assert runner.pace_setter is not None
        assert runner.pace_setter.ledger.totals(runner.pace_setter.today)[0] <= 10, "its account is its own"


@pytest.mark.parametrize(
    "harm", [{"body": "{}"}, {"version": 99}, {"body": "", "sha256": "0" * 64}], ids=["changed", "version", "emptied"]
)
async def test_what_cannot_be_used_is_said_and_dialing_starts_from_nothing(
    tmp_path: Path, harm: dict[str, Any]
) -> None:
    at = await learnt_house(tmp_path, "closed")
    with capture_logs() as logs:
        async with again(at) as runner:
            async with at.centre.store.database.write() as unit:
                await unit.connection.execute(update(pacing_memories).values(**harm))
            assert (await first_word(runner))["answer_chance"] == 0.5
    (said,) = [one for one in logs if one["event"] == "pacing-memory"]
    assert (said["log_level"], said["error_id"]) == ("error", "pacing-memory-unusable")


async def test_it_is_kept_in_turns_and_not_for_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty seconds apart, and only when something was learnt: a crash costs a minute, a busy floor no writes."""
    async with house(tmp_path, heard(3, 0.3), FLOOR, cases=3, agents=1, mode=Mode.PREDICTIVE) as at:
        now = [0.0]
        monkeypatch.setattr(at.clock, "monotonic", lambda: now[0])
        runner = at.runner()
        runner.state = runner.state.RUNNING
        await runner.step()
        memory = PaceMemory(store=at.centre.store, clock=at.clock, campaign_id=at.campaign.id, node="n")
        assert runner.pace_setter is not None

        async def rows() -> list[Any]:
            async with at.centre.store.database.read() as connection:
                query = select(func.length(pacing_memories.c.body)).where(pacing_memories.c.node == "n")
                return list((await connection.execute(query)).scalars())

        for second, seen, written in ((0, 1, 0), (59, 2, 0), (60, 3, 1), (61, 4, 1), (119, 5, 1)):
            now[0] = float(second)
            await memory.keep(runner.pace_setter.learnt, seen)
            assert len(await rows()) == written
        async with at.centre.store.database.write() as unit:
            await unit.connection.execute(update(pacing_memories).values(body="x"))
        for second, seen, kept in ((121, 3, False), (122, 4, True)):
            now[0] = float(second)
            await memory.keep(runner.pace_setter.learnt, seen)
            assert (await rows() != [1]) is kept


async def test_a_store_that_takes_nothing_stops_no_campaign(tmp_path: Path) -> None:
    async with house(tmp_path, heard(3, 0.3), FLOOR, cases=3, agents=1, mode=Mode.PREDICTIVE) as at:
        runner = at.runner()
        runner.state = runner.state.RUNNING
        await teach(runner)
        async with at.centre.store.database.write() as unit:
            await unit.connection.exec_driver_sql("ALTER TABLE pacing_memories RENAME TO gone")
        with capture_logs() as logs:
            await runner.keep_learnt(at_once=True)
        assert [one["error_id"] for one in logs if one["event"] == "pacing-not-kept"] == ["store-unavailable"]
        async with at.centre.store.database.write() as unit:
            await unit.connection.exec_driver_sql("ALTER TABLE gone RENAME TO pacing_memories")
        await runner.keep_learnt(at_once=True)
        assert len(await at.centre.store.pacing.nearest(at.campaign.id, at.centre.node, at.clock.now())) == 1
