"""What the database itself refuses, whatever SQL says it. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from case_store.network import HangupCause, ProgressCategory
from case_store.store import CaseStore
from tests.contract.store import world


async def _refused(store: CaseStore, sql: str, law: str) -> None:
    with pytest.raises(DBAPIError, match=law):
        async with store.database.write() as unit:
            await unit.connection.execute(text(sql))


async def _booked(store: CaseStore, folder: Path, now: datetime) -> str:
    report = await world.load(store, folder, now, world.case_line("A1", mobile="13800138000"))
    campaign = await world.sweep_of(store, report, now)
    (candidate,) = await store.sweep.claim(campaign.id, 5, "n1", now)
    return await world.book(store, candidate, now)


async def test_an_attempt_cannot_be_answered_without_a_call_and_its_tape(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    attempt = await _booked(store, tmp_path, now)
    for change in ("state = 'answered'", "state = 'dialing'", "answered_at = booked_at"):
        await _refused(store, f"UPDATE attempts SET {change} WHERE id = '{attempt}'", "no-recording-no-call")


async def test_a_call_row_needs_the_recording_that_was_armed_for_it(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    attempt = await _booked(store, tmp_path, now)
    columns = "id, attempt_id, case_id, recording_id, number_id, node, state, placed_at"
    made = "SELECT 'call_x', a.id, a.case_id, {recording}, a.number_id, 'n1', 'placed', a.booked_at FROM attempts a"
    await _refused(store, f"INSERT INTO calls ({columns}) {made.format(recording='NULL')}", "(?i)not.null")
    await _refused(
        store,
        f"INSERT INTO calls ({columns}) {made.format(recording=chr(39) + 'rec_none' + chr(39))}",
        "(?i)foreign.key",
    )
    # A recording armed for another call does not do either.
    _, tape = await world.place(store, attempt, now)
    await _refused(store, "UPDATE calls SET id = 'call_other'", "(?i)foreign.key")
    await _refused(store, f"DELETE FROM recordings WHERE id = '{tape}'", "(?i)foreign.key")


async def test_an_answer_is_refused_when_the_tape_has_failed(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    call, tape = await world.place(store, await _booked(store, tmp_path, now), now)
    await store.recordings.fail(tape, now, "the disk went away")
    await _refused(
        store,
        f"UPDATE calls SET state = 'answered', answered_at = placed_at WHERE id = '{call}'",
        "no-recording-no-call",
    )
    with pytest.raises(DBAPIError, match="no-recording-no-call"):
        await store.calls.answered(call, now)
    assert (await store.calls.get(call)).answered_at is None


async def test_a_call_settles_only_with_a_sealed_recording(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    call, tape = await world.place(store, await _booked(store, tmp_path, now), now)
    await store.calls.answered(call, now)
    await store.calls.end(call, now, cause=HangupCause.NORMAL, category=ProgressCategory.ANSWERED, sip_status=200)
    await _refused(
        store, f"UPDATE calls SET state = 'settled' WHERE id = '{call}'", "settled-call-needs-sealed-recording"
    )
    await _refused(store, f"UPDATE recordings SET state = 'sealed' WHERE id = '{tape}'", "sealed_has_proof")
    await store.recordings.seal(tape, now, path="shelf/a", seconds=1.0, sha256="a" * 64)
    assert (await store.calls.get(call)).state == "settled"


async def test_a_sealed_recording_keeps_its_hash_its_call_and_its_case(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    call, tape = await world.place(store, await _booked(store, tmp_path, now), now)
    await store.calls.end(call, now, cause=HangupCause.NO_ANSWER, category=ProgressCategory.NO_ANSWER, sip_status=480)
    await store.recordings.seal(tape, now, path="shelf/a", seconds=0.0, sha256="a" * 64, empty=True)
    where = f"WHERE id = '{tape}'"
    await _refused(store, f"UPDATE recordings SET sha256 = '{'b' * 64}' {where}", "sealed-stays-sealed")
    await _refused(store, f"UPDATE recordings SET state = 'armed' {where}", "sealed-stays-sealed")
    await _refused(store, f"UPDATE recordings SET call_id = 'call_other' {where}", "recording-stays-attached")
    await store.recordings.annotate(tape, legal_hold=True)
    with pytest.raises(DBAPIError, match="disposal_is_lawful"):
        await store.recordings.dispose(tape, now)
    await store.recordings.annotate(tape, legal_hold=False)
    await store.recordings.dispose(tape, now)
    assert (await store.recordings.get(tape)).state == "disposed"


async def test_a_tape_that_fails_in_mid_call_still_lets_the_call_end(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    call, tape = await world.place(store, await _booked(store, tmp_path, now), now)
    await store.calls.answered(call, now)
    await store.recordings.fail(tape, now, "disk full")
    ended = await store.calls.end(
        call, now, cause=HangupCause.TAPE_FAILED, category=ProgressCategory.ANSWERED, sip_status=200, talk_seconds=2.0
    )
    assert ended.state == "ended"
    assert ended.cause == "tape-failed"


async def test_a_case_has_one_live_action_and_one_call_at_a_time(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    await _booked(store, tmp_path, now)
    columns = "case_id, action, earliest, latest, owner, reason_en, reason_zh, state, set_at"
    await _refused(
        store,
        f"INSERT INTO next_actions (id, {columns}) SELECT 'act_second', {columns} FROM next_actions",
        "(?i)unique|uq_next_actions_live",
    )
    columns = (
        "case_id, number_id, campaign_id, person_id, debtor_person_id, debt_id, e164, node, position, booked_at, state"
    )
    await _refused(
        store,
        f"INSERT INTO attempts (id, {columns}) SELECT 'att_second', {columns} FROM attempts",
        "(?i)unique|uq_attempts",
    )


async def test_the_event_log_only_grows(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    await _booked(store, tmp_path, now)
    await _refused(store, "DELETE FROM event_log", "event-log-is-append-only")
    await _refused(store, "UPDATE event_log SET kind = 'x'", "event-log-is-append-only")
