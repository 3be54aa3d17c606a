"""What is told of a number before it is dialed, and that it is learnt from. Category: unit."""

from __future__ import annotations

from datetime import UTC, datetime

from case_store.ledger import Candidate, NumberPast
from case_store.model import Channel
from dialer.number_facts import carrier_of, number_facts
from dialer.pacing.answer_chance import AnswerChance

NOON_IN_SHANGHAI = datetime(2026, 11, 26, 4, 30, tzinfo=UTC)


def candidate(e164: str, channel: Channel = Channel.MOBILE, case_region: str = "CN") -> Candidate:
    return Candidate(
        case_id="case",
        placement_id="placement",
        client="bank",
        campaign_id="campaign",
        number_id="number",
        contact_id="contact",
        person_id="person",
        debtor_person_id="person",
        debt_id="debt",
        e164=e164,
        extension=None,
        channel=channel,
        region=case_region[:2],
        case_region=case_region,
        relation="",
        position=1,
    )


def test_the_hour_is_the_callees_and_the_past_is_the_ledgers() -> None:
    facts = number_facts(candidate("+8613812345678"), NumberPast(silent=4, answered_before=True), NOON_IN_SHANGHAI)
    assert (facts.hour, facts.number_type, facts.carrier) == (12, "mobile", "China Mobile")
    assert (facts.silent_attempts, facts.answered_before) == (4, True)
    abroad = number_facts(candidate("+442079460018", Channel.HOME, "GB"), NumberPast(), NOON_IN_SHANGHAI)
    assert (abroad.hour, abroad.number_type, abroad.carrier) == (4, "home", "unknown")


def test_networks_are_told_apart_and_what_is_no_number_has_none() -> None:
    assert carrier_of("+8613012345678") == "China Unicom"
    assert carrier_of("110") == "unknown"


def test_a_line_silent_for_long_is_learnt_to_answer_seldom() -> None:
    model = AnswerChance()
    fresh = number_facts(candidate("+8613812345678"), NumberPast(), NOON_IN_SHANGHAI)
    silent = number_facts(candidate("+8613812345679"), NumberPast(silent=5), NOON_IN_SHANGHAI)
    for turn in range(400):
        model.observe(fresh, answered=turn % 2 == 0)
        model.observe(silent, answered=turn % 20 == 0)
    assert model.chance(fresh) > 0.4
    assert model.chance(silent) < 0.12
