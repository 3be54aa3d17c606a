"""The what-if file: worked example, policy refusals, errors that name the field; and the collector gate."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dialer.policy.replay import as_text, replay
from dialer.policy.replay_file import BadReplay, parse_replay, read_replay, read_replays
from dialer.policy.vetting import CollectorRecord, may_dial

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "replay.json"


def example(**changes: Any) -> dict[str, Any]:
    tree = copy.deepcopy(json.loads(EXAMPLE.read_text(encoding="utf-8")))
    return {**tree, **changes}


def test_the_worked_example_of_the_docs() -> None:
    result = replay(read_replay(EXAMPLE))
    assert result["next_action"]["action"] == "call-debtor"
    assert result["next_action"]["latest"] == "2026-03-07T22:00:00+08:00"
    assert [(each["event"], each["by"]) for each in result["refusals"]] == [
        (1, "policy"),
        (2, "workflow"),
        (4, "policy"),
    ]
    assert result["refusals"][1]["error_id"] == "promise-above-balance"
    assert result["refusals"][2]["until"] == "2026-03-05T08:00:00+08:00"
    json.dumps(result)
    assert "gbt45251-hours" in as_text(result)


def test_policy_shapes_the_window_after_an_american_conversation() -> None:
    tree = example(
        case={
            "id": "US-1",
            "time_zone": "America/New_York",
            "entrusted_at": "2026-03-02T09:00:00-05:00",
            "balance": "100",
            "currency": "USD",
            "numbers": [{"id": "m", "e164": "+12125550142", "channel": "mobile"}],
        },
        calendar={"region": "US-NY"},
        policy={"sets": ["us-reg-f"]},
        events=[{"at": "2026-03-02T09:10:00-05:00", "outcome": "SELF_NEGOTIATING", "number": "m"}],
    )
    del tree["now"]
    action = replay(parse_replay(tree))["next_action"]
    # follow up within 7 days, none for 7 days after the conversation: the seventh day after is the only one left,
    # and the clocks changed meanwhile
    assert (action["earliest"], action["latest"]) == ("2026-03-09T08:00:00-04:00", "2026-03-09T21:00:00-04:00")


def test_a_number_found_by_the_look_up_is_swept() -> None:
    tree = example(
        events=[
            {"at": "2026-03-02T09:10:00+08:00", "outcome": "ALL_INVALID"},
            {
                "at": "2026-03-03T09:10:00+08:00",
                "outcome": "NUMBER_FOUND",
                "found": {"id": "new", "e164": "+8613712345678", "channel": "mobile"},
            },
        ]
    )
    del tree["now"]
    result = replay(parse_replay(tree))
    assert result["next_action"]["action"] == "sweep"
    assert result["notices"] == []


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("case", "balance"), "-1", "case.balance"),
        (("case", "entrusted_at"), "2026-03-02T09:00:00", "case.entrusted_at"),
        (("case", "numbers", 0, "e164"), "13812345678", "case.numbers.0.e164"),
        (("events", 0, "outcome"), "SHOUTED", "events.0.outcome"),
        (("colour",), "red", "colour"),
        (("case", "balance"), True, "case.balance"),
        (("case", "balance"), "NaN", "case.balance"),
        (("case", "balance"), "much", "case.balance"),
        (("case", "currency"), "yuan", "case.currency"),
        (("case", "id"), "", "case.id"),
        (("case", "entrusted_at"), 1772412000, "case.entrusted_at"),
        (("case", "time_zone"), "Mars/Olympus", "case.time_zone"),
        (("case", "address_region"), "XX", "case.address_region"),
        (("case", "term_ends_on"), "2026-02-01", "case.term_ends_on"),
        (("case", "numbers", 1, "id"), "work", "case.numbers.1.id"),
        (("case", "numbers", 1, "channel"), "pigeon", "case.numbers.1.channel"),
        (("case", "numbers", 1, "contact"), "wife", "case.numbers.1.contact"),
        (("case", "numbers", 2, "contact"), "debtor", "case.numbers.2.contact"),
        (("case",), [], "case"),
        (("calendar",), {"region": "XX"}, "calendar.region"),
        (("calendar",), {"holidays": ["1772412000"]}, "calendar.holidays.0"),
        (("calendar",), {"holidays": ["2026-03-03"], "working_days": ["2026-03-03"]}, "calendar.working_days"),
        (("case", "balance"), "1e400", "case.balance"),
        (("policy", "sets"), ["cn-gbt45251-2025", "cn-none"], "policy.sets.1"),
        (("policy", "opt_outs"), [{"contact": "aunt"}], "policy.opt_outs.0.contact"),
        (("policy", "opt_outs"), [{"number": "fax"}], "policy.opt_outs.0.number"),
        (("policy", "agreed_hours"), [{"opens": "22:00", "closes": "02:00"}], "policy.agreed_hours.0.closes"),
        (("policy", "agreed_hours"), [{"opens": "08:00+08:00", "closes": "09:00"}], "policy.agreed_hours.0.opens"),
        (
            ("policy", "inconvenient"),
            [{"opens": "12:00", "closes": "13:00", "weekdays": [0]}],
            "policy.inconvenient.0.weekdays.0",
        ),
        (("past_calls",), [{"at": "2026-03-01T09:00:00+08:00", "number": "fax"}], "past_calls.0.number"),
        (("past_calls",), [{"at": "2026-04-01T09:00:00+08:00", "number": "work"}], "past_calls.0.at"),
        (
            ("past_calls",),
            [{"at": "2026-03-01T09:00:00+08:00", "number": "work", "category": "busy", "conversation": True}],
            "past_calls.0.category",
        ),
        (("events", 0, "at"), "2026-03-01T09:00:00+08:00", "events.0.at"),
        (("events", 1, "at"), "2026-03-02T09:00:01+08:00", "events.1.at"),
        (("events", 0, "number"), "nobody", "events.0.number"),
        (("events", 0, "found"), {"id": "x", "e164": "+8613800138000", "channel": "mobile"}, "events.0.found"),
        (("events", 2, "on"), "soon", "events.2.on"),
        (("now",), "2026-03-02T09:00:00+08:00", "now"),
        (("settings",), {"promise_days": 0}, "settings.promise_days"),
    ],
)
def test_a_wrong_file_is_refused_by_name_of_the_field(path: tuple[Any, ...], value: Any, field: str) -> None:
    tree: Any = example()
    spot = tree
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = value
    with pytest.raises(BadReplay) as caught:
        parse_replay(tree)
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_misspelt_outcome_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadReplay) as caught:
        parse_replay(example(events=[{"at": "2026-03-02T09:10:00+08:00", "outcome": "SELF_PROMIS"}]))
    assert "SELF_PROMISE" in caught.value.remedy


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("self_promise", "SELF_PROMISE"),
        ("Self-Promise", "SELF_PROMISE"),
        ("承诺还款", "SELF_PROMISE"),
        ("留电1", "MESSAGE_LEFT_1"),
        ("留电2", "MESSAGE_LEFT_2"),
        ("no answer", "NO_ANSWER"),
        ("空号", "NOT_IN_SERVICE"),
        ("冒办", "FRAUD_CLAIM"),
    ],
)
def test_an_outcome_may_be_written_in_the_trades_words(written: str, meant: str) -> None:
    event = {"at": "2026-03-02T09:10:00+08:00", "outcome": written, "number": "sister"}
    assert parse_replay(example(events=[event])).events[0].outcome == meant


@pytest.mark.parametrize("word", ["谈判", "留电", "无效", "promised"])
def test_a_word_that_means_two_things_is_not_guessed(word: str) -> None:
    with pytest.raises(BadReplay) as caught:
        parse_replay(example(events=[{"at": "2026-03-02T09:10:00+08:00", "outcome": word}]))
    assert caught.value.field == "events.0.outcome"


def test_channels_are_read_in_chinese_and_a_wrong_one_is_answered_with_all_five() -> None:
    tree = example()
    for number, word in zip(tree["case"]["numbers"], ("单电", "MOBILE", "亲属"), strict=True):
        number["channel"] = word
    assert [each.channel for each in parse_replay(tree).case.numbers] == ["workplace", "mobile", "relative"]
    tree["case"]["numbers"][2]["channel"] = "family"
    with pytest.raises(BadReplay) as caught:
        parse_replay(tree)
    assert caught.value.remedy == "use one of: workplace, mobile, home, relative, emergency"


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"at": "2026-03-02T09:10:00"}, "with its offset"),
        ({"amount": "1,000.00"}, "without separators"),
        ({"amount": "1000元"}, "without separators"),
        ({"on": "2026-03-05T10:00:00+08:00"}, "2026-03-02"),
        ({"visitors": "wu"}, "brackets"),
    ],
)
def test_the_remedy_shows_how_to_write_it(change: dict[str, Any], remedy: str) -> None:
    event = {"at": "2026-03-02T09:10:00+08:00", "outcome": "SELF_PROMISE", "number": "mobile", **change}
    with pytest.raises(BadReplay) as caught:
        parse_replay(example(events=[event]))
    assert remedy in (caught.value.remedy or "")


def test_one_invalid_mobile_of_two_keeps_the_gate_shut() -> None:
    tree = example(past_calls=[])
    del tree["now"]
    tree["case"]["numbers"].append({"id": "second", "e164": "+8613712345678", "channel": "mobile"})
    bad = [
        {"at": f"2026-03-02T09:1{place}:00+08:00", "outcome": "NUMBER_INVALID", "number": number}
        for place, number in enumerate(("mobile", "second"))
    ]
    asked = {"at": "2026-03-02T09:20:00+08:00", "outcome": "MESSAGE_LEFT_1", "number": "sister"}
    shut = replay(parse_replay({**tree, "events": [bad[0], asked]}))
    assert [each["rule"] for each in shut["refusals"]] == ["gbt45251-third-party"]
    assert replay(parse_replay({**tree, "events": [*bad, asked]}))["refusals"] == []


def test_what_the_sweep_has_yet_to_try_is_listed_in_sop_order() -> None:
    tree = example(past_calls=[], events=[])
    del tree["now"]
    assert replay(parse_replay(tree))["to_sweep"] == ["work", "mobile"]  # the sister waits behind the gate
    tree["sop_order"] = ["mobile", "workplace", "home", "relative", "emergency"]
    assert replay(parse_replay(tree))["to_sweep"] == ["mobile", "work"]
    tree["events"] = [{"at": "2026-03-02T09:10:00+08:00", "outcome": "NO_ANSWER", "number": "mobile"}]
    result = replay(parse_replay(tree))
    assert (result["next_action"]["action"], result["to_sweep"]) == ("sweep", ["work"])
    tree["events"] += [{"at": "2026-03-02T09:20:00+08:00", "outcome": "NO_ANSWER", "number": "work"}]
    result = replay(parse_replay(tree))
    assert (result["next_action"]["action"], result["to_sweep"]) == ("redial", [])


@pytest.mark.parametrize(
    ("text", "field", "shape"),
    [
        ('{"case": 1, "case": 2}', "case", "duplicate"),
        ('{"case": {"balance": NaN}}', "FILE", "NaN"),
        ('{"case": \n {,}', "FILE", "line 2"),
        ("[]", "FILE", "empty list"),
        ("[1]", "0", "int"),
        ("7", "FILE", "int"),
        ("[" * 100_000, "FILE", "brackets"),
    ],
)
def test_what_is_no_replay_at_all_says_where(tmp_path: Path, text: str, field: str, shape: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadReplay) as caught:
        read_replays(file)
    assert (caught.value.field or "").endswith(field)
    assert shape in (caught.value.shape or "")


def test_a_list_of_cases_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps([example(), example()]), encoding="utf-8-sig")
    read = read_replays(file)
    assert isinstance(read, tuple)
    assert len(read) == 2
    broken = example()
    broken["now"] = "2020-01-01T00:00:00+00:00"
    file.write_text(json.dumps([example(), broken]), encoding="utf-8")
    with pytest.raises(BadReplay) as caught:
        read_replays(file)
    assert caught.value.field == "1.now"


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "x.json"
    broken.write_text("{", encoding="utf-8")
    endless = tmp_path / "y.json"
    endless.write_text(f'{{"case": {{"balance": {"9" * 5000}}}}}', encoding="utf-8")
    for file in (broken, endless, tmp_path / "none.json"):
        with pytest.raises(BadReplay):
            read_replay(file)


GOOD = CollectorRecord(
    collector_id="wang",
    vetted_on=date(2026, 1, 1),
    vetted_until=date(2026, 12, 31),
    credit_clean=True,
    criminal_clean=True,
    acknowledged="2026-1",
    acknowledged_on=date(2026, 1, 2),
)


@pytest.mark.parametrize(
    ("changes", "today", "rule"),
    [
        ({}, date(2026, 12, 31), "permitted"),
        ({}, date(2027, 1, 1), "collector-vetting-expired"),
        ({}, date(2025, 12, 31), "collector-vetting-not-yet-valid"),
        ({"credit_clean": False}, date(2026, 3, 2), "collector-record-bad"),
        ({"criminal_clean": False}, date(2026, 3, 2), "collector-record-bad"),
        ({"vetted_until": None}, date(2026, 3, 2), "collector-not-vetted"),
        ({"acknowledged": "2025-4"}, date(2026, 3, 2), "collector-training-missing"),
        ({"acknowledged": None}, date(2026, 3, 2), "collector-training-missing"),
    ],
)
def test_nobody_dials_without_vetting_and_training(changes: dict[str, Any], today: date, rule: str) -> None:
    from dataclasses import replace

    verdict = may_dial(replace(GOOD, **changes), "2026-1", today)
    assert (verdict.rule, verdict.allowed) == (rule, rule == "permitted")
    assert may_dial(None, "2026-1", today).rule == "collector-not-vetted"
