"""Cases, agenda, campaigns, placements, health: what they show, and what never leaves."""

from __future__ import annotations

import re

import pytest

from tests.sample_house import MOBILE, Sample
from tests.unit.api.conftest import Browser


async def test_the_list_of_cases_is_paged_by_key_without_gap_or_repeat(browser: Browser) -> None:
    await browser.be("collector")
    seen: list[str] = []
    after = None
    while True:
        query = {"limit": "3"} | ({"after": after} if after else {})
        page = (await browser.http.get("/api/v1/cases", params=query)).json()
        assert len(page["items"]) <= 3
        seen += [case["id"] for case in page["items"]]
        after = page["after"]
        if after is None:
            break
    assert sorted(seen) == [f"case_{place}" for place in range(1, 9)]


async def test_a_case_shows_attempts_refusals_recordings_and_what_is_next(browser: Browser) -> None:
    await browser.be("collector")
    page = (await browser.http.get("/api/v1/cases/case_1")).json()
    assert page["case"]["balance"] == {"amount": "13581.40", "currency": "CNY"}
    refused, answered, busy = page["attempts"]
    assert refused["refusal"]["rule"] == "third-party-gate"
    assert refused["refusal"]["source"]
    assert (answered["cause"], answered["outcome"], answered["recording_id"]) == ("normal", "SELF_PROMISE", "rec_1")
    assert busy["sip_status"] == 486
    assert page["next_actions"][0]["reason_zh"]


@pytest.mark.parametrize("role", ["collector", "team_leader", "qa", "compliance"])
async def test_no_door_shows_a_number_one_could_dial(browser: Browser, role: str) -> None:
    await browser.be(role)
    for path in (
        "/api/v1/cases",
        "/api/v1/cases/case_1",
        "/api/v1/cases/case_1/attempts",
        "/api/v1/next-actions",
        "/api/v1/calls/live",
        "/api/v1/placements/plac_1/coverage",
    ):
        answer = await browser.http.get(path)
        assert not re.search(r"\+\d{9,}", answer.text), path
        assert MOBILE not in answer.text


async def test_qa_sees_less_of_a_number_than_who_works_the_case(browser: Browser) -> None:
    await browser.be("qa")
    numbers = (await browser.http.get("/api/v1/cases/case_1")).json()["numbers"]
    assert numbers[1]["number"] == "****5678"
    await browser.be("collector")
    numbers = (await browser.http.get("/api/v1/cases/case_1")).json()["numbers"]
    assert numbers[1]["number"] == "+86138****5678"


async def test_starting_and_pausing_a_campaign_is_said_and_logged(browser: Browser, sample: Sample) -> None:
    await browser.be("team_leader")
    before = await sample.events.last_number()
    held = (await browser.http.get("/api/v1/campaigns/camp_sweep/explanation")).json()
    assert held["dialing"] is False
    assert [gate["name"] for gate in held["gates"] if gate["holds_back"]] == ["state"]
    await browser.http.post("/api/v1/campaigns/camp_sweep/start")
    assert (await browser.http.get("/api/v1/campaigns/camp_sweep/explanation")).json()["dialing"] is True
    await browser.http.post("/api/v1/campaigns/camp_sweep/pause")
    events = await sample.events.read_after(before, limit=10)
    assert [(event.kind, event.facts["actor"]) for event in events] == [
        ("campaign.started", "team_leader"),
        ("campaign.paused", "team_leader"),
    ]


async def test_an_unknown_campaign_is_a_404(browser: Browser) -> None:
    await browser.be("team_leader")
    answer = await browser.http.post("/api/v1/campaigns/camp_none/start")
    assert (answer.status_code, answer.json()["error_id"]) == (404, "unknown-campaign")


async def test_a_dry_run_says_what_would_happen_and_logs_no_load(browser: Browser, sample: Sample) -> None:
    await browser.be("team_leader")
    before = await sample.events.last_number()
    file = {"file": ("march.csv", b"ref,name\n1,a\n2,b\n")}
    answer = await browser.http.post("/api/v1/placements?client=bank&dry_run=true", files=file)
    assert (answer.status_code, answer.json()["rows"], answer.json()["dry_run"]) == (201, 2, True)
    assert await sample.events.last_number() == before


async def test_a_file_that_is_no_placement_is_refused_by_name(browser: Browser) -> None:
    await browser.be("team_leader")
    answer = await browser.http.post("/api/v1/placements?client=bank", files={"file": ("march.exe", b"MZ")})
    assert (answer.status_code, answer.json()["field"]) == (422, "file")
    assert answer.json()["remedy"]


async def test_a_body_over_its_bound_is_refused(browser: Browser) -> None:
    big = b"x" * 300_000
    answer = await browser.http.post("/api/v1/sessions", content=big, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_id"]) == (413, "body-too-large")

    async def trickle():  # no announced length: only counting finds it
        for _ in range(300):
            yield b"x" * 1000

    answer = await browser.http.post(
        "/api/v1/sessions", content=trickle(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error_id"]) == (413, "body-too-large")


async def test_every_answer_carries_the_security_headers(browser: Browser) -> None:
    for path in ("/", "/api/v1/health", "/api/v1/nothing", "/static/app.js"):
        headers = (await browser.http.get(path)).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


async def test_ready_names_what_is_wrong_and_tells_details_only_inside(sample: Sample) -> None:
    import dataclasses

    import httpx

    from api.app import create_app

    class Full:
        name = "disk"

        async def trouble(self) -> str | None:
            return "12 MB left on the tape disk: make room"

    house = dataclasses.replace(sample.house, checks=(Full(),))
    transport = httpx.ASGITransport(create_app(house, machine_key="key"))
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as client:
        outside = await client.get("/api/v1/ready")
        inside = await client.get("/api/v1/ready", headers={"Authorization": "Bearer key"})
    assert outside.status_code == 503
    assert outside.json()["checks"] == [{"name": "disk", "ok": False, "trouble": None}]
    assert "12 MB" in inside.json()["checks"][0]["trouble"]


async def test_metrics_count_by_operation_and_never_by_path(browser: Browser) -> None:
    await browser.be("admin")
    await browser.http.get("/api/v1/cases/case_1")
    text = (await browser.http.get("/metrics")).text
    assert 'operation="show_case"' in text
    assert "case_1" not in text


async def test_nothing_there_and_wrong_method_are_problems_too(browser: Browser) -> None:
    nothing = await browser.http.get("/api/v1/nothing")
    wrong = await browser.http.put("/api/v1/cases")
    assert (nothing.status_code, nothing.json()["error_id"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["error_id"]) == (405, "method-not-allowed")
    assert "GET" in wrong.headers["allow"]
