"""The what-if file: worked example, policy refusals, errors that name the field; and the collector gate."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dialer.policy.replay import as_text, replay
from dialer.policy.replay_file import BadReplay, parse_replay, read_replay
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
    assert result["refusals"][1]["error_id"] == "promise-over-balance"
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
    ],
)
def test_a_wrong_file_is_refused_by_name_of_the_field(path: tuple[Any, ...], value: str, field: str) -> None:
    tree: Any = example()
    spot = tree
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = value
    with pytest.raises(BadReplay) as caught:
        parse_replay(tree)
    assert caught.value.field == field


def test_unknown_numbers_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    tree = example(events=[{"at": "2026-03-02T09:10:00+08:00", "outcome": "NO_ANSWER", "number": "nobody"}])
    with pytest.raises(BadReplay) as caught:
        replay(parse_replay(tree))
    assert caught.value.field == "events.0.number"
    broken = tmp_path / "x.json"
    broken.write_text("{", encoding="utf-8")
    for file in (broken, tmp_path / "none.json"):
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
