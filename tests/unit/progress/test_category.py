"""The network's word: one category for every combination, and the right one for those that carriers send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from case_store.network import HangupCause, ProgressCategory
from dialer.progress.announcements import AnnouncementHeard
from dialer.progress.category import OURS, Progress, classify
from dialer.progress.machine import MachineVerdict, WhoAnswered
from dialer.progress.tones import Tone, ToneKind

announcements = st.none() | st.builds(
    AnnouncementHeard,
    name=st.sampled_from(["switched-off", "site-7"]),
    category=st.sampled_from(list(ProgressCategory)),
    score=st.floats(0.6, 1.0),
    at=st.floats(0, 60),
)
tones = st.none() | st.builds(
    Tone, kind=st.sampled_from(list(ToneKind)), plan=st.just("cn"), at=st.floats(0, 60), times=st.integers(1, 9)
)
machines = st.none() | st.builds(
    MachineVerdict,
    who=st.sampled_from(list(WhoAnswered)),
    evidence=st.just(("beep at 5.1 s",)),
    app_amd=st.just("HUMAN-800"),
)
everything = st.fixed_dictionaries(
    {
        "cause": st.sampled_from(list(HangupCause)),
        "sip_status": st.none() | st.integers(100, 699),
        "q850": st.none() | st.integers(0, 127),
        "answered": st.booleans(),
        "rang": st.booleans(),
        "announcement": announcements,
        "tone": tones,
        "machine": machines,
        "announced_after_answer": st.booleans(),
        "delay": st.floats(0, 90),
    }
)


@given(everything)
def test_every_combination_has_one_category_and_evidence(said: dict[str, object]) -> None:
    progress = classify(**said)  # type: ignore[arg-type]  # hypothesis draws each by its own type
    assert isinstance(progress, Progress)
    assert isinstance(progress.category, ProgressCategory)
    assert progress.evidence
    assert len(set(progress.evidence)) == len(progress.evidence)
    assert progress.delay == said["delay"]


@given(everything)
def test_what_was_signalled_is_always_in_the_evidence(said: dict[str, object]) -> None:
    progress = classify(**said)  # type: ignore[arg-type]  # as above
    if said["q850"] is not None:
        assert f"q850:{said['q850']}" in progress.evidence
    assert f"cause:{said['cause']}" in progress.evidence


def test_no_failure_status_counts_as_answered_or_ours() -> None:
    for status in range(300, 700):
        for cause in (HangupCause.NORMAL, HangupCause.INTERWORKING):
            category = classify(cause=cause, sip_status=status).category
            assert category not in (ProgressCategory.ANSWERED, ProgressCategory.MACHINE, ProgressCategory.CANCELLED)
            assert category is not ProgressCategory.UNKNOWN or status == 487 or status < 400


def test_each_cause_alone_has_a_category() -> None:
    for cause in HangupCause:
        assert classify(cause=cause).category in ProgressCategory


@pytest.mark.parametrize(
    ("status", "q850", "rang", "expected"),
    [
        (486, None, True, ProgressCategory.BUSY),
        (600, None, False, ProgressCategory.BUSY),
        (603, None, True, ProgressCategory.REJECTED),
        (404, None, False, ProgressCategory.NOT_IN_SERVICE),
        (480, None, True, ProgressCategory.NO_ANSWER),
        (480, None, False, ProgressCategory.UNREACHABLE),
        (408, None, True, ProgressCategory.NO_ANSWER),
        (408, None, False, ProgressCategory.UNREACHABLE),
        (480, 20, False, ProgressCategory.SWITCHED_OFF),
        (480, 19, True, ProgressCategory.NO_ANSWER),
        (503, 34, False, ProgressCategory.NETWORK_BUSY),
        (500, 1, False, ProgressCategory.NOT_IN_SERVICE),
        (502, None, False, ProgressCategory.TRUNK_TROUBLE),
        (484, None, False, ProgressCategory.INVALID_NUMBER),
        (480, 16, False, ProgressCategory.UNREACHABLE),  # 16 says nothing: the status decides
    ],
)
def test_status_and_q850(status: int, q850: int | None, rang: bool, expected: ProgressCategory) -> None:
    assert classify(cause=HangupCause.NORMAL, sip_status=status, q850=q850, rang=rang).category is expected


def test_the_announcement_beats_the_status_and_the_disagreement_is_kept() -> None:
    heard = AnnouncementHeard("not-in-service", ProgressCategory.NOT_IN_SERVICE, 0.9, 0.5)
    progress = classify(cause=HangupCause.NO_ANSWER, sip_status=480, q850=19, announcement=heard)
    assert progress.category is ProgressCategory.NOT_IN_SERVICE
    assert progress.evidence[0] == "announcement:not-in-service"
    assert "q850:19" in progress.evidence


def test_giving_up_on_a_held_announcement_is_what_it_said_not_our_cancel() -> None:
    heard = AnnouncementHeard("switched-off", ProgressCategory.SWITCHED_OFF, 0.9, 0.5)
    assert classify(cause=HangupCause.CANCELLED, sip_status=487, announcement=heard).category is (
        ProgressCategory.SWITCHED_OFF
    )


def test_our_own_ends_say_nothing_about_the_number() -> None:
    for cause in OURS:
        category = classify(cause=cause, sip_status=487, q850=17).category
        assert category in (ProgressCategory.CANCELLED, ProgressCategory.TRUNK_TROUBLE)


def test_an_announcement_before_an_answer_does_not_undo_the_answer() -> None:
    heard = AnnouncementHeard("no-answer", ProgressCategory.NO_ANSWER, 0.95, 0.5)
    assert classify(cause=HangupCause.NORMAL, answered=True, announcement=heard).category is ProgressCategory.ANSWERED


def test_a_network_that_answers_falsely_and_then_speaks() -> None:
    sure = AnnouncementHeard("not-in-service", ProgressCategory.NOT_IN_SERVICE, 0.95, 0.5)
    weak = AnnouncementHeard("not-in-service", ProgressCategory.NOT_IN_SERVICE, 0.7, 0.5)

    def category(heard: AnnouncementHeard) -> ProgressCategory:
        return classify(
            cause=HangupCause.NORMAL, answered=True, announcement=heard, announced_after_answer=True
        ).category

    assert category(sure) is ProgressCategory.NOT_IN_SERVICE
    assert category(weak) is ProgressCategory.ANSWERED  # a person may be there
