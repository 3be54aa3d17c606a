"""Small placements and calls for the store's tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from case_store.intake.placement import parse_placement
from case_store.ledger import Booking, CallFacts, Candidate
from case_store.network import HangupCause, ProgressCategory
from case_store.placements import ImportReport
from case_store.store import CaseStore
from case_store.sweep import Campaign
from case_store.verdict import PERMITTED, Verdict
from config.identity import new_id
from config.settings import ClientSettings

BANK = ClientSettings(name="bank")
HEADER = (
    "案件编号,姓名,证件号,欠款金额,单位电话,手机,宅电,亲属1姓名,亲属1电话,亲属1关系,紧急联系人姓名,紧急联系人电话\n"
)


def allow(_facts: CallFacts) -> Verdict:
    return PERMITTED


def case_line(ref: str, *, person: str | None = None, mobile: str = "", work: str = "", relative: str = "") -> str:
    who = person if person is not None else f"ID-{ref}"
    return f"{ref},持卡人{ref},{who},1000.00,{work},{mobile},,{'亲属' if relative else ''},{relative},{'妻子' if relative else ''},,\n"


async def load(store: CaseStore, folder: Path, now: datetime, *lines: str, name: str = "first") -> ImportReport:
    path = folder / f"{name}.csv"
    path.write_text(HEADER + "".join(lines), encoding="utf-8")
    return await store.placements.load(parse_placement(path, BANK), now)


async def sweep_of(store: CaseStore, report: ImportReport, now: datetime, name: str = "sweep") -> Campaign:
    return await store.sweep.create(name, [report.placement_id], now)


async def book(store: CaseStore, candidate: Candidate, now: datetime, *, node: str = "n1") -> str:
    booking: Booking = await store.attempts.book(candidate, now, allow, node=node)
    assert booking.attempt is not None
    return booking.attempt.id


async def place(store: CaseStore, attempt_id: str, now: datetime) -> tuple[str, str]:
    """An opened call; returns (call id, recording id)."""
    call_id, tape_id = new_id("call"), new_id("rec")
    await store.calls.open(
        call_id=call_id, attempt_id=attempt_id, tape_id=tape_id, tape_path="tapes/x", armed_at=now, at=now
    )
    return call_id, tape_id


async def whole_call(
    store: CaseStore, candidate: Candidate, now: datetime, category: ProgressCategory = ProgressCategory.NO_ANSWER
) -> tuple[str, str]:
    """Booked, placed, perhaps answered, ended, sealed."""
    call_id, tape_id = await place(store, await book(store, candidate, now), now)
    talked = category is ProgressCategory.ANSWERED
    if talked:
        await store.calls.answered(call_id, now)
    await store.calls.end(
        call_id,
        now,
        cause=HangupCause.NORMAL if talked else HangupCause.NO_ANSWER,
        category=category,
        sip_status=200 if talked else 480,
        talked=talked,
        talk_seconds=3.0 if talked else 0.0,
    )
    await store.recordings.seal(tape_id, now, path="shelf/x", seconds=3.0, sha256="0" * 64, empty=not talked)
    return call_id, tape_id


async def sweep_to_end(
    store: CaseStore, campaign: Campaign, now: datetime, category: ProgressCategory = ProgressCategory.NO_ANSWER
) -> list[Candidate]:
    """Every claim booked and called; returns them in the order they were called."""
    called: list[Candidate] = []
    for _ in range(200):
        claimed = await store.sweep.claim(campaign.id, 10, "n1", now)
        for candidate in claimed:
            await whole_call(store, candidate, now, category)
            called.append(candidate)
        now += timedelta(seconds=10)
        if not claimed and (await store.sweep.standing(campaign.id)).finished:
            return called
    raise AssertionError("the sweep does not end")
