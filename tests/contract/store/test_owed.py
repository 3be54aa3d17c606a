"""An outcome that is owed becomes the case's action, and never takes the place of what an entered one led to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from case_store.model import NextAction
from case_store.network import ProgressCategory
from case_store.outcomes import CaseFile, Conclusion, NewOutcome
from case_store.store import CaseStore
from tests.contract.store import world


async def talked(store: CaseStore, tmp_path: Path, now: datetime) -> tuple[str, str, NextAction]:
    """(case, call, the action that asks for the outcome) of a call that was answered and is over."""
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    (candidate,) = await store.sweep.claim(campaign.id, 1, "n1", now)
    call_id, _ = await world.whole_call(store, candidate, now, ProgressCategory.ANSWERED)
    wanted = NextAction(
        case_id=candidate.case_id,
        action="ENTER_OUTCOME",
        earliest=now,
        latest=now + timedelta(hours=4),
        owner="li.na",
        escalation="leader",
        reason_en="not entered",
        reason_zh="尚未录入",
        number_id=candidate.number_id,
    )
    return candidate.case_id, call_id, wanted


async def live(store: CaseStore, case_id: str) -> str | None:
    action = await store.agenda.live(case_id)
    return action.action if action is not None else None


async def test_what_is_owed_is_the_cases_next_action(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    case_id, call_id, wanted = await talked(store, tmp_path, now)
    assert await store.owed.become_action(call_id, wanted, now)
    assert await live(store, case_id) == "ENTER_OUTCOME"
    assert await store.agenda.cases_without() == ()


async def test_an_outcome_entered_first_keeps_the_action_it_led_to(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    """The collector enters it while the tape is still being sealed."""
    case_id, call_id, wanted = await talked(store, tmp_path, now)

    def follow(_file: CaseFile) -> Conclusion:
        return Conclusion(next_action=replace(wanted, action="call-debtor", latest=now + timedelta(days=7)))

    outcome = NewOutcome(case_id=case_id, code="SELF_NEGOTIATING", agent_id="li.na", call_id=call_id)
    await store.outcomes.record(outcome, now, follow)
    before = await live(store, case_id)
    assert not await store.owed.become_action(call_id, wanted, now)
    assert await live(store, case_id) == before == "call-debtor"
