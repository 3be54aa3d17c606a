"""Person or machine: sure of machines only by signs that no person gives."""

from __future__ import annotations

import numpy as np
import pytest

from dialer.progress.machine import MachineSettings, WhoAnswered, who_answered
from dialer.simulated.sound import sound
from tests.unit.progress.line_noise import Pcm, over_the_line


def spoken(*parts: str | float) -> Pcm:
    """Clips and, between them, seconds of silence."""
    return over_the_line(
        np.concatenate([sound(p).pcm if isinstance(p, str) else np.zeros(int(p * 8000), np.int16) for p in parts]),
        loss=0.02,
    )


@pytest.mark.parametrize("greeting", ["greeting-m", "greeting-f", "greeting-en", "greeting-office"])
@pytest.mark.parametrize("before", [0.1, 1.0, 3.0])
def test_people_who_greet_and_wait_are_people(greeting: str, before: float) -> None:
    assert who_answered(spoken(before, greeting, 2.0)).who is WhoAnswered.PERSON


def test_a_business_greeting_is_a_person_though_app_amd_says_machine() -> None:
    verdict = who_answered(spoken(0.3, "greeting-office", 2.0))
    assert verdict.who is WhoAnswered.PERSON
    assert verdict.app_amd.startswith("MACHINE-")


@pytest.mark.parametrize("greeting", ["machine-greeting", "machine-greeting-en"])
def test_a_monologue_and_a_beep_are_a_machine(greeting: str) -> None:
    verdict = who_answered(spoken(0.4, greeting, 0.3, "beep", 1.5))
    assert verdict.who is WhoAnswered.MACHINE
    assert any("beep" in item for item in verdict.evidence)


def test_a_short_greeting_with_a_beep_is_a_machine() -> None:
    assert who_answered(spoken(0.4, "greeting-office", 0.5, "beep", 1.0)).who is WhoAnswered.MACHINE


def test_silence_is_unsure() -> None:
    verdict = who_answered(spoken(6.0))
    assert verdict.who is WhoAnswered.UNSURE
    assert verdict.app_amd.startswith("MACHINE-INITIALSILENCE")


def test_nothing_at_all_is_unsure() -> None:
    assert who_answered(np.zeros(0, np.int16)).who is WhoAnswered.UNSURE


def test_asterisks_defaults_are_kept() -> None:
    figures = MachineSettings()
    assert (figures.initial_silence, figures.greeting, figures.after_greeting_silence) == (2500, 1500, 800)
    assert (figures.total_analysis_time, figures.minimum_word_length, figures.maximum_word_length) == (5000, 100, 5000)
    assert (figures.between_words_silence, figures.maximum_number_of_words, figures.silence_threshold) == (50, 2, 256)
