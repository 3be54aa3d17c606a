"""Logging in and out, and what a session may do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from case_store.views import Role
from tests.sample_house import PASSWORD, START, Sample, password_hash, sample_house
from tests.unit.api.conftest import Browser

SESSIONS = "/api/v1/sessions"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    answer = await browser.log_in("collector")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert answer.json()["token"] is None


async def test_a_wrong_password_and_an_unknown_name_look_the_same(browser: Browser) -> None:
    wrong = await browser.http.post(SESSIONS, json={"username": "collector", "password": "not this one"})
    unknown = await browser.http.post(SESSIONS, json={"username": "nobody", "password": "not this one"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["error_id"] == "wrong-credentials"
    assert wrong.headers["content-type"] == "application/problem+json"


async def test_a_failed_log_in_never_writes_down_what_was_typed(browser: Browser, sample: Sample) -> None:
    await browser.http.post(SESSIONS, json={"username": "Tr0ub4dor", "password": "not this one"})
    (event,) = await sample.events.read_after(0, limit=10)
    assert event.kind == "session.refused"
    assert "Tr0ub4dor" not in str(event)


async def test_guessing_is_slowed_down_and_the_right_password_must_wait_too(browser: Browser, sample: Sample) -> None:
    for _ in range(sample.house.settings.web.log_in_failures):
        answer = await browser.http.post(SESSIONS, json={"username": "qa", "password": "not this one"})
        assert answer.status_code == 401
    answer = await browser.http.post(SESSIONS, json={"username": "qa", "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.json()["error_id"] == "too-many-attempts"
    assert int(answer.headers["retry-after"]) > 0
    await browser.log_in("collector")  # another name is not locked out by it


async def test_logging_out_ends_the_session_on_the_server(browser: Browser) -> None:
    await browser.log_in("collector")
    kept = browser.http.cookies["onrecord_session"]
    assert (await browser.http.delete(f"{SESSIONS}/current")).status_code == 204
    again = await browser.http.get(f"{SESSIONS}/current", headers={"Cookie": f"onrecord_session={kept}"})
    assert again.status_code == 401
    assert again.headers["www-authenticate"].startswith("Bearer")


async def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    sample = await sample_house(tmp_path, session_hours=0.5)
    transport = httpx.ASGITransport(create_app(sample.house))
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as client:
        browser = Browser(client, sample)
        await browser.log_in("collector")
        sample.house.clock.advance_to(START + timedelta(minutes=29))  # type: ignore[attr-defined]  # a ShiftedClock
        assert (await client.get("/api/v1/cases")).status_code == 200
        sample.house.clock.advance_to(START + timedelta(minutes=31))  # type: ignore[attr-defined]  # a ShiftedClock
        assert (await client.get("/api/v1/cases")).status_code == 401


async def test_a_change_from_a_browser_needs_the_anti_forgery_token(browser: Browser) -> None:
    await browser.be("team_leader")
    del browser.http.headers["X-CSRF-Token"]
    answer = await browser.http.post("/api/v1/campaigns/camp_sweep/start")
    assert (answer.status_code, answer.json()["error_id"]) == (403, "csrf-missing")


async def test_a_page_of_another_origin_is_refused_even_with_the_token(browser: Browser) -> None:
    await browser.be("team_leader")
    elsewhere = {"Origin": "https://elsewhere.test"}
    answer = await browser.http.post("/api/v1/campaigns/camp_sweep/start", headers=elsewhere)
    assert (answer.status_code, answer.json()["error_id"]) == (403, "foreign-origin")
    answer = await browser.http.post(SESSIONS, headers=elsewhere, json={"username": "collector", "password": PASSWORD})
    assert answer.status_code == 403


async def test_a_machine_uses_a_bearer_token_without_cookie_or_csrf(browser: Browser) -> None:
    wanted = {"username": "team_leader", "password": PASSWORD, "kind": "token"}
    opened = await browser.http.post(SESSIONS, json=wanted)
    assert "set-cookie" not in opened.headers
    bearer = {"Authorization": f"Bearer {opened.json()['token']}"}
    answer = await browser.http.post("/api/v1/campaigns/camp_sweep/start", headers=bearer)
    assert (answer.status_code, answer.json()["state"]) == (200, "running")


async def test_the_key_of_this_machine_opens_the_doors_and_a_similar_one_does_not(browser: Browser) -> None:
    right = await browser.http.get("/api/v1/cases", headers={"Authorization": "Bearer key-of-this-machine"})
    wrong = await browser.http.get("/api/v1/cases", headers={"Authorization": "Bearer key-of-this-machinf"})
    assert (right.status_code, wrong.status_code) == (200, 401)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/cases", {Role.COLLECTOR, Role.TEAM_LEADER, Role.QA, Role.COMPLIANCE, Role.CLERK}),
        ("/api/v1/recordings/rec_1/audio", {Role.COLLECTOR, Role.TEAM_LEADER, Role.QA, Role.COMPLIANCE}),
        ("/api/v1/placements", {Role.TEAM_LEADER, Role.QA, Role.COMPLIANCE, Role.CLERK}),
        ("/api/v1/calls/live", {Role.COLLECTOR, Role.TEAM_LEADER, Role.COMPLIANCE, Role.ADMIN}),
        ("/api/v1/users", {Role.COMPLIANCE, Role.ADMIN}),
        ("/metrics", {Role.ADMIN}),
    ],
)
async def test_each_role_reaches_what_its_work_needs_and_nothing_else(
    browser: Browser, path: str, allowed: set[Role]
) -> None:
    for role in Role:
        await browser.be(role.value)
        answer = await browser.http.get(path)
        assert answer.status_code == (200 if role in allowed else 403), role


async def test_an_administrator_adds_a_user_who_can_log_in(browser: Browser) -> None:
    await browser.be("admin")
    wanted = {"username": "lina", "display_name": "李娜", "role": "collector", "password": PASSWORD}
    assert (await browser.http.post("/api/v1/users", json=wanted)).status_code == 201
    again = await browser.http.post("/api/v1/users", json=wanted)
    assert (again.status_code, again.json()["error_id"]) == (409, "username-taken")
    await browser.log_in("lina")


async def test_a_short_password_is_refused_without_being_repeated(browser: Browser) -> None:
    await browser.be("admin")
    wanted = {"username": "lina", "display_name": "李娜", "role": "collector", "password": "hunter2"}
    answer = await browser.http.post("/api/v1/users", json=wanted)
    assert (answer.status_code, answer.json()["field"]) == (422, "password")
    assert "hunter2" not in answer.text


async def test_a_switched_off_user_is_out_at_once(browser: Browser, sample: Sample) -> None:
    user = await sample.accounts.add_user("gone", "gone", Role.QA, password_hash(), START)
    await browser.be("gone")
    object.__setattr__(user, "active", False)
    assert (await browser.http.get("/api/v1/cases")).status_code == 401
