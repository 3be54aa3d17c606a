"""Each box of the deck's chart (电催标准作业流程) is one test here."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from case_store.model import Channel, NumberState
from case_store.workflow import CaseEvent, CaseState, NumberTrack, OutcomeCode, Stage, apply
from case_store.workflow.work_orders import SamePerson
from config.settings import WorkflowSettings
from tests.unit.workflow.bench_case import MONDAY, NUMBERS, Bench


def test_box_new_placement_新转案件_goes_to_the_carpet_filter_地毯式过滤() -> None:
    bench = Bench()
    assert bench.state.stage is Stage.SWEEP
    assert (bench.next.action, bench.next.owner) == ("sweep", "dialer")
    assert bench.window_days() == (0, 2)
    assert bench.closes().hour == 22
    assert "D+3" in (bench.next.escalation or "")


def test_box_carpet_filter_counts_working_days_and_skips_the_spring_festival() -> None:
    bench = Bench(
        start=MONDAY.replace(month=2, day=13)
    )  # Friday; the 14th is a make-up working day, then nine days off
    assert bench.closes().date() == date(2026, 2, 24)


def test_box_carpet_filter_tries_every_number_before_anything_else() -> None:
    bench = Bench()
    for place, number in enumerate(("work", "mobile", "home", "sister")):
        bench.say("NO_ANSWER", number, hour=0.1 * (place + 1))
        assert bench.next.action == "sweep"
    bench.say("NO_ANSWER", "friend", hour=1)
    assert bench.next.action == "redial"


def test_box_order_of_numbers_电催顺序_is_workplace_mobile_home_relative_emergency() -> None:
    bench = Bench().swept()
    # all silent in the morning: the redial in the next part of the day begins at the head of the SOP order
    assert bench.next.number_id == "work"
    bench.say("NO_ANSWER", "work", hour=2)
    assert bench.next.number_id == "mobile"
    bench.say("NO_ANSWER", "mobile", hour=2.1)
    assert bench.next.number_id == "home"
    bench.say("NO_ANSWER", "home", hour=2.2)
    assert bench.next.number_id == "sister"
    bench.say("NO_ANSWER", "sister", hour=2.3)
    assert bench.next.number_id == "friend"


def test_box_unswept_on_day_three_goes_to_the_team_leader() -> None:
    bench = Bench().say("TIME_PASSED", day=3)
    assert bench.next.action == "sweep"
    assert bench.next.owner == "team-leader"
    assert set(bench.notices()) == {"ESCALATED", "OVERDUE"}
    assert bench.say("TIME_PASSED", day=4).notices() == []  # said once


def test_box_cardholder_negotiating_本人谈判_is_followed_up_within_7_days() -> None:
    bench = Bench().swept(but=("mobile",)).say("SELF_NEGOTIATING", "mobile", hour=1)
    assert (bench.next.action, bench.next.owner) == ("call-debtor", "collector")
    assert bench.window_days() == (1, 7)


def test_box_cardholder_negotiating_three_times_without_a_promise_goes_to_the_leader() -> None:
    bench = Bench().swept(but=("mobile",)).say("SELF_NEGOTIATING", "mobile", hour=1)
    bench.say("SELF_NEGOTIATING", "mobile", day=2)
    assert bench.next.owner == "collector"
    bench.say("SELF_NEGOTIATING", "mobile", day=4)
    assert bench.next.owner == "team-leader"
    assert bench.window_days() == (5, 11)


def test_box_cardholder_promises_本人承诺还款_and_the_sweep_stops_early() -> None:
    bench = Bench().say("SELF_PROMISE", "work", hour=1, amount="500", on=date(2026, 3, 5))
    assert bench.next.action == "remind-promise"
    assert bench.window_days() == (2, 2)  # one working day before Thursday
    assert bench.state.stage is Stage.FOLLOW_UP


@pytest.mark.parametrize("days", [0, 1, 2, 3])
def test_box_promise_must_be_paid_in_3_days_2到3天必须还款(days: int) -> None:
    due = MONDAY.date() + timedelta(days=days)
    bench = Bench().say("SELF_PROMISE", "mobile", hour=1, amount="500", on=due)
    assert bench.state.promise is not None
    assert bench.state.promise.due == due


def test_box_cardholder_raising_funds_筹款中_has_a_date_at_most_7_days_out() -> None:
    bench = Bench().swept(but=("mobile",)).say("SELF_RAISING_FUNDS", "mobile", hour=1, on=date(2026, 3, 9))
    assert (bench.next.action, bench.window_days()) == ("progress-call", (1, 7))


def test_box_family_negotiating_家人谈判_is_followed_up_within_7_days() -> None:
    bench = Bench().swept(but=("sister",)).say("THIRD_PARTY_NEGOTIATING", "sister", hour=1)
    assert (bench.next.action, bench.next.number_id) == ("call-contact", "sister")
    assert bench.window_days() == (1, 7)


def test_box_family_negotiating_is_rerouted_to_the_debtor_where_third_parties_may_not_be_called() -> None:
    bench = Bench(shut=lambda day, reach: reach == "contact")
    bench.swept(but=("sister",)).say("THIRD_PARTY_NEGOTIATING", "sister", hour=1)
    assert (bench.next.action, bench.next.number_id) == ("call-debtor", None)
    assert bench.window_days() == (1, 7)


def test_box_message_left_1_留电1_is_pressed_again_in_2_to_7_days() -> None:
    bench = Bench().swept(but=("sister",)).say("MESSAGE_LEFT_1", "sister", hour=1)
    assert (bench.next.action, bench.window_days()) == ("press-again", (2, 7))


def test_box_message_left_1_twice_without_a_call_back_is_treated_as_message_left_2() -> None:
    bench = Bench().swept(but=("sister",)).say("MESSAGE_LEFT_1", "sister", hour=1)
    bench.say("MESSAGE_LEFT_1", "sister", day=3)
    assert (bench.next.action, bench.window_days()) == ("contact-again", (6, 10))


def test_box_message_left_1_a_call_back_in_between_starts_the_count_again() -> None:
    bench = Bench().swept(but=("sister",)).say("MESSAGE_LEFT_1", "sister", hour=1)
    bench.say("CALLED_BACK", "sister", day=1).say("MESSAGE_LEFT_1", "sister", day=3)
    assert [each.left_1 for each in bench.state.messages] == [1]


def test_box_message_left_2_留电2_is_contacted_again_in_3_to_7_days() -> None:
    bench = Bench().swept(but=("friend",)).say("MESSAGE_LEFT_2", "friend", hour=1)
    assert (bench.next.action, bench.window_days()) == ("contact-again", (3, 7))


def test_box_message_left_2_twice_is_located() -> None:
    bench = Bench().swept(but=("friend",)).say("MESSAGE_LEFT_2", "friend", hour=1)
    bench.say("MESSAGE_LEFT_2", "friend", day=4)
    assert (bench.next.action, bench.next.owner) == ("look-up", "data-clerk")


@pytest.mark.parametrize("silent", ["NO_ANSWER", "BUSY", "SWITCHED_OFF"])
def test_box_not_answered_无人接_is_dialed_in_another_daypart_until_somebody_answers(silent: str) -> None:
    bench = Bench().swept(silent)
    assert (bench.next.action, bench.next.owner) == ("redial", "dialer")
    assert bench.opens() == MONDAY.replace(hour=12)  # the morning was tried
    assert bench.window_days() == (0, 1)
    bench.say("SELF_NEGOTIATING", "mobile", hour=2)
    assert bench.next.action == "call-debtor"


def test_box_not_answered_in_the_evening_waits_for_the_morning() -> None:
    bench = Bench(start=MONDAY.replace(hour=20)).swept()
    assert bench.opens() == MONDAY.replace(day=3, hour=8)
    assert bench.window_days() == (1, 1)


def test_box_three_days_by_three_dayparts_silent_on_every_number_is_lost_contact_失联() -> None:
    bench = Bench()
    actions = []
    for day in range(3):
        for hour in (0.0, 3.0, 9.0):  # 10:00 morning, 13:00 noon, 19:00 evening
            for place, number in enumerate(("work", "mobile", "home", "sister", "friend")):
                bench.say("NO_ANSWER", number, day=day, hour=hour + 0.01 * (place + 1))
                actions.append(bench.next.action)
    assert actions[-1] == "look-up"
    assert "look-up" not in actions[:-1]
    assert (bench.next.owner, bench.window_days()) == ("data-clerk", (2, 7))  # 5 working days after placement
    assert bench.state.stage is Stage.LOCATE


def test_box_one_number_invalid_is_retired_and_the_order_goes_on() -> None:
    bench = Bench().say("NOT_IN_SERVICE", "work", hour=0.1)
    assert bench.state.number("work").state is NumberState.LIVE  # type: ignore[union-attr]  # the number is on file
    bench.say("NOT_IN_SERVICE", "work", hour=0.2)
    assert bench.state.number("work").state is NumberState.INVALID  # type: ignore[union-attr]  # the number is on file
    assert (bench.next.action, bench.notices()) == ("sweep", ["RETIRED"])


@pytest.mark.parametrize("strike", ["NO_SUCH_PERSON", "LEFT_JOB", "MOVED"])
def test_box_one_number_invalid_needs_three_strikes_of_one_kind(strike: str) -> None:
    bench = Bench()
    for count in range(3):
        tracked = bench.state.number("home")
        assert tracked is not None
        assert tracked.state is NumberState.LIVE
        bench.say(strike, "home", hour=0.1 * (count + 1))
    tracked = bench.state.number("home")
    assert tracked is not None
    assert tracked.state is NumberState.INVALID


def test_box_strikes_of_different_kinds_do_not_add_up() -> None:
    bench = Bench()
    for count, strike in enumerate(("NO_SUCH_PERSON", "LEFT_JOB", "MOVED", "NOT_IN_SERVICE")):
        bench.say(strike, "home", hour=0.1 * (count + 1))
    tracked = bench.state.number("home")
    assert tracked is not None
    assert tracked.state is NumberState.LIVE


def test_box_all_invalid_全无效_goes_to_the_phone_look_up_电话查找() -> None:
    bench = Bench().swept("NUMBER_INVALID")
    assert (bench.next.action, bench.next.owner) == ("look-up", "data-clerk")
    assert bench.window_days() == (0, 7)  # Monday + 5 working days = next Monday


def test_box_no_number_at_all_goes_to_the_phone_look_up() -> None:
    assert Bench(numbers=()).next.action == "look-up"


def test_box_number_found_joins_the_sweep_at_its_place() -> None:
    bench = Bench().swept("NUMBER_INVALID")
    found = NumberTrack(id="new", contact_id="debtor", channel=Channel.MOBILE, position=1)
    bench.state = _found(bench, found)
    assert bench.next.action == "sweep"
    assert bench.window_days() == (1, 3)


def _found(bench: Bench, found: NumberTrack) -> CaseState:
    event = CaseEvent(outcome=OutcomeCode.NUMBER_FOUND, at=bench.start + timedelta(days=1), number=found)
    return apply(bench.state, event, bench.rules)


def test_box_registry_check_查户籍_is_off_by_default_so_a_visit_is_proposed() -> None:
    bench = Bench().swept("NUMBER_INVALID").say("LOOKUP_EMPTY", day=1)
    assert (bench.next.action, bench.next.owner) == ("propose-visit", "team-leader")


def test_box_registry_check_where_allowed_comes_before_the_visit() -> None:
    bench = Bench(settings=WorkflowSettings(registry_allowed=True)).swept("NUMBER_INVALID").say("LOOKUP_EMPTY", day=1)
    assert (bench.next.action, bench.next.owner) == ("request-registry", "data-clerk+compliance")
    assert bench.window_days() == (2, 3)
    bench.say("REGISTRY_CHECK", day=1, hour=1, by="clerk", legal_basis="power of attorney 12/2026")
    with pytest.raises(SamePerson):
        bench.say("REGISTRY_APPROVED", day=1, hour=2, by="clerk")
    bench.say("REGISTRY_APPROVED", day=1, hour=2, by="compliance").say("REGISTRY_EMPTY", day=3)
    assert bench.next.action == "propose-visit"


def test_box_visit_order_下外访单_approved_by_somebody_else_then_visited_by_two() -> None:
    bench = Bench().swept("NUMBER_INVALID").say("LOOKUP_EMPTY", day=1).say("VISIT_ORDER", day=1, hour=1, by="li")
    assert bench.next.action == "approve-visit"
    with pytest.raises(SamePerson):
        bench.say("VISIT_APPROVED", day=1, hour=2, by="li")
    bench.say("VISIT_APPROVED", day=1, hour=2, by="zhao")
    assert (bench.next.action, bench.next.owner) == ("visit", "field-team")
    assert bench.closes().date() == date(2026, 3, 17)  # ten working days after Tuesday the 3rd


def test_box_field_collection_外催_result_re_enters_the_table_跟催() -> None:
    bench = Bench().swept("NUMBER_INVALID").say("LOOKUP_EMPTY", day=1).say("VISIT_ORDER", day=1, hour=1, by="li")
    bench.say("VISIT_APPROVED", day=1, hour=2, by="zhao")
    bench.say(
        "VISIT_DONE",
        day=4,
        visitors=("wu", "xu"),
        result=OutcomeCode.SELF_PROMISE,
        amount="800",
        on=date(2026, 3, 9),
    )
    assert bench.state.promise is not None
    assert bench.next.action == "confirm-promise"


def test_box_fraud_claim_冒办_stops_pressure_and_takes_its_steps() -> None:
    bench = Bench().say("FRAUD_CLAIM", "mobile", hour=0.1)
    assert (bench.next.action, bench.window_days()) == ("confirm-fraud", (0, 7))
    assert len(bench.state.pending) == 1
    bench.say("FRAUD_CONFIRMED", day=1, on=date(2026, 3, 6))
    assert (bench.next.action, bench.closes().date()) == ("sign-declaration", date(2026, 3, 6))
    bench.say("FRAUD_DECLARED", day=4)
    assert (bench.next.action, bench.next.owner) == ("send-packet", "bank-liaison+compliance")
    bench.say("FRAUD_PACKET_SENT", day=5)
    assert bench.next.action == "await-bank"
    assert bench.closes().date() == date(2026, 3, 20)  # ten working days after Saturday the 7th
    bench.say("TIME_PASSED", day=19)
    assert bench.next.owner == "team-leader"
    bench.say("FRAUD_UPHELD", day=20)
    assert bench.state.is_terminal


@pytest.mark.parametrize("hold", ["DISPUTE", "COMPLAINT", "HARDSHIP", "DECEASED", "INCAPABLE"])
def test_box_holds_are_routed_to_compliance_the_same_day(hold: str) -> None:
    bench = Bench().say("SELF_PROMISE", "mobile", hour=0.1, amount="500", on=date(2026, 3, 5)).say(hold, hour=1)
    assert (bench.next.action, bench.next.owner) == ("review-hold", "compliance")
    assert bench.window_days() == (0, 0)
    assert bench.state.promise is None
    bench.say("NO_ANSWER", "mobile", hour=2)
    assert bench.next.action == "review-hold"
    bench.say("HOLD_RELEASED", day=1, by="compliance")
    assert (bench.next.action, bench.window_days()) == ("call-debtor", (2, 8))


def test_box_refused_contact_拒绝联系_blocks_all_numbers_of_that_person() -> None:
    second = NumberTrack(id="sister-2", contact_id="sister", channel=Channel.RELATIVE, position=1)
    bench = Bench(numbers=(*NUMBERS, second)).say("REFUSED_CONTACT", "sister", hour=0.1)
    assert {each.id for each in bench.state.numbers if each.state is NumberState.BLOCKED} == {"sister", "sister-2"}
    assert bench.next.action == "sweep"


@pytest.mark.parametrize("ending", ["PAID", "RECALLED", "CLOSED", "TERM_ENDED"])
def test_box_paid_recalled_or_term_ended_cancels_everything(ending: str) -> None:
    bench = Bench().say("SELF_NEGOTIATING", "mobile", hour=0.1).say(ending, hour=1)
    assert bench.state.next_action is None
    assert bench.state.pending == ()
    assert bench.state.is_terminal


def test_box_term_ends_by_the_clock_and_an_extension_留案_moves_it() -> None:
    bench = Bench(term_ends_on=date(2026, 3, 31)).swept(but=("mobile",)).say("SELF_NEGOTIATING", "mobile", hour=1)
    bench.say("EXTENSION_ASKED", day=20, by="li", on=date(2026, 4, 30))
    with pytest.raises(SamePerson):
        bench.say("EXTENSION_APPROVED", day=20, hour=1, by="li")
    bench.say("EXTENSION_APPROVED", day=20, hour=1, by="zhao").say("TIME_PASSED", day=40)
    assert not bench.state.is_terminal
    bench.say("TIME_PASSED", day=60)
    assert (bench.state.is_terminal, bench.state.cause.value) == (True, "TERM_ENDED")


def test_best_outcome_of_the_sweep_rules() -> None:
    bench = Bench().say("MESSAGE_LEFT_2", "friend", hour=0.1).say("MESSAGE_LEFT_1", "sister", hour=0.2)
    bench.say("SELF_RAISING_FUNDS", "mobile", hour=0.3, on=date(2026, 3, 6)).say("NO_ANSWER", "work", hour=0.4)
    bench.say("NO_ANSWER", "home", hour=0.5)
    assert bench.next.action == "progress-call"
    assert len(bench.state.pending) == 1


def test_numbers_that_policy_refuses_do_not_hold_the_sweep_up() -> None:
    bench = (
        Bench().say("NUMBER_REFUSED", "sister", rule="third-party").say("NUMBER_REFUSED", "friend", rule="third-party")
    )
    for place, number in enumerate(("work", "mobile", "home")):
        bench.say("NO_ANSWER", number, hour=0.1 * (place + 1))
    assert bench.next.action == "redial"
    bench.say("NUMBER_PERMITTED", "sister", day=1)
    assert "sweep" in {each.action.action for each in bench.state.pending}
