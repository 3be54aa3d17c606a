"""`onrecord demo --json` on the simulated carrier: one object, and everything in it agrees with everything else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

import pytest

from case_store.model import Channel
from dialer.demo import SAMPLE
from dialer.simulated.personas import Persona
from tests.acceptance.demo_run import demo, sample_rows, write_placement

CASES = 10
SOP_ORDER = [channel.value for channel in Channel]
ANSWERED_BY = {persona.value for persona in Persona if persona.answers}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    folder = tmp_path_factory.mktemp("demo")
    placement = write_placement(folder / "ten.csv", [*sample_rows(CASES), {**sample_rows(1)[0], "案件编号": ""}])
    with demo(folder / "run" / "data", "--placement", str(placement)) as run:
        report = run.report()
        numbers = {row["id"]: row["e164"] for row in run.rows("select id, e164 from numbers")}
        closed = {row["id"] for row in run.rows("select id from cases where state = 'closed'")}
        cases = {row["id"] for row in run.rows("select id from cases")}
        yield report, {"numbers": numbers, "closed": closed, "cases": cases, "err": run.err.read_text()}


def test_the_object_has_its_keys(finished: tuple[dict[str, Any], Any]) -> None:
    report, _ = finished
    assert {"placements", "calls", "recordings", "outcomes", "next_actions"} <= set(report)
    assert {"name", "rows", "rejected_rows", "permitted", "attempted", "refused"} <= set(report["placements"][0])
    call_keys = {"id", "case_id", "sip_status", "cause", "answered", "talk_seconds", "recording_id"}
    assert all(call_keys <= set(call) for call in report["calls"])
    tape_keys = {"id", "call_id", "case_id", "seconds", "sha256", "gaps"}
    assert all(tape_keys <= set(tape) for tape in report["recordings"])
    assert all({"case_id", "action", "earliest", "latest", "owner"} <= set(one) for one in report["next_actions"])
    assert report["finished"] is True


def test_every_call_has_its_own_recording(finished: tuple[dict[str, Any], Any]) -> None:
    report, _ = finished
    tapes = {tape["id"]: tape for tape in report["recordings"]}
    assert len(tapes) == len(report["recordings"]) == len(report["calls"]) > CASES
    for call in report["calls"]:
        tape = tapes[call["recording_id"]]
        assert (tape["call_id"], tape["case_id"]) == (call["id"], call["case_id"])
        assert len(tape["sha256"]) == 64
    assert len({call["recording_id"] for call in report["calls"]}) == len(report["calls"])


def test_every_number_is_attempted_or_refused_with_its_rule(finished: tuple[dict[str, Any], Any]) -> None:
    report, _ = finished
    (placement,) = report["placements"]
    refused = {one["number_id"] for one in placement["refused"]}
    assert all(one["rule"] for one in placement["refused"])
    assert placement["attempted"] + len(refused) == placement["numbers"]
    assert placement["permitted"] == placement["numbers"] - len(refused)
    called = {call["number_id"] for call in report["calls"]}
    given_up = {one["number_id"] for one in placement["refused"] if one["rule"] == "trunk-trouble"}
    assert called - given_up == called - refused
    assert len(called - given_up) == placement["attempted"]


def test_the_refused_row_is_named(finished: tuple[dict[str, Any], Any]) -> None:
    report, _ = finished
    (placement,) = report["placements"]
    (row,) = placement["rejected_rows"]
    assert row["row"] == CASES + 2
    assert row["field"] == "case_ref"
    assert row["remedy"]


def test_no_number_is_called_twice(finished: tuple[dict[str, Any], Any]) -> None:
    """But one whose call only met a trunk in trouble: it never rang."""
    report, _ = finished
    calls = defaultdict(list)
    for call in report["calls"]:
        calls[call["number_id"]].append(call)
    again = {number: made for number, made in calls.items() if len(made) > 1}
    for made in again.values():
        made.sort(key=lambda call: call["placed_at"])
        assert all(call["category"] in ("network-busy", "trunk-trouble") for call in made[:-1])


def test_calls_of_a_case_follow_the_sop(finished: tuple[dict[str, Any], Any]) -> None:
    report, _ = finished
    cases = defaultdict(list)
    for call in report["calls"]:
        if call["category"] not in ("network-busy", "trunk-trouble"):
            cases[call["case_id"]].append(call)
    order = {channel: at for at, channel in enumerate(SOP_ORDER)}
    for made in cases.values():
        made.sort(key=lambda call: call["placed_at"])
        positions = [order[call["channel"]] for call in made]
        assert positions == sorted(positions), [call["channel"] for call in made]


def test_every_open_case_has_one_next_action(finished: tuple[dict[str, Any], Any]) -> None:
    report, facts = finished
    due = Counter(one["case_id"] for one in report["next_actions"])
    assert set(due) == facts["cases"] - facts["closed"]
    assert set(due.values()) == {1}
    for one in report["next_actions"]:
        assert datetime.fromisoformat(one["earliest"]) <= datetime.fromisoformat(one["latest"])
        assert one["owner"]


def test_the_report_agrees_with_who_was_called(finished: tuple[dict[str, Any], Any]) -> None:
    """The carrier's directory says who each number is; status, category and channels must say the same."""
    report, facts = finished
    people = json.loads((SAMPLE / "directory.json").read_text())
    tapes = {tape["call_id"]: tape for tape in report["recordings"]}
    met = Counter()
    for call in report["calls"]:
        person = people[facts["numbers"][call["number_id"]]]
        persona = person["persona"]
        met[persona] += 1
        if persona == "answers-into-cancel":
            assert not call["answered"]
            continue
        assert call["answered"] == (persona in ANSWERED_BY), (persona, call)
        if persona == "busy":
            assert (call["sip_status"], call["category"]) == (486, "busy")
        elif persona == "rings-out":
            assert (call["sip_status"], call["cause"], call["category"]) == (487, "no-answer", "no-answer")
        elif persona == "announcement" and not person.get("holds_line"):
            assert call["sip_status"] == person.get("status", 480)
        elif persona == "never-rtp":
            assert tapes[call["id"]]["classification"] in ("one-way-agent", "silent")
        elif persona in ("cardholder", "relative", "colleague"):
            assert call["category"] == "answered"
            assert tapes[call["id"]]["classification"] == "two-way"
            assert tapes[call["id"]]["seconds"] == pytest.approx(call["talk_seconds"], abs=4.0)
    assert met["rings-out"]
    assert met["cardholder"]
    assert met["announcement"]


def test_nothing_else_is_said(finished: tuple[dict[str, Any], Any]) -> None:
    _, facts = finished
    assert facts["err"] == ""
