"""A collector's day at the desk and a leader's floor, as people see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from playwright.async_api import Page, expect

from case_store.model import Channel
from case_store.workflow import OutcomeCode
from dialer.campaigns import LiveCall
from dialer.desk_views import PaceView
from dialer.floor import AgentState
from dialer.parts import Part
from tests.browser.conftest import RunningHouse
from tests.browser.test_page import log_in
from tests.sample_house import MOBILE, START, person_called


async def seated(page: Page, running: RunningHouse, username: str) -> None:
    await log_in(page, running, username, "desk")
    await page.click("text=上线")
    await expect(page.locator(".state-now")).to_contain_text("空闲")


def customer(running: RunningHouse, agent: str, channel: Channel = Channel.MOBILE) -> str:
    """Somebody is on the agent's line; the call's id."""

    async def answered() -> str:
        call = running.sample.floor.answered(agent, person_called(1, channel))
        await running.sample.events.append("call.answered", START, case_id="case_1", subject_id=call.call_id)
        return call.call_id

    call_id: str = running.run(answered)
    return call_id


def state_of(running: RunningHouse, agent: str) -> AgentState:
    return running.sample.floor.floor.agent(agent).state


async def until(page: Page, what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():  # the house is in another thread
            await page.wait_for_timeout(50)


async def shots(page: Page, folder: Path, name: str) -> None:
    """Both themes, for people to look at."""
    for theme in ("light", "dark"):
        await page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        await page.wait_for_timeout(300)  # colours change softly
        await page.screenshot(path=folder / f"{name}-{theme}.png", full_page=True)
    await page.evaluate("document.documentElement.dataset.theme = 'light'")


async def test_a_call_is_taken_held_consulted_and_its_outcome_is_required(
    page: Page, running: RunningHouse, tmp_path: Path
) -> None:
    await seated(page, running, "collector")
    await page.select_option("[name=reason]", "meal")
    await page.click(".desk-head >> text=小休")
    await expect(page.locator(".state-now")).to_contain_text("用餐")
    await page.click(".desk-head >> text=就绪")
    call_id = customer(running, "collector")
    await expect(page.locator(".whisper")).to_contain_text("王小明")
    await expect(page.locator(".who-card .number")).to_have_text("+86138****5678")
    await expect(page.locator(".who-card .amount")).to_contain_text("13,581.40")
    call = running.sample.floor.calls[call_id]
    await page.click("[data-verb=hold]")
    await expect(page.locator(".call-card")).to_have_attribute("data-held", "true")
    assert call.held
    await page.click("[data-verb=hold]")
    await expect(page.locator(".call-card")).to_have_attribute("data-held", "false")
    await page.click("[data-verb=keys]")
    await page.click("[data-key='7']")
    await page.click("[data-key='#']")
    running.run(lambda: running.sample.house.floor.log_in("team_leader", None))
    await expect(page.locator("[name=whom] option")).to_contain_text("组长", timeout=10_000)
    await page.click("[data-verb=consult]")
    await expect(page.locator(".guests")).to_contain_text("咨询")
    await page.click("[data-verb=three-way]")
    await expect(page.locator(".guests")).to_contain_text("通话")
    await shots(page, tmp_path, "desk-call")
    await page.click("[data-verb=take-back]")
    await expect(page.locator(".guests")).to_have_count(0)
    assert (call.keys, call.guests) == ("7#", {})
    await page.click("[data-verb='hang-up']")
    form = page.locator(f"[data-owed={call_id}]")
    await expect(form).to_be_visible()
    await expect(page.locator(".desk-head >> text=就绪")).to_be_disabled()
    await form.locator("button[type=submit]").click()  # nothing is chosen: the browser says so, and nothing is sent
    assert state_of(running, "collector") is AgentState.WRAP_UP
    await form.locator("text=承诺还款").click()
    await form.locator("[name=amount]").fill("500")
    await form.locator("[name=on]").fill("2026-03-06")
    await form.locator("[name=note]").fill("工资日还款")
    await page.wait_for_timeout(5_500)  # the page looks again by itself: what is being typed stays
    await expect(form.locator("[name=amount]")).to_have_value("500")
    await shots(page, tmp_path, "desk-outcome")
    await form.locator("button[type=submit]").click()
    await expect(form).to_have_count(0)
    await expect(page.locator(".state-now")).to_contain_text("空闲")
    [(told, event)] = running.sample.casework.entered
    assert (told, event.outcome, str(event.amount), str(event.on)) == (
        call_id,
        OutcomeCode.SELF_PROMISE,
        "500",
        "2026-03-06",
    )


async def test_a_third_partys_call_shows_no_amount_anywhere(page: Page, running: RunningHouse, tmp_path: Path) -> None:
    await seated(page, running, "collector")
    call_id = customer(running, "collector", Channel.RELATIVE)
    await expect(page.locator(".third")).to_contain_text("第三方")
    await expect(page.locator(".who-card .amount")).to_contain_text("隐藏")
    await shots(page, tmp_path, "desk-third")
    assert "13,581" not in await page.content()
    await page.click("[data-verb='hang-up']")
    form = page.locator(f"[data-owed={call_id}]")
    await expect(form).to_contain_text("留电 1")
    assert await form.locator("input[value=SELF_PROMISE]").count() == 0


async def test_an_offered_case_is_skipped_with_a_reason_and_the_next_one_called(
    page: Page, running: RunningHouse, tmp_path: Path
) -> None:
    await seated(page, running, "collector")

    async def show() -> None:
        running.sample.floor.show("collector", person_called(2))
        await running.sample.events.append("preview.offered", START, subject_id="collector")

    running.run(show)
    await expect(page.locator(".offer")).to_be_visible()
    await expect(page.locator(".whisper")).to_contain_text("李芳")
    await shots(page, tmp_path, "desk-offer")
    await page.click("[data-verb=skip]")
    assert state_of(running, "collector") is AgentState.RESERVED  # a reason is required
    await page.fill("[name=why]", "约好晚上再打")
    await page.click("[data-verb=skip]")
    await expect(page.locator(".state-now")).to_contain_text("空闲")
    running.run(show)
    await page.click("[data-verb=accept]")
    await expect(page.locator(".call-card")).to_contain_text("振铃")


async def test_a_number_is_called_from_the_cases_page(page: Page, running: RunningHouse, tmp_path: Path) -> None:
    await log_in(page, running, "collector", "cases/case_1")
    await page.click("[data-call-number=num_1a]")
    await expect(page.locator(".failure")).to_contain_text("unknown-agent")  # at no desk yet
    running.run(lambda: running.sample.house.floor.log_in("collector", None))
    await shots(page, tmp_path, "case-call")
    await page.click("[data-call-number=num_1a]")
    await expect(page.locator(".call-card")).to_contain_text("振铃")
    await expect(page.locator(".whisper")).to_contain_text("王小明")


async def test_a_leader_sees_the_floor_listens_and_switches_the_mode(
    page: Page, running: RunningHouse, tmp_path: Path
) -> None:
    sample = running.sample
    sample.campaigns.paces["camp_sweep"] = PaceView(
        campaign_id="camp_sweep",
        target=0.01,
        limit=0.03,
        answered_30_days=840,
        abandoned_30_days=12,
        ledger_open=True,
        ledger_room=13.2,
        place=4,
        cancel=0,
        why={"binding": "risk", "idle": 2, "ringing": 5, "waiting": 0, "answer_chance": 0.31, "talk_mean": 74.0},
        counts={},
        kept=True,
    )
    for name in ("collector", "qa"):
        running.run(lambda name=name: sample.house.floor.log_in(name, None))  # type: ignore[misc]
    running.run(lambda: sample.house.floor.pause("qa", "training"))
    call_id = customer(running, "collector")
    sample.campaigns.calls[call_id] = LiveCall(
        call_id=call_id,
        case_id="case_1",
        campaign_id="camp_sweep",
        e164=MOBILE,
        channel=Channel.MOBILE,
        state="bridged",
        agent="collector",
        placed_at=START,
        answered_at=START,
    )
    await log_in(page, running, "team_leader", "team")
    row = page.locator("tr[data-agent=collector]")
    await expect(row).to_contain_text("通话中")
    await expect(row).to_contain_text("+86138****5678")
    await expect(page.locator("tr[data-agent=qa]")).to_contain_text("培训")
    await expect(row.locator("[data-verb=listen]")).to_be_disabled()  # no phone to listen with
    running.run(lambda: sample.house.floor.log_in("team_leader", None))
    await expect(row.locator("[data-verb=listen]")).to_be_enabled(timeout=10_000)
    for verb, part in (("listen", Part.LISTENS), ("whisper", Part.WHISPERS), ("join", Part.TALKS)):
        await row.locator(f"[data-verb={verb}]").click()
        await until(page, lambda part=part: sample.floor.calls[call_id].guests == {"team_leader": part})  # type: ignore[misc]
    audited = [fact.action for fact in sample.house.audit.facts]  # type: ignore[attr-defined]
    assert audited[-3:] == ["call.listened-in", "call.whispered-in", "call.joined"]
    card = page.locator("[data-campaign=camp_sweep]")
    await card.locator("text=为什么没有在拨号").click()
    await expect(card.locator(".gates li[data-holds=true]")).to_contain_text("活动已暂停")
    await expect(card.locator(".abandonment")).to_have_attribute(
        "data-tone", "warn"
    )  # 1.43%: over target, within the limit
    await expect(card.locator(".pace-line")).to_contain_text("放弃风险")
    await shots(page, tmp_path, "team")
    await card.locator("[name=mode]").select_option("predictive")
    await until(page, lambda: next(iter(sample.campaigns._campaigns.values())).mode == "predictive")
    await page.locator("tr[data-agent=team_leader] >> text=退出通话").click()
    await until(page, lambda: sample.floor.calls[call_id].guests == {})
