"""The floor's doors, the same over a house in memory and over a running centre with its store. Category: contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.centre_floor import CentreFloor
from api.centre_house import CentreCampaigns
from api.guard import COOKIE
from api.house import House
from api.memory import PlainTapes
from api.passwords import csrf_token, new_token, token_hash
from api.store_house import house_over
from case_store.audit import AuditLog
from case_store.views import Role
from config.settings import FloorSettings
from dialer.campaigns import Mode
from dialer.engines.scripted import Answer, Provisional, Script
from tests.integration.test_the_floor import house as centre_house
from tests.sample_house import START, password_hash, person_called, sample_house

STAYS: Script = (Provisional(after=0.05), Answer(after=0.1))


@dataclass
class Floor:
    """A house with a case to call. ``as_(name)`` is that person's client; ``audited`` what the audit log says of a call."""

    house: House
    case_id: str
    number_id: str
    audited: Callable[[str], Awaitable[list[str]]]
    clients: list[httpx.AsyncClient]

    async def as_(self, name: str) -> httpx.AsyncClient:
        found = await self.house.accounts.credentials(name)
        assert found is not None
        token, now = new_token(), self.house.clock.now()
        await self.house.accounts.open_session(found[0], token_hash(token), now, now + timedelta(hours=1))
        app = create_app(replace(self.house, registry=CollectorRegistry()))
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://calls.test/api/v1",
            headers={"X-CSRF-Token": csrf_token(token), "Cookie": f"{COOKIE}={token}"},
        )
        self.clients.append(client)
        return client

    async def seated(self, name: str) -> httpx.AsyncClient:
        client = await self.as_(name)
        answer = await client.post(f"/agents/{name}/log-in", json={})
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "ready"
        return client

    async def talking(self, name: str = "collector") -> httpx.AsyncClient:
        """Seated, and in a call of their own."""
        client = await self.seated(name)
        made = await client.post(f"/agents/{name}/calls", json={"case_id": self.case_id, "number_id": self.number_id})
        assert made.status_code == 201, made.text
        if hasattr(self.house.floor, "calls"):  # in memory nobody answers by themselves
            self.house.floor.floor.talking(name, made.json()["call_id"])  # type: ignore[attr-defined]
            self.house.floor.calls[made.json()["call_id"]].answered_at = self.house.clock.now()
        await until(
            client, name, lambda desk: desk["agent"]["state"] == "talking" and desk["call"]["state"] == "bridged"
        )
        return client


async def until(client: httpx.AsyncClient, name: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            desk: dict[str, Any] = (await client.get(f"/agents/{name}/desk")).json()
            if what(desk):
                return desk
            await asyncio.sleep(0.02)


@pytest.fixture(params=["memory", "centre"])
async def floor(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Floor]:
    if request.param == "memory":
        sample = await sample_house(tmp_path)
        await sample.accounts.add_user("colleague", "Colleague", Role.COLLECTOR, password_hash(), START)
        who = person_called(1)

        async def in_memory(subject: str) -> list[str]:
            facts = sample.house.audit.facts  # type: ignore[attr-defined]
            return [fact.action for fact in facts if fact.subject == subject]

        made = Floor(sample.house, who.case_id, who.number_id, in_memory, [])
        yield made
        await _close(made)
        return
    async with centre_house(
        tmp_path, lambda _order: STAYS, FloorSettings(pace_log=tmp_path / "pace"), cases=3, agents=0, mode=Mode.MANUAL
    ) as at:
        centre = at.centre
        house = house_over(
            centre.store,
            at.settings,
            at.clock,
            campaigns=CentreCampaigns(centre),
            calling=centre,
            floor=CentreFloor(centre),
            tapes=PlainTapes({}),
        )
        for name, role in (
            ("collector", Role.COLLECTOR),
            ("colleague", Role.COLLECTOR),
            ("team_leader", Role.TEAM_LEADER),
            ("qa", Role.QA),
        ):
            await house.accounts.add_user(name, name, role, password_hash(), at.clock.now())
        [(case_id, number_id), *_rest] = await at.numbers()
        log = house.audit
        assert isinstance(log, AuditLog)

        async def in_store(subject: str) -> list[str]:
            return [entry.fact.action for entry in await log.about(subject)]

        made = Floor(house, case_id, number_id, in_store, [])
        yield made
        await _close(made)


async def _close(floor: Floor) -> None:
    for client in floor.clients:
        await client.aclose()


async def test_an_agent_logs_in_pauses_with_a_reason_code_and_leaves(floor: Floor) -> None:
    collector = await floor.seated("collector")
    listed = (await collector.get("/agents")).json()
    assert [(one["id"], one["state"], one["is_leader"]) for one in listed["items"]] == [("collector", "ready", False)]
    assert "meal" in listed["pause_reasons"]
    bad = await collector.post("/agents/collector/pause", json={"reason": "boredom"})
    assert (bad.status_code, bad.json()["error_id"], bad.json()["field"]) == (422, "bad-input", "reason")
    paused = (await collector.post("/agents/collector/pause", json={"reason": "meal"})).json()
    assert (paused["state"], paused["reason"]) == ("paused", "meal")
    assert (await collector.post("/agents/collector/ready")).json()["state"] == "ready"
    assert (await collector.post("/agents/collector/log-out")).status_code == 204
    gone = await collector.get("/agents/collector/desk")
    assert (gone.status_code, gone.json()["error_id"]) == (404, "unknown-agent")


async def test_a_collector_has_only_the_own_desk_and_a_leader_may_pause_and_log_out_others(floor: Floor) -> None:
    await floor.seated("collector")
    other, leader, qa = await floor.seated("colleague"), await floor.as_("team_leader"), await floor.as_("qa")
    for verb, body in (
        ("ready", None),
        ("pause", {"reason": "meal"}),
        ("log-out", None),
        ("call/hold", {"on": True}),
        ("call/keys", {"digits": "1"}),
        ("call/hang-up", None),
        ("calls", {"case_id": floor.case_id, "number_id": floor.number_id}),
        ("offer/accept", None),
        ("call/consult", {"agent": "team_leader"}),
        ("call/three-way", None),
        ("call/hand-over", None),
        ("call/take-back", None),
    ):
        refused = await other.post(f"/agents/collector/{verb}", json=body)
        assert (refused.status_code, refused.json()["error_id"]) == (403, "not-your-desk"), verb
    assert (await other.get("/agents/collector/desk")).status_code == 403
    for verb in ("listen", "whisper", "join"):
        refused = await other.post(f"/agents/collector/call/{verb}", json={"reason": "curious"})
        assert (refused.status_code, refused.json()["error_id"]) == (403, "not-allowed"), verb
    assert (await qa.get("/agents")).status_code == 403
    assert (await leader.post("/agents/collector/ready")).json()["error_id"] == "not-your-desk"
    assert (await leader.post("/agents/collector/pause", json={"reason": "meeting"})).json()["state"] == "paused"
    assert (await leader.post("/agents/collector/log-out")).status_code == 204


async def test_a_click_calls_the_desk_controls_the_call_and_its_outcome_frees_the_agent(floor: Floor) -> None:
    collector = await floor.talking()
    desk = (await collector.get("/agents/collector/desk")).json()
    call_id = desk["call"]["call_id"]
    assert desk["coming"]["number"].count("*") == 4
    assert desk["coming"]["balance"] is not None
    assert (desk["call"]["part"], desk["call"]["held"]) == ("talks", False)
    early = await collector.post("/agents/collector/ready")
    assert early.status_code == 422
    assert (await collector.post("/agents/collector/call/hold", json={"on": True})).status_code == 204
    assert (await collector.get("/agents/collector/desk")).json()["call"]["held"]
    assert (await collector.post("/agents/collector/call/hold", json={"on": False})).status_code == 204
    assert (await collector.post("/agents/collector/call/keys", json={"digits": "12#"})).status_code == 204
    assert (await collector.post("/agents/collector/call/keys", json={"digits": "x"})).status_code == 422
    assert (await collector.post("/agents/collector/call/hang-up")).status_code == 204
    desk = await until(collector, "collector", lambda one: one["agent"]["state"] == "wrap-up" and one["owed"])
    assert [one["call_id"] for one in desk["owed"]] == [call_id]
    owed = await collector.post("/agents/collector/ready")
    assert (owed.status_code, owed.json()["error_id"]) == (422, "outcome-owed")
    other = await floor.as_("colleague")
    foreign = await other.post(f"/calls/{call_id}/outcome", json={"outcome": "SELF_NEGOTIATING"})
    assert (foreign.status_code, foreign.json()["error_id"]) == (403, "not-your-desk")
    entered = await collector.post(f"/calls/{call_id}/outcome", json={"outcome": "SELF_NEGOTIATING"})
    assert entered.status_code == 201, entered.text
    desk = await until(collector, "collector", lambda one: one["agent"]["state"] == "ready")
    assert desk["owed"] == []


async def test_a_warm_transfer_ends_with_the_outcome_owed_by_the_heir(floor: Floor) -> None:
    collector, other = await floor.talking(), await floor.seated("colleague")
    nobody = await collector.post("/agents/collector/call/three-way")
    assert nobody.status_code == 422
    assert (await collector.post("/agents/collector/call/consult", json={"agent": "colleague"})).status_code == 204
    desk = (await other.get("/agents/colleague/desk")).json()
    assert (desk["call"]["part"], desk["call"]["agent_id"]) == ("aside", "collector")
    own = await other.post("/agents/colleague/call/hang-up")
    assert own.status_code == 422  # a guest ends nobody's call
    assert (await collector.post("/agents/collector/call/three-way")).status_code == 204
    assert (await other.get("/agents/colleague/desk")).json()["call"]["part"] == "talks"
    assert (await collector.post("/agents/collector/call/hand-over")).status_code == 204
    assert (await collector.get("/agents/collector/desk")).json()["agent"]["state"] == "ready"
    assert (await other.post("/agents/colleague/call/hang-up")).status_code == 204
    desk = await until(other, "colleague", lambda one: bool(one["owed"]))
    call_id = desk["owed"][0]["call_id"]
    entered = await other.post(f"/calls/{call_id}/outcome", json={"outcome": "SELF_NEGOTIATING"})
    assert entered.status_code == 201, entered.text


async def test_a_leader_listens_whispers_and_joins_and_the_audit_log_has_it_first(floor: Floor) -> None:
    await floor.talking()
    leader = await floor.as_("team_leader")
    absent = await leader.post("/agents/collector/call/listen", json={"reason": "monthly check"})
    assert absent.status_code == 404  # the leader is at no desk
    leader = await floor.seated("team_leader")
    for verb, part in (("listen", "listens"), ("whisper", "whispers"), ("join", "talks")):
        answer = await leader.post(f"/agents/collector/call/{verb}", json={"reason": "monthly check"})
        assert answer.status_code == 204, answer.text
        desk = (await leader.get("/agents/collector/desk")).json()
        assert desk["call"]["guests"] == {"team_leader": part}
    assert (await leader.post("/agents/team_leader/call/leave")).status_code == 204
    actions = await floor.audited(desk["call"]["call_id"])
    assert actions == ["call.listened-in", "call.whispered-in", "call.joined"]
    assert (await leader.get("/agents/team_leader/desk")).json()["agent"]["state"] == "ready"


async def test_the_mode_is_switched_and_pace_and_decisions_are_told(floor: Floor) -> None:
    leader = await floor.as_("team_leader")
    [campaign, *_] = (await leader.get("/campaigns")).json()["items"]
    bad = await leader.post(f"/campaigns/{campaign['id']}/mode", json={"mode": "turbo"})
    assert bad.status_code == 422
    collector = await floor.as_("collector")
    assert (await collector.post(f"/campaigns/{campaign['id']}/mode", json={"mode": "manual"})).status_code == 403
    for mode in ("manual", "preview", "progressive", "predictive"):
        answer = await leader.post(f"/campaigns/{campaign['id']}/mode", json={"mode": mode})
        assert (answer.status_code, answer.json()["mode"]) == (200, mode)
    pace = (await leader.get(f"/campaigns/{campaign['id']}/pace")).json()
    assert (pace["target"], pace["limit"]) == (0.01, 0.03)
    assert (await leader.get(f"/campaigns/{campaign['id']}/decisions")).json() == {"items": []}
    unknown = await leader.get("/campaigns/camp_none/pace")
    assert (unknown.status_code, unknown.json()["error_id"]) == (404, "unknown-campaign")
