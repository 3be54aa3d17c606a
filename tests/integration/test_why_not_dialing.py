"""Every gate of a campaign, shut by its real cause: who holds it back, how many, and that nothing leaves meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import time, timedelta
from pathlib import Path

import pytest

from api.centre_house import CentreCampaigns
from config.calendars import Calendar, local_day, local_instant, zone
from config.settings import DeskSettings, FloorSettings
from dialer.campaign import CampaignRunner
from dialer.campaigns import Gate, Mode
from dialer.dialing import DialPlan
from dialer.engines.scripted import Answer, Provisional, Script
from dialer.events import RelayState, TrunkState
from tests.contract.store.world import case_line, load
from tests.integration.test_the_floor import SILENT, House

STAYS: Script = (Provisional(after=0.05), Answer(after=0.1))


class Asked:
    """A centre with one campaign over ``lines`` of a placement."""

    def __init__(self, at: House) -> None:
        self.at = at
        self.runner: CampaignRunner

    async def gates(self) -> dict[str, Gate]:
        """As ``onrecord campaign explain`` is told them."""
        return {gate.name: gate for gate in await CentreCampaigns(self.at.centre).explain(self.at.campaign.id)}

    async def holding(self) -> dict[str, int]:
        return {name: gate.count for name, gate in (await self.gates()).items() if gate.holds_back}

    async def until_held_by(self, name: str) -> None:
        async with asyncio.timeout(15):
            while name not in await self.holding():  # noqa: ASYNC110  # told to nobody
                await asyncio.sleep(0.05)

    async def nothing_leaves(self) -> None:
        before = len(await self.at.centre.store.calls.list())
        assert await self.runner.step() == 0
        assert len(await self.at.centre.store.calls.list()) == before


@asynccontextmanager
async def campaign(
    root: Path,
    *people: str,
    script: Script = SILENT,
    agents: int = 1,
    mode: Mode = Mode.PROGRESSIVE,
    lines: int = 5,
    hour: int = 10,
) -> AsyncIterator[Asked]:
    at = House(root, lambda _order: script, FloorSettings())
    house = zone("Asia/Shanghai")
    day = local_day(at.clock.now(), house)
    at.clock.advance_to(local_instant(day, time(hour), house))
    async with at.opened():
        now = at.clock.now()
        report = await load(at.centre.store, root, now, *(people or (case_line("C1", mobile="13900000001"),)))
        at.campaign = await at.centre.store.sweep.create("sweep", [report.placement_id], now, mode=mode.value)
        for n in range(agents):
            await at.centre.seat(DeskSettings(name=f"desk-{n}", uri="sip:d@memory"), agent_id=f"agent-{n}", name="A")
        asked = Asked(at)
        asked.runner = at.centre.runner(at.campaign, DialPlan(lines=lines, ring_seconds=20, redials=False))
        asked.runner.state = asked.runner.state.RUNNING
        yield asked


async def test_nothing_holds_back_what_dials(tmp_path: Path) -> None:
    async with campaign(tmp_path) as asked:
        assert await asked.holding() == {}
        gates = await asked.gates()
        assert (gates["numbers"].count, gates["agents"].count, gates["lines"].count) == (1, 1, 0)
        assert set(gates) == {
            *("mode", "state", "recorder", "trunk", "ledger", "lines", "agents", "hours", "caps", "numbers")
        }
        assert all(gate.detail_en and gate.detail_zh for gate in gates.values())
        assert await asked.runner.step() == 1


async def test_state_and_mode(tmp_path: Path) -> None:
    async with campaign(tmp_path, mode=Mode.MANUAL) as asked:
        assert await asked.holding() == {"mode": 0}
        await asked.nothing_leaves()
        await asked.at.centre.pause_campaign(asked.at.campaign.id)
        assert await asked.holding() == {"mode": 0, "state": 0}


async def test_hours_name_the_numbers_and_when_the_next_opens(tmp_path: Path) -> None:
    people = [case_line(f"C{n}", mobile=f"1390000000{n}") for n in range(3)]
    async with campaign(tmp_path, *people, agents=3, hour=23) as asked:
        await asked.runner.step()  # each is judged, and refused for the night
        assert await asked.at.centre.store.calls.list() == ()
        assert await asked.holding() == {"hours": 3, "numbers": 0}
        house = zone("Asia/Shanghai")
        tomorrow = local_day(asked.at.clock.now(), house) + timedelta(days=1)
        gate = (await asked.gates())["hours"]
        assert "outside permitted hours" in gate.detail_en
        if Calendar("CN").is_working_day(tomorrow):
            assert tomorrow.isoformat() in gate.detail_en
        await asked.nothing_leaves()


async def test_caps_name_the_rule_that_refuses(tmp_path: Path) -> None:
    """A relative may not be called while the debtor may yet be reached: counted under its rule."""
    async with campaign(tmp_path, case_line("C1", mobile="13900000001", relative="13900000002")) as asked:
        assert await asked.runner.step() == 1
        await asked.at.call_ended()
        await asked.at.centre.switchboard.quiet()
        asked.at.clock.advance_to(asked.at.clock.now() + timedelta(seconds=10))
        await asked.runner.step()
        holding = await asked.holding()
        assert holding == {"caps": 1, "numbers": 0}
        rule = (await asked.gates())["caps"].detail_en
        assert rule.endswith(": 1")
        assert len(await asked.at.centre.store.calls.list()) == 1


async def test_no_eligible_number(tmp_path: Path) -> None:
    async with campaign(tmp_path) as asked:
        await asked.runner.step()
        await asked.at.call_ended()
        await asked.at.centre.switchboard.quiet()
        assert await asked.holding() == {"numbers": 0}
        await asked.nothing_leaves()


@pytest.mark.parametrize("mode", [Mode.PROGRESSIVE, Mode.PREDICTIVE, Mode.PREVIEW])
async def test_no_agent(tmp_path: Path, mode: Mode) -> None:
    async with campaign(tmp_path, agents=1, mode=mode) as asked:
        asked.at.centre.agents.pause("agent-0", "meal")
        assert await asked.holding() == {"agents": 0}
        gate = (await asked.gates())["agents"]
        assert gate.detail_en.startswith("0 of ")
        await asked.nothing_leaves()


async def test_trunk_down(tmp_path: Path) -> None:
    async with campaign(tmp_path) as asked:
        now = asked.at.clock.now()
        asked.at.engine._emit(TrunkState(at=now, trunk="scripted", up=False, detail="no answer to OPTIONS"))
        await asked.until_held_by("trunk")
        assert await asked.holding() == {"trunk": 1}
        assert "scripted: no answer to OPTIONS" in (await asked.gates())["trunk"].detail_en
        await asked.nothing_leaves()
        asked.at.engine._emit(TrunkState(at=now, trunk="scripted", up=True))
        await asked.at.until(lambda: not asked.at.centre.switchboard.trunks_down)
        assert await asked.runner.step() == 1


async def test_recorder_and_relay(tmp_path: Path) -> None:
    async with campaign(tmp_path) as asked:
        tapes = asked.at.settings.recording.directory
        tapes.rename(tapes.with_name("unmounted"))
        await asked.until_held_by("recorder")
        assert await asked.holding() == {"recorder": 1}
        await asked.nothing_leaves()
        tapes.with_name("unmounted").rename(tapes)
        await asked.at.until(lambda: not asked.at.centre.health.problems())
        asked.at.engine._emit(RelayState(at=asked.at.clock.now(), up=False))
        await asked.until_held_by("recorder")
        assert "relay is down" in (await asked.gates())["recorder"].detail_en
        await asked.nothing_leaves()


async def test_ledger_used_up_keeps_an_agent_for_each_call_and_holds_without_one(tmp_path: Path) -> None:
    people = [case_line(f"C{n}", mobile=f"1390000000{n}") for n in range(2)]
    async with campaign(tmp_path, *people, mode=Mode.PREDICTIVE, script=STAYS) as asked:
        setter = await asked.runner._setter()
        setter.load_ledger([(setter.today, 100, 9)])
        assert await asked.runner.step() == 1  # one agent, one call
        await asked.at.until(lambda: any(call.bridged_at for call in asked.at.centre.switchboard))
        assert not setter.ledger_open
        assert await asked.holding() == {"ledger": 0}
        assert "used up" in (await asked.gates())["ledger"].detail_en
        await asked.nothing_leaves()


async def test_lines(tmp_path: Path) -> None:
    people = [case_line(f"C{n}", mobile=f"1390000000{n}") for n in range(2)]
    async with campaign(tmp_path, *people, script=STAYS, agents=2, lines=1) as asked:
        assert await asked.runner.step() == 1
        assert await asked.holding() == {"lines": 1}
        assert (await asked.gates())["lines"].detail_en == "1 of 1 lines are busy."
        await asked.nothing_leaves()
