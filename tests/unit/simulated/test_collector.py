"""The simulated collector concludes from what is heard, and never invents a promise."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from case_store.model import Channel, Money
from case_store.workflow.outcomes import OutcomeCode
from dialer.simulated.collector import _MEANING, conclude, recognise_speech
from dialer.simulated.sound import sound
from tests.unit.progress.line_noise import over_the_line

GAP = np.zeros(4000, np.int16)


@pytest.mark.parametrize("clip", _MEANING)
def test_each_sentence_is_recognised_between_greeting_and_goodbye(clip: str) -> None:
    english = clip.endswith("-en")
    greeting, goodbye = ("greeting-en", "goodbye-en") if english else ("greeting-f", "goodbye-m")
    said = np.concatenate([GAP, sound(greeting).pcm, GAP, sound(clip).pcm, GAP, sound(goodbye).pcm])
    assert recognise_speech(over_the_line(said, loss=0.04, gain=0.3)) == clip


@pytest.mark.parametrize(
    "clip", ["greeting-m", "greeting-office", "goodbye-f", "collector-opens-f", "recording-announcement", "music"]
)
def test_greetings_prompts_and_the_agent_mean_nothing(clip: str) -> None:
    assert recognise_speech(over_the_line(np.concatenate([GAP, sound(clip).pcm, GAP]))) is None


def test_every_meaning_is_an_outcome_of_the_sop() -> None:
    for clip in _MEANING:
        conclusion = conclude(channel=Channel.MOBILE, balance=Money(amount=Decimal(9000), currency="CNY"), heard=clip)
        assert conclusion.outcome in set(OutcomeCode)
        assert conclusion.said == clip


@given(
    channel=st.sampled_from(list(Channel)),
    balance=st.decimals(Decimal("0.01"), Decimal(10**7), places=2),
    heard=st.none() | st.sampled_from(sorted(_MEANING)) | st.just("unknown"),
)
def test_a_promise_has_a_date_and_never_exceeds_the_balance(
    channel: Channel, balance: Decimal, heard: str | None
) -> None:
    conclusion = conclude(channel=channel, balance=Money(amount=balance, currency="USD"), heard=heard)
    if conclusion.outcome == "SELF_PROMISE":
        assert heard is not None
        assert conclusion.amount is not None
        assert conclusion.amount.amount <= balance
        assert conclusion.amount.currency == "USD"
        assert conclusion.days_ahead is not None
        assert 1 <= conclusion.days_ahead <= 3  # SOP: at most D+3
    else:
        assert conclusion.amount is None
    if conclusion.outcome == "SELF_RAISING_FUNDS":
        assert conclusion.days_ahead is not None
        assert conclusion.days_ahead <= 7  # SOP: at most D+7


@pytest.mark.parametrize(
    ("channel", "outcome"),
    [
        (Channel.MOBILE, "SELF_NEGOTIATING"),
        (Channel.HOME, "SELF_NEGOTIATING"),
        (Channel.WORKPLACE, "MESSAGE_LEFT_2"),
        (Channel.RELATIVE, "MESSAGE_LEFT_2"),
        (Channel.EMERGENCY, "MESSAGE_LEFT_2"),
    ],
)
def test_on_a_foreign_trunk_the_facts_decide(channel: Channel, outcome: str) -> None:
    balance = Money(amount=Decimal(10), currency="CNY")
    assert conclude(channel=channel, balance=balance, heard=None).outcome == outcome
