"""The bank's later files through the workflow. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from case_store.bank_files import FileReport
from case_store.intake.bank_files import FileKind, parse_bank_file
from case_store.intake.errors import FileRefused, HeaderUnknown
from case_store.ledger import read_facts
from case_store.model import CaseState
from case_store.outcomes import NewOutcome
from case_store.store import CaseStore
from case_store.workflow import CaseEvent, OutcomeCode
from config.settings import Settings
from dialer.followup import FollowUp, follow_up_over
from tests.contract.store import world

SETTINGS = Settings()


async def load(
    store: CaseStore, folder: Path, now: datetime, kind: FileKind, text: str, *, strict: bool = False, dry: bool = False
) -> FileReport:
    path = folder / f"{kind.value}.csv"
    path.write_text(text, encoding="utf-8")
    parsed = parse_bank_file(path, kind, world.BANK, SETTINGS.timezone)
    fold = follow_up_over(store, SETTINGS).conclude
    return await store.bank_files.load(parsed, now, fold, strict=strict, dry_run=dry)


async def one_case(store: CaseStore, folder: Path, now: datetime) -> str:
    await world.load(store, folder, now, world.case_line("A1", mobile="13800138000", relative="13900139000"))
    (line,) = await store.cases.list()
    return line.case.id


async def promise(follow_up: FollowUp, case_id: str, now: datetime, amount: str, due: date) -> None:
    await follow_up.concluded(
        NewOutcome(
            case_id=case_id,
            code="SELF_PROMISE",
            agent_id="li.na",
            amount=Decimal(amount),
            promised_on=due,
            number_id=None,
        ),
        now,
    )


async def test_a_payment_settles_the_promise_and_a_reversal_turns_it(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    case_id = await one_case(store, tmp_path, now)
    follow_up = follow_up_over(store, SETTINGS)
    await promise(follow_up, case_id, now, "300", now.date() + timedelta(days=2))
    later = now + timedelta(days=1)
    paid = (
        f"案件号,流水号,还款金额,还款日期\nA1,P1,300.00,{later.date()}\nNONE,P2,1,{later.date()}\nA1,P3,5,31/12/2026\n"
    )
    report = await load(store, tmp_path, later, FileKind.PAYMENTS, paid)
    assert (report.taken, report.already, [one.field for one in report.rejected]) == (1, 0, ["case_ref", "paid_on"])
    file = await store.outcomes.file(case_id)
    assert [one.state for one in file.promises] == ["kept"]
    assert file.case.balance.amount == Decimal(700)
    again = await load(store, tmp_path, later, FileKind.PAYMENTS, paid)
    assert again.already_loaded
    back = f"case_ref,transaction_id,amount,payment_date,type,original_id\nA1,R1,300,{later.date()},reversal,P1\n"
    report = await load(store, tmp_path, later + timedelta(hours=1), FileKind.PAYMENTS, back)
    assert (report.taken, report.rejected) == (1, ())
    file = await store.outcomes.file(case_id)
    assert [one.state for one in file.promises] == ["live"], "reversed before it was due: it is open again"
    assert file.case.balance.amount == Decimal(1000)
    graced = now + timedelta(days=4)
    await follow_up.happened(case_id, CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=graced))
    file = await store.outcomes.file(case_id)
    assert [one.state for one in file.promises] == ["broken"]
    assert sum(money.amount for _, money in file.paid) == 0


async def test_a_reference_is_one_payment_and_none_lies_in_the_future(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    """The same reference with another amount, day or case is a contradiction, not a repetition."""
    await one_case(store, tmp_path, now)
    day = now.date()
    head = "案件号,流水号,还款金额,还款日期\n"
    await load(store, tmp_path, now, FileKind.PAYMENTS, f"{head}A1,P1,300,{day}\n")
    tomorrow = day + timedelta(days=2)
    report = await load(
        store,
        tmp_path,
        now,
        FileKind.PAYMENTS,
        f"{head}A1,P1,300.00,{day}\nA1,P1,30,{day}\nA1,P1,300,{day - timedelta(days=1)}\nA1,P2,5,{tomorrow}\n",
    )
    assert (report.taken, report.already) == (0, 1)
    assert [(one.row, one.field) for one in report.rejected] == [(3, "amount"), (4, "paid_on"), (5, "paid_on")]


async def test_full_payment_ends_the_case_and_its_reversal_opens_it_again(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    case_id = await one_case(store, tmp_path, now)
    await load(
        store, tmp_path, now, FileKind.PAYMENTS, f"case_ref,payment_id,amount,payment_date\nA1,P1,1000,{now.date()}\n"
    )
    assert (await store.outcomes.file(case_id)).case_state is CaseState.CLOSED
    assert await store.agenda.live(case_id) is None
    later = now + timedelta(days=1)
    report = await load(
        store,
        tmp_path,
        later,
        FileKind.PAYMENTS,
        f"case_ref,payment_id,amount,payment_date,reverses\nA1,P2,-1000,{later.date()},P1\nA1,P3,-1000,{later.date()},P1\n",
    )
    assert (report.taken, len(report.rejected)) == (1, 1), "the same payment is reversed once"
    file = await store.outcomes.file(case_id)
    assert (file.case_state, file.case.balance.amount) == (CaseState.OPEN, Decimal(1000))
    action = await store.agenda.live(case_id)
    assert action is not None
    assert action.action == "call-debtor"


@pytest.mark.parametrize("mode", ["dry", "strict"])
async def test_a_rehearsal_and_a_strict_refusal_leave_nothing(
    store: CaseStore, tmp_path: Path, now: datetime, mode: str
) -> None:
    case_id = await one_case(store, tmp_path, now)
    text = f"case_ref,payment_id,amount,payment_date\nA1,P1,400,{now.date()}\nA1,P2,minus,{now.date()}\n"
    if mode == "dry":
        report = await load(store, tmp_path, now, FileKind.PAYMENTS, text, dry=True)
        assert (report.taken, report.rejected_row_count, report.dry_run) == (1, 1, True)
    else:
        with pytest.raises(FileRefused):
            await load(store, tmp_path, now, FileKind.PAYMENTS, text, strict=True)
    file = await store.outcomes.file(case_id)
    assert (file.paid, file.case.balance.amount) == ((), Decimal(1000))


async def test_rejects_come_back_as_a_file_that_loads(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    case_id = await one_case(store, tmp_path, now)
    report = await load(
        store,
        tmp_path,
        now,
        FileKind.PAYMENTS,
        f"case_ref,payment_id,amount,payment_date\nA1,P1,1e3,{now.date()}\nA1,P2,10,{now.date()}\n",
    )
    assert (report.taken, report.rejected_row_count) == (1, 1)
    rejects = tmp_path / "rejects.csv"
    report.write_rejects(rejects)
    fixed = rejects.read_text(encoding="utf-8-sig").replace("1e3", "90")
    again = await load(store, tmp_path, now, FileKind.PAYMENTS, fixed)
    assert (again.taken, again.rejected) == (1, ())
    assert (await store.outcomes.file(case_id)).case.balance.amount == Decimal(900)


async def test_a_recall_cancels_every_action_and_leaves_the_call_under_way(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    report = await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", mobile="13800138000"),
        world.case_line("A2", mobile="13800138001"),
    )
    campaign = await world.sweep_of(store, report, now)
    first = (await store.sweep.claim(campaign.id, 1, "n1", now))[0]
    attempt_id = await world.book(store, first, now)
    call_id, _ = await world.place(store, attempt_id, now)
    recalled = await load(store, tmp_path, now, FileKind.RECALL, "案件编号,退案原因\nA1,客户要求\nA2,\nA1,\nZZ,\n")
    assert (recalled.taken, recalled.already, recalled.rejected_row_count) == (2, 1, 1)
    assert await store.agenda.all_live() == ()
    assert (await store.calls.get(call_id)).ended_at is None, "the call under way stays"
    assert await store.sweep.claim(campaign.id, 5, "n1", now) == ()
    for line in await store.cases.list():
        file = await store.outcomes.file(line.case.id)
        assert (file.case_state, file.state_reason) == (CaseState.CLOSED, "RECALLED")


async def test_an_update_brings_balances_numbers_and_ends(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", mobile="13800138000", relative="13900139000"),
        world.case_line("A2", mobile="13800138001"),
    )
    campaign = await world.sweep_of(store, report, now)
    await world.sweep_to_end(store, campaign, now)
    later = now + timedelta(hours=1)
    updated = await load(
        store,
        tmp_path,
        later,
        FileKind.UPDATE,
        "案件编号,欠款金额,单位电话,状态\nA1,850.50,021-62345678,在催\nA2,,,结清\nA1,12,,未知词\n",
    )
    assert (updated.taken, updated.rejected_row_count) == (2, 1)
    first, second = sorted(await store.cases.list(), key=lambda line: line.case.client_ref)
    assert first.case.balance.amount == Decimal("850.50")
    assert (await store.outcomes.file(second.case.id)).case_state is CaseState.CLOSED
    standing = await follow_up_over(store, SETTINGS).standing(first.case.id, later)
    assert standing.balance == Decimal("850.50")
    (candidate,) = await store.sweep.claim(campaign.id, 5, "n1", later)
    assert (candidate.case_id, candidate.channel.value) == (first.case.id, "workplace"), "it joins at its place"


async def test_calls_made_before_count_in_the_caps_once(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    case_id = await one_case(store, tmp_path, now)
    text = (
        "案件编号,电话,拨打时间,通话结果,时长\n"
        "A1,13800138000,2026-11-22 10:00:00,接通,35\n"
        "A1,13800138000,2026-11-22 11:00:00,关机,\n"
        "A1,13700137000,2026-11-22 11:00:00,关机,\n"
        "A1,13800138000,2026-11-22,关机,\n"
        "A1,13800138000,2026-11-22 12:00:00,说不清,\n"
    )
    report = await load(store, tmp_path, now, FileKind.HISTORY, text)
    assert (report.taken, [one.field for one in report.rejected]) == (2, ["phone", "at", "result"])
    longer = await load(store, tmp_path, now, FileKind.HISTORY, text + "A1,13800138000,2026-11-22 13:00:00,占线,\n")
    assert (longer.taken, longer.already) == (1, 2)
    number = (await store.outcomes.file(case_id)).numbers[0]
    candidate = await store.sweep.candidate("none", number.id)
    assert candidate is not None
    async with store.database.read() as connection:
        facts = await read_facts(connection, candidate, now)
    assert [(call.conversation, call.source) for call in facts.to_number()] == [
        (True, "imported"),
        (False, "imported"),
        (False, "imported"),
    ]
    assert facts.to_number()[0].at.hour == 2, "times without an offset are the house's"


async def test_a_file_without_what_it_needs_is_refused_whole(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    with pytest.raises(HeaderUnknown, match="bank_ref"):
        await load(store, tmp_path, now, FileKind.PAYMENTS, "案件号,还款金额,还款日期\nA1,1,2026-01-01\n")
