"""Outcomes, work orders and coverage over HTTP, and the bank's files on the command line."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.commands import run
from api.guard import COOKIE
from api.house import House
from api.memory import PlainTapes
from api.passwords import csrf_token, new_token, token_hash
from api.store_house import house_over
from case_store.store import CaseStore
from case_store.views import Role
from case_store.workflow import CaseEvent, OutcomeCode
from config.clock import ShiftedClock
from config.settings import Settings, load_settings
from dialer.followup import follow_up_over
from tests.sample_house import START, password_hash

PLACEMENT = "案件编号,姓名,欠款金额,币种,本人手机\nXY-1,王小明,1234.50,CNY,13800138000\n"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = Settings.model_validate({"store": {"identity_key": tmp_path / "keys" / "identity.key"}})
    store = await CaseStore.open(f"sqlite+aiosqlite:///{tmp_path}/onrecord.db")
    yield house_over(store, settings, ShiftedClock(START), tapes=PlainTapes({}))
    await store.close()


class Desk:
    """Somebody logged in."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def report(self, case_id: str, outcome: str, **facts: object) -> httpx.Response:
        return await self.http.post(f"/api/v1/cases/{case_id}/events", json={"outcome": outcome, **facts})


async def desk(house: House, role: Role) -> Desk:
    user = await house.accounts.add_user(role.value, role.value, role, password_hash(), START)
    token = new_token()
    await house.accounts.open_session(user, token_hash(token), START, START + timedelta(days=300))
    headers = {"X-CSRF-Token": csrf_token(token), "Cookie": f"{COOKIE}={token}"}
    transport = httpx.ASGITransport(create_app(replace(house, registry=CollectorRegistry())))
    return Desk(httpx.AsyncClient(transport=transport, base_url="http://calls.test", headers=headers))


async def entrusted(leader: Desk) -> str:
    answer = await leader.http.post(
        "/api/v1/placements", params={"client": "bank"}, files={"file": ("march.csv", PLACEMENT.encode())}
    )
    assert answer.status_code == 201, answer.text
    case_id: str = (await leader.http.get("/api/v1/cases")).json()["items"][0]["id"]
    return case_id


async def test_a_promise_is_entered_and_rule_ten_refuses_too_much(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    case_id = await entrusted(leader)
    due = (START + timedelta(days=2)).date().isoformat()
    much = await collector.report(case_id, "SELF_PROMISE", amount="2000", on=due)
    assert (much.status_code, much.json()["error_id"]) == (422, "promise-above-balance")
    late = await collector.report(case_id, "SELF_PROMISE", amount="100", on="2026-06-30")
    assert (late.status_code, late.json()["error_id"]) == (409, "promise-outside-window")
    kept = await collector.report(case_id, "SELF_PROMISE", amount="100", on=due)
    assert kept.status_code == 201, kept.text
    assert kept.json()["next_action"]["action"] in ("remind-promise", "confirm-promise")


async def test_a_visit_needs_another_person_and_two_visitors(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    case_id = await entrusted(leader)
    assert (await collector.report(case_id, "VISIT_APPROVED")).status_code == 403
    assert (await leader.report(case_id, "VISIT_ORDER")).status_code == 201
    own = await leader.report(case_id, "VISIT_APPROVED")
    assert (own.status_code, own.json()["error_id"]) == (409, "approval-by-same-person")
    compliance = await desk(house, Role.COMPLIANCE)
    (waiting,) = (await compliance.http.get("/api/v1/work-orders")).json()["items"]
    assert (waiting["kind"], waiting["asked_by"]) == ("visit", "team_leader")
    assert (await compliance.report(case_id, "VISIT_APPROVED")).status_code == 201
    alone = await collector.report(case_id, "VISIT_DONE", visitors=["a", "a"], result="SELF_NEGOTIATING")
    assert (alone.status_code, alone.json()["error_id"]) == (422, "order-incomplete")
    done = await collector.report(case_id, "VISIT_DONE", visitors=["a", "b"], result="SELF_NEGOTIATING")
    assert done.status_code == 201, done.text


async def test_payments_and_registry_are_not_for_the_asking(house: House) -> None:
    leader = await desk(house, Role.TEAM_LEADER)
    case_id = await entrusted(leader)
    paid = await leader.report(case_id, "PAYMENT", amount="5")
    assert (paid.status_code, paid.json()["error_id"]) == (409, "outcome-not-reported-by-hand")
    registry = await leader.report(case_id, "REGISTRY_CHECK", legal_basis="a court's letter")
    assert (registry.status_code, registry.json()["error_id"]) == (409, "registry-not-allowed")
    nobody = await leader.report("case_none", "SELF_NEGOTIATING")
    assert nobody.status_code == 404
    assert (await leader.http.post("/api/v1/calls/call_none/outcome", json={"outcome": "BUSY"})).status_code == 404


async def test_a_hold_stops_and_only_compliance_lifts_it(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    compliance = await desk(house, Role.COMPLIANCE)
    case_id = await entrusted(leader)
    held = (await collector.report(case_id, "COMPLAINT")).json()
    assert held["next_action"]["owner"] == "compliance"
    assert (await leader.report(case_id, "HOLD_RELEASED")).status_code == 403
    assert (await compliance.report(case_id, "HOLD_RELEASED")).json()["next_action"]["action"] == "call-debtor"


async def test_a_clerk_finds_a_number_and_coverage_shows_it(house: House) -> None:
    leader, clerk = await desk(house, Role.TEAM_LEADER), await desk(house, Role.CLERK)
    case_id = await entrusted(leader)
    where = f"/api/v1/cases/{case_id}/numbers"
    bad = await clerk.http.post(where, json={"phone": "12", "channel": "mobile"})
    assert bad.status_code == 422
    unnamed = await clerk.http.post(where, json={"phone": "13900139000", "channel": "relative"})
    assert unnamed.json()["field"] == "relation"
    found = await clerk.http.post(where, json={"phone": "13900139000", "channel": "relative", "relation": "姐姐"})
    assert found.status_code == 201, found.text
    report = (await clerk.http.get("/api/v1/coverage")).json()
    assert [(line["pairs"], line["attempted"]) for line in report["by"]["placement"]] == [(2, 0)]
    assert report["fairness"]["never_worked"] == 1


async def test_a_waiver_is_approved_by_somebody_else_and_lowers_the_balance(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    compliance = await desk(house, Role.COMPLIANCE)
    case_id = await entrusted(leader)
    over = await collector.report(case_id, "WAIVER_ASKED", amount="9999")
    assert over.status_code in (409, 422), over.text
    assert (await leader.report(case_id, "WAIVER_ASKED", amount="34.50")).status_code == 201
    own = await leader.report(case_id, "WAIVER_APPROVED")
    assert (own.status_code, own.json()["error_id"]) == (409, "approval-by-same-person")
    assert (await collector.report(case_id, "WAIVER_APPROVED")).status_code == 403
    assert (await compliance.report(case_id, "WAIVER_APPROVED")).status_code == 201
    case = (await leader.http.get(f"/api/v1/cases/{case_id}")).json()
    assert "1200" in json.dumps(case)
    (done,) = (await leader.http.get("/api/v1/work-orders", params={"state": "approved"})).json()["items"]
    assert (done["kind"], done["asked_by"], done["approved_by"]) == ("waiver", "team_leader", "compliance")


async def test_an_extension_reaches_beyond_the_term_and_needs_somebody_else(house: House) -> None:
    leader, compliance = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COMPLIANCE)
    case_id = await entrusted(leader)
    past = (START - timedelta(days=1)).date().isoformat()
    until = (START + timedelta(days=200)).date().isoformat()
    early = await leader.report(case_id, "EXTENSION_ASKED", on=past)
    assert (early.status_code, early.json()["error_id"], early.json()["field"]) == (422, "bad-event", "on")
    assert (await leader.report(case_id, "EXTENSION_APPROVED")).json()["error_id"] == "no-such-order"
    assert (await leader.report(case_id, "EXTENSION_ASKED", on=until)).status_code == 201
    assert (await leader.report(case_id, "EXTENSION_APPROVED")).json()["error_id"] == "approval-by-same-person"
    assert (await compliance.report(case_id, "EXTENSION_APPROVED")).status_code == 201
    (order,) = (await leader.http.get("/api/v1/work-orders", params={"state": "approved"})).json()["items"]
    assert (order["kind"], order["details"]["until"]) == ("extension", until)


async def test_the_registry_where_it_is_allowed_needs_a_basis_and_compliance(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "store": {"identity_key": tmp_path / "keys" / "identity.key"},
            "workflow": {"registry_allowed": True},
        }
    )
    store = await CaseStore.open(f"sqlite+aiosqlite:///{tmp_path}/onrecord.db")
    try:
        at = house_over(store, settings, ShiftedClock(START), tapes=PlainTapes({}))
        leader, clerk, compliance = [await desk(at, role) for role in (Role.TEAM_LEADER, Role.CLERK, Role.COMPLIANCE)]
        case_id = await entrusted(leader)
        assert (await leader.report(case_id, "ALL_INVALID")).json()["next_action"]["action"] == "look-up"
        empty = (await clerk.report(case_id, "LOOKUP_EMPTY")).json()["next_action"]
        assert (empty["action"], empty["owner"]) == ("request-registry", "data-clerk+compliance")
        bare = await leader.report(case_id, "REGISTRY_CHECK")
        assert (bare.status_code, bare.json()["field"]) == (422, "legal_basis")
        assert (await leader.report(case_id, "REGISTRY_CHECK", legal_basis="court order 7")).status_code == 201
        assert (await leader.report(case_id, "REGISTRY_APPROVED")).status_code == 403
        assert (await compliance.report(case_id, "REGISTRY_APPROVED")).status_code == 201
        after = (await clerk.report(case_id, "REGISTRY_EMPTY")).json()["next_action"]
        assert after["action"] == "propose-visit"
    finally:
        await store.close()


async def test_a_fraud_claim_goes_through_its_steps(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    compliance = await desk(house, Role.COMPLIANCE)
    case_id = await entrusted(leader)
    claimed = (await collector.report(case_id, "FRAUD_CLAIM")).json()["next_action"]
    assert (claimed["action"], claimed["owner"]) == ("confirm-fraud", "collector")
    promise = await collector.report(case_id, "SELF_PROMISE", amount="1", on=START.date().isoformat())
    assert (promise.status_code, promise.json()["error_id"]) == (409, "case-held")
    far = (START + timedelta(days=9)).date().isoformat()
    assert (await collector.report(case_id, "FRAUD_CONFIRMED", on=far)).json()["field"] == "on"
    soon = (START + timedelta(days=3)).date().isoformat()
    confirmed = (await collector.report(case_id, "FRAUD_CONFIRMED", on=soon)).json()["next_action"]
    assert confirmed["action"] == "sign-declaration"
    declared = (await collector.report(case_id, "FRAUD_DECLARED")).json()["next_action"]
    assert (declared["action"], declared["owner"]) == ("send-packet", "bank-liaison+compliance")
    assert (await collector.report(case_id, "FRAUD_PACKET_SENT")).status_code == 403
    assert (await compliance.report(case_id, "FRAUD_PACKET_SENT")).json()["next_action"]["action"] == "await-bank"
    ended = await compliance.report(case_id, "FRAUD_UPHELD")
    assert ended.json()["next_action"] is None


async def test_a_call_back_over_http_has_a_minute_with_its_offset(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    case_id = await entrusted(leader)
    page = (await leader.http.get(f"/api/v1/cases/{case_id}")).json()
    number_id = page["numbers"][0]["id"]
    minute = (START + timedelta(days=1)).replace(hour=3, minute=5, second=0, microsecond=0)  # 11:05 in China
    naive = await collector.report(
        case_id, "CALL_BACK_AGREED", number_id=number_id, call_at=minute.replace(tzinfo=None).isoformat()
    )
    assert (naive.status_code, naive.json()["field"]) == (422, "call_at")
    night = minute.replace(hour=15)
    refused = await collector.report(case_id, "CALL_BACK_AGREED", number_id=number_id, call_at=night.isoformat())
    assert (refused.status_code, refused.json()["error_id"]) == (409, "call-back-not-permitted")
    kept = await collector.report(case_id, "CALL_BACK_AGREED", number_id=number_id, call_at=minute.isoformat())
    assert kept.status_code == 201, kept.text
    action = kept.json()["next_action"]
    assert (action["action"], action["owner"], action["agent_id"]) == ("call-back", "collector", "collector")
    page = (await collector.http.get(f"/api/v1/cases/{case_id}")).json()
    assert [(one["number_id"], one["agent_id"]) for one in page["next_actions"]] == [(number_id, "collector")]


async def test_rule_one_over_http_needs_records_by_others_and_the_collectors_own_acknowledgement(house: House) -> None:
    collector, compliance = await desk(house, Role.COLLECTOR), await desk(house, Role.COMPLIANCE)
    where = "/api/v1/vetting/collector"
    first = (await collector.http.get(where)).json()
    assert (first["may_dial"], first["missing"]) == (False, ["criminal-record", "credit-record", "rules-training"])
    assert (await collector.http.get("/api/v1/vetting/compliance")).status_code == 403
    day = START.date()
    record = {
        "reference": "file 7",
        "valid_from": day.isoformat(),
        "valid_until": (day + timedelta(days=365)).isoformat(),
    }
    assert (await collector.http.post(where, json={**record, "kind": "credit-record"})).status_code == 403
    own = await compliance.http.post("/api/v1/vetting/compliance", json={**record, "kind": "credit-record"})
    assert (own.status_code, own.json()["error_id"]) == (409, "vetting-of-oneself")
    for kind in ("criminal-record", "credit-record"):
        assert (await compliance.http.post(where, json={**record, "kind": kind})).status_code == 201
    until = {"valid_until": record["valid_until"]}
    wrong = await collector.http.post("/api/v1/vetting/me/acknowledgement", json={**until, "rules": "1999"})
    assert (wrong.status_code, wrong.json()["error_id"]) == (409, "rules-not-in-force")
    rules = first["rules_in_force"]
    read = await collector.http.post("/api/v1/vetting/me/acknowledgement", json={**until, "rules": rules})
    assert (read.status_code, read.json()["may_dial"]) == (201, True)
    gone = await compliance.http.post(f"{where}/withdrawals", json={"kind": "credit-record", "reason": "a default"})
    assert gone.json()["missing"] == ["credit-record"]
    assert (await compliance.http.get("/api/v1/vetting/nobody")).json()["error_id"] == "unknown-person"


async def test_a_leader_gives_a_case_to_a_collector(house: House) -> None:
    leader, collector = await desk(house, Role.TEAM_LEADER), await desk(house, Role.COLLECTOR)
    case_id = await entrusted(leader)
    where = f"/api/v1/cases/{case_id}/owner"
    assert (await collector.http.put(where, json={"owner": "collector"})).status_code == 403
    assert (await leader.http.put(where, json={"owner": "nobody-here"})).json()["field"] == "owner"
    assert (await leader.http.put(where, json={"owner": "collector"})).status_code == 204
    report = (await leader.http.get("/api/v1/coverage")).json()
    assert [line["key"] for line in report["by"]["collector"]] == ["collector"]
    assert sum(report["fairness"]["distribution"].values()) == 1
    assert (await leader.http.put("/api/v1/cases/case_none/owner", json={"owner": None})).status_code == 404


def test_bank_files_results_and_vetting_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONRECORD_STORE__URL", f"sqlite+aiosqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("ONRECORD_CLIENTS", '[{"name": "bank", "result_codes": {"PAID": "PTP-OK"}}]')

    def said(*words: str, code: int = 0) -> dict[str, object]:
        assert run([*words, "--json"]) == code
        spoken: dict[str, object] = json.loads(capsys.readouterr().out)
        return spoken

    (tmp_path / "march.csv").write_text(PLACEMENT, encoding="utf-8")
    said("import", "march.csv", "--client", "bank")
    (tmp_path / "paid.csv").write_text("案件号,流水号,金额,日期\nXY-1,P1,200,2026-01-01\nXY-9,P2,1,2026-01-01\n")
    dry = said("payments", "paid.csv", "--client", "bank", "--dry-run")
    assert (dry["taken"], dry["dry_run"]) == (1, True)
    real = said("payments", "paid.csv", "--client", "bank", "--rejected", "back.csv")
    assert (real["taken"], real["cases"]) == (1, 1)
    assert "XY-9" in (tmp_path / "back.csv").read_text(encoding="utf-8-sig")
    out = said("results", "march", "--out", "results.csv")
    assert out["cases"] == 1
    with (tmp_path / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = list(csv.DictReader(file))
    assert (row["case_ref"], row["balance"], row["state"]) == ("XY-1", "1034.50", "open")
    tomorrow = (datetime.now(ZoneInfo("Asia/Shanghai")) + timedelta(days=1)).date().isoformat()
    day = said("agenda", "--day", tomorrow)
    assert (day["total"], len(day["items"])) == (1, 1)  # type: ignore[arg-type]  # JSON: a list
    assert said("agenda", "--day", tomorrow, "--owner", "field-team")["total"] == 0
    assert run(["agenda", "--day", "soon", "--json"]) == 2
    capsys.readouterr()
    (tmp_path / "recall.csv").write_text("案件号\nXY-1\n")
    assert said("recall", "recall.csv", "--client", "bank")["taken"] == 1
    assert said("coverage")["alerts"] == []
    monkeypatch.setattr("api.agent_commands._password", lambda: "a long enough password")
    said("agent", "add", "li.na")
    first = said("agent", "vet", "li.na", "--kind", "criminal-record", "--valid-until", "2099-12-31")
    assert first["missing"] == ["credit-record", "rules-training"]
    said("agent", "vet", "li.na", "--kind", "credit-record", "--valid-until", "2099-12-31")
    assert said("agent", "vet", "li.na", "--kind", "rules-training", "--valid-until", "2099-12-31")["missing"] == []
    assert run(["agent", "vet", "li.na", "--kind", "none", "--valid-until", "2099-12-31"]) == 2
    capsys.readouterr()
    monkeypatch.setenv("ONRECORD_WORKFLOW__COLLECTOR_RULES", "2026-2")  # new rules: the old training counts no more
    again = said("agent", "vet", "li.na", "--kind", "credit-record", "--valid-until", "2099-12-31")
    assert again["missing"] == ["rules-training"]
    barred = said("agent", "withdraw-vetting", "li.na", "--kind", "credit-record", "--reason", "a default was found")
    assert (barred["withdrawn"], barred["missing"]) == (2, ["credit-record", "rules-training"])
    assert run(["agent", "withdraw-vetting", "li.na", "--kind", "credit-record", "--reason", " "]) == 2


def test_approvals_on_the_command_line_take_a_second_person_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONRECORD_STORE__URL", f"sqlite+aiosqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("ONRECORD_CLIENTS", '[{"name": "bank"}]')
    monkeypatch.setattr("api.agent_commands._password", lambda: "a long enough password")

    def said(*words: str) -> dict[str, Any]:
        assert run([*words, "--json"]) == 0
        spoken: dict[str, Any] = json.loads(capsys.readouterr().out)
        return spoken

    def refused(*words: str) -> tuple[str, str]:
        assert run([*words, "--json"]) == 2
        spoken = capsys.readouterr()
        assert spoken.out == ""
        error = json.loads(spoken.err)["error"]
        assert error["remedy"]
        return error["error_id"], error["field"]

    (tmp_path / "march.csv").write_text(PLACEMENT, encoding="utf-8")
    said("import", "march.csv", "--client", "bank")
    for name, role in (("li.na", "collector"), ("wu", "team_leader"), ("he", "compliance"), ("root", "admin")):
        said("agent", "add", name, "--role", role)
    assert said("approvals")["orders"] == []

    async def ask(outcome: OutcomeCode, by: str, amount: str | None = None) -> str:
        store = await CaseStore.open(f"sqlite+aiosqlite:///{tmp_path}/store.db")
        try:
            event = CaseEvent(
                outcome=outcome, at=datetime.now(UTC), by=by, amount=Decimal(amount) if amount is not None else None
            )
            (line,) = await store.cases.list()
            await follow_up_over(store, load_settings()).entered(line.case.id, event)
            return line.case.id
        finally:
            await store.close()

    case_id = asyncio.run(ask(OutcomeCode.WAIVER_ASKED, "wu", "200"))
    (waiver,) = said("approvals", "--kind", "waiver", "--case", case_id)["orders"]
    assert (waiver["asked_by"], waiver["details"]["amount"]) == ("wu", "200")
    assert refused("approvals", "approve", "wo_none", "--as", "he") == ("unknown-order", "order")
    assert refused("approvals", "approve", waiver["id"], "--as", "nobody") == ("may-not-decide", "--as")
    assert refused("approvals", "approve", waiver["id"], "--as", "li.na") == ("may-not-decide", "--as")
    assert refused("approvals", "approve", waiver["id"], "--as", "root") == ("may-not-decide", "--as")
    assert refused("approvals", "approve", waiver["id"], "--as", "wu") == ("approval-by-same-person", "by")
    assert len(said("approvals")["orders"]) == 1, "what was refused changed nothing"
    done = said("approvals", "approve", waiver["id"], "--as", "he", "--note", "hardship seen")
    assert (done["state"], done["asked_by"], done["decided_by"]) == ("approved", "wu", "he")
    assert said("approvals")["orders"] == []
    assert said("approvals", "--state", "approved")["orders"][0]["approved_by"] == "he"
    assert refused("approvals", "refuse", waiver["id"], "--as", "he")[1] == "order"
    out = said("results", "march", "--out", "results.csv")
    assert out["cases"] == 1
    assert "1034.50" in (tmp_path / "results.csv").read_text(encoding="utf-8-sig"), "1234.50 less what was waived"
    asyncio.run(ask(OutcomeCode.VISIT_ORDER, "he"))
    (visit,) = said("approvals")["orders"]
    assert said("approvals", "refuse", visit["id"], "--as", "wu")["next_action"]["owner"] == "team-leader"
    assert run(["approvals"]) == 0
    assert "No order is asked" in capsys.readouterr().out
    checked = said("verify")
    assert (checked["failures"], checked["audit_entries"] >= 2) == ([], True)
