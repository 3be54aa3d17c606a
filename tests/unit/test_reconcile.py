"""Reconciliation against generated worlds: every injected defect is found, and nothing else is."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from config.errors import BadInput, BadSetting
from config.settings import BillSettings
from recording.bill import BadBill, BillRow, normal_number, read_bill
from recording.bill_match import BilledCall, _hungarian, match_bill
from recording.reconcile import LineGap, LiveReconciler, RecordedFact, SignalledCall, classify_call, reconcile
from recording.sealed import Channel

START = datetime(2026, 10, 30, 1, 0, tzinfo=UTC)


@dataclass
class World:
    """A clean day: every call, its recording, and the bill a carrier would send, in its own habits."""

    calls: list[SignalledCall]
    recordings: list[RecordedFact]
    billed: list[tuple[datetime, str, float]]
    settings: BillSettings
    rng: random.Random

    def write_bill(self, folder: Path) -> Path:
        chosen, zone = self.settings, ZoneInfo(self.settings.timezone)
        rows = [
            (
                moment.astimezone(zone).strftime(chosen.time_format or "%Y-%m-%dT%H:%M:%S"),
                spell(number, chosen.number_format, self.rng),
                spell_seconds(seconds, chosen),
            )
            for moment, number, seconds in self.billed
        ]
        self.rng.shuffle(rows)
        path = folder / "bill.csv"
        encoding = self.rng.choice(["utf-8", "utf-8-sig", "utf-16"]) if chosen.encoding == "auto" else chosen.encoding
        delimiter = self.rng.choice([",", ";", "\t", "|"]) if chosen.delimiter == "auto" else chosen.delimiter
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["序号", chosen.columns["seconds"], chosen.columns["callee"], chosen.columns["started_at"]])
            writer.writerows([n, seconds, number, moment] for n, (moment, number, seconds) in enumerate(rows))
        return path

    def report(self, folder: Path) -> list[LineGap]:
        bill = read_bill(self.write_bill(folder), self.settings)
        found = reconcile(self.calls, self.recordings, bill, self.settings)
        assert found.clean == len(self.calls) - len(
            {gap.call_id for gap in found.gaps} & {c.call_id for c in self.calls}
        )
        return found.gaps


def spell(e164: str, number_format: str, rng: random.Random) -> str:
    digits, national = e164[1:], e164[3:]
    spaced = f"{national[:3]} {national[3:7]} {national[7:]}"
    ways = {
        "e164": [e164, f"+86 {spaced}"],
        "digits": [digits, f"86-{spaced}"],
        "national": [national, f"0{national}", spaced],
        "auto": [e164, digits, national, f"0086{national}", f"0{national}", f"+86 {spaced}"],
    }
    return rng.choice(ways[number_format])


def spell_seconds(seconds: float, chosen: BillSettings) -> str:
    beyond = max(0.0, seconds - chosen.first_seconds)
    rounded = chosen.first_seconds + math.ceil(beyond / chosen.rounding_seconds) * chosen.rounding_seconds
    if chosen.duration == "minutes":
        return str(math.ceil(rounded / 60))
    if chosen.duration == "clock":
        return f"{rounded // 3600:02d}:{rounded // 60 % 60:02d}:{rounded % 60:02d}"
    return str(rounded)


HABITS = [
    BillSettings(),
    BillSettings(timezone="UTC", rounding_seconds=60, number_format="digits", delimiter=";"),
    BillSettings(
        timezone="America/New_York", rounding_seconds=6, number_format="national", time_format="%d/%m/%Y %H:%M:%S"
    ),
    BillSettings(first_seconds=60, rounding_seconds=6),
    BillSettings(first_seconds=30, rounding_seconds=1, timezone="Asia/Tokyo"),
    BillSettings(timezone="Europe/London", duration="minutes", rounding_seconds=60, number_format="e164"),
    BillSettings(
        duration="clock",
        encoding="gb18030",
        columns={"started_at": "起始时间", "callee": "被叫号码", "seconds": "时长"},
    ),
]


def world(seed: int, habit: BillSettings) -> World:
    rng = random.Random(seed)
    numbers = [f"+86138{rng.randrange(10**8):08d}" for _ in range(12)]
    skew = timedelta(seconds=rng.uniform(-20, 20))
    calls, recordings, billed, at = [], [], [], START
    for n in range(40):
        at += timedelta(seconds=rng.uniform(5, 400))
        answered = at + timedelta(seconds=rng.uniform(1, 30)) if rng.random() < 0.7 else None
        talk = rng.uniform(4, 900) if answered else 0.0
        ended = (answered or at + timedelta(seconds=30)) + timedelta(seconds=talk)
        call = SignalledCall(
            call_id=f"call_{n}",
            callee=rng.choice(numbers),
            placed_at=at,
            answered_at=answered,
            ended_at=ended,
            talk_seconds=talk,
            recording_id=f"rec_{n}",
            customer_leg=f"leg_{n}",
            agent_leg="desk_1",
        )
        calls.append(call)
        early = rng.uniform(0, 0.5)
        first = (answered or at) - timedelta(seconds=early)
        recordings.append(
            RecordedFact(
                recording_id=f"rec_{n}",
                call_id=f"call_{n}",
                started_at=first,
                seconds=talk + early + rng.uniform(-0.2, 0.1),
                sealed_at=ended + timedelta(seconds=rng.uniform(1, 20)),
                agent_sound=True,
                customer_sound=True,
            )
        )
        if answered:
            billed.append(((answered if seed % 2 else at) + skew, call.callee, talk))
    return World(calls, recordings, billed, habit, rng)


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("seed", range(6))
def test_a_clean_world_raises_no_alarm(tmp_path: Path, seed: int, habit: BillSettings) -> None:
    assert world(seed, habit).report(tmp_path) == []


def _swap_recording(one: World, at: int, **changed: object) -> None:
    place = next(n for n, found in enumerate(one.recordings) if found.recording_id == f"rec_{at}")
    one.recordings[place] = replace(one.recordings[place], **changed)  # type: ignore[arg-type]  # fields chosen by each defect


def lose(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    one.recordings = [found for found in one.recordings if found.recording_id != f"rec_{at}"]
    return {("not_recorded", f"call_{at}", None)}


def cut(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    _swap_recording(one, at, seconds=one.calls[at].talk_seconds * 0.9 - 1)
    return {("partial", f"call_{at}", None)}


def deafen(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    _swap_recording(one, at, customer_sound=False)
    return {("one_way", f"call_{at}", Channel.CUSTOMER)}


def mute(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    _swap_recording(one, at, agent_sound=False)
    return {("one_way", f"call_{at}", Channel.AGENT)}


def silence(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    _swap_recording(one, at, agent_sound=False, customer_sound=False)
    return {("silent", f"call_{at}", None)}


def orphan(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    one.recordings.append(replace(one.recordings[0], recording_id="rec_x", call_id="call_x"))
    return {("recorded_without_call", "call_x", None)}


def outside(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    one.billed.append((one.calls[at].placed_at, "+8613900000001", 45.0))
    return {("unknown_to_us", None, None)}


def same_number_at_night(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    one.billed.append((one.calls[0].placed_at - timedelta(hours=4), one.calls[at].callee, 45.0))
    return {("unknown_to_us", None, None)}


def overbilled(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    call = one.calls[at]
    place = next(n for n, row in enumerate(one.billed) if row[1] == call.callee and row[2] == call.talk_seconds)
    moment, number, seconds = one.billed[place]
    one.billed[place] = (moment, number, seconds + 130)
    return {("short", f"call_{at}", None)}


def begin_late(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    answered = one.calls[at].answered_at
    assert answered is not None
    _swap_recording(one, at, started_at=answered + timedelta(seconds=2), seconds=one.calls[at].talk_seconds)
    return {("late", f"call_{at}", None)}


def seal_late(one: World, at: int) -> set[tuple[str, str | None, Channel | None]]:
    _swap_recording(one, at, sealed_at=one.calls[at].ended_at + timedelta(minutes=5))
    return {("late", f"call_{at}", None)}


DEFECTS: list[Callable[[World, int], set[tuple[str, str | None, Channel | None]]]] = [
    lose, cut, deafen, mute, silence, orphan, outside, same_number_at_night, overbilled, begin_late, seal_late,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), habit=st.sampled_from(HABITS), data=st.data())
def test_every_injected_defect_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, seed: int, habit: BillSettings, data: st.DataObject
) -> None:
    one = world(seed, habit)
    answered = [n for n, call in enumerate(one.calls) if call.answered_at is not None and call.talk_seconds > 20]
    chosen = data.draw(st.lists(st.sampled_from(DEFECTS), min_size=1, max_size=6, unique=True))
    expected: set[tuple[str, str | None, Channel | None]] = set()
    total = 0
    for defect, at in zip(chosen, one.rng.sample(answered, len(chosen)), strict=True):
        found = defect(one, at)
        total += len(found)
        expected |= found
    gaps = one.report(tmp_path_factory.mktemp("world"))
    assert {(gap.gap_class.value, gap.call_id, gap.channel) for gap in gaps} == expected
    assert len(gaps) == total


def test_matching_is_optimal_where_greedy_is_wrong() -> None:
    def moment(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    calls = [
        BilledCall(call_id="a", callee="1", starts=(moment(0),), seconds=10),
        BilledCall(call_id="b", callee="1", starts=(moment(50),), seconds=10),
    ]
    rows = [
        BillRow(line=2, starts=(moment(45),), callee="1", seconds=10, answered=True),
        BillRow(line=3, starts=(moment(100),), callee="1", seconds=10, answered=True),
    ]
    pairs = {(call.call_id, row.line) for call, row in match_bill(calls, rows, 60)}
    assert pairs == {("a", 2), ("b", 3)}  # greedy gives line 2 to b and leaves a, and line 3, alone


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.integers(n, 5).flatmap(
            lambda m: st.lists(st.lists(st.integers(0, 50).map(float), min_size=m, max_size=m), min_size=n, max_size=n)
        )
    )
)
def test_the_assignment_is_as_cheap_as_the_cheapest(costs: list[list[float]]) -> None:
    found = _hungarian(costs)
    assert len(set(found)) == len(costs)
    cheapest = min(
        sum(costs[row][column] for row, column in enumerate(columns))
        for columns in permutations(range(len(costs[0])), len(costs))
    )
    assert sum(costs[row][column] for row, column in enumerate(found)) == cheapest


def test_an_unanswered_call_the_bill_calls_answered_and_no_recording_is_critical(tmp_path: Path) -> None:
    one = world(1, BillSettings())
    at = next(n for n, call in enumerate(one.calls) if call.answered_at is None)
    one.billed.append((one.calls[at].placed_at, one.calls[at].callee, 33.0))
    assert [(gap.gap_class.value, gap.call_id) for gap in one.report(tmp_path)] == [("short", f"call_{at}")]
    one.recordings = [found for found in one.recordings if found.call_id != f"call_{at}"]
    assert [(gap.gap_class.value, gap.call_id) for gap in one.report(tmp_path)] == [("not_recorded", f"call_{at}")]


def test_a_wrong_time_zone_is_guessed_and_said(tmp_path: Path) -> None:
    one = world(3, BillSettings())
    one.calls = [replace(call, callee=f"+86139{n:08d}") for n, call in enumerate(one.calls)]
    one.billed = [(c.answered_at, c.callee, c.talk_seconds) for c in one.calls if c.answered_at is not None]
    bill = read_bill(one.write_bill(tmp_path), BillSettings(timezone="UTC"))
    report = reconcile(one.calls, one.recordings, bill, BillSettings(timezone="UTC"))
    assert report.hint is not None
    assert "28800 s" in report.hint
    assert report.critical


def test_a_time_that_came_twice_is_both(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("started_at,callee,seconds\n2026-11-01 01:30:00,+12025550123,5\n")
    [row] = read_bill(tmp_path / "b.csv", BillSettings(timezone="America/New_York", region="US"))
    assert [moment.hour for moment in row.starts] == [5, 6]


def test_a_spreadsheet_bill_reads_the_same(tmp_path: Path) -> None:
    with Workbook(tmp_path / "b.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["started_at", "callee", "seconds"])
        sheet.write_datetime(1, 0, datetime(2026, 10, 30, 9, 0), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}))  # noqa: DTZ001  # a sheet's times have no zone
        sheet.write_number(1, 1, 13812345678)
        sheet.write_number(1, 2, 61)
    [row] = read_bill(tmp_path / "b.xlsx", BillSettings())
    assert (row.starts, row.callee, row.seconds) == ((START,), "+8613812345678", 61)


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ("when,callee,seconds\n", "bill.columns.started_at", "first line"),
        ("started_at,callee,seconds\nsoon,+8613812345678,5\n", "started_at", "time_format"),
        ("started_at,callee,seconds\n2026-10-30 09:00:00,n/a,5\n", "callee", "columns.callee"),
        ("started_at,callee,seconds\n2026-10-30 09:00:00,+8613812345678,long\n", "seconds", "bill.duration"),
    ],
)
def test_a_bad_bill_names_field_and_remedy(tmp_path: Path, text: str, field: str, remedy: str) -> None:
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(BadBill, match=remedy) as caught:
        read_bill(tmp_path / "b.csv", BillSettings())
    assert caught.value.field == field
    assert "13812345678" not in str(caught.value)


def test_a_missing_bill_or_zone_or_column_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadBill):
        read_bill(tmp_path / "none.csv", BillSettings())
    with pytest.raises(BadInput, match="time zone"):
        read_bill(tmp_path / "none.csv", BillSettings(timezone="Mars/Olympus"))
    with pytest.raises(BadSetting, match="not mapped"):
        read_bill(tmp_path / "none.csv", BillSettings(columns={"callee": "x"}))


@pytest.mark.parametrize(
    "text",
    [
        "+8613812345678",
        "8613812345678",
        "008613812345678",
        "13812345678",
        "013812345678",
        "138 1234-5678",
        "+86 138-1234-5678",
    ],
)
def test_numbers_in_any_spelling_are_one(text: str) -> None:
    assert normal_number(text, "auto", "CN") == "+8613812345678"


def test_live_a_gap_is_classified_within_a_minute() -> None:
    one, live = world(5, BillSettings()), LiveReconciler()
    answered = [call for call in one.calls if call.answered_at is not None]
    facts = {found.call_id: found for found in one.recordings}
    lost, deaf, slow = answered[0], answered[1], answered[2]
    assert not any(live.ended(call) for call in one.calls)
    assert live.sealed(replace(facts[deaf.call_id], customer_sound=False))[0].gap_class == "one_way"
    for call in answered[3:]:
        assert live.sealed(facts[call.call_id]) == []
    due = live.next_due()
    assert due is not None
    assert due - min(lost.ended_at, slow.ended_at) <= timedelta(minutes=1)
    late = max(lost.ended_at, slow.ended_at) + timedelta(minutes=1)
    assert {gap.call_id for gap in live.overdue(late)} == {lost.call_id, slow.call_id}
    assert live.overdue(late + timedelta(days=1)) == []
    came = live.sealed(replace(facts[slow.call_id], sealed_at=slow.ended_at + timedelta(minutes=3)))
    assert [gap.gap_class.value for gap in came] == ["late"]


def test_another_calls_recording_is_no_recording() -> None:
    one = world(5, BillSettings())
    call = next(call for call in one.calls if call.answered_at is not None)
    other = next(found for found in one.recordings if found.call_id != call.call_id)
    assert classify_call(call, other)[0].gap_class == "not_recorded"
