"""Loading placement files: once, in part, again, corrected, strictly, or only to see. Category: contract, both databases."""

from __future__ import annotations

import asyncio
import csv
import signal
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from case_store.intake.errors import FileRefused
from case_store.intake.placement import parse_placement
from case_store.placements import RowFate
from case_store.store import CaseStore
from tests.contract.store import world

GOOD = world.case_line("A1", mobile="13800138000", relative="13900139000")
BAD_NUMBER = world.case_line("A2", mobile="1.38E+10", relative="13900139001")
BAD_ROW = world.case_line("A3", mobile="13800138003").replace("1000.00", "很多")


async def _counts(store: CaseStore) -> tuple[int, int]:
    found = await store.cases.list(limit=1000)
    pages = [await store.cases.page(line.case.id) for line in found]
    return len(found), sum(len(page.numbers) for page in pages)


async def test_good_rows_go_in_bad_ones_come_back(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, GOOD, BAD_NUMBER, BAD_ROW)
    assert (report.rows, report.cases, report.numbers, report.already_loaded) == (3, 2, 3, False)
    assert [(one.row, one.field) for one in report.rejected_rows] == [(4, "欠款金额")]
    assert [(one.row, one.field.split()[0]) for one in report.rejected_fields] == [(3, "mobile")]
    assert await _counts(store) == (2, 3)
    assert await store.agenda.cases_without() == ()


async def test_the_same_bytes_again_change_nothing(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    first = await world.load(store, tmp_path, now, GOOD, BAD_NUMBER, BAD_ROW)
    events = await store.events.last_number()
    again = await world.load(store, tmp_path, now, GOOD, BAD_NUMBER, BAD_ROW)
    assert again.already_loaded
    assert (again.placement_id, again.cases, again.rejected_rows) == (
        first.placement_id,
        first.cases,
        first.rejected_rows,
    )
    assert await store.events.last_number() == events
    assert await _counts(store) == (2, 3)


async def test_a_corrected_reject_file_adds_only_what_is_missing(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    first = await world.load(store, tmp_path, now, GOOD, BAD_NUMBER, BAD_ROW)
    campaign = await world.sweep_of(store, first, now)
    called = await world.sweep_to_end(store, campaign, now)
    assert len(called) == 3
    rejects = tmp_path / "first.rejected.csv"
    first.write_rejects(rejects)
    text = rejects.read_text(encoding="utf-8-sig")
    assert text.count("\n") == 3
    rejects.write_text(text.replace("1.38E+10", "13800138002").replace("很多", "1000.00"), encoding="utf-8-sig")
    second = await store.placements.load(parse_placement(rejects, world.BANK), now)
    assert second.placement_id == first.placement_id
    assert (second.rows, second.cases, second.numbers, second.existing) == (2, 1, 2, 1)
    assert (second.rejected_rows, second.rejected_fields) == ((), ())
    assert await _counts(store) == (3, 5)
    # What came later joins the sweep at its place; what was called is not called again.
    late = await world.sweep_to_end(store, campaign, now)
    assert {candidate.e164 for candidate in late} == {"+8613800138002", "+8613800138003"}


async def test_strict_refuses_the_whole_file(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "strict.csv"
    path.write_text(world.HEADER + GOOD + BAD_NUMBER, encoding="utf-8")
    with pytest.raises(FileRefused) as caught:
        await store.placements.load(parse_placement(path, world.BANK), now, strict=True)
    assert caught.value.error_id == "intake-file-refused"
    assert await _counts(store) == (0, 0)
    assert await store.placements.list() == ()


async def test_a_dry_run_reports_and_leaves_nothing(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "dry.csv"
    path.write_text(world.HEADER + GOOD + BAD_NUMBER + BAD_ROW, encoding="utf-8")
    told: list[int] = []
    report = await store.placements.load(parse_placement(path, world.BANK), now, dry_run=True, progress=told.append)
    assert (report.dry_run, report.cases, report.numbers) == (True, 2, 3)
    assert told == [3]
    assert await _counts(store) == (0, 0)
    loaded = await store.placements.load(parse_placement(path, world.BANK), now)
    assert not loaded.already_loaded


async def test_persons_merge_by_identity_never_by_name(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    same_name = world.case_line("B1", person="", mobile="13800138010").replace("持卡人B1", "张三")
    await world.load(
        store,
        tmp_path,
        now,
        world.case_line("A1", person="ID-0001", mobile="13800138000"),
        world.case_line("A2", person="ID-0001", mobile="13800138001"),
        same_name,
        same_name.replace("B1", "B2").replace("8010", "8011"),
    )
    await world.load(store, tmp_path, now, world.case_line("A3", person="ID-0001", mobile="13800138002"), name="second")
    debtors = {line.case.client_ref: line.case.debtor_person_id for line in await store.cases.list()}
    assert debtors["A1"] == debtors["A2"] == debtors["A3"]
    assert len(set(debtors.values())) == 3


async def test_a_case_number_of_two_people_and_a_second_balance_are_refused(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    line = world.case_line("A1", person="ID-0001", mobile="13800138000")
    report = await world.load(
        store, tmp_path, now, line, line.replace("ID-0001", "ID-0002"), line.replace("1000.00", "999.00"), line
    )
    assert (report.cases, report.numbers, report.existing) == (1, 1, 1)
    assert [(one.row, one.field) for one in report.rejected_rows] == [(3, "case_ref"), (4, "欠款金额")]


async def test_a_case_without_a_valid_number_is_looked_up(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    report = await world.load(store, tmp_path, now, world.case_line("A1", mobile="110"))
    assert (report.cases, report.numbers) == (1, 0)
    (action,) = await store.agenda.all_live()
    assert action.action == "look-up"
    campaign = await world.sweep_of(store, report, now)
    assert await store.sweep.claim(campaign.id, 5, "n1", now) == ()
    assert (await store.sweep.standing(campaign.id)).finished


async def test_the_clients_own_order_of_channels_is_swept(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    client = world.BANK.model_copy(update={"sop_order": ("mobile", "workplace", "home", "relative", "emergency")})
    path = tmp_path / "own.csv"
    path.write_text(world.HEADER + world.case_line("A1", mobile="13800138000", work="021-62345678"), encoding="utf-8")
    parsed = replace(parse_placement(path, world.BANK), client=client)
    report = await store.placements.load(parsed, now)
    called = await world.sweep_to_end(store, await world.sweep_of(store, report, now), now)
    assert [candidate.channel.value for candidate in called] == ["mobile", "workplace"]


async def test_every_rows_fate_is_told_and_refused_rows_keep_the_files_order(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    path = tmp_path / "fates.csv"
    path.write_text(world.HEADER + BAD_NUMBER + BAD_ROW + GOOD + GOOD, encoding="utf-8")
    fates: list[RowFate] = []
    report = await store.placements.load(parse_placement(path, world.BANK), now, dry_run=True, each=fates.append)
    told = {one.row: (one.fate, one.numbers, len(one.reasons)) for one in fates}
    assert {row: fate for row, (fate, _, _) in told.items()} == {2: "new", 3: "refused", 4: "new", 5: "joins"}
    assert told[5] == ("joins", 0, 0)
    assert told[2][2] == told[3][2] == 1
    assert sum(one.numbers for one in fates) == report.numbers
    assert [reasons[0].row for _, reasons in report.returned] == [2, 3], "as the file has them"
    assert await _counts(store) == (0, 0)


_KILLED_MIDWAY = """
import asyncio, os, signal, sys
from datetime import datetime
from pathlib import Path
from case_store.intake.placement import parse_placement
from case_store.store import CaseStore
from config.settings import ClientSettings

async def load(url, path, now):
    store = await CaseStore.open(url)
    parsed = parse_placement(Path(path), ClientSettings(name="bank"))
    await store.placements.load(parsed, datetime.fromisoformat(now), progress=lambda _rows: os.kill(os.getpid(), signal.SIGKILL))

asyncio.run(load(*sys.argv[1:]))
"""


async def test_a_load_that_is_killed_midway_leaves_nothing_and_can_be_loaded_again(
    store: CaseStore, store_url: str, tmp_path: Path, now: datetime
) -> None:
    path = tmp_path / "long.csv"
    lines = [world.case_line(f"L{n:04d}", mobile=f"1380013{n:04d}") for n in range(1500)]
    path.write_text(world.HEADER + "".join(lines), encoding="utf-8")
    command = [sys.executable, "-c", _KILLED_MIDWAY, store_url, str(path), now.isoformat()]
    killed = await asyncio.create_subprocess_exec(*command)
    assert await killed.wait() == -signal.SIGKILL
    assert await _counts(store) == (0, 0)
    assert await store.placements.list() == ()
    report = await store.placements.load(parse_placement(path, world.BANK), now)
    assert (report.cases, report.numbers, report.already_loaded) == (1500, 1500, False)


async def test_what_text_holds_comes_back_as_it_was(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    address = 'C:\\new\\table \\N\t一号楼\n"二单元"\r\n𠮷'
    cells = ["A1", "O\\Neil", "", "1000.00", "CNY", "13800138000", address]
    path = tmp_path / "odd.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["案件编号", "姓名", "证件号", "欠款金额", "币种", "手机", "地址"])
        writer.writerow(cells)
    report = await store.placements.load(parse_placement(path, world.BANK), now)
    assert (report.cases, report.rejected_rows) == (1, ())
    (listed,) = await store.cases.list()
    page = await store.cases.page(listed.case.id)
    assert page.address == address
    assert [contact.name for contact in page.contacts] == ["O\\Neil"]


async def test_a_case_number_of_another_name_is_refused_unless_the_identity_is_one(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    nameless = world.case_line("A1", person="", mobile="13800138000")
    named = world.case_line("A2", person="ID-0002", mobile="13800138002")
    report = await world.load(
        store,
        tmp_path,
        now,
        nameless,
        nameless.replace("持卡人A1", "别人").replace("8000", "8001"),
        named,
        named.replace("持卡人A2", "曾用名").replace("8002", "8003"),
    )
    assert [(one.row, one.field) for one in report.rejected_rows] == [(3, "name")]
    assert (report.cases, report.numbers, report.existing) == (2, 3, 1)
