"""onrecord desk and onrecord campaign against a served centre: every word, with --json."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.centre_floor import CentreFloor
from api.centre_house import CentreCampaigns
from api.commands import run
from api.memory import PlainTapes
from api.serving import serve_doors
from api.store_house import house_over
from case_store.views import Role
from config.settings import FloorSettings, WebSettings
from dialer.campaigns import Mode
from dialer.engines.scripted import Answer, Provisional, Script
from dialer.floor import AgentState
from tests.integration.test_the_floor import House
from tests.integration.test_the_floor import house as centre_house
from tests.sample_house import password_hash

STAYS: Script = (Provisional(after=0.05), Answer(after=0.1))


class Machine:
    """A shell on the server's machine."""

    def __init__(self, at: House, capsys: pytest.CaptureFixture[str]) -> None:
        self.at = at
        self._capsys = capsys

    async def says(self, *words: str, exit_code: int = 0) -> Any:
        self._capsys.readouterr()
        code = await asyncio.to_thread(run, [*words, "--json"])
        out, err = self._capsys.readouterr()
        assert code == exit_code, err
        text = out if exit_code != 2 else err
        # The server lives in this process: its log lines stand before the object, and on a busy machine behind it.
        begin = text.index("{\n") if "{\n" in text else text.index("{")
        return json.JSONDecoder().raw_decode(text, begin)[0]


@pytest.fixture
async def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Machine]:
    key = tmp_path / "run" / "serve.key"
    monkeypatch.setenv("ONRECORD_WEB__KEY_FILE", str(key))
    floor = FloorSettings(pace_log=tmp_path / "pace")
    async with centre_house(tmp_path, lambda _order: STAYS, floor, cases=4, agents=0, mode=Mode.MANUAL) as at:
        settings = at.settings.model_copy(update={"web": WebSettings(port=0, key_file=key)})
        centre = at.centre
        for name, role in (
            ("collector", Role.COLLECTOR),
            ("colleague", Role.COLLECTOR),
            ("team_leader", Role.TEAM_LEADER),
        ):
            house = house_over(
                centre.store,
                settings,
                at.clock,
                campaigns=CentreCampaigns(centre),
                calling=centre,
                floor=CentreFloor(centre),
                tapes=PlainTapes({}),
                registry=centre.registry,
            )
            await house.accounts.add_user(name, name, role, password_hash(), at.clock.now())
        ready = asyncio.Event()
        serving = asyncio.create_task(serve_doors(house, ready=lambda _url: ready.set()))
        await ready.wait()
        yield Machine(at, capsys)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_day_at_the_desk_on_the_command_line(machine: Machine) -> None:
    at, says = machine.at, machine.says
    for name in ("collector", "colleague", "team_leader"):
        assert (await says("desk", "log-in", name))["state"] == "ready"
    assert (await says("desk", "pause", "collector", "--reason", "meal"))["reason"] == "meal"
    wrong = await says("desk", "pause", "colleague", "--reason", "boredom", exit_code=2)
    assert wrong["error"]["field"] == "reason"
    assert (await says("desk", "ready", "collector"))["state"] == "ready"
    [(case_id, number_id), *_] = await at.numbers()
    call_id = (await says("desk", "call", "collector", case_id, number_id))["call_id"]
    await at.until(lambda: at.centre.floor.agent("collector").state is AgentState.TALKING)
    shown = await says("desk", "show", "collector")
    assert shown["call"]["call_id"] == call_id
    for words in (
        ("hold", "collector"),
        ("hold", "collector", "--off"),
        ("keys", "collector", "12#"),
        ("consult", "collector", "colleague"),
        ("three-way", "collector"),
        ("take-back", "collector"),
        ("listen", "team_leader", "collector", "--reason", "monthly check"),
        ("whisper", "team_leader", "collector", "--reason", "monthly check"),
        ("join", "team_leader", "collector", "--reason", "monthly check"),
        ("leave", "team_leader"),
        ("consult", "collector", "colleague"),
        ("hand-over", "collector"),
        ("hang-up", "colleague"),
    ):
        assert await says("desk", *words) == {"done": True}, words
    await at.until(lambda: at.centre.floor.agent("colleague").state is AgentState.WRAP_UP)
    assert [one["owner"] for one in (await says("desk", "owed"))["items"]] == ["colleague"]
    assert await says("desk", "log-out", "collector") == {"done": True}
    assert [one["id"] for one in (await says("desk", "list"))["items"]] == ["colleague", "team_leader"]


async def test_previews_are_accepted_and_skipped_and_the_mode_is_switched_while_it_runs(machine: Machine) -> None:
    at, says = machine.at, machine.says
    await says("desk", "log-in", "collector")
    started = await says("campaign", "start", at.campaign.id)
    assert (started["state"], started["mode"]) == ("running", "manual")
    assert (await says("campaign", "mode", at.campaign.id, "preview"))["mode"] == "preview"
    await at.until(lambda: at.centre.preview.offered("collector") is not None)
    shown = await says("desk", "show", "collector")
    assert shown["offer"]["who"]["case_id"] == shown["coming"]["case_id"]
    assert await says("desk", "skip", "collector", "--reason", "later today") == {"done": True}
    await at.until(lambda: at.centre.preview.offered("collector") is not None)
    taken = await says("desk", "accept", "collector")
    assert taken["call_id"].startswith("call_")
    await at.until(lambda: at.centre.floor.agent("collector").state is AgentState.TALKING)
    assert (await says("campaign", "mode", at.campaign.id, "predictive"))["mode"] == "predictive"
    runner = at.centre.runners[at.campaign.id]
    await at.until(lambda: runner.pace_setter is not None and runner.pace_setter.counts["decisions"] >= 3)
    pace = await says("campaign", "pace", at.campaign.id)
    assert pace["why"]["binding"]
    decisions = (await says("campaign", "replay", at.campaign.id))["items"]
    assert len(decisions) >= 3
    assert all(one["same"] for one in decisions)
