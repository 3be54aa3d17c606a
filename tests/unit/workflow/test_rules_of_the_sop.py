"""Promises, approvals, windows that policy closes, and what the fold never does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.workflow_measure import EXPECTED, Broken
from bench.workflow_year import run
from case_store.model import NumberState
from case_store.workflow import CaseState, OutcomeCode, sweeping, transitions
from case_store.workflow.explain import explain, explain_table
from case_store.workflow.fold import HANDLERS
from case_store.workflow.promises import BadAmount, FundingExtended, PromiseOutsideWindow, PromiseOverBalance
from case_store.workflow.step import BadEvent, CaseEnded, CaseHeld
from case_store.workflow.transitions import ROWS
from case_store.workflow.windows import Days, Window
from case_store.workflow.work_orders import OrderIncomplete, RegistryNotAllowed, SamePerson
from config.errors import BadInput, Refused
from config.settings import WorkflowSettings
from tests.unit.workflow.bench_case import MONDAY, NUMBERS, Bench

THURSDAY = date(2026, 3, 5)


def promised(amount: str = "500", on: date = THURSDAY, **more: object) -> Bench:
    return Bench(**more).say("SELF_PROMISE", "mobile", amount=amount, on=on)  # type: ignore[arg-type]  # passed through


def test_every_outcome_has_a_handler_or_is_concluded_by_the_workflow() -> None:
    concluded = {OutcomeCode.NEW, OutcomeCode.PROMISE_KEPT, OutcomeCode.PROMISE_PARTIAL, OutcomeCode.PROMISE_BROKEN}
    assert set(HANDLERS) == set(OutcomeCode) - concluded


def test_the_life_of_a_promise_reminder_three_questions_verdict() -> None:
    bench = promised()
    assert (bench.next.action, bench.window_days()) == ("remind-promise", (2, 2))
    bench.say("PROMISE_REMINDED", "mobile", day=2)
    seen = []
    for hour in (0.0, 3.0, 9.0):
        seen.append((bench.next.action, bench.opens().hour, bench.closes().hour))
        bench.say("PROMISE_CONFIRMED", "mobile", day=3, hour=hour)
    assert seen == [("confirm-promise", 8, 12), ("confirm-promise", 12, 14), ("confirm-promise", 18, 22)]
    assert bench.next.action == "settle-promise"
    assert bench.closes() == datetime(2026, 3, 7, 0, 0, tzinfo=bench.clock)  # due day + one day of grace, then midnight


def test_a_live_promise_suspends_other_pressure() -> None:
    bench = Bench().swept(but=("sister", "mobile")).say("MESSAGE_LEFT_1", "sister", hour=1)
    bench.say("SELF_PROMISE", "mobile", hour=2, amount="500", on=THURSDAY)
    bench.say("MESSAGE_LEFT_2", "friend", hour=3)
    assert [each.action.action for each in bench.state.pending] == ["remind-promise"]


@pytest.mark.parametrize(
    ("paid", "verdict", "action"),
    [("500", "PROMISE_KEPT", "call-debtor"), ("499.99", "PROMISE_PARTIAL", "call-debtor")],
)
def test_payments_decide_the_verdict(paid: str, verdict: str, action: str) -> None:
    bench = (
        promised().say("PAYMENT", day=2, amount=paid, payment_id="p1", on=date(2026, 3, 4)).say("TIME_PASSED", day=5)
    )
    assert bench.state.settled[-1].verdict == verdict
    assert bench.next.action == action


def test_a_payment_within_the_grace_counts_and_one_after_it_does_not() -> None:
    within = promised().say("PAYMENT", day=4, amount="500", payment_id="p1", on=date(2026, 3, 6))
    assert within.state.settled[-1].verdict == "PROMISE_KEPT"
    after = promised().say("PAYMENT", day=5, amount="500", payment_id="p1", on=date(2026, 3, 7))
    assert after.state.settled[-1].verdict == "PROMISE_BROKEN"


def test_the_share_that_counts_as_kept_is_a_setting() -> None:
    bench = promised(settings=WorkflowSettings(promise_kept_share=Decimal("0.95")))
    bench.say("PAYMENT", day=1, amount="475", payment_id="p1", on=date(2026, 3, 3))
    assert bench.state.settled[-1].verdict == "PROMISE_KEPT"


def test_broken_is_called_the_next_day_then_the_leader_then_a_visit() -> None:
    bench = promised().say("TIME_PASSED", day=5, hour=-10)  # Saturday, midnight after the grace
    assert (bench.next.action, bench.next.owner, bench.window_days()) == ("call-debtor", "collector", (5, 5))
    bench.say("SELF_PROMISE", "mobile", day=5, amount="500", on=date(2026, 3, 9)).say("TIME_PASSED", day=9)
    assert (bench.next.action, bench.next.owner) == ("call-debtor", "team-leader")
    bench.say("SELF_PROMISE", "mobile", day=9, hour=1, amount="500", on=date(2026, 3, 12)).say("TIME_PASSED", day=12)
    assert bench.next.action == "propose-visit"


def test_windows_shrink_for_repeats() -> None:
    bench = promised().say("TIME_PASSED", day=5)
    with pytest.raises(PromiseOutsideWindow):
        bench.say("SELF_PROMISE", "mobile", day=5, hour=1, amount="500", on=date(2026, 3, 10))
    bench.say("SELF_PROMISE", "mobile", day=5, hour=1, amount="500", on=date(2026, 3, 9))


def test_a_reversal_turns_the_verdict_and_opens_a_paid_case_again() -> None:
    bench = promised().say("PAYMENT", day=1, amount="500", payment_id="p1", on=date(2026, 3, 3))
    bench.say("PAYMENT_REVERSED", day=6, payment_id="p1")
    assert bench.state.settled[-1].verdict == "PROMISE_BROKEN"
    assert (bench.state.balance, bench.state.broken) == (Decimal(1000), 1)
    paid = Bench().say("PAYMENT", amount="1000", payment_id="p1")
    assert paid.state.is_terminal
    paid.say("PAYMENT_REVERSED", day=2, payment_id="p1")
    assert (paid.next.action, paid.window_days()) == ("call-debtor", (3, 3))


def test_the_same_payment_twice_counts_once() -> None:
    bench = Bench().say("PAYMENT", amount="100", payment_id="p1").say("PAYMENT", day=1, amount="100", payment_id="p1")
    assert bench.state.balance == Decimal(900)


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"amount": "1000.01", "on": THURSDAY}, PromiseOverBalance),
        ({"amount": "500", "on": date(2026, 3, 6)}, PromiseOutsideWindow),
        ({"amount": "500", "on": date(2026, 3, 1)}, PromiseOutsideWindow),
        ({"amount": "500"}, PromiseOutsideWindow),
        ({"amount": "0", "on": THURSDAY}, BadAmount),
        ({"amount": "NaN", "on": THURSDAY}, BadAmount),
        ({"on": THURSDAY}, BadAmount),
    ],
)
def test_promises_the_rules_do_not_allow(details: dict[str, object], error: type[Exception]) -> None:
    bench = Bench()
    before = bench.state
    with pytest.raises(error):
        bench.say("SELF_PROMISE", "mobile", **details)
    assert bench.state == before


def test_raising_funds_is_extended_once_and_breaks_at_its_date() -> None:
    bench = Bench().swept(but=("mobile",)).say("SELF_RAISING_FUNDS", "mobile", hour=1, on=date(2026, 3, 9))
    bench.say("SELF_RAISING_FUNDS", "mobile", day=7, on=date(2026, 3, 16))  # seven days from the day it is given
    with pytest.raises(FundingExtended):
        bench.say("SELF_RAISING_FUNDS", "mobile", day=8, on=date(2026, 3, 17))
    bench.say("TIME_PASSED", day=15)
    assert (bench.state.broken, bench.next.action) == (1, "call-debtor")


def test_a_window_policy_forbids_is_pulled_earlier_never_later() -> None:
    last_days = {date(2026, 3, 8), date(2026, 3, 9)}
    bench = (
        Bench(shut=lambda day, reach: day in last_days).swept(but=("mobile",)).say("SELF_NEGOTIATING", "mobile", hour=1)
    )
    assert bench.window_days() == (1, 5)


def test_a_wholly_forbidden_window_is_raised_to_the_team_leader() -> None:
    bench = Bench(shut=lambda day, reach: day > date(2026, 3, 2))
    bench.swept(but=("mobile",)).say("SELF_NEGOTIATING", "mobile", hour=1)
    assert (bench.next.action, bench.next.owner) == ("decide", "team-leader")
    assert "WINDOW_BLOCKED" in bench.notices()


def test_waivers_and_visits_need_somebody_else_and_what_the_sop_asks() -> None:
    bench = Bench().swept("NUMBER_INVALID").say("LOOKUP_EMPTY", day=1)
    with pytest.raises(RegistryNotAllowed):
        bench.say("REGISTRY_CHECK", day=1, by="clerk", legal_basis="x")
    bench.say("WAIVER_ASKED", day=1, by="li", amount="100")
    with pytest.raises(SamePerson):
        bench.say("WAIVER_APPROVED", day=1, hour=1, by="li")
    assert bench.say("WAIVER_APPROVED", day=1, hour=1, by="zhao").state.balance == Decimal(900)
    bench.say("VISIT_ORDER", day=2, by="li").say("VISIT_APPROVED", day=2, hour=1, by="zhao")
    with pytest.raises(OrderIncomplete):
        bench.say("VISIT_DONE", day=3, visitors=("wu", "wu"), result=OutcomeCode.LOST_CONTACT)
    legal = Bench(settings=WorkflowSettings(registry_allowed=True))
    with pytest.raises(OrderIncomplete):
        legal.say("REGISTRY_CHECK", by="clerk", legal_basis=" ")


def test_events_that_make_no_sense_are_refused_and_change_nothing() -> None:
    bench = Bench()
    for outcome, number in (
        ("NO_ANSWER", None),
        ("NO_ANSWER", "nobody"),
        ("MESSAGE_LEFT_1", "mobile"),
        ("PROMISE_KEPT", None),
    ):
        with pytest.raises(BadEvent):
            bench.say(outcome, number)
    with pytest.raises(BadEvent):
        bench.say("NO_ANSWER", "mobile", day=-1)
    with pytest.raises(CaseEnded):
        bench.say("RECALLED").say("NO_ANSWER", "mobile", hour=1)
    with pytest.raises(CaseHeld):
        Bench().say("DISPUTE").say("SELF_PROMISE", "mobile", hour=1, amount="1", on=THURSDAY)


def test_the_state_survives_json() -> None:
    bench = (
        promised()
        .say("PAYMENT", day=1, amount="100", payment_id="p1")
        .say("WAIVER_ASKED", day=1, hour=1, by="li", amount="9")
    )
    assert CaseState.from_dict(json.loads(json.dumps(bench.state.to_dict()))) == bench.state


def test_the_explanation_says_why_in_both_languages() -> None:
    text = explain(Bench().swept(but=("mobile",)).say("SELF_NEGOTIATING", "mobile", hour=1).state)
    assert "7天内必须跟进" in text
    assert "follow up within 7 days" in text
    assert "SELF_NEGOTIATING" in text
    assert explain_table().count("\n") + 1 == len(ROWS)


def test_a_simulated_year_of_cases_misses_no_window() -> None:
    tally = run(cases=12, days=365)
    assert tally.cases > 50
    assert {"sweep", "follow-up", "locate", "visit", "held", "fraud", "ended"} <= tally.stages
    assert tally.notices["OVERDUE"] == 0
    assert len(EXPECTED - set(tally.measured)) <= 3  # nearly every row was met and measured; the long run demands all


@pytest.mark.parametrize("latest", ["D+8", "D+6"])
def test_the_year_would_notice_a_window_of_the_wrong_length(monkeypatch: pytest.MonkeyPatch, latest: str) -> None:
    wrong = replace(ROWS[OutcomeCode.SELF_NEGOTIATING], latest=latest)
    monkeypatch.setitem(transitions.ROWS, OutcomeCode.SELF_NEGOTIATING, wrong)
    with pytest.raises(Broken):
        run(cases=12, days=60)


def test_the_year_would_notice_desk_work_counted_in_calendar_days(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(ROWS[OutcomeCode.VISIT_APPROVED], latest="D+10")
    monkeypatch.setitem(transitions.ROWS, OutcomeCode.VISIT_APPROVED, wrong)
    with pytest.raises(Broken, match="VISIT_APPROVED"):
        run(cases=12, days=120)


def test_the_year_would_notice_a_window_that_is_blocked_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """``WINDOW_BLOCKED`` excuses a missed window, so it must be true."""
    fit = sweeping.fit

    def never_on_the_day_itself(days: Days, *rest: Any) -> Window | None:
        return None if days.first == days.last else fit(days, *rest)

    monkeypatch.setattr(sweeping, "fit", never_on_the_day_itself)
    with pytest.raises(Broken, match="may be called then"):
        run(cases=12, days=120)


def test_the_year_would_notice_a_redial_in_the_same_part_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "next_daypart", lambda now, *_: now + timedelta(minutes=5))
    with pytest.raises(Broken, match="redial"):
        run(cases=12, days=60)


REPORTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(HANDLERS)),
        st.sampled_from(["work", "mobile", "home", "sister", "friend"]),
        st.integers(min_value=0, max_value=60 * 30),
        st.integers(min_value=0, max_value=8),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(REPORTS)
def test_any_sequence_of_reports_leaves_exactly_one_next_action_or_an_end(
    reports: list[tuple[OutcomeCode, str, int, int]],
) -> None:
    bench = Bench(settings=WorkflowSettings(registry_allowed=True), term_ends_on=date(2026, 4, 30))
    hours = 0.0
    for outcome, number, minutes, days in reports:
        hours += minutes / 60
        on = (MONDAY + timedelta(hours=hours, days=days)).date()
        by = "li" if outcome.value.endswith(("ASKED", "ORDER", "CHECK")) else "zhao"
        try:
            bench.say(
                outcome,
                number,
                hour=hours,
                on=on,
                by=by,
                amount="100",
                payment_id=f"p{minutes}",
                legal_basis="order",
                visitors=("wu", "xu"),
                result=OutcomeCode.SELF_NEGOTIATING,
            )
        except (BadInput, Refused):  # a broken invariant is neither, and fails the test
            assert bench.state.next_action is not None or bench.state.is_terminal
        assert (bench.state.next_action is None) == bench.state.is_terminal
        live = [each for each in bench.state.pending if each.action == bench.state.next_action]
        assert len(live) == (0 if bench.state.is_terminal else 1)
        if bench.state.promise is not None:
            assert len(bench.state.pending) == 1


def test_a_retired_number_sends_the_sweep_on_the_same_day() -> None:
    """SOP, one number invalid: go on in SOP order, D0 to D0."""
    bench = Bench()
    assert bench.closes().date() == MONDAY.date() + timedelta(days=2)
    bench.say("NOT_IN_SERVICE", "work", hour=0.1).say("NOT_IN_SERVICE", "work", hour=0.2)
    assert bench.state.number("work").state is NumberState.INVALID  # type: ignore[union-attr]  # it is on the case
    assert (bench.next.action, bench.next.owner) == ("sweep", "dialer")
    assert (bench.closes().date(), bench.closes().hour) == (MONDAY.date(), 22)


def test_a_debtor_who_refuses_is_refused_on_every_own_line_whoever_is_noted_on_it() -> None:
    noted = {"work": "the-office", "home": "the-wife"}
    numbers = tuple(replace(each, contact_id=noted.get(each.id, each.contact_id)) for each in NUMBERS)
    bench = Bench(numbers=numbers).say("REFUSED_CONTACT", "mobile", hour=0.1)
    states = {each.id: each.state for each in bench.state.numbers}
    assert [name for name, state in sorted(states.items()) if state is NumberState.BLOCKED] == [
        "home",
        "mobile",
        "work",
    ]


def test_own_lines_that_the_policy_refuses_are_told_to_the_leader_not_taken_for_a_lost_debtor() -> None:
    mobile = tuple(each for each in NUMBERS if each.id == "mobile")
    bench = Bench(numbers=mobile).say("NO_ANSWER", "mobile", hour=0.1)
    assert bench.next.action == "redial"
    bench.say("NUMBER_REFUSED", "mobile", hour=0.2, rule="a-cap")
    assert "WINDOW_BLOCKED" in bench.notices()
    assert (bench.next.action, bench.next.owner) == ("decide", "team-leader")
    assert not bench.state.lost


def test_what_was_to_be_done_with_a_contact_whose_number_is_gone_is_done_with_the_debtor_and_said() -> None:
    bench = Bench().swept(but=("sister",)).say("MESSAGE_LEFT_1", "sister", hour=1)
    assert (bench.next.action, bench.next.number_id) == ("press-again", "sister")
    bench.say("NUMBER_INVALID", "sister", hour=2)
    assert "REROUTED" in bench.notices()
    assert bench.next.action == "call-debtor"
    assert bench.window_days() == (2, 7)


def _promised(bench: Bench, day: int, payment: str | None) -> Bench:
    """A promise of 100 for the next day, what was paid of it in time, and its verdict a day after the grace."""
    due = MONDAY.date() + timedelta(days=day + 1)
    bench.say("SELF_PROMISE", "mobile", day=day, amount="100", on=due)
    if payment is not None:
        bench.say("PAYMENT", day=day + 1, amount=payment, on=due, payment_id=f"p{day}")
    return bench.say("TIME_PASSED", day=day + 3)


@pytest.mark.parametrize(("between", "owner"), [("100", "collector"), ("60", "team-leader")])
def test_only_a_kept_promise_starts_the_count_of_broken_ones_afresh(between: str, owner: str) -> None:
    bench = _promised(Bench(), 0, None)
    assert (bench.next.action, bench.next.owner) == ("call-debtor", "collector")
    bench = _promised(bench, 3, between)
    bench = _promised(bench, 6, None)
    assert bench.next.owner == owner


def test_a_late_payment_turns_the_verdict_and_leaves_alone_what_was_agreed_since() -> None:
    bench = _promised(Bench(), 0, None).say("SELF_NEGOTIATING", "mobile", day=4)
    agreed = bench.next
    bench.say("PAYMENT", day=5, amount="100", on=MONDAY.date() + timedelta(days=1), payment_id="late")
    assert bench.state.broken == 0
    assert bench.next == agreed


def test_an_agreed_call_back_is_work_on_the_case() -> None:
    bench = Bench().say("CALL_BACK_AGREED", "mobile", hour=1, by="li.na", call_at=MONDAY + timedelta(days=1))
    assert bench.next.action == "call-back"
    assert bench.state.last_worked_at == MONDAY + timedelta(hours=1)


@pytest.mark.parametrize(("paid", "word"), [("60", "PARTIAL"), (None, "BROKEN")])
def test_a_verdict_is_said(paid: str | None, word: str) -> None:
    bench = _promised(Bench(), 0, paid)
    (verdict,) = [notice for notice in bench.state.notices if notice.kind.value == "VERDICT"]
    assert word in verdict.en
    assert bench.state.settled[-1].verdict.value == f"PROMISE_{word}"


def test_the_second_message_without_a_call_back_counts_as_one_of_little_hope() -> None:
    """留电1 twice without a call-back → treat as 留电2."""
    bench = Bench().swept(but=("sister",)).say("MESSAGE_LEFT_1", "sister", hour=1)
    assert (bench.next.action, bench.window_days()) == ("press-again", (2, 7))
    bench.say("MESSAGE_LEFT_1", "sister", day=2)
    assert (bench.next.action, bench.window_days()) == ("contact-again", (5, 9))


def test_a_call_back_of_the_team_is_the_dialers_and_escalates_to_nobody() -> None:
    at = MONDAY + timedelta(days=1)
    theirs = Bench().say("CALL_BACK_AGREED", "mobile", hour=1, team=True, call_at=at)
    assert (theirs.next.owner, theirs.next.agent_id, theirs.next.escalation) == ("dialer", None, None)
    own = Bench().say("CALL_BACK_AGREED", "mobile", hour=1, by="li.na", call_at=at)
    assert (own.next.owner, own.next.agent_id) == ("collector", "li.na")
    assert own.next.escalation


def test_a_request_asked_anew_takes_the_place_of_the_one_that_waited() -> None:
    bench = Bench().say("WAIVER_ASKED", hour=0.1, amount="100", by="li.na")
    bench.say("WAIVER_ASKED", hour=0.2, amount="50", by="li.na")
    assert [each.state.value for each in bench.state.orders] == ["withdrawn", "asked"]
    bench.say("WAIVER_APPROVED", hour=0.3, by="wu")
    assert bench.state.balance == Decimal(950)
    with pytest.raises(Refused):
        bench.say("WAIVER_APPROVED", hour=0.4, by="wu")


def test_what_a_leader_has_decided_goes_on_with_the_debtor() -> None:
    mobile = tuple(each for each in NUMBERS if each.id == "mobile")
    bench = Bench(numbers=mobile).say("NO_ANSWER", "mobile", hour=0.1)
    bench.say("NUMBER_REFUSED", "mobile", hour=0.2, rule="a-cap").say("NUMBER_PERMITTED", "mobile", hour=0.3)
    assert bench.next.action == "decide", "what a leader was asked stays the leader's"
    bench.say("LEADER_DECIDED", hour=1, by="wu")
    assert (bench.next.action, bench.next.owner) == ("call-debtor", "collector")
