"""Boundary tables for the figures of POLICY.md, and what a refusal tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from case_store.call_facts import AgreedHours, CallFacts, Hold, HoldKind, InconvenientTime, OptOut, PastCall
from case_store.model import Channel
from case_store.network import ProgressCategory
from case_store.workflow import Reach
from config.errors import InvariantBroken
from dialer.policy import CallRequest, Purpose, available_sets, decide, first_permitted, load_sets
from dialer.policy.load import BadPolicySet, parse_set
from dialer.policy.regions import candidate_zones
from dialer.policy.rules import NEVER, Holds, Situation
from dialer.policy.slots import Interval, PolicySlots, on_day, permitted_intervals

CN = load_sets(("cn-gbt45251-2025", "cn-cba-2026"))
CARRIER = load_sets(("cn-carrier",))
US = load_sets(("us-reg-f",))
UK = load_sets(("uk-conc7",))
SHANGHAI, NEW_YORK, LONDON = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York"), ZoneInfo("Europe/London")


def request(at: datetime, e164: str = "+8613812345678", **more: object) -> CallRequest:
    channel = more.pop("channel", Channel.MOBILE)
    return CallRequest(
        at=at,
        e164=e164,
        channel=channel,  # type: ignore[arg-type]  # tests pass what they mean
        case_id="case",
        person_id="debtor" if Channel(str(channel)).is_debtors_own else "sister",
        debtor_id="debtor",
        debt_id="debt",
        **more,  # type: ignore[arg-type]  # tests pass what they mean
    )


def past(at: datetime, e164: str = "+8613812345678", **more: object) -> PastCall:
    channel = Channel(str(more.pop("channel", Channel.MOBILE)))
    values: dict[str, object] = {
        "person_id": "debtor" if channel.is_debtors_own else "sister",
        "debtor_id": "debtor",
        "debt_id": "debt",
        "category": ProgressCategory.NO_ANSWER,
        **more,
    }
    return PastCall(at=at, e164=e164, channel=channel, **values)  # type: ignore[arg-type]  # tests pass what they mean


def talk(at: datetime, e164: str = "+8613812345678", **more: object) -> PastCall:
    return past(at, e164, category=ProgressCategory.ANSWERED, conversation=True, **more)


@pytest.mark.parametrize(
    ("clock", "allowed"),
    [((7, 59, 59), False), ((8, 0, 0), True), ((21, 59, 59), True), ((22, 0, 0), False), ((0, 0, 0), False)],
)
def test_chinese_hours_include_the_opening_minute_and_exclude_the_closing_one(
    clock: tuple[int, int, int], allowed: bool
) -> None:
    verdict = decide(request(datetime(2026, 3, 2, *clock, tzinfo=SHANGHAI)), CallFacts(), CN)
    assert verdict.allowed is allowed


def test_a_refusal_names_rule_figure_source_and_when() -> None:
    verdict = decide(request(datetime(2026, 3, 2, 23, 0, tzinfo=SHANGHAI)), CallFacts(), CN)
    assert verdict.rule == "gbt45251-hours"
    assert "08:00-22:00" in verdict.figure
    assert "GB/T 45251-2025" in verdict.source
    assert verdict.until == datetime(2026, 3, 3, 8, 0, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("day", "opens_utc"),
    [(date(2026, 3, 7), 13), (date(2026, 3, 8), 12), (date(2026, 10, 31), 12), (date(2026, 11, 1), 13)],
)
def test_american_hours_follow_daylight_saving(day: date, opens_utc: int) -> None:
    opening = datetime.combine(day, time(opens_utc), tzinfo=UTC)
    assert decide(request(opening, "+12125550142"), CallFacts(), US).allowed
    early = decide(request(opening - timedelta(seconds=1), "+12125550142"), CallFacts(), US)
    assert (early.allowed, early.until) == (False, opening)


# 12 CFR 1006.14(b)(2): Monday 2 March is day 1
@pytest.mark.parametrize(("day", "allowed"), [(2, False), (8, False), (9, True)])
def test_reg_f_after_a_conversation_whose_day_is_day_1(day: int, allowed: bool) -> None:
    facts = CallFacts(calls=(talk(datetime(2026, 3, 2, 8, 0, tzinfo=NEW_YORK), "+12125550142"),))
    verdict = decide(request(datetime(2026, 3, day, 12, 0, tzinfo=NEW_YORK), "+12125550142"), facts, US)
    assert verdict.allowed is allowed
    if not allowed:
        assert verdict.rule == "regf-after-conversation"
        assert verdict.until == datetime(2026, 3, 9, 8, 0, tzinfo=NEW_YORK)


@pytest.mark.parametrize(("calls", "day", "allowed"), [(6, 8, True), (7, 2, False), (7, 8, False), (7, 9, True)])
def test_reg_f_seven_calls_in_seven_days(calls: int, day: int, allowed: bool) -> None:
    first = datetime(2026, 3, 2, 8, 30, tzinfo=NEW_YORK)
    facts = CallFacts(calls=tuple(past(first + timedelta(minutes=n), "+12125550142") for n in range(calls)))
    verdict = decide(request(datetime(2026, 3, day, 20, 59, tzinfo=NEW_YORK), "+12125550142"), facts, US)
    assert verdict.allowed is allowed


def test_reg_f_counts_over_the_persons_numbers_but_a_debt_apart() -> None:
    first = datetime(2026, 3, 2, 8, 30, tzinfo=NEW_YORK)
    facts = CallFacts(calls=tuple(past(first + timedelta(minutes=n), f"+1212555014{n}") for n in range(7)))
    ask = request(first + timedelta(hours=1), "+12125550149")
    assert decide(ask, facts, US).rule == "regf-seven-in-seven"
    assert decide(replace(ask, debt_id="another"), facts, US).allowed


def test_chinese_conversations_are_capped_over_all_the_debtors_numbers_for_the_local_day() -> None:
    morning = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
    facts = CallFacts(calls=tuple(talk(morning + timedelta(hours=n), f"+861381234567{n}") for n in range(3)))
    verdict = decide(request(morning + timedelta(hours=5)), facts, CN)
    assert verdict.rule == "gbt45251-conversations-a-day"
    assert verdict.until == datetime(2026, 3, 3, 8, 0, tzinfo=SHANGHAI)


def test_calls_in_flight_count_as_conversations_so_that_racing_dialers_cannot_break_a_cap() -> None:
    now = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
    facts = CallFacts(calls=tuple(past(now, f"+861381234567{n}", category=None) for n in range(3)))
    assert decide(request(now + timedelta(seconds=1)), facts, CN).rule == "gbt45251-conversations-a-day"


@pytest.mark.parametrize(("attempts", "allowed"), [(5, True), (6, False)])
def test_chinese_attempts_a_day_to_one_number(attempts: int, allowed: bool) -> None:
    morning = datetime(2026, 3, 2, 8, 0, tzinfo=SHANGHAI)
    facts = CallFacts(calls=tuple(past(morning + timedelta(hours=n)) for n in range(attempts)))
    assert decide(request(morning + timedelta(hours=8)), facts, CN).allowed is allowed


def test_carriers_window_rolls_and_binds_protected_routes_only() -> None:
    at = datetime(2026, 3, 2, 8, 0, tzinfo=SHANGHAI)
    facts = CallFacts(calls=tuple(past(at + timedelta(minutes=n)) for n in (0, 10, 20)))
    ask = request(at + timedelta(hours=2), protected_route=True)
    verdict = decide(ask, facts, CARRIER)
    assert (verdict.rule, verdict.until) == ("carrier-24h", at + timedelta(days=1))
    assert decide(replace(ask, at=at + timedelta(days=1)), facts, CARRIER).allowed
    assert decide(replace(ask, protected_route=False), facts, CARRIER).allowed


def test_third_parties_only_from_the_day_after_three_failed_dials_in_a_row() -> None:
    day = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
    ask = request(day + timedelta(hours=5), "+8613912345678", channel=Channel.RELATIVE)
    two = CallFacts(calls=tuple(past(day + timedelta(hours=n)) for n in range(2)))
    assert decide(ask, two, CN).until is None
    three = CallFacts(calls=tuple(past(day + timedelta(hours=n)) for n in range(3)))
    verdict = decide(ask, three, CN)
    assert (verdict.allowed, verdict.until) == (False, datetime(2026, 3, 3, 8, 0, tzinfo=SHANGHAI))
    assert decide(replace(ask, at=verdict.until or day), three, CN).allowed
    answered = CallFacts(calls=(*three.calls, talk(day + timedelta(hours=4))))
    assert not decide(replace(ask, at=day + timedelta(days=1)), answered, CN).allowed


def test_the_workplace_line_is_the_debtors_own() -> None:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
    assert decide(request(at, "+862431234567", channel=Channel.WORKPLACE), CallFacts(), CN).allowed


def test_american_third_parties_are_asked_once() -> None:
    at = datetime(2026, 3, 2, 12, 0, tzinfo=NEW_YORK)
    ask = request(at, "+12125550142", channel=Channel.RELATIVE)
    assert decide(ask, CallFacts(), US).allowed
    verdict = decide(ask, CallFacts(spoken_ever=frozenset({"sister"})), US)
    assert (verdict.rule, verdict.until) == ("regf-location-once", None)


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (CallFacts(number_blocked=True), "gbt45251-refusal"),
        (CallFacts(refused_persons=frozenset({"debtor"})), "gbt45251-refusal"),
        (CallFacts(number_invalid=True), "house-number-retired"),
        (CallFacts(opt_outs=(OptOut(person_id="debtor"),)), "house-opt-out"),
        (CallFacts(holds=(Hold(kind=HoldKind.DISPUTE, begins=datetime(2026, 1, 1, tzinfo=UTC)),)), "house-hold"),
    ],
)
def test_what_is_refused_for_good(facts: CallFacts, rule: str) -> None:
    verdict = decide(request(datetime(2026, 3, 2, 12, 0, tzinfo=SHANGHAI)), facts, CN)
    assert (verdict.allowed, verdict.rule, verdict.until) == (False, rule, None)


def test_a_fraud_hold_lets_only_the_confirming_call_through() -> None:
    facts = CallFacts(holds=(Hold(kind=HoldKind.FRAUD, begins=datetime(2026, 1, 1, tzinfo=UTC)),))
    ask = request(datetime(2026, 3, 2, 12, 0, tzinfo=SHANGHAI))
    assert not decide(ask, facts, CN).allowed
    assert decide(replace(ask, purpose=Purpose.CONFIRM_FRAUD), facts, CN).allowed


def test_consent_lifts_the_hours_for_its_span_and_nothing_else() -> None:
    agreed = AgreedHours(person_id="debtor", opens=time(6), closes=time(8), begins=date(2026, 3, 1))
    facts = CallFacts(agreed_hours=(agreed,))
    assert decide(request(datetime(2026, 3, 2, 6, 0, tzinfo=SHANGHAI)), facts, CN).allowed
    before = decide(request(datetime(2026, 3, 2, 5, 59, tzinfo=SHANGHAI)), facts, CN)
    assert before.until == datetime(2026, 3, 2, 6, 0, tzinfo=SHANGHAI)


def test_inconvenient_times_are_honoured_in_britain() -> None:
    lunch = InconvenientTime(person_id="debtor", opens=time(12), closes=time(14))
    ask = request(datetime(2026, 3, 29, 13, 0, tzinfo=LONDON), "+442079460142")
    verdict = decide(ask, CallFacts(inconvenient=(lunch,)), UK)
    assert (verdict.rule, verdict.until) == ("conc7-requests-when", datetime(2026, 3, 29, 14, 0, tzinfo=LONDON))
    intervals = on_day(ask, CallFacts(inconvenient=(lunch,)), UK, date(2026, 3, 29), LONDON)
    assert [(each.opens.astimezone(LONDON).hour, each.closes.astimezone(LONDON).hour) for each in intervals] == [
        (8, 12),
        (14, 21),
    ]


def test_the_strictest_of_all_candidate_clocks_rules_a_toll_free_number() -> None:
    eight_in_new_york = datetime(2026, 3, 2, 8, 0, tzinfo=NEW_YORK)
    verdict = decide(request(eight_in_new_york, "+18005550142", address_region="US-TN"), CallFacts(), US)
    assert verdict.until == datetime(2026, 3, 2, 9, 0, tzinfo=NEW_YORK)  # Tennessee has two clocks


def test_conversations_about_the_debtor_count_whoever_was_talked_to() -> None:
    """GB/T 45251: at most 3 effective calls a day per debtor; the one with his sister about him is one of them."""
    morning = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
    ask = request(morning + timedelta(hours=6))
    own = tuple(talk(morning + timedelta(hours=hour)) for hour in range(2))
    sister = talk(morning + timedelta(hours=3), "+8613912345678", channel=Channel.RELATIVE)
    another_debtors = talk(
        morning + timedelta(hours=3), "+8613912345678", channel=Channel.RELATIVE, debtor_id="somebody-else"
    )
    verdict = decide(ask, CallFacts(calls=(*own, sister)), CN)
    assert (verdict.rule, verdict.until) == (
        "gbt45251-conversations-a-day",
        datetime(2026, 3, 3, 8, 0, tzinfo=SHANGHAI),
    )
    assert decide(ask, CallFacts(calls=own), CN).allowed
    assert decide(ask, CallFacts(calls=(*own, another_debtors)), CN).allowed


def test_until_of_a_cap_that_is_more_than_full_is_when_it_is_below_the_limit() -> None:
    """Imported history may hold more calls than the cap: the last but two of five must be a day old, not the first."""
    day = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
    calls = tuple(past(day + timedelta(hours=hour)) for hour in range(5))
    ask = request(day + timedelta(hours=6), protected_route=True)
    verdict = decide(ask, CallFacts(calls=calls), CARRIER)
    assert (verdict.rule, verdict.until) == ("carrier-24h", day + timedelta(hours=24 + 2))
    assert decide(replace(ask, at=day + timedelta(hours=26)), CallFacts(calls=calls), CARRIER).allowed
    a_second_before = replace(ask, at=day + timedelta(hours=26) - timedelta(seconds=1))
    assert not decide(a_second_before, CallFacts(calls=calls), CARRIER).allowed


CHICAGO_TOO = ("America/Chicago", "America/New_York")


@pytest.mark.parametrize(
    ("e164", "clocks"),
    [
        (
            "+12705550142",
            CHICAGO_TOO,
        ),  # western Kentucky: the library answers New York for an exchange it does not list
        ("+18505550142", CHICAGO_TOO),  # the Florida panhandle
        ("+13645550142", CHICAGO_TOO),  # the overlay of 270
        ("+14485550142", CHICAGO_TOO),  # the overlay of 850
        ("+12704420142", ("America/Chicago",)),  # Paducah: an exchange the library knows
        ("+12125550142", ("America/New_York",)),
        ("+19285550142", ("America/Denver", "America/Phoenix")),
        ("+74232123456", ("Asia/Vladivostok",)),
        ("+61892345678", ("Australia/Adelaide", "Australia/Perth")),
    ],
)
def test_an_area_code_with_two_clocks_has_both(e164: str, clocks: tuple[str, ...]) -> None:
    assert tuple(sorted(zone.key for zone in candidate_zones(e164, None))) == clocks


def test_both_clocks_of_a_split_area_code_must_permit() -> None:
    eight_in_new_york = datetime(2026, 3, 2, 8, 0, tzinfo=NEW_YORK)
    verdict = decide(request(eight_in_new_york, "+12705550142"), CallFacts(), US)
    assert (verdict.rule, verdict.until) == ("regf-hours", datetime(2026, 3, 2, 9, 0, tzinfo=NEW_YORK))
    nine_at_night = datetime(2026, 3, 2, 21, 0, tzinfo=NEW_YORK)  # 20:00 in Chicago
    assert not decide(request(nine_at_night, "+12705550142"), CallFacts(), US).allowed


def test_a_geographic_number_speaks_for_itself_whatever_the_address() -> None:
    alaska = candidate_zones("+19075550142", None)
    assert len(alaska) > 1
    assert candidate_zones("+19075550142", "US-NY") == alaska
    anywhere = candidate_zones("+18005550142", None)
    assert candidate_zones("+18005550142", "CN") == anywhere  # an address in another country places no number
    assert [zone.key for zone in candidate_zones("+18005550142", "US-CA")] == ["America/Los_Angeles"]


def test_of_several_refusals_the_one_that_lasts_longest_is_named() -> None:
    night = datetime(2026, 3, 2, 23, 0, tzinfo=SHANGHAI)
    verdict = decide(request(night), CallFacts(opt_outs=(OptOut(person_id="debtor"),)), CN)
    assert (verdict.rule, verdict.until) == ("house-opt-out", None)  # not the hours, which end in the morning


@pytest.mark.parametrize("e164", ["+881612345678", "+80012345678", "+999123456", "not-a-number"])
def test_a_number_of_unknown_whereabouts_is_not_called(e164: str) -> None:
    assert candidate_zones(e164, None) == ()
    verdict = decide(request(datetime(2026, 3, 2, 12, 0, tzinfo=UTC), e164), CallFacts(), US)
    assert (verdict.rule, verdict.until) == ("house-clock-known", None)


def test_public_holidays_bar_calls_where_the_client_wants_it() -> None:
    sets = load_sets(("cn-cba-2026", "house-rest-days"))
    verdict = decide(request(datetime(2026, 10, 1, 12, 0, tzinfo=SHANGHAI)), CallFacts(), sets)
    assert (verdict.rule, verdict.until) == ("house-public-holiday", datetime(2026, 10, 8, 8, 0, tzinfo=SHANGHAI))


def test_workflow_slots_see_the_policy() -> None:
    ask = request(datetime(2026, 3, 2, 12, 0, tzinfo=SHANGHAI))
    sister = request(ask.at, "+8613912345678", channel=Channel.RELATIVE)
    slots = PolicySlots(zone=SHANGHAI, requests={"own": ask, "sister": sister}, sets=CN)
    day = date(2026, 3, 3)
    assert slots.first(day, Reach.DEBTOR, ask.at) == datetime(2026, 3, 3, 8, 0, tzinfo=SHANGHAI)
    assert slots.last(day, Reach.DEBTOR) == datetime(2026, 3, 3, 22, 0, tzinfo=SHANGHAI)
    assert slots.last(day, Reach.CONTACT) is None
    assert first_permitted(sister, CallFacts(), CN) is None


def test_every_shipped_set_loads_and_says_where_its_figures_come_from() -> None:
    for name in available_sets():
        for each in load_sets((name,)):
            for entry in (*each.rules, *each.obligations):
                assert entry.label.source
                assert entry.label.figure
                assert entry.label.confidence in ("high", "medium", "low", "product")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("id = 'x'", "x.rules"),
        ("id = 'y'\n[[rules]]", "x.id"),
        ("id = 'x'\nhours = 3\n[[rules]]", "x"),
        ("id = 'x'\n[[rules]]\nid='a'\nkind='hour'\nfigure='f'\nsource='s'\nconfidence='low'", "x.rules[0]"),
        (
            (
                "id = 'x'\n[[rules]]\nid='a'\nkind='hours'\nopens=22:00:00\ncloses=08:00:00\nfigure='f'\nsource='s'\n"
                "confidence='low'"
            ),
            "x.rules[0]",
        ),
        ("id = = 'x'", "x"),
    ],
)
def test_a_malformed_set_is_refused_by_name_of_the_field(text: str, field: str) -> None:
    with pytest.raises(BadPolicySet) as caught:
        parse_set(text, "x")
    assert str(caught.value.field).startswith(field)


def test_an_unknown_set_and_a_naive_time_are_refused() -> None:
    with pytest.raises(BadPolicySet):
        load_sets(("cn-nothing",))
    with pytest.raises(InvariantBroken):
        decide(request(datetime(2026, 3, 2, 12, 0)), CallFacts(), CN)  # noqa: DTZ001  # the naive time is the test


@pytest.mark.parametrize(("day", "allowed"), [(1, False), (2, True), (3, True), (4, True), (5, False)])
def test_agreed_hours_hold_from_their_first_day_to_their_last(day: int, allowed: bool) -> None:
    agreed = AgreedHours(
        person_id="debtor", opens=time(6), closes=time(8), begins=date(2026, 3, 2), ends=date(2026, 3, 4)
    )
    early = datetime(2026, 3, day, 6, 30, tzinfo=SHANGHAI)
    assert decide(request(early), CallFacts(agreed_hours=(agreed,)), CN).allowed is allowed


@pytest.mark.parametrize(("person", "e164"), [("sister", None), ("debtor", "+862162345678")])
def test_agreed_hours_are_those_of_the_person_and_number_agreed_on(person: str, e164: str | None) -> None:
    agreed = AgreedHours(person_id=person, opens=time(6), closes=time(8), begins=date(2026, 3, 2), e164=e164)
    early = datetime(2026, 3, 2, 6, 30, tzinfo=SHANGHAI)
    assert not decide(request(early), CallFacts(agreed_hours=(agreed,)), CN).allowed


def test_a_hold_to_come_closes_the_slot_when_it_begins() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=SHANGHAI)
    sets = load_sets(("cn-gbt45251-2025", "house"))
    asked = request(noon.replace(hour=9))
    facts = CallFacts(holds=(Hold(kind=HoldKind.DISPUTE, begins=noon),))
    assert decide(asked, facts, sets).allowed
    (slot,) = on_day(asked, facts, sets, noon.date(), SHANGHAI)
    assert (slot.opens, slot.closes) == (noon.replace(hour=8), noon)
    situation = Situation(asked, facts, asked.at, candidate_zones(asked.e164, None))
    begins = {rule.kinds: rule.bars_from(situation) for each in sets for rule in each.rules if isinstance(rule, Holds)}
    assert {HoldKind.DISPUTE in kinds: at for kinds, at in begins.items()} == {True: noon, False: NEVER}


def test_permitted_times_that_touch_are_one_interval() -> None:
    """A rule on days looks again at midnight; where it still permits, the interval goes on."""
    monday, friday = datetime(2026, 3, 2, tzinfo=SHANGHAI), datetime(2026, 3, 6, tzinfo=SHANGHAI)
    sets = load_sets(("house-rest-days",))
    assert permitted_intervals(request(monday), CallFacts(), sets, monday, friday) == [Interval(monday, friday)]
    eve, after = (
        datetime(2026, 4, 3, tzinfo=SHANGHAI),
        datetime(2026, 4, 7, tzinfo=SHANGHAI),
    )  # 清明 on the 5th, Monday off
    found = permitted_intervals(request(eve), CallFacts(), sets, eve, after + timedelta(days=2))
    assert found == [Interval(eve, eve + timedelta(days=2)), Interval(after, after + timedelta(days=2))]
