"""What the policy is told of a case. Category: unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from case_store.call_facts import Hold, HoldKind
from case_store.workflow import CaseState, Stage
from dialer.policy import Purpose
from dialer.policy.case_view import CaseView, debtor_state_of, holds_of
from tests.unit.workflow.bench_case import MONDAY, Bench

PEOPLE = {"work": "the-office", "mobile": "debtor", "home": "the-wife", "sister": "sister", "friend": "friend"}
NUMBERS = {
    "work": "+862162345678",
    "mobile": "+8613812345678",
    "home": "+862162345679",
    "sister": "+8613912345678",
    "friend": "+8613712345678",
}


def _view(**more: object) -> CaseView:
    return CaseView(debtor_id="debtor", debt_id="debt", e164=NUMBERS, person=PEOPLE, **more)  # type: ignore[arg-type]  # tests pass what they mean


@pytest.mark.parametrize(
    ("number", "person"),
    [("work", "debtor"), ("mobile", "debtor"), ("home", "debtor"), ("sister", "sister"), ("friend", "friend")],
)
def test_every_own_line_counts_for_the_debtor_whoever_is_noted_on_it(number: str, person: str) -> None:
    """Else a workplace noted under its switchboard's name would have caps of its own (SOP, Windows)."""
    asked = _view().request(Bench().state, number, MONDAY)
    assert (asked.person_id, asked.debtor_id, asked.e164) == (person, "debtor", NUMBERS[number])
    assert asked.to_third_party is (person != "debtor")


def test_the_gate_is_told_of_mobiles_and_own_lines_apart() -> None:
    bench = Bench()
    facts = _view().facts(bench.state, "sister")
    assert (facts.debtor_mobiles_invalid, facts.debtor_numbers_invalid) == (False, False)
    for hour in (0.1, 3.5):
        bench.say("NOT_IN_SERVICE", "mobile", hour=hour)
    facts = _view().facts(bench.state, "sister")
    assert (facts.debtor_mobiles_invalid, facts.debtor_numbers_invalid) == (True, False)


def test_one_invalid_line_is_that_lines_alone() -> None:
    bench = Bench()
    for hour in (0.1, 3.5):
        bench.say("NOT_IN_SERVICE", "mobile", hour=hour)
    view = _view()
    assert view.facts(bench.state, "mobile").number_invalid
    assert not view.facts(bench.state, "work").number_invalid
    blocked = bench.say("REFUSED_CONTACT", "sister", hour=4).state
    assert view.facts(blocked, "sister").number_blocked
    assert not view.facts(blocked, "friend").number_blocked


def test_a_case_on_hold_is_held_on_every_number_and_only_the_fraud_call_has_its_purpose() -> None:
    view = _view()
    for said, kind in (("DISPUTE", HoldKind.DISPUTE), ("DECEASED", HoldKind.DECEASED), ("FRAUD_CLAIM", HoldKind.FRAUD)):
        state = Bench().say(said, "mobile", hour=0.1).state
        assert [hold.kind for hold in holds_of(state)] == [kind]
        assert all(view.facts(state, number).holds for number in NUMBERS)
        confirms = view.request(state, "mobile", MONDAY).purpose is Purpose.CONFIRM_FRAUD
        assert confirms is (said == "FRAUD_CLAIM")
    assert holds_of(Bench().state) == ()


def test_a_number_held_by_hand_is_held_alone_and_its_slots_too() -> None:
    by_hand = Hold(kind=HoldKind.COMPLIANCE, begins=MONDAY - timedelta(days=1))
    view = _view(number_holds={"work": (by_hand,)})
    state = Bench().state
    assert view.facts(state, "work").holds == (by_hand,)
    assert view.facts(state, "mobile").holds == ()


@pytest.mark.parametrize("stage", [Stage.LOCATE, Stage.VISIT])
def test_who_is_looked_for_is_unreachable(stage: Stage) -> None:
    state: CaseState = Bench().state
    assert debtor_state_of(state).value == "reachable"
    assert debtor_state_of(replace(state, stage=stage)).value == "unreachable"
    assert debtor_state_of(replace(state, lost=True)).value == "unreachable"
    assert debtor_state_of(replace(state, looked_up=True)).value == "unreachable"
