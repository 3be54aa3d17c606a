"""The doors over a real case store: a loaded file, its cases by page, its accounts, its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.guard import COOKIE
from api.house import House
from api.memory import PlainTapes
from api.passwords import csrf_token, new_token, token_hash
from api.store_house import house_over
from case_store.accounts import UsernameTaken
from case_store.store import CaseStore
from case_store.views import Role
from config.clock import ShiftedClock
from config.settings import Settings
from tests.sample_house import START, password_hash

HEADER = "案件编号,姓名,欠款金额,币种,本人手机,单位电话\n"


def placement_file(rows: int) -> bytes:
    lines = (f"XY-{row:04},王小明,1234.50,CNY,138001380{row:02},010655512{row:02}\n" for row in range(rows))
    return (HEADER + "".join(lines)).encode()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    store = await CaseStore.open(f"sqlite+aiosqlite:///{tmp_path}/onrecord.db")
    yield store
    await store.close()


@pytest.fixture
def house(store: CaseStore, tmp_path: Path) -> House:
    settings = Settings.model_validate({"store": {"identity_key": tmp_path / "keys" / "identity.key"}})
    return house_over(store, settings, ShiftedClock(START), tapes=PlainTapes({}))


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    user = await house.accounts.add_user("leader", "组长", Role.TEAM_LEADER, password_hash(), START)
    token, now = new_token(), house.clock.now()
    await house.accounts.open_session(user, token_hash(token), now, now.replace(year=now.year + 1))
    transport = httpx.ASGITransport(create_app(house))
    headers = {"X-CSRF-Token": csrf_token(token), "Cookie": f"{COOKIE}={token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.test", headers=headers) as client:
        yield client


async def load(client: httpx.AsyncClient, content: bytes, **query: str) -> httpx.Response:
    query = {"client": "bank", **query}
    return await client.post("/api/v1/placements", params=query, files={"file": ("march.csv", content)})


async def test_a_dry_run_writes_nothing_and_a_load_makes_cases(client: httpx.AsyncClient) -> None:
    dry = (await load(client, placement_file(3), dry_run="true")).json()
    assert (dry["rows"], dry["cases"], dry["placement_id"]) == (3, 3, None)
    assert (await client.get("/api/v1/cases")).json()["items"] == []
    real = (await load(client, placement_file(3))).json()
    assert (real["cases"], real["rejected"]) == (3, [])
    again = (await load(client, placement_file(3))).json()
    assert again["repeated"] is True
    assert len((await client.get("/api/v1/cases")).json()["items"]) == 3


async def test_what_was_corrected_joins_its_placement_over_http_too(client: httpx.AsyncClient) -> None:
    first = (await load(client, placement_file(2))).json()
    sent = {"file": ("march.rejected.csv", placement_file(3))}
    again = (await client.post("/api/v1/placements", params={"client": "bank"}, files=sent)).json()
    assert (again["placement_id"], again["cases"]) == (first["placement_id"], 1)


async def test_cases_and_their_next_actions_come_by_page_without_gap_or_repeat(client: httpx.AsyncClient) -> None:
    await load(client, placement_file(7))
    for path, key in (("/api/v1/cases", "id"), ("/api/v1/next-actions", "id")):
        seen: list[str] = []
        after = None
        while True:
            page = (await client.get(path, params={"limit": "3"} | ({"after": after} if after else {}))).json()
            seen += [one[key] for one in page["items"]]
            if (after := page["after"]) is None:
                break
        assert len(seen) == len(set(seen)) == 7, path


async def test_a_case_is_found_by_the_start_of_its_number(client: httpx.AsyncClient) -> None:
    await load(client, placement_file(12))
    found = (await client.get("/api/v1/cases", params={"search": "XY-001"})).json()["items"]
    assert sorted(one["client_ref"] for one in found) == ["XY-0010", "XY-0011"]
    assert (await client.get("/api/v1/cases", params={"search": "%"})).json()["items"] == []


async def test_a_case_page_shows_masked_numbers_in_sop_order_and_what_is_next(client: httpx.AsyncClient) -> None:
    await load(client, placement_file(1))
    (line,) = (await client.get("/api/v1/cases")).json()["items"]
    page = (await client.get(f"/api/v1/cases/{line['id']}")).json()
    assert page["case"]["balance"] == {"amount": "1234.50", "currency": "CNY"}
    assert [one["channel"] for one in page["numbers"]] == ["workplace", "mobile"]
    assert "13800138000" not in str(page)
    assert page["next_actions"][0]["action"] == "sweep"
    assert (await client.get("/api/v1/cases/case_none")).status_code == 404


async def test_coverage_counts_every_number_of_the_placement(client: httpx.AsyncClient) -> None:
    made = (await load(client, placement_file(4))).json()
    seen = (await client.get(f"/api/v1/placements/{made['placement_id']}/coverage")).json()
    assert (seen["cases"], seen["numbers"], seen["attempted"]) == (4, 8, 0)
    assert len(seen["untried"]) == 8
    (listed,) = (await client.get("/api/v1/placements")).json()["items"]
    assert (listed["numbers"], listed["untried"]) == (8, [])


async def test_a_campaign_is_started_and_says_that_no_dialer_runs_here(
    client: httpx.AsyncClient, store: CaseStore, house: House
) -> None:
    made = (await load(client, placement_file(2))).json()
    campaign = await store.sweep.create("March", [made["placement_id"]], house.clock.now(), state="paused")
    moved = (await client.post(f"/api/v1/campaigns/{campaign.id}/start")).json()
    assert (moved["state"], moved["remaining"], moved["client"]) == ("running", 2, "bank")
    said = (await client.get(f"/api/v1/campaigns/{campaign.id}/explanation")).json()
    assert [gate["name"] for gate in said["gates"] if gate["holds_back"]] == ["dialer"]
    assert (await client.post("/api/v1/campaigns/none/start")).status_code == 404


async def test_a_user_switched_off_or_of_a_taken_name(house: House, store: CaseStore) -> None:
    user = await house.accounts.add_user("qa1", "质检", Role.QA, password_hash(), START)
    with pytest.raises(UsernameTaken):
        await house.accounts.add_user("qa1", "x", Role.QA, password_hash(), START)
    now = house.clock.now()
    await house.accounts.open_session(user, token_hash("t"), now, now.replace(year=now.year + 1))
    assert (await house.accounts.session(token_hash("t"), now)) is not None
    await store.people.change_user(user.id, now, disabled=True)
    assert (await house.accounts.session(token_hash("t"), now)) is None


async def test_ready_asks_the_store(house: House) -> None:
    checked = replace(house, checks=house.checks)
    transport = httpx.ASGITransport(create_app(checked))
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as outside:
        answer = await outside.get("/api/v1/ready")
    assert answer.json() == {"ready": True, "checks": [{"name": "store", "ok": True, "trouble": None}]}
