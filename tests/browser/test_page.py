"""A person at the page: logs in, sees a call happen, opens a case, listens to its tape."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Page, Request, Route, expect

from case_store.model import Channel
from dialer.campaigns import LiveCall
from tests.browser.conftest import RunningHouse
from tests.sample_house import PASSWORD, START


async def log_in(page: Page, running: RunningHouse, username: str, path: str = "live") -> None:
    await page.goto(f"{running.url}/#/{path}")
    await page.fill("[name=username]", username)
    await page.fill("[name=password]", PASSWORD)
    await page.click("button[type=submit]")
    await expect(page.locator("nav.rail")).to_be_visible()


async def test_a_call_is_seen_as_it_happens_and_again_after_the_line_was_lost(
    page: Page, running: RunningHouse, tmp_path: Path
) -> None:
    await log_in(page, running, "team_leader")
    await expect(page.locator("#online")).to_have_attribute("data-on", "true")
    call = LiveCall(
        call_id="call_new",
        case_id="case_3",
        campaign_id="camp_sweep",
        e164="+8613511112222",
        channel=Channel.HOME,
        state="ringing",
        agent=None,
        placed_at=START,
    )

    async def happen() -> None:
        running.sample.campaigns.calls["call_new"] = call
        await running.sample.events.append("call.placed", START, case_id="case_3", subject_id="call_new")

    running.run(happen)
    row = page.locator("tr[data-call=call_new]")
    await expect(row).to_contain_text("+86135****2222")
    await expect(row).to_contain_text("振铃")
    await expect(page.locator(".ticker")).to_contain_text("呼出")
    await page.screenshot(path=tmp_path / "live.png")

    async def end() -> None:
        del running.sample.campaigns.calls["call_new"]
        await running.sample.events.append("call.ended", START, subject_id="call_new", cause="busy")

    await page.context.set_offline(True)
    await page.evaluate("void 0")
    running.run(end)
    await page.context.set_offline(False)
    await expect(row).to_contain_text("已结束", timeout=30_000)
    await expect(row).to_contain_text("忙")


async def test_what_happens_while_the_first_picture_is_on_its_way_is_seen(page: Page, running: RunningHouse) -> None:
    """The feed is open before the view is: an event that came in between once reached nobody."""
    asked = 0

    async def happen() -> None:
        running.sample.campaigns.calls["call_new"] = LiveCall(
            call_id="call_new",
            case_id="case_3",
            campaign_id="camp_sweep",
            e164="+8613511112222",
            channel=Channel.HOME,
            state="ringing",
            agent=None,
            placed_at=START,
        )
        await running.sample.events.append("call.placed", START, case_id="case_3", subject_id="call_new")

    async def late(route: Route) -> None:
        nonlocal asked
        asked += 1
        answer = await route.fetch()
        if asked == 2:  # the first is where the feed starts from, the second is the view's own
            await expect(page.locator("#online")).to_have_attribute("data-on", "true")
            running.run(happen)
            await asyncio.sleep(1.0)  # the event is with the page, the picture without it is still on its way
        await route.fulfill(response=answer)

    await page.route("**/api/v1/calls/live", late)
    await log_in(page, running, "team_leader")
    await expect(page.locator("tr[data-call=call_new]")).to_contain_text("+86135****2222")
    await expect(page.locator(".ticker")).to_contain_text("呼出")


async def test_a_tape_is_listened_to_by_ranges_and_by_keyboard(
    page: Page, running: RunningHouse, tmp_path: Path
) -> None:
    ranges: list[str] = []

    async def note(request: Request) -> None:
        if request.url.endswith("/audio"):
            ranges.append((await request.all_headers()).get("range", ""))

    page.on("request", note)
    await log_in(page, running, "qa")
    await page.goto(f"{running.url}/#/cases/case_1")
    await expect(page.locator(".refusal")).to_contain_text("cn-cba-2026")
    await page.click(".listen")
    # The page's own policy forbids eval, which Playwright's waiting functions need; asking again does not.
    async with asyncio.timeout(30):
        while await page.evaluate("document.getElementById('sound').currentTime") < 0.5:  # noqa: ASYNC110  # in the browser
            await asyncio.sleep(0.1)
    await page.keyboard.press("Space")
    assert await page.evaluate("document.getElementById('sound').paused")
    before = await page.evaluate("document.getElementById('sound').currentTime")
    await page.keyboard.press("ArrowRight")
    after = await page.evaluate("document.getElementById('sound').currentTime")
    assert abs(after - before - 3) < 0.2
    await page.keyboard.press("ArrowLeft")
    assert abs(await page.evaluate("document.getElementById('sound').currentTime") - before) < 0.2
    painted = """() => { const c = document.querySelector('canvas.wave'); const { data } =
        c.getContext('2d').getImageData(0, 0, c.width, c.height);
        const lane = (from, to) => { let n = 0; for (let y = from; y < to; y++) for (let x = 0; x < c.width; x++)
            n += data[(y * c.width + x) * 4 + 3] > 0; return n; };
        return [lane(0, c.height / 2), lane(c.height / 2, c.height)]; }"""
    assert min(await page.evaluate(painted)) > 500
    await page.screenshot(path=tmp_path / "listening.png")
    assert ranges
    assert all(asked.startswith("bytes=") for asked in ranges)

    async def heard() -> list[str]:
        events = await running.sample.events.read_after(0, limit=100)
        return [event.facts["actor"] for event in events if event.kind == "recording.listened"]

    assert running.run(heard)[0] == "qa"


async def test_a_campaign_is_started_and_explained(page: Page, running: RunningHouse) -> None:
    await log_in(page, running, "team_leader")
    await page.goto(f"{running.url}/#/campaigns")
    await page.click("text=为什么没有在拨号")
    await expect(page.locator(".gates li[data-holds=true]")).to_contain_text("活动已暂停")
    await page.click("text=启动")
    await expect(page.locator(".campaign .pill").first).to_contain_text("进行中")
    await expect(page.locator(".gates")).to_contain_text("没有闸门挡住")


async def test_wrong_password_is_said_in_chinese_with_what_to_do(page: Page, running: RunningHouse) -> None:
    await page.goto(running.url)
    await page.fill("[name=username]", "qa")
    await page.fill("[name=password]", "not this one")
    await page.click("button[type=submit]")
    await expect(page.locator(".failure")).to_contain_text("用户名或密码不正确")
    await expect(page.locator(".failure")).to_contain_text("wrong-credentials")
